"""Points, boxes and masks to embeddings, in the original's words."""

from __future__ import annotations

import torch
from torch import Tensor

from anymask.errors import InputError
from anymask.models import prompt_encoder
from anymask.models.config import SamConfig
from anymask.models.prompt_batch import PromptBatch
from anymask.models.prompt_encoder import FourierCode as PositionEmbeddingRandom

__all__ = ["PositionEmbeddingRandom", "PromptEncoder"]


class PromptEncoder(prompt_encoder.PromptEncoder):
    """Points, boxes and masks to embeddings.

    Attributes:
        embed_dim: Channels of an embedding.
        image_embedding_size: Height and width of the image's embedding.
        input_image_size: Height and width of the padded image.
        mask_input_size: Height and width of a mask.
        num_point_embeddings: Kinds of points: background, object, and two corners of a box.
    """

    num_point_embeddings = 4

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
                1 object, 0 background, -1 not a point; any other a place of no kind.
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
        if coords.ndim != 3 or coords.shape[2] != 2 or coords.shape[:2] != labels.shape:
            raise InputError(
                "expected points (n, p, 2) and labels (n, p), got "
                f"{tuple(coords.shape)} and {tuple(labels.shape)}; give one label for each point"
            )
        if masks is not None and (masks.ndim != 4 or masks.shape[1:] != (1, *self.mask_input_size)):
            raise InputError(
                f"expected masks as logits (n, 1, {self.mask_input_size[0]}, "
                f"{self.mask_input_size[1]}), got {tuple(masks.shape)}; pass the low resolution "
                "logits of an earlier answer"
            )
        coords, labels = coords.to(device), labels.to(device).long()
        place = (labels < -1) | (labels > 1)  # of no kind the original knows: but a place
        batch = PromptBatch(
            points_xy=coords,
            labels=labels.masked_fill(place, 1),
            boxes=None if boxes is None else boxes.reshape(n, 4),
            mask_logits=masks,
            frame_hw=self.input_image_size,
        )
        sparse, dense = super().forward(batch)
        if place.any():
            code = self.pe_layer((coords + 0.5) / self.side).to(sparse.dtype)
            p = coords.shape[1]
            placed = torch.where(place[..., None], code, sparse[:, :p])
            sparse = torch.cat([placed, sparse[:, p:]], dim=1)
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
