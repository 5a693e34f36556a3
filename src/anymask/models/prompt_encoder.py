"""The prompt encoders of SAM and EfficientSAM: clicks and boxes become tokens, a mask a map."""

from __future__ import annotations

import math
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.models.config import EfficientSamConfig, Sam2Config, SamConfig, SamHqConfig
from anymask.models.layers import LayerNorm2d
from anymask.models.prompt_batch import PromptBatch

__all__ = ["PointEncoder", "PromptEncoder"]

PADDING, TOP_LEFT, BOTTOM_RIGHT = -1, 2, 3
"""Labels of points in addition to 0 (background) and 1 (foreground)."""


class PromptEncoder(nn.Module):
    """Position code plus one learned vector per kind of point; convolutions for the mask."""

    def __init__(self, config: SamConfig | Sam2Config | SamHqConfig) -> None:
        super().__init__()
        # SAM 2 was trained to see a box as two points before the clicks, padded like these.
        self.boxes_are_points = isinstance(config, Sam2Config)
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
        points, labels = with_corners(prompts, padded=self.boxes_are_points)
        return self._tokens(points, labels), self._map(prompts.mask_logits)

    def image_code(self) -> Tensor:
        """Give the position code of the embedding's cells, (1, c, grid, grid)."""
        return self.pe_layer.cells(self.grid).to(self.no_mask_embed.weight.dtype)

    def no_mask(self) -> Tensor:
        """Give what is added to the embedding for a prompt without a mask, (1, c, 1, 1)."""
        return self.no_mask_embed.weight[:, :, None, None]

    def _tokens(self, points: Tensor, labels: Tensor) -> Tensor:
        kinds = torch.cat([self.not_a_point_embed.weight, *self.point_embeddings.parameters()])
        code: Tensor = self.pe_layer((points + 0.5) / self.side)  # + 0.5: the centre of the pixel
        code = code.masked_fill((labels == PADDING)[..., None], 0.0)
        return code.to(kinds.dtype) + kinds[labels + 1]

    def _map(self, mask_logits: Tensor | None) -> Tensor:
        if mask_logits is None:
            return self.no_mask()
        dense: Tensor = self.mask_downscaling(mask_logits.to(self.no_mask_embed.weight.dtype))
        return dense


class PointEncoder(nn.Module):
    """EfficientSAM's: always the same number of tokens, and no mask.

    What is missing to that number are padding points at (-1, -1), and what is too much is cut. A
    coordinate below 0 stands for -1, and a background point is but a place, of no kind.
    """

    def __init__(self, config: EfficientSamConfig) -> None:
        super().__init__()
        width = config.decoder.width
        self.side, self.grid = config.encoder.side, config.encoder.grid
        self.max_points = config.max_points
        self.pe_layer = FourierCode(width)
        self.invalid_points = nn.Embedding(1, width)
        self.point_embeddings = nn.Embedding(1, width)
        self.bbox_top_left_embeddings = nn.Embedding(1, width)
        self.bbox_bottom_right_embeddings = nn.Embedding(1, width)

    def forward(self, prompts: PromptBatch) -> tuple[Tensor, Tensor]:
        """Encode n prompts.

        Returns:
            Tokens (n, max points, c); and nothing to add to the embedding, (1, c, 1, 1).
        """
        return self._tokens(*self._filled_up(prompts)), self.no_mask()

    def image_code(self) -> Tensor:
        """Give the position code of the embedding's cells, (1, c, grid, grid)."""
        return self.pe_layer.cells(self.grid).to(self.invalid_points.weight.dtype)

    def no_mask(self) -> Tensor:
        """Give what is added to the embedding: nothing, (1, c, 1, 1)."""
        return torch.zeros_like(self.invalid_points.weight)[:, :, None, None]

    def _filled_up(self, prompts: PromptBatch) -> tuple[Tensor, Tensor]:
        """Lay out the corners of the box and then the points, (n, max points, 2), and the kinds."""
        points, labels = prompts.points_xy, prompts.labels
        if prompts.boxes is not None:
            kinds = labels.new_tensor([TOP_LEFT, BOTTOM_RIGHT]).expand(len(labels), -1)
            points = torch.cat([prompts.boxes.reshape(-1, 2, 2), points], dim=1)
            labels = torch.cat([kinds, labels], dim=1)
        spare = self.max_points - labels.shape[1]
        if spare < 0:
            warnings.warn(
                f"EfficientSAM reads {self.max_points} points, a box counting as two; the last "
                f"{-spare} are left out",
                stacklevel=2,
            )
        points = F.pad(points, (0, 0, 0, spare), value=-1.0)  # a negative number cuts
        return points.masked_fill(points < 0, -1.0), F.pad(labels, (0, spare), value=PADDING)

    def _tokens(self, points: Tensor, labels: Tensor) -> Tensor:
        invalid, inside = self.invalid_points.weight, self.point_embeddings.weight
        corners = self.bbox_top_left_embeddings.weight, self.bbox_bottom_right_embeddings.weight
        kinds = torch.cat([invalid, torch.zeros_like(inside), inside, *corners])
        code: Tensor = self.pe_layer((points + 0.5) / self.side)
        return code.to(kinds.dtype) + kinds[labels + 1]


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

    def cells(self, grid: int) -> Tensor:
        """Code the middles of a square of cells, as float32 (1, width, grid, grid)."""
        device = self.positional_encoding_gaussian_matrix.device
        centres = (torch.arange(grid, device=device) + 0.5) / grid
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        code: Tensor = self(torch.stack([x, y], dim=-1))
        return code.permute(2, 0, 1)[None]


def with_corners(prompts: PromptBatch, *, padded: bool = False) -> tuple[Tensor, Tensor]:
    """Append what a SAM was trained to see after the points: the box's corners, or a padding point.

    Args:
        prompts: n of them.
        padded: Put the corners before the points and the padding point behind both, as SAM 2.

    Returns:
        Points (n, t, 2) in frame pixels and their labels (n, t).
    """
    points, labels = prompts.points_xy, prompts.labels
    n = len(points)
    if prompts.boxes is not None:
        corners = prompts.boxes.reshape(n, 2, 2)
        kinds = labels.new_tensor([TOP_LEFT, BOTTOM_RIGHT]).expand(n, -1)
        if not padded:
            return torch.cat([points, corners], dim=1), torch.cat([labels, kinds], dim=1)
        points, labels = torch.cat([corners, points], dim=1), torch.cat([kinds, labels], dim=1)
    if not labels.shape[1]:
        return points, labels
    return F.pad(points, (0, 0, 0, 1)), F.pad(labels, (0, 1), value=PADDING)
