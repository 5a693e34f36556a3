"""Masks at the size of the image, worked out only where they can change anything.

A network answers with small maps of logits; what is wanted are the masks at the size of the image.
Each pixel there is a weighted mean of a few logits, its cells, with one weight for the row and one
for the column (`Transform.taps`). A mean does not leave the range of what it is taken of. So the
image is cut into square tiles: where all cells of a tile are below the threshold, or all above, the
tile is known without looking. What is left is the rim of the object, and only that is enlarged.

Maps and tiles lie column by column in memory, as run lengths do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from anymask.image.transform import Transform
from anymask.masks import rle
from anymask.masks.axis import Axis, slide
from anymask.masks.rle import Counts

__all__ = ["Enlarger", "Part", "Region", "enlarged_counts"]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_CELLS_PER_TILE = 5  # smaller tiles spare more pixels, but every tile costs something, too
_SHORTEST, _LONGEST = 16, 128  # sides of a tile in pixels
_TILES_AT_ONCE = 64  # their values fit into a core's cache
_NOWHERE = np.float32(-1e4)  # the logit of the cell beyond the image
_HUGE = 1e30  # stands for infinity
_ROUNDING = 1e-6  # what float32 may do to a ratio


class Part(NamedTuple):
    """What matters of a map of logits, kept until it is needed."""

    cells: FloatArray  # (w', h'), column by column: the cells of some tiles
    tiles: tuple[int, int, int, int]  # which, xyxy
    lowest: float  # logit of the whole map
    highest: float


@dataclass(frozen=True)
class Region:
    """A mask at the size of the image, as far as it is not empty: some tiles.

    Attributes:
        stability: As `geometry.stability_score` has it.
        corner: First tile, x before y.
        full: bool (w, h) tiles, which lie wholly inside the mask.
        rim: int64 (2, m), x and y of the tiles that lie partly inside.
        inside: bool (m, side, side), column by column, which of their pixels do.
    """

    stability: np.float32
    corner: tuple[int, int]
    full: BoolArray
    rim: IntArray
    inside: BoolArray

    def box(self) -> FloatArray:
        """Find the box: float32 (4,), xyxy, first and last pixel inclusive; empty: zeros."""
        box = np.zeros(4, dtype=np.float32)
        side = self.inside.shape[1]
        for axis in (0, 1):
            lines = np.zeros((*self.full.shape, side), dtype=np.bool_)
            lines[self.full] = True
            lines[tuple(self.rim)] = self.inside.any(axis=2 - axis)
            (found,) = lines.any(axis=1 - axis).reshape(-1).nonzero()
            if len(found):
                box[axis::2] = found[[0, -1]] + self.corner[axis] * side
        return box

    def counts(self, corner_xy: tuple[int, int], size_hw: tuple[int, int]) -> Counts:
        """Encode the mask as a part of a larger one.

        Args:
            corner_xy: Where the image begins in the larger one.
            size_hw: Size of the larger one.
        """
        (w, h), side = self.full.shape, self.inside.shape[1]
        pixels = np.zeros((w, side, h, side), dtype=np.bool_)
        tiles = pixels.transpose(0, 2, 1, 3)
        tiles[self.full] = True
        tiles[tuple(self.rim)] = self.inside
        x, y = (begin + tile * side for begin, tile in zip(corner_xy, self.corner, strict=True))
        # What tiles have beyond the image is never set, so any of it may be cut off.
        window = pixels.reshape(w * side, h * side)[: size_hw[1] - x, : size_hw[0] - y]
        return rle.encode_window(window, (x, y), size_hw)


def enlarged_counts(logits: Iterable[FloatArray], transform: Transform) -> list[Counts]:
    """Encode the masks that maps of logits make in an image, without making all of their pixels.

    Args:
        logits: float32 (k, h', w') or k maps of one size, each covering the frame.
        transform: Of the image.

    Returns:
        The run lengths of ``transform.masks_to_image(logits) > 0``, one for each map. NaN is
        outside, as of a network that overflowed.

    Examples:
        >>> way = Transform((30, 40), (30, 40), (30, 40))
        >>> [counts.tolist() for counts in enlarged_counts(np.ones((1, 15, 20), "f4"), way)]
        [[0, 1200]]
    """
    found: list[Counts] = []
    enlarger: Enlarger | None = None
    for one in logits:
        if not np.isfinite(one).all():  # 0 x infinity would be NaN, and spread over a whole tile
            one = np.nan_to_num(one, nan=-_HUGE, posinf=_HUGE, neginf=-_HUGE)
        enlarger = enlarger or Enlarger(transform, (one.shape[0], one.shape[1]), 0.0)
        region = enlarger.measure(enlarger.cut(one))
        assert region is not None  # it gives up only where a stability is asked for
        found.append(region.counts((0, 0), transform.original_hw))
    return found


@lru_cache(maxsize=16)
def _axes(transform: Transform, low_hw: tuple[int, int]) -> tuple[Axis, Axis]:
    """Cut both directions into tiles; nothing changes them, so many masks may share them."""
    taps = transform.taps(low_hw)
    pixels_per_cell = max(len(t.first) / n for t, n in zip(taps, low_hw, strict=True))
    side = int(np.clip(_CELLS_PER_TILE * pixels_per_cell, _SHORTEST, _LONGEST))
    down, across = (Axis(one, side) for one in taps)
    return down, across


class Enlarger:
    """The way from maps of logits of one size to masks of one image.

    Args:
        transform: Of the image.
        low_hw: Size of the maps, which cover the whole frame.
        offset: How far the threshold of 0 moves up and down to measure the stability.
    """

    def __init__(self, transform: Transform, low_hw: tuple[int, int], offset: float) -> None:
        self.offset = offset
        self.down, self.across = _axes(transform, low_hw)
        self.side = side = self.down.weights.shape[1]
        # Kept for all masks, as fresh memory takes longer than the arithmetic.
        self._half = np.empty((_TILES_AT_ONCE, side, self.down.width), dtype=np.float32)
        self._values = np.empty((_TILES_AT_ONCE, side, side), dtype=np.float32)
        # Some bicubic weights are negative: a mean may leave the range by this share of it.
        self.excess = (self.down.gain * self.across.gain - 1) / 2

    def cut(self, logits: FloatArray) -> Part:
        """Cut out of a map of logits (h', w') what can pass the lowest threshold anywhere."""
        logits = logits[: self.down.cells, : self.across.cells]
        lowest = highest = 0.0
        if self.excess:
            lowest, highest = float(logits.min()), float(logits.max())
        may: BoolArray = logits > self._limit(-self.offset, lowest)
        x0, x1 = self.across.tiles_of(np.logical_or.reduce(may, axis=0))
        y0, y1 = self.down.tiles_of(np.logical_or.reduce(may, axis=1))
        xs, ys = self.across.cells_of(x0, x1), self.down.cells_of(y0, y1)
        there = logits[ys, xs].T
        cells = np.full((xs.stop - xs.start, ys.stop - ys.start), _NOWHERE, dtype=np.float32)
        cells[: len(there), : there.shape[1]] = there
        return Part(cells, (x0, y0, x1, y1), lowest, highest)

    def bounds(self, part: Part) -> tuple[FloatArray, FloatArray]:
        """Bound the box of a mask without enlarging it.

        Returns:
            A box that it holds and a box that holds it, each float32 (4,) as `Region.box` has them;
            zeros where nothing is sure, or nothing there.
        """
        may = part.cells > self._limit(0, part.lowest)
        must = part.cells > self._limit(0, part.highest) if self.excess else may
        x, y = self.across.start[part.tiles[0]], self.down.start[part.tiles[1]]
        # A pixel is sure to be inside if all of its cells are.
        must = slide(
            slide(must, self.across.span, np.logical_and).T, self.down.span, np.logical_and
        ).T
        must &= self.across.holds[x:][: len(must), None] & self.down.holds[y:][: must.shape[1]]
        held, holding = np.zeros((2, 4), dtype=np.float32)
        for axis, line, begin in ((0, self.across, x), (1, self.down, y)):
            for box, pixels, flags in ((held, line.within, must), (holding, line.around, may)):
                (cells,) = np.nonzero(np.logical_or.reduce(flags, axis=1 - axis))
                if len(cells):
                    box[axis::2] = pixels[0, begin + cells[0]], pixels[1, begin + cells[-1]]
        return held, holding

    def rough_stability(self, part: Part) -> float:
        """Measure the stability on the logits as they are."""
        outer = int(np.count_nonzero(part.cells > -self.offset))
        return int(np.count_nonzero(part.cells > self.offset)) / max(1, outer)

    def contains(self, part: Part, points_xy: npt.NDArray[np.float64]) -> BoolArray:
        """Return which points (n, 2), pixels of the image, lie on a logit above 0: bool (n,)."""
        inside = np.ones(len(points_xy), dtype=np.bool_)
        places = []
        for axis, line in ((0, self.across), (1, self.down)):
            cell = line.cell_at(points_xy[:, axis]) - line.start[part.tiles[axis]]
            inside &= (cell >= 0) & (cell < part.cells.shape[axis])
            places.append(cell)
        inside[inside] = part.cells[places[0][inside], places[1][inside]] > 0
        return inside

    def measure(self, part: Part, least_stability: float = 0) -> Region | None:
        """Enlarge a mask as far as its stability, its box and its pixels need.

        Args:
            part: What `cut` left of its logits.
            least_stability: Give up as soon as it is sure to be less stable than this.

        Returns:
            The mask, or None if it was given up.
        """
        full, some = self._classify(part)
        x0, y0, x1, y1 = part.tiles
        areas = self.across.lengths[x0:x1, None] * self.down.lengths[y0:y1]
        inner = outer = int(areas[full].sum())
        left = int(areas[some].sum())
        rim = np.stack(some.nonzero())
        inside = np.empty((rim.shape[1], self.side, self.side), dtype=np.bool_)
        for begin in range(0, len(inside), _TILES_AT_ONCE):
            few = slice(begin, begin + _TILES_AT_ONCE)
            values = self._enlarge(part, rim[:, few])
            np.greater(values, 0, out=inside[few])
            inner += int(np.count_nonzero(values > self.offset))
            outer += int(np.count_nonzero(values > -self.offset))
            left -= int(areas[tuple(rim[:, few])].sum())
            if inner + left < (least_stability - _ROUNDING) * (outer + left):
                return None
        with np.errstate(invalid="ignore"):
            stability = np.float32(inner) / np.float32(outer)
        return Region(stability, (x0, y0), full, rim, inside)

    def _limit(self, threshold: float, extreme: float) -> float:
        """Return which logits cells must pass, so that pixels may, or must, pass a threshold.

        Args:
            threshold: Of the pixels.
            extreme: Lowest logit of the map for "may", highest for "must".
        """
        return (threshold + self.excess * extreme) / (1 + self.excess)

    def _classify(self, part: Part) -> tuple[BoolArray, BoolArray]:
        """Return which tiles pass every threshold everywhere, and which some somewhere: (w, h)."""
        x0, y0, x1, y1 = part.tiles
        passes = []
        for limit, combine in (
            (self._limit(self.offset, part.highest), np.logical_and),
            (self._limit(-self.offset, part.lowest), np.logical_or),
        ):
            columns = self.across.by_tile(part.cells > limit, x0, x1, combine)
            passes.append(self.down.by_tile(columns.T, y0, y1, combine).T)
        full, some = passes
        return full, some & ~full

    def _enlarge(self, part: Part, tiles: IntArray) -> FloatArray:
        """Enlarge the cells of some tiles, int64 (2, m) within the part: (m, side, side)."""
        x, y = tiles[0] + part.tiles[0], tiles[1] + part.tiles[1]
        cells = self._windows(part)[
            self.across.start[x] - self.across.start[part.tiles[0]],
            self.down.start[y] - self.down.start[part.tiles[1]],
        ]
        half = np.matmul(self.across.weights[x], cells, out=self._half[: len(x)])
        down = self.down.weights[y].transpose(0, 2, 1)
        values: FloatArray = np.matmul(half, down, out=self._values[: len(x)])
        return values

    def _windows(self, part: Part) -> FloatArray:
        """View a part as all windows of the size that a tile needs: (x, y, width, height)."""
        size = self.across.width, self.down.width
        places = (n - k + 1 for n, k in zip(part.cells.shape, size, strict=True))
        # numpy's own sliding_window_view takes longer than what comes after it.
        strides = part.cells.strides * 2
        return np.ndarray((*places, *size), np.float32, part.cells, strides=strides)
