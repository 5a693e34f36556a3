"""Prompts drawn as maps: what the bundled model's decoder sees of clicks, boxes and masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.prompt import PromptBatch

__all__ = ["COARSE_MAPS", "FINE_MAPS", "PromptMapMaker", "PromptMaps"]

SIMILARITY_MAPS = 4  # foreground and background, each plain and sharpened
BOX_SIMILARITY_MAPS = 2  # like the box's inside, like the band around it
FINE_MAPS = SIMILARITY_MAPS + BOX_SIMILARITY_MAPS + 2 * 3 + 2 + 4 + 5
COARSE_MAPS = SIMILARITY_MAPS + BOX_SIMILARITY_MAPS


@dataclass(frozen=True)
class PromptMaps:
    """Maps of n prompts, each (n, channels, h, w), at strides 4, 8 and 16 of the frame."""

    fine: Tensor
    coarse8: Tensor
    coarse16: Tensor


class PromptMapMaker(nn.Module):
    """Draws prompts as maps; the only thing learned here is how sharp a similarity should be."""

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.full((3,), 6.0))

    def forward(self, features: Mapping[str, Tensor], prompts: PromptBatch) -> PromptMaps:
        """Draw n prompts over an image's features (batch 1, or n for n images)."""
        key4, key8, key16 = features["key4"], features["key8"], features["key16"]
        fine = [
            self._click_similarity(key4, prompts, 0),
            _box_similarity(key4, prompts, stride=4),
            _distance_maps(prompts, key4),
            _colour_likeness(features["colour"], prompts),
            _box_maps(prompts, key4),
            _mask_maps(prompts, key4),
        ]
        return PromptMaps(
            torch.cat(fine, dim=1).contiguous(memory_format=torch.channels_last),
            self._coarse(key8, prompts, 1, stride=8),
            self._coarse(key16, prompts, 2, stride=16),
        )

    def _coarse(self, keys: Tensor, prompts: PromptBatch, level: int, stride: int) -> Tensor:
        clicks = self._click_similarity(keys, prompts, level)
        boxes = _box_similarity(keys, prompts, stride)
        return torch.cat([clicks, boxes], dim=1).contiguous(memory_format=torch.channels_last)

    def _click_similarity(self, keys: Tensor, prompts: PromptBatch, level: int) -> Tensor:
        """Cosine of every key with the clicked ones, the best click counting: (n, 4, h, w)."""
        n, p, _ = prompts.points_xy.shape
        h, w = keys.shape[-2:]
        if p == 0:
            return keys.new_zeros(n, SIMILARITY_MAPS, h, w) - keys.new_tensor(
                [1.0, 0.0, 1.0, 0.0]
            ).reshape(1, -1, 1, 1)
        clicked = _sample(keys, prompts)  # (n, p, c)
        clicked = F.normalize(clicked, dim=-1)
        cosine = torch.matmul(clicked, keys.flatten(2)).reshape(n, p, h, w)
        maps = []
        for label in (1, 0):
            absent = (prompts.labels != label)[:, :, None, None]
            best = cosine.masked_fill(absent, -1.0).amax(dim=1)
            maps += [best, torch.exp((best - 1) * self.sharpness[level])]
        return torch.stack(maps, dim=1)


def _sample(features: Tensor, prompts: PromptBatch) -> Tensor:
    """Read features (1|n, c, h, w) at the prompts' points, bilinearly: (n, p, c)."""
    n = prompts.points_xy.shape[0]
    size = prompts.points_xy.new_tensor([prompts.frame_hw[1], prompts.frame_hw[0]])
    grid = ((prompts.points_xy + 0.5) / size * 2 - 1).to(features.dtype)[:, :, None, :]
    sampled = F.grid_sample(
        features.expand(n, -1, -1, -1), grid, padding_mode="border", align_corners=False
    )
    return sampled.squeeze(-1).transpose(1, 2)


def _cells(like: Tensor, frame_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Centres of a map's cells in frame pixels: x (1, 1, w) and y (1, h, 1).

    In float32, as half precision cannot hold squared distances.
    """
    h, w = like.shape[-2:]
    x = (torch.arange(w, device=like.device, dtype=torch.float32) + 0.5) * (frame_hw[1] / w)
    y = (torch.arange(h, device=like.device, dtype=torch.float32) + 0.5) * (frame_hw[0] / h)
    return x[None, None, :], y[None, :, None]


def _distance_maps(prompts: PromptBatch, like: Tensor) -> Tensor:
    """Distance to the nearest foreground and background click at three ranges: (n, 6, h, w)."""
    n, p, _ = prompts.points_xy.shape
    h, w = like.shape[-2:]
    if p == 0:
        far = like.new_tensor([0.0, 0.0, 1.0, 0.0, 0.0, 1.0])
        return far.reshape(1, 6, 1, 1).expand(n, 6, h, w)
    x, y = _cells(like, prompts.frame_hw)
    points = prompts.points_xy
    across = (x - 0.5 - points[:, :, 0, None, None]) ** 2  # (n, p, 1, w)
    down = (y - 0.5 - points[:, :, 1, None, None]) ** 2
    squared = across + down
    maps = []
    for label in (1, 0):
        absent = (prompts.labels != label)[:, :, None, None]
        distance = squared.masked_fill(absent, 1e8).amin(dim=1).sqrt().clamp(max=256)
        near = torch.exp(-distance / 6)
        maps += [near, torch.exp(-distance / 48), distance / 256]
    return torch.stack(maps, dim=1).to(like.dtype)


def _colour_likeness(colour: Tensor, prompts: PromptBatch) -> Tensor:
    """How close each cell's colour comes to that of the clicks: (n, 2, h, w)."""
    n, p, _ = prompts.points_xy.shape
    h, w = colour.shape[-2:]
    if p == 0:
        return colour.new_zeros(n, 2, h, w)
    clicked = _sample(colour, prompts)  # (n, p, 3)
    gaps = torch.cdist(clicked.float(), colour.float().flatten(2).transpose(1, 2).expand(n, -1, -1))
    likeness = torch.exp(-1.5 * gaps).reshape(n, p, h, w)
    maps = [
        likeness.masked_fill((prompts.labels != label)[:, :, None, None], 0.0).amax(dim=1)
        for label in (1, 0)
    ]
    return torch.stack(maps, dim=1).to(colour.dtype)


def _box_frame(prompts: PromptBatch, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cells in the box's own coordinates (|1| = its sides), and its half sides: u, v, half."""
    if prompts.boxes is None:  # callers check; the type checker cannot know
        raise TypeError("this batch has no boxes")
    boxes = prompts.boxes
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = ((boxes[:, 2:] - boxes[:, :2]) / 2).clamp(min=1.0)
    x, y = _cells(like, prompts.frame_hw)
    u = (x - centre[:, 0, None, None]) / half[:, 0, None, None]
    v = (y - centre[:, 1, None, None]) / half[:, 1, None, None]
    return u, v, half


def _box_maps(prompts: PromptBatch, like: Tensor) -> Tensor:
    """Inside the box, how far across and down in box units, box given: (n, 4, h, w)."""
    n = prompts.points_xy.shape[0]
    h, w = like.shape[-2:]
    if prompts.boxes is None:
        return like.new_zeros(n, 4, h, w)
    u, v, _ = _box_frame(prompts, like)
    across = u.abs().clamp(max=2).expand(n, h, w)
    down = v.abs().clamp(max=2).expand(n, h, w)
    inside = ((across <= 1) & (down <= 1)).float()
    maps = torch.stack([inside, across / 2, down / 2, torch.ones_like(inside)], dim=1)
    return maps.to(like.dtype)


def _box_similarity(keys: Tensor, prompts: PromptBatch, stride: int) -> Tensor:
    """Likeness to the middle of the box, and to the bands beside its four sides: (n, 2, h, w)."""
    n = prompts.points_xy.shape[0]
    h, w = keys.shape[-2:]
    if prompts.boxes is None:
        return keys.new_zeros(n, BOX_SIMILARITY_MAPS, h, w)
    u, v, half = _box_frame(prompts, keys)
    # Soft weights: even a box smaller than a cell takes its colour from somewhere.
    soft_u = (stride / half[:, 0, None, None]).clamp(min=0.05)
    soft_v = (stride / half[:, 1, None, None]).clamp(min=0.05)
    middle = torch.sigmoid((0.5 - u.abs()) / soft_u * 4) * torch.sigmoid(
        (0.5 - v.abs()) / soft_v * 4
    )
    within_u = torch.sigmoid((1.0 - u.abs()) / soft_u * 4)
    within_v = torch.sigmoid((1.0 - v.abs()) / soft_v * 4)
    beyond_u = (1.0 + 1.5 * soft_u, soft_u)
    beyond_v = (1.0 + 1.5 * soft_v, soft_v)
    bands = [
        _bump(-u, *beyond_u) * within_v,
        _bump(u, *beyond_u) * within_v,
        _bump(-v, *beyond_v) * within_u,
        _bump(v, *beyond_v) * within_u,
    ]
    weights = torch.stack([middle, *bands], dim=1).flatten(2) + 1e-6  # (n, 5, h * w)
    weights = (weights / weights.sum(-1, keepdim=True)).to(keys.dtype)
    flat = keys.flatten(2)
    means = F.normalize(torch.matmul(weights, flat.transpose(1, 2)), dim=-1)  # (n, 5, c)
    cosine = torch.matmul(means, flat).reshape(n, 5, h, w)
    return torch.stack([cosine[:, 0], cosine[:, 1:].amax(dim=1)], dim=1)


def _bump(position: Tensor, centre: Tensor, width: Tensor) -> Tensor:
    return torch.exp(-(((position - centre) / width) ** 2).clamp(max=30))


def _mask_maps(prompts: PromptBatch, like: Tensor) -> Tensor:
    """The previous mask as four squashed sub-cells, and "mask given": (n, 5, h, w)."""
    n = prompts.points_xy.shape[0]
    h, w = like.shape[-2:]
    if prompts.mask_logits is None:
        return like.new_zeros(n, 5, h, w)
    squashed = torch.tanh(prompts.mask_logits.to(like.dtype) / 4)
    given = like.new_ones(n, 1, h, w)
    return torch.cat([F.pixel_unshuffle(squashed, 2), given], dim=1)
