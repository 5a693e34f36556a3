"""Where to paint: a mask that grows or shrinks, with a soft edge, and what lies around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Box", "distance", "grown", "smooth_fill", "soft_edge", "surroundings"]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are the first outside."""

_CELL = 32  # side in pixels of the squares by which pieces of a mask are told apart


def distance(mask: BoolArray, limit: int) -> FloatArray:
    """Measure how far each pixel is from a mask, between the middles of pixels.

    Args:
        mask: bool (h, w).
        limit: What is further away is not measured.

    Returns:
        float32 (h, w): 0 in the mask, infinity beyond the limit.

    Examples:
        >>> distance(np.array([[True, False, False, False]]), 2).tolist()
        [[0.0, 1.0, 2.0, inf]]
    """
    height, width = mask.shape
    far = limit + 1
    columns = np.arange(width, dtype=np.int32)
    before = np.maximum.accumulate(np.where(mask, columns, -far - width), axis=1)
    after = np.minimum.accumulate(np.where(mask, columns, far + width)[:, ::-1], axis=1)[:, ::-1]
    along = np.minimum(np.minimum(columns - before, after - columns), far) ** 2
    squared = along.copy()
    for rows in range(1, min(limit, height - 1) + 1):
        shifted = along + rows**2
        np.minimum(squared[rows:], shifted[:-rows], out=squared[rows:])
        np.minimum(squared[:-rows], shifted[rows:], out=squared[:-rows])
    found: FloatArray = np.sqrt(squared, dtype=np.float32)
    found[squared > limit**2] = np.inf
    return found


def grown(mask: BoolArray, pixels: int) -> BoolArray:
    """Add what is at most so many pixels away; a negative number takes as much off.

    What lies beyond the border of the image counts as mask where it shrinks, so that a mask keeps
    touching a border that it touches.

    Examples:
        >>> grown(np.array([[False, False, True, False, False]]), 1).astype(int).tolist()
        [[0, 1, 1, 1, 0]]
        >>> grown(np.array([[True, True, True, False, False]]), -1).astype(int).tolist()
        [[1, 1, 0, 0, 0]]
    """
    if pixels < 0:
        return ~grown(~mask, -pixels)
    if pixels == 0 or not mask.any():
        return mask.copy()
    found = mask.copy()
    x0, y0, x1, y1 = _padded(_bounds(mask), pixels, mask.shape)
    found[y0:y1, x0:x1] = np.isfinite(distance(mask[y0:y1, x0:x1], pixels))
    return found


def soft_edge(mask: BoolArray, pixels: int) -> FloatArray:
    """Let a mask fade out around itself.

    Args:
        mask: bool (h, w).
        pixels: How far it reaches beyond itself; 0 for a hard edge.

    Returns:
        float32 (h, w): 1 in the mask, less with the distance from it, 0 beyond so many pixels.

    Examples:
        >>> soft_edge(np.array([[True, False, False, False]]), 1).tolist()
        [[1.0, 0.5, 0.0, 0.0]]
    """
    weights = mask.astype(np.float32)
    if pixels == 0 or not mask.any():
        return weights
    x0, y0, x1, y1 = _padded(_bounds(mask), pixels, mask.shape)
    away = distance(mask[y0:y1, x0:x1], pixels)
    weights[y0:y1, x0:x1] = np.clip(1 - away / (pixels + 1), 0, 1)
    return weights


def surroundings(hole: BoolArray, margin: int) -> list[Box]:
    """Find the parts of an image that hold a hole and what is around it.

    Pieces of the hole that are far from each other get parts of their own; no two parts overlap.

    Args:
        hole: bool (h, w).
        margin: How much of the image around a piece belongs to its part, in pixels.

    Examples:
        >>> hole = np.zeros((100, 400), bool)
        >>> hole[50, 20] = hole[50, 300] = True
        >>> surroundings(hole, 10)
        [(10, 40, 31, 61), (290, 40, 311, 61)]
    """
    boxes = [_padded(box, margin, hole.shape) for box in _pieces(hole)]
    joined: list[Box] = []
    while boxes:
        box = boxes.pop()
        others = [other for other in joined if _overlap(box, other)]
        if others:
            joined = [other for other in joined if other not in others]
            boxes.append(_around([box, *others]))
        else:
            joined.append(box)
    return sorted(joined)


def smooth_fill(values: npt.NDArray[np.generic], known: BoolArray) -> FloatArray:
    """Fill what is not known smoothly from what is around it, by averages of ever larger squares.

    Args:
        values: (h, w, c).
        known: bool (h, w), somewhere true.

    Returns:
        float32 (h, w, c), as it was where it is known.

    Examples:
        >>> smooth_fill(np.array([[[5], [0]]]), np.array([[True, False]]))[..., 0].tolist()
        [[5.0, 5.0]]
    """
    weights = known.astype(np.float32)[..., None]
    return _push_pull(values.astype(np.float32) * weights, weights)


# ------------------------------------------------------------------------- inside


def _push_pull(sums: FloatArray, weights: FloatArray) -> FloatArray:
    """Divide sums by their weights, and where there are none, take the next coarser level."""
    own = (sums / np.maximum(weights, np.float32(1e-9))).astype(np.float32, copy=False)
    if weights.min() > 0 or max(weights.shape) == 1:
        return own
    coarse = _push_pull(_pairs_added(sums), _pairs_added(weights))
    height, width = weights.shape[:2]
    rows, columns = _between(height, coarse.shape[0]), _between(width, coarse.shape[1])
    fine = _along_rows(_along_rows(coarse, *rows).swapaxes(0, 1), *columns).swapaxes(0, 1)
    return np.where(weights > 0, own, fine)


def _pairs_added(array: FloatArray) -> FloatArray:
    h, w = array.shape[:2]
    even: FloatArray = np.pad(array, ((0, h % 2), (0, w % 2), (0, 0)))
    return even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]


def _between(fine: int, coarse: int) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Give for each fine position the coarse one before it, and how far it is to the next."""
    where = np.clip((np.arange(fine) + 0.5) / 2 - 0.5, 0, coarse - 1)
    first = np.minimum(where.astype(np.intp), max(coarse - 2, 0))
    return first, (where - first).astype(np.float32)


def _along_rows(array: FloatArray, first: npt.NDArray[np.intp], share: FloatArray) -> FloatArray:
    second = np.minimum(first + 1, len(array) - 1)
    share = share[:, None, None]
    return array[first] * (1 - share) + array[second] * share


def _bounds(mask: BoolArray) -> Box:
    """Give the box round a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _padded(box: Box, margin: int, size_hw: tuple[int, ...]) -> Box:
    x0, y0, x1, y1 = box
    height, width = size_hw
    right, bottom = min(width, x1 + margin), min(height, y1 + margin)
    return max(0, x0 - margin), max(0, y0 - margin), right, bottom


def _around(boxes: list[Box]) -> Box:
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _pieces(mask: BoolArray) -> Iterator[Box]:
    """Yield the boxes round the pieces of a mask; what shares or adjoins a cell is one piece."""
    rows, columns = np.nonzero(mask)
    cells = {(int(y), int(x)) for y, x in np.unique(np.stack([rows, columns], 1) // _CELL, axis=0)}
    while cells:
        piece, waiting = set(), [cells.pop()]
        while waiting:
            y, x = waiting.pop()
            piece.add((y, x))
            beside = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & cells
            cells -= beside
            waiting += beside
        yield _around([_cell_bounds(mask, y, x) for y, x in piece])


def _cell_bounds(mask: BoolArray, row: int, column: int) -> Box:
    top, left = row * _CELL, column * _CELL
    x0, y0, x1, y1 = _bounds(mask[top : top + _CELL, left : left + _CELL])
    return left + x0, top + y0, left + x1, top + y1
