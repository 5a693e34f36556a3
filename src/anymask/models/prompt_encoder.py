"""SAM's prompt encoder: clicks and boxes become tokens, a mask becomes a map."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from anymask.models.config import SamConfig
from anymask.models.layers import LayerNorm2d
from anymask.prompt import PromptBatch

__all__ = ["PromptEncoder"]

PADDING, TOP_LEFT, BOTTOM_RIGHT = -1, 2, 3
"""Labels of points beside 0 background and 1 foreground."""


class PromptEncoder(nn.Module):
    """Position code plus one learned vector per kind of point; convolutions for the mask."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        width, channels = config.decoder.width, config.mask_channels
        self.side, self.grid = config.encoder.side, config.encoder.grid
        self.pe_layer = FourierCode(width)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, channels // 4, 2, stride=2),
            LayerNorm2d(channels // 4),
            nn.GELU(),
            nn.Conv2d(channels // 4, channels, 2, stride=2),
            LayerNorm2d(channels),
            nn.GELU(),
            nn.Conv2d(channels, width, 1),
        )
        self.no_mask_embed = nn.Embedding(1, width)

    def forward(self, prompts: PromptBatch) -> tuple[Tensor, Tensor]:
        """Encode n prompts.

        Returns:
            Tokens (n, t, c), where t may be 0; and a map to add to the embedding, (n, c, grid,
            grid) or, for prompts without a mask, (1, c, 1, 1).
        """
        return self._tokens(*with_corners(prompts)), self._map(prompts.mask_logits)

    def image_code(self) -> Tensor:
        """Give the position code of the embedding's cells, (1, c, grid, grid)."""
        like = self.no_mask_embed.weight
        centres = (torch.arange(self.grid, device=like.device) + 0.5) / self.grid
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        code: Tensor = self.pe_layer(torch.stack([x, y], dim=-1))
        return code.to(like.dtype).permute(2, 0, 1)[None]

    def _tokens(self, points: Tensor, labels: Tensor) -> Tensor:
        kinds = torch.cat([self.not_a_point_embed.weight, *self.point_embeddings.parameters()])
        code: Tensor = self.pe_layer((points + 0.5) / self.side)  # + 0.5: the centre of the pixel
        code = code.masked_fill((labels == PADDING)[..., None], 0.0)
        return code.to(kinds.dtype) + kinds[labels + 1]

    def _map(self, mask_logits: Tensor | None) -> Tensor:
        if mask_logits is None:
            return self.no_mask_embed.weight[:, :, None, None]
        dense: Tensor = self.mask_downscaling(mask_logits.to(self.no_mask_embed.weight.dtype))
        return dense


class FourierCode(nn.Module):
    """Position code of random frequencies (Tancik et al., 2020); they are part of the weights."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, width // 2))

    def forward(self, position: Tensor) -> Tensor:
        """Code positions (..., 2), x before y, 0..1 over the frame, as float32 (..., width)."""
        frequencies = self.positional_encoding_gaussian_matrix.float()
        angle = 2 * math.pi * ((2 * position.float() - 1) @ frequencies)
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


def with_corners(prompts: PromptBatch) -> tuple[Tensor, Tensor]:
    """Append what SAM was trained to see after the points: the box's corners, or one padding point.

    Returns:
        Points (n, t, 2) in frame pixels and their labels (n, t).
    """
    points, labels = prompts.points_xy, prompts.labels
    n = len(points)
    if prompts.boxes is not None:
        more, kinds = prompts.boxes.reshape(n, 2, 2), [TOP_LEFT, BOTTOM_RIGHT]
    elif points.shape[1]:
        more, kinds = points.new_zeros(n, 1, 2), [PADDING]
    else:
        return points, labels
    more_labels = labels.new_tensor(kinds).expand(n, -1)
    return torch.cat([points, more], dim=1), torch.cat([labels, more_labels], dim=1)
