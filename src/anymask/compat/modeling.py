"""SAM as the original has it: three modules to call one by one, above all for fine-tuning.

The networks are those of `anymask.models`, only the arguments are the original's. The keys of
``state_dict()`` are those of the published files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.compat.utils.transforms import Size, as_size
from anymask.errors import InputError
from anymask.image.transform import Transform
from anymask.models import mask_decoder, prompt_encoder
from anymask.models.config import SamConfig
from anymask.models.prompt_batch import PromptBatch

__all__ = ["MaskDecoder", "PromptEncoder", "Sam"]


class PromptEncoder(prompt_encoder.PromptEncoder):
    """Points, boxes and masks to embeddings.

    Attributes:
        embed_dim: Channels of an embedding.
        image_embedding_size: Height and width of the image's embedding.
        input_image_size: Height and width of the padded image.
        mask_input_size: Height and width of a mask.
    """

    def __init__(self, config: SamConfig) -> None:
        super().__init__(config)
        self.embed_dim = config.decoder.width
        self.image_embedding_size = (self.grid, self.grid)
        self.input_image_size = (self.side, self.side)
        self.mask_input_size = (4 * self.grid, 4 * self.grid)

    def forward(  # type: ignore[override]  # the same work, in other words
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Encode n prompts, of which any part may be None.

        Args:
            points: Coordinates (n, p, 2), x before y, pixels of the frame, and labels (n, p):
                1 object, 0 background, -1 not a point.
            boxes: (n, 4) or (n, 1, 4) xyxy, pixels of the frame.
            masks: Logits (n, 1, 256, 256), or (1, 1, 256, 256) for all prompts.

        Returns:
            Sparse embeddings (n, tokens, 256) and dense ones (n, 256, 64, 64).
        """
        device = self.no_mask_embed.weight.device
        n = next((len(x) for x in (points and points[0], boxes, masks) if x is not None), 1)
        if points is not None and boxes is not None and len(boxes) != n:
            raise InputError(
                f"expected as many boxes as rows of points, got {len(boxes)} and {n}; repeat one "
                "of them"
            )
        coords, labels = points or (torch.zeros(n, 0, 2), torch.zeros(n, 0))
        batch = PromptBatch(
            points_xy=coords.to(device),
            labels=labels.to(device).long(),
            boxes=None if boxes is None else boxes.reshape(n, 4),
            mask_logits=masks,
            frame_hw=self.input_image_size,
        )
        sparse, dense = super().forward(batch)
        return sparse, dense.expand(n, -1, *self.image_embedding_size)

    def embed_tokens(self, coords: Tensor, labels: Tensor) -> Tensor:
        """Encode points (n, p, 2) as they are, without padding; labels 2 and 3 are box corners."""
        return self._tokens(coords, labels.long())

    def embed_mask(self, mask: Tensor, given: Tensor) -> Tensor:
        """Encode mask logits (n, 1, 256, 256) where ``given`` is 1, no mask where it is 0."""
        return given * self._map(mask) + (1 - given) * self._map(None)

    def get_dense_pe(self) -> Tensor:
        """Give the position code of the image's embedding, (1, 256, 64, 64)."""
        return self.image_code()


class MaskDecoder(mask_decoder.MaskDecoder):
    """Embeddings to masks and their predicted quality."""

    num_mask_tokens = mask_decoder.SLOTS

    def forward(  # type: ignore[override]  # the same work, in other words
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts.

        Args:
            image_embeddings: (1, 256, 64, 64), or (n, 256, 64, 64) for one prompt each.
            image_pe: From `PromptEncoder.get_dense_pe`.
            sparse_prompt_embeddings: From the prompt encoder, (n, tokens, 256).
            dense_prompt_embeddings: From the prompt encoder, (n, 256, 64, 64).
            multimask_output: Three masks for each prompt instead of one.

        Returns:
            Mask logits (n, k, 256, 256) and predicted IoU (n, k), in the network's order.
        """
        return self.predict_masks(
            image_embeddings,
            image_pe,
            sparse_prompt_embeddings,
            dense_prompt_embeddings,
            slice(1, mask_decoder.SLOTS) if multimask_output else slice(1),
        )

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        slots: slice = slice(mask_decoder.SLOTS),
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts in all four slots, or in some; see `forward`."""
        dense = dense_prompt_embeddings
        if dense.stride(0) == 0:  # one map for all prompts, so the image is worked on once
            dense = dense[:1]
        sparse = sparse_prompt_embeddings
        return super().forward(image_embeddings, image_pe, sparse, dense, slots=slots)


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
        low_res, iou = self.mask_decoder(
            image_embeddings=embedding,
            image_pe=self.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask_output,
        )
        masks = self.postprocess_masks(low_res, one["image"].shape[-2:], one["original_size"])
        return {
            "masks": masks > self.mask_threshold,
            "iou_predictions": iou,
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
        return transform.masks_to_image(masks)
