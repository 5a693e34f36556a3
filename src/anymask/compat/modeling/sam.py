"""SAM as one module of three parts, in the original's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.compat.modeling.mask_decoder import MaskDecoder
from anymask.compat.modeling.prompt_encoder import PromptEncoder
from anymask.compat.utils.transforms import Size, as_size
from anymask.image.transform import Transform
from anymask.parallel import threads_work

__all__ = ["Sam"]


class Sam(nn.Module):
    """The three modules together, and the ways to and from the frame they work in.

    Attributes:
        mask_threshold: Above it a logit belongs to the mask.
        image_format: Order of the colours.
    """

    mask_threshold: float = 0.0
    image_format: str = "RGB"
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        image_encoder: nn.Module,
        prompt_encoder: PromptEncoder,
        mask_decoder: MaskDecoder,
        pixel_mean: Sequence[float] = (123.675, 116.28, 103.53),
        pixel_std: Sequence[float] = (58.395, 57.12, 57.375),
    ) -> None:
        super().__init__()
        self.image_encoder: Any = image_encoder  # that has ``img_size``
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        for name, values in (("pixel_mean", pixel_mean), ("pixel_std", pixel_std)):
            self.register_buffer(name, torch.tensor(values).reshape(3, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.pixel_mean.device

    @threads_work()
    @torch.no_grad()
    def forward(
        self, batched_input: Sequence[Mapping[str, Any]], multimask_output: bool
    ) -> list[dict[str, Tensor]]:
        """Answer prompts on several images at once.

        Args:
            batched_input: For each image ``image``, (3, h, w) as `ResizeLongestSide` makes it, and
                ``original_size``, (h, w) before that; any of ``point_coords`` (n, p, 2) with
                ``point_labels`` (n, p), ``boxes`` (n, 4) and ``mask_inputs`` (n, 1, 256, 256), in
                pixels of the resized image.
            multimask_output: Three masks for each prompt instead of one.

        Returns:
            For each image ``masks``, bool (n, k, *original_size); ``iou_predictions``, (n, k); and
            ``low_res_logits``, (n, k, 256, 256).
        """
        frames = torch.stack([self.preprocess(one["image"]) for one in batched_input])
        return [
            self._answer(one, embedding[None], multimask_output)
            for one, embedding in zip(batched_input, self.image_encoder(frames), strict=True)
        ]

    def _answer(
        self, one: Mapping[str, Any], embedding: Tensor, multimask_output: bool
    ) -> dict[str, Tensor]:
        points = (one["point_coords"], one["point_labels"]) if "point_coords" in one else None
        sparse, dense = self.prompt_encoder(
            points=points, boxes=one.get("boxes"), masks=one.get("mask_inputs")
        )
        low_res, predicted_iou = self.mask_decoder(
            image_embeddings=embedding,
            image_pe=self.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask_output,
        )
        masks = self.postprocess_masks(low_res, one["image"].shape[-2:], one["original_size"])
        return {
            "masks": masks > self.mask_threshold,
            "iou_predictions": predicted_iou,
            "low_res_logits": low_res,
        }

    def preprocess(self, x: Tensor) -> Tensor:
        """Normalise RGB (..., 3, h, w) from 0 to 255 and pad it with zeros to a square."""
        x = (x - self.pixel_mean) / self.pixel_std
        side, (h, w) = self.image_encoder.img_size, x.shape[-2:]
        return F.pad(x, (0, side - w, 0, side - h))

    def postprocess_masks(self, masks: Tensor, input_size: Size, original_size: Size) -> Tensor:
        """Carry logits (n, k, 256, 256) to the image: float32 (n, k, *original_size).

        Args:
            masks: Logits that cover the padded frame.
            input_size: Height and width of the resized image, without the padding.
            original_size: Height and width of the image.
        """
        side = self.image_encoder.img_size
        transform = Transform(as_size(original_size), as_size(input_size), (side, side))
        enlarged: Tensor = transform.masks_to_image(masks)
        return enlarged
