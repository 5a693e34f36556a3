"""Cutting one direction of an enlargement into tiles: which cells make which pixels, and how."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anymask.image.transform import Taps

__all__ = ["Axis", "slide"]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Axis:
    """One direction of an enlargement.

    Cells are the logits of a map along this direction as far as the image needs them, and one more:
    the cell after the last makes the pixels beyond the image, which the last tile may have.

    Attributes:
        cells: Number of cells that the image needs, from the first of the map on.
        lengths: int64 (tiles,), pixels of each tile that lie in the image.
        start: int64 (tiles,), first cell of each tile.
        width: Number of cells of each tile.
        weights: float32 (tiles, side, width), what each cell counts in each pixel.
        gain: Largest sum of a pixel's weights, all taken as positive; 1 if all are.
        span: Number of cells that most pixels need, which are neighbours.
        around: int64 (2, cells), first and last pixel that needs each cell.
        within: int64 (2, cells), first and last pixel that needs nothing but each cell and the
            ``span - 1`` after it.
        holds: bool (cells,), whether there is such a pixel.
    """

    def __init__(self, taps: Taps, side: int) -> None:
        """Cut into tiles of ``side`` pixels."""
        used = taps.weights != 0
        low = taps.first + used.argmax(axis=1)
        high = taps.first + used.shape[1] - 1 - used[:, ::-1].argmax(axis=1)
        # A bicubic pixel right on a cell needs only that one, which is less than its neighbours.
        self._low = np.minimum.accumulate(low[::-1])[::-1]
        self._high = np.maximum.accumulate(high)
        self.cells = int(self._high[-1]) + 1
        begin = np.arange(0, len(low), side)
        end = np.minimum(begin + side, len(low))
        last = self._high[end - 1]
        spare = len(begin) * side - len(low)
        if spare:
            last[-1] = self.cells
        self.lengths = end - begin
        self.width = int((last - self._low[begin]).max()) + 1
        self.start = np.minimum(self._low[begin], self.cells + (spare > 0) - self.width)
        self.weights = self._spread(taps, side)
        self.gain = float(np.abs(taps.weights).sum(axis=1).max())
        if not (taps.weights < 0).any():
            self.gain = 1.0
        self._find_pixels()

    def _spread(self, taps: Taps, side: int) -> FloatArray:
        """Lay out the weights by tile."""
        weights = np.zeros((len(self.start) * side, self.width), dtype=np.float32)
        pixel, tap = taps.weights.nonzero()
        weights[pixel, taps.first[pixel] + tap - self.start[pixel // side]] = taps.weights[
            pixel, tap
        ]
        weights[len(taps.first) :, self.cells - self.start[-1] : self.width] = 1
        return weights.reshape(len(self.start), side, self.width)

    def _find_pixels(self) -> None:
        """Note which pixels need each cell, and which no other."""
        cell = np.arange(self.cells + 1)
        self.span = int(np.median(self._high - self._low)) + 1
        first, after = np.searchsorted(self._high, cell), np.searchsorted(self._low, cell, "right")
        self.around = np.stack([first, after - 1])
        first = np.searchsorted(self._low, cell)
        after = np.searchsorted(self._high, cell + self.span - 1, "right")
        self.within = np.stack([first, after - 1])
        self.holds = first < after

    def tiles_of(self, cells: BoolArray) -> tuple[int, int]:
        """Find the tiles that need any of the cells that are set, bool (cells,).

        Returns:
            The first and the one after the last; one tile, if no cell is set.
        """
        (found,) = cells.nonzero()
        first, last = (found[0], found[-1]) if len(found) else (0, 0)
        side = self.weights.shape[1]
        begin = min(int(self.around[0, first]) // side, len(self.start) - 1)
        return begin, max(begin, int(self.around[1, last]) // side) + 1

    def cell_at(self, place: npt.NDArray[np.float64]) -> IntArray:
        """Find the cell in the middle of those that the pixels at some places need."""
        pixel = np.clip(place.astype(np.int64), 0, len(self._low) - 1)
        middle: IntArray = (self._low[pixel] + self._high[pixel]) // 2
        return middle

    def cells_of(self, begin: int, end: int) -> slice:
        """Find the cells that tiles need, ``end`` not included."""
        return slice(self.start[begin], self.start[end - 1] + self.width)

    def by_tile(self, flags: BoolArray, begin: int, end: int, combine: np.ufunc) -> BoolArray:
        """Combine what is said of the cells of each tile: bool (cells, ...) to (tiles, ...)."""
        start = self.start[begin:end] - self.start[begin]
        combined: BoolArray = slide(flags, self.width, combine)[start]
        return combined


def slide(flags: BoolArray, width: int, combine: np.ufunc) -> BoolArray:
    """Combine every ``width`` neighbours along the first axis: (n, ...) to (n - width + 1, ...)."""
    done = 1
    while 2 * done <= width:
        flags = combine(flags[:-done], flags[done:])
        done *= 2
    rest = width - done
    return combine(flags[: len(flags) - rest], flags[rest:]) if rest else flags
