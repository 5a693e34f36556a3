"""The original's predictor: set an image, then ask about it.

It is the only thing here that remembers an image; two threads need two of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anymask.compat.modeling import Sam
from anymask.compat.utils.transforms import ResizeLongestSide, Size, as_size
from anymask.errors import InputError
from anymask.parallel import threads_work

__all__ = ["NoImageError", "SamPredictor"]

FloatArray = npt.NDArray[np.float32]


class NoImageError(InputError, RuntimeError):
    """A question before `SamPredictor.set_image`; the original raises a ``RuntimeError``."""


class SamPredictor:
    """Answers prompts about one image after the other.

    Attributes:
        model: The `Sam` it asks.
        transform: The way into the model's frame.
        is_image_set: Whether there is an image.
        features: Its embedding, (1, 256, 64, 64).
        original_size: Its height and width.
        input_size: Its height and width after resizing.
    """

    features: Tensor | None
    original_size: tuple[int, int] | None
    input_size: tuple[int, int] | None

    def __init__(self, sam_model: Sam) -> None:
        self.model = sam_model
        self.transform = ResizeLongestSide(sam_model.image_encoder.img_size)
        self.reset_image()

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    def reset_image(self) -> None:
        """Forget the image."""
        self.is_image_set = False
        self.features = self.original_size = self.input_size = None

    def set_image(self, image: npt.NDArray[np.uint8], image_format: str = "RGB") -> None:
        """Encode an image.

        Args:
            image: uint8 (h, w, 3).
            image_format: Order of its colours, "RGB" or "BGR".
        """
        if image_format not in ("RGB", "BGR"):
            raise InputError(f"expected an image_format of RGB or BGR, got {image_format!r}")
        shape = np.shape(image)
        if len(shape) != 3 or shape[2] != 3:
            raise InputError(
                f"expected an image of (h, w, 3), got {shape}; a grey one goes three times into "
                "its colours, np.dstack([grey] * 3)"
            )
        if image_format != self.model.image_format:
            image = image[..., ::-1]
        resized = torch.as_tensor(self.transform.apply_image(image), device=self.device)
        self.set_torch_image(resized.permute(2, 0, 1)[None], image.shape[:2])

    @threads_work()
    @torch.no_grad()
    def set_torch_image(self, transformed_image: Tensor, original_image_size: Size) -> None:
        """Encode an image that has been resized already.

        Args:
            transformed_image: RGB (1, 3, h, w) from 0 to 255, its longest side that of the frame.
            original_image_size: Height and width before resizing.
        """
        side, shape = self.model.image_encoder.img_size, tuple(transformed_image.shape)
        if len(shape) != 4 or shape[:2] != (1, 3) or max(shape[2:]) != side:
            raise InputError(
                f"expected an image of (1, 3, h, w) with a longest side of {side}, got {shape}; "
                "resize it with predictor.transform first"
            )
        self.reset_image()
        self.features = self.model.image_encoder(self.model.preprocess(transformed_image))
        self.original_size = as_size(original_image_size)
        self.input_size = as_size(shape[2:])
        self.is_image_set = True

    def predict(
        self,
        point_coords: npt.ArrayLike | None = None,
        point_labels: npt.ArrayLike | None = None,
        box: npt.ArrayLike | None = None,
        mask_input: npt.ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[npt.NDArray[Any], FloatArray, FloatArray]:
        """Answer one prompt about the image.

        Args:
            point_coords: (p, 2), x before y, pixels of the image.
            point_labels: (p,), 1 object, 0 background.
            box: (4,) xyxy, pixels of the image.
            mask_input: Logits of an earlier answer, (1, 256, 256).
            multimask_output: Three masks instead of one.
            return_logits: Logits instead of masks.

        Returns:
            Masks, bool (k, h, w), or float32 logits; predicted IoU, float32 (k,); and low
            resolution logits, float32 (k, 256, 256). In the network's order.
        """
        _, _, size = self._image()
        points = labels = boxes = mask = None
        if point_coords is not None:
            if point_labels is None:
                raise InputError("expected a label for each point, got none; add point_labels")
            if np.ndim(point_coords) != 2 or np.shape(point_coords)[1] != 2:
                raise InputError(
                    f"expected points (p, 2), x before y, got {np.shape(point_coords)}; several "
                    "prompts go through predict_torch"
                )
            points = self._tensor(self.transform.apply_coords(point_coords, size))[None]
            labels = self._tensor(point_labels)[None]
        if box is not None:
            boxes = self._tensor(self.transform.apply_boxes(box, size))
            if len(boxes) != 1:
                raise InputError(
                    f"expected one box, got {len(boxes)}; several go through predict_torch"
                )
        if mask_input is not None:
            mask = self._tensor(mask_input)[None]
            if mask.ndim != 4:
                raise InputError(
                    f"expected mask_input as logits (1, h, w), got {tuple(mask.shape[1:])}; pass "
                    "logits[None, i] of an earlier answer"
                )
        answers = self.predict_torch(points, labels, boxes, mask, multimask_output, return_logits)
        masks, predicted_iou, low_res = (answer[0].cpu().numpy() for answer in answers)
        return masks, predicted_iou, low_res

    def predict_torch(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Answer n prompts about the image, all in the model's frame (see `transform`).

        Args:
            point_coords: (n, p, 2), x before y.
            point_labels: (n, p), 1 object, 0 background, -1 not a point.
            boxes: (n, 4) xyxy.
            mask_input: (n, 1, 256, 256) logits, or (1, 1, 256, 256) for all.
            multimask_output: Three masks for each prompt instead of one.
            return_logits: Logits instead of masks.

        Returns:
            Masks, bool (n, k, h, w) of the image, or float32 logits; predicted IoU, (n, k); and low
            resolution logits, (n, k, 256, 256). In the network's order.
        """
        _, input_size, original_size = self._image()
        low_res, predicted_iou = self.predict_low_res(
            point_coords, point_labels, boxes, mask_input, multimask_output
        )
        masks = self.model.postprocess_masks(low_res, input_size, original_size)
        return masks if return_logits else masks > self.model.mask_threshold, predicted_iou, low_res

    @threads_work()
    @torch.no_grad()
    def predict_low_res(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Answer as `predict_torch` does, without enlarging: logits and predicted IoU."""
        features, _, _ = self._image()
        if (point_coords is None) != (point_labels is None):
            raise InputError("expected points with labels, got one without the other; give both")
        points = None
        if point_coords is not None and point_labels is not None:
            points = point_coords, point_labels
        sparse, dense = self.model.prompt_encoder(points=points, boxes=boxes, masks=mask_input)
        low_res, predicted_iou = self.model.mask_decoder(
            image_embeddings=features,
            image_pe=self.model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask_output,
        )
        return low_res.float(), predicted_iou.float()

    def get_image_embedding(self) -> Tensor:
        """Give the image's embedding, (1, 256, 64, 64)."""
        return self._image()[0]

    def _image(self) -> tuple[Tensor, tuple[int, int], tuple[int, int]]:
        """Give the image's embedding, and its size after and before resizing."""
        if self.features is None or self.input_size is None or self.original_size is None:
            raise NoImageError("expected an image, got none yet; call set_image first")
        return self.features, self.input_size, self.original_size

    def _tensor(self, values: npt.ArrayLike) -> Tensor:
        return torch.as_tensor(np.asarray(values, dtype=np.float32), device=self.device)
