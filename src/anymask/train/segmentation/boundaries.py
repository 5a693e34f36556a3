"""Where masks end, learned from label maps: a loss for maps of boundaries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from anymask.data.item import Item

__all__ = ["STRIDE", "boundary_loss", "framed_layers", "targets"]

STRIDE = 4
"""Pixels along each side of a cell of the map that is learned."""


def boundary_loss(logits: Tensor, items: Sequence[Item]) -> Tensor:
    """Compare maps of boundaries with how many annotators end a mask in each cell.

    Args:
        logits: (b, 1, h, w), of "a mask ends here", at `STRIDE`.
        items: The b images.

    Returns:
        Their mean cross entropy, in which cells where masks end count up to three times.
    """
    losses = []
    for boundary, item in zip(logits[:, 0], items, strict=True):
        maps = targets(framed_layers(item), _outside(item))
        target, known = (torch.from_numpy(one).to(boundary) for one in maps)
        weight = known * (1 + 2 * target)
        losses.append(F.binary_cross_entropy_with_logits(boundary, target, weight))
    return torch.stack(losses).mean()


def framed_layers(item: Item) -> npt.NDArray[np.integer]:
    """Fill label maps up to the size of the model's frame with "unknown"."""
    (h, w), (frame_h, frame_w) = item.layers.shape[1:], item.transform.frame_hw
    return np.pad(item.layers, ((0, 0), (0, frame_h - h), (0, frame_w - w)))


def _outside(item: Item) -> npt.NDArray[np.bool_]:
    """Return which pixels of the frame are void or lie outside the image."""
    void = np.zeros(item.layers.shape[1:], np.bool_) if item.void is None else item.void
    (h, w), (frame_h, frame_w) = void.shape, item.transform.frame_hw
    return np.pad(void, ((0, frame_h - h), (0, frame_w - w)), constant_values=True)


def targets(
    layers: npt.NDArray[np.integer], outside: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return which share of the label maps end a mask in each cell, and which cells are known.

    Args:
        layers: (n, H, W), 0 is unknown.
        outside: (H, W): where masks are cut off, which is not where they end.

    Returns:
        Two float32 (h, w), of cells of `STRIDE` x `STRIDE` pixels.
    """
    edge = np.zeros(layers.shape, np.bool_)
    inside = ~outside
    edge[:, :, 1:] |= (layers[:, :, 1:] != layers[:, :, :-1]) & inside[:, 1:] & inside[:, :-1]
    edge[:, 1:, :] |= (layers[:, 1:, :] != layers[:, :-1, :]) & inside[1:] & inside[:-1]
    cells = _any_of_cell(edge).mean(axis=0)
    known = _any_of_cell(layers > 0).any(axis=0) | (cells > 0)
    return cells.astype(np.float32), known.astype(np.float32)


def _any_of_cell(maps: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return for each cell whether any of its pixels is set: (..., H, W) to (..., h, w)."""
    h, w = (length // STRIDE for length in maps.shape[-2:])
    cells = maps.reshape(*maps.shape[:-2], h, STRIDE, w, STRIDE)
    found: npt.NDArray[np.bool_] = np.any(cells, axis=(-3, -1))
    return found
