"""Prompts drawn as maps: what the bundled model's decoder sees of clicks, boxes and masks.

A prompt often says nothing of some kind: no background point, no box, no mask. The maps of
that kind are then the same everywhere, and are kept as one number per channel instead of being
drawn: the first layer of the decoder adds them to its bias (`InputProjection`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.models.kernels import linear
from anymask.models.prompt_batch import PromptBatch

__all__ = [
    "COARSE_MAPS",
    "FINE_MAPS",
    "InputProjection",
    "Pointwise",
    "PromptMapMaker",
    "PromptMaps",
]

COARSE_MAPS = 2 * 2 + 2  # similarity to foreground and background points, and to the box
FINE_MAPS = COARSE_MAPS + 2 * 3 + 2 * 1 + 4 + 5  # distance, colour, place in the box, previous mask

Part = Tensor
"""Maps (n, channels, h, w), or one number per channel, (channels,), that holds everywhere."""

_FAR = 256.0  # frame pixels at which a click is as far as it gets
_LABELS = (1, 0)  # foreground first, everywhere


@dataclass(frozen=True)
class PromptMaps:
    """Maps of n prompts at strides 4, 8 and 16 of the frame, as parts in the order of channels."""

    fine: Sequence[Part]
    coarse8: Sequence[Part]
    coarse16: Sequence[Part]


class Pointwise(nn.Conv2d):
    """A 1x1 convolution as the matrix product that it is.

    PyTorch takes a slow road for it on a CPU, and leaves channels last behind, which costs again.
    """

    bias: Tensor  # always there, which the base class cannot say

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__(inside, outside, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the channels of maps: (n, inside, h, w) to (n, outside, h, w), channels last."""
        mixed = linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return mixed.permute(0, 3, 1, 2)


class InputProjection(Pointwise):
    """A 1x1 convolution of maps that come in parts, of which some are mere numbers."""

    def enter(self, parts: Sequence[Part], image: Tensor) -> Tensor:
        """Convolve the parts together, and add to maps of the image, (1 or n, outside, h, w).

        Returns:
            (n, outside, h, w), channels last; of one prompt for all if none is drawn.
        """
        channels = [part.shape[0] if part.ndim == 1 else part.shape[1] for part in parts]
        columns = list(
            zip(parts, torch.split(self.weight.flatten(1), channels, dim=1), strict=True)
        )
        numbers = [(part, column) for part, column in columns if part.ndim == 1]
        drawn = [(part, column) for part, column in columns if part.ndim > 1]
        bias: Tensor = self.bias
        if numbers:
            bias = bias + _beside(c for _, c in numbers) @ torch.cat([part for part, _ in numbers])
        image = image + bias[:, None, None]
        if not drawn:
            return image
        maps, mix = _beside(part for part, _ in drawn), _beside(column for _, column in drawn)
        n, cells = maps.shape[0], image.permute(0, 2, 3, 1).flatten(1, 2)
        entered = torch.baddbmm(
            cells.expand(n, -1, -1), maps.flatten(2).mT, mix.mT.expand(n, -1, -1)
        )
        return entered.mT.view(n, -1, *image.shape[2:])


def _beside(parts: Iterable[Tensor]) -> Tensor:
    return torch.cat(list(parts), dim=1)


class PromptMapMaker(nn.Module):
    """Draws prompts as maps; the only thing learned here is how sharp a similarity should be."""

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.full((3,), 6.0))

    def forward(self, features: Mapping[str, Tensor], prompts: PromptBatch) -> PromptMaps:
        """Draw n prompts over an image's features (batch 1, or n for n images)."""
        key4, key8, key16 = features["key4"], features["key8"], features["key16"]
        absents = _absent(prompts)
        fine = [
            *self._click_similarity(key4, prompts, absents, 0),
            _box_similarity(key4, prompts, stride=4),
            *_distances(prompts, absents, key4),
            *_colour_similarity(features["colour"], prompts, absents),
            _box_place(prompts, key4),
            _previous_mask(prompts, key4),
        ]
        return PromptMaps(
            fine,
            [
                *self._click_similarity(key8, prompts, absents, 1),
                _box_similarity(key8, prompts, stride=8),
            ],
            [
                *self._click_similarity(key16, prompts, absents, 2),
                _box_similarity(key16, prompts, stride=16),
            ],
        )

    def _click_similarity(
        self, keys: Tensor, prompts: PromptBatch, absents: Sequence[Tensor | None], level: int
    ) -> list[Part]:
        """Cosine of every key with the clicked ones, the best click counting, plain and sharpened.

        Two channels for points on the object, two for background points.
        """
        n, p, _ = prompts.points_xy.shape
        nothing = keys.new_tensor([-1.0, 0.0])
        if p == 0:
            return [nothing, nothing]
        clicked = F.normalize(_sample(keys, prompts), dim=-1)  # (n, p, c)
        if len(keys) == 1:  # all clicks in one product, so that the keys are read once
            cosine = torch.matmul(clicked.flatten(0, 1), keys[0].flatten(1))
        else:
            cosine = torch.matmul(clicked, keys.flatten(2))
        cosine = cosine.reshape(n, p, *keys.shape[-2:])
        parts = []
        for absent in absents:
            if absent is None:
                parts.append(nothing)
                continue
            best = _without(cosine, absent, -1.0).amax(dim=1)
            sharp = torch.exp((best - 1) * self.sharpness[level])
            parts.append(torch.stack([best, sharp], dim=1))
        return parts


def _absent(prompts: PromptBatch) -> list[Tensor | None]:
    """Points that are not of the one label, and not of the other: bool (n, p, 1, 1).

    None where that is all of them.
    """
    absent = [(prompts.labels != label)[:, :, None, None] for label in _LABELS]
    return [None if every.all() else every for every in absent]


def _without(maps: Tensor, absent: Tensor, worst: float) -> Tensor:
    """Let absent points say the worst: (n, p, h, w). Of one point each, none are absent."""
    alone = absent.shape[0] * absent.shape[1] == 1
    return maps if alone else maps.masked_fill(absent, worst)


def _sample(features: Tensor, prompts: PromptBatch) -> Tensor:
    """Read features (1|n, c, h, w) at the prompts' points, bilinearly: (n, p, c)."""
    n = prompts.points_xy.shape[0]
    # Half precision would miss the place, and on a CPU PyTorch gets maps with channels last wrong.
    wide = torch.promote_types(features.dtype, torch.float32)
    x, y = (prompts.points_xy + 0.5).unbind(dim=-1)
    shares = torch.stack([x / prompts.frame_hw[1], y / prompts.frame_hw[0]], dim=-1)
    grid = (shares * 2 - 1).to(wide)[:, :, None, :]
    maps = features.to(wide).expand(n, -1, -1, -1)
    sampled = F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
    return sampled.squeeze(-1).transpose(1, 2).to(features.dtype)


def _cells(like: Tensor, frame_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Centres of a map's cells in frame pixels: x (1, 1, w) and y (1, h, 1).

    In float32, as half precision cannot hold squared distances.
    """
    h, w = like.shape[-2:]
    x = (torch.arange(w, device=like.device, dtype=torch.float32) + 0.5) * (frame_hw[1] / w)
    y = (torch.arange(h, device=like.device, dtype=torch.float32) + 0.5) * (frame_hw[0] / h)
    return x[None, None, :], y[None, :, None]


def _distances(prompts: PromptBatch, absents: Sequence[Tensor | None], like: Tensor) -> list[Part]:
    """Distance to the nearest click at three ranges: three channels for each label."""
    nothing = like.new_tensor([math.exp(-_FAR / 6), math.exp(-_FAR / 48), 1.0])
    if prompts.points_xy.shape[1] == 0:
        return [nothing, nothing]
    x, y = _cells(like, prompts.frame_hw)
    across = (x - 0.5 - prompts.points_xy[:, :, 0, None, None]) ** 2  # (n, p, 1, w)
    down = (y - 0.5 - prompts.points_xy[:, :, 1, None, None]) ** 2
    squared = across + down
    parts = []
    for absent in absents:
        if absent is None:
            parts.append(nothing)
            continue
        distance = _without(squared, absent, 1e8).amin(dim=1).sqrt().clamp(max=_FAR)
        ranges = [torch.exp(distance / -6), torch.exp(distance / -48), distance / _FAR]
        parts.append(torch.stack(ranges, dim=1).to(like.dtype))
    return parts


def _colour_similarity(
    colour: Tensor, prompts: PromptBatch, absents: Sequence[Tensor | None]
) -> list[Part]:
    """How close each cell's colour comes to that of the clicks: one channel for each label."""
    nothing = colour.new_zeros(1)
    if prompts.points_xy.shape[1] == 0:
        return [nothing, nothing]
    clicked = _sample(colour, prompts).float()  # (n, p, 3)
    palette = colour.float()
    gaps = [palette[:, None, i] - clicked[:, :, i, None, None] for i in range(3)]  # (n, p, h, w)
    similarity = torch.exp(-1.5 * torch.sqrt(gaps[0] ** 2 + gaps[1] ** 2 + gaps[2] ** 2))
    return [
        nothing
        if absent is None
        else _without(similarity, absent, 0.0).amax(dim=1)[:, None].to(colour.dtype)
        for absent in absents
    ]


def _box_frame(boxes: Tensor, like: Tensor, frame_hw: tuple[int, int]) -> list[Tensor]:
    """Cells in the boxes' own coordinates (1 = a side), and half sides: u, v, half (n, 2)."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = ((boxes[:, 2:] - boxes[:, :2]) / 2).clamp(min=1.0)
    x, y = _cells(like, frame_hw)
    u = (x - centre[:, 0, None, None]) / half[:, 0, None, None]
    v = (y - centre[:, 1, None, None]) / half[:, 1, None, None]
    return [u, v, half]


def _box_place(prompts: PromptBatch, like: Tensor) -> Part:
    """Inside the box, how far across and down in box units, and "box given"."""
    if prompts.boxes is None:
        return like.new_zeros(4)
    u, v, _ = _box_frame(prompts.boxes, like, prompts.frame_hw)
    shape = (u.shape[0], *like.shape[-2:])
    across = u.abs().clamp(max=2).expand(shape)
    down = v.abs().clamp(max=2).expand(shape)
    inside = ((across <= 1) & (down <= 1)).float()
    maps = torch.stack([inside, across / 2, down / 2, torch.ones_like(inside)], dim=1)
    return maps.to(like.dtype)


def _box_similarity(keys: Tensor, prompts: PromptBatch, stride: int) -> Part:
    """Similarity to the middle of the box, and to the bands beside its four sides."""
    if prompts.boxes is None:
        return keys.new_zeros(2)
    n, (h, w) = prompts.boxes.shape[0], keys.shape[-2:]
    weights = _box_weights(prompts.boxes, keys, prompts.frame_hw, stride).flatten(2) + 1e-6
    weights = (weights / weights.sum(-1, keepdim=True)).to(keys.dtype)
    flat = keys.flatten(2)
    means = F.normalize(torch.matmul(weights, flat.transpose(1, 2)), dim=-1)  # (n, 5, c)
    cosine = torch.matmul(means, flat).reshape(n, 5, h, w)
    return torch.stack([cosine[:, 0], cosine[:, 1:].amax(dim=1)], dim=1)


def _box_weights(boxes: Tensor, keys: Tensor, frame_hw: tuple[int, int], stride: int) -> Tensor:
    """How much each cell belongs to the box's middle and to the bands beside it: (n, 5, h, w).

    Soft: even a box smaller than a cell takes its keys from somewhere.
    """
    u, v, half = _box_frame(boxes, keys, frame_hw)
    soft_u = (stride / half[:, 0, None, None]).clamp(min=0.05)
    soft_v = (stride / half[:, 1, None, None]).clamp(min=0.05)

    def within(share: float) -> tuple[Tensor, Tensor]:
        across = torch.sigmoid((share - u.abs()) / soft_u * 4)
        down = torch.sigmoid((share - v.abs()) / soft_v * 4)
        return across, down

    middle_u, middle_v = within(0.5)
    box_u, box_v = within(1.0)
    bands = [
        _bump(-u, soft_u) * box_v,
        _bump(u, soft_u) * box_v,
        _bump(-v, soft_v) * box_u,
        _bump(v, soft_v) * box_u,
    ]
    return torch.stack([middle_u * middle_v, *bands], dim=1)


def _bump(position: Tensor, width: Tensor) -> Tensor:
    """Weight of a band that lies just outside of 1; cut off before it becomes denormal."""
    return torch.exp(-(((position - 1.0 - 1.5 * width) / width) ** 2).clamp(max=30))


def _previous_mask(prompts: PromptBatch, like: Tensor) -> Part:
    """The previous mask as four squashed sub-cells, and "mask given"."""
    if prompts.mask_logits is None:
        return like.new_zeros(5)
    squashed = torch.tanh(prompts.mask_logits.to(like.dtype) / 4)
    given = torch.ones_like(squashed[:, :, ::2, ::2])
    return torch.cat([F.pixel_unshuffle(squashed, 2), given], dim=1)
