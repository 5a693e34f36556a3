"""What a thing and its surroundings look like: a sample of cells, whose size does not grow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anymask.predict.track.cells import Cells

__all__ = ["Look", "distances", "margin"]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

_ON, _OFF = 128, 160  # cells kept of a thing and of what is around it
_INSIDE, _OUTSIDE = 0.6, 0.05  # share of a cell that makes it the thing's, or not
_NEAR = 6  # cells around a thing whose look matters most
_NEAREST = 3  # neighbours over which a distance is averaged


@dataclass(frozen=True, eq=False)
class Look:
    """A sample of the cells of a thing, and of those around it, in one frame.

    Attributes:
        on: Cells of the thing, float32 (n, d).
        off: Others, half of them near it, float32 (m, d).
        places: Where those of ``on`` were, float32 (n, 2), x before y, in cells of the grid.
    """

    on: FloatArray
    off: FloatArray
    places: FloatArray

    @classmethod
    def of(cls, cells: Cells, share: FloatArray, taken: FloatArray | None = None) -> Look:
        """Take a sample.

        Args:
            cells: Of the frame.
            share: How much of each cell the thing covers, float32 (h, w) of the grid, not all 0.
            taken: The same of other things that are followed. They are kept apart by where they
                are, not by their look, for it may be the same.
        """
        h, w = cells.grid_hw
        flat = share.reshape(-1)
        on = np.flatnonzero(flat > min(_INSIDE, 0.999 * float(flat.max())))
        free = (flat < _OUTSIDE) & cells.shown
        if taken is not None:
            free &= taken.reshape(-1) < _OUTSIDE
        rows, columns = np.divmod(on, w)
        near = np.zeros((h, w), np.bool_)
        near[
            max(0, rows.min() - _NEAR) : rows.max() + _NEAR + 1,
            max(0, columns.min() - _NEAR) : columns.max() + _NEAR + 1,
        ] = True
        close = _some(np.flatnonzero(free & near.reshape(-1)), _OFF // 2)
        far = _some(np.flatnonzero(free & ~near.reshape(-1)), _OFF - len(close))
        on, off = _some(on, _ON), np.concatenate([close, far])
        places = np.stack([on % w, on // w], axis=1).astype(np.float32)
        return cls(cells.vectors[on], cells.vectors[off], places)

    def joined(self, other: Look) -> Look:
        """Give half of the room to each of two looks."""
        on = [_half(self.on, _ON), _half(other.on, _ON)]
        off = [_half(self.off, _OFF), _half(other.off, _OFF)]
        places = [_half(self.places, _ON), _half(other.places, _ON)]
        return Look(np.concatenate(on), np.concatenate(off), np.concatenate(places))


def _some(numbers: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """Take at most so many, evenly."""
    if len(numbers) <= most:
        return numbers
    return numbers[np.linspace(0, len(numbers) - 1, most).astype(np.int64)]


def _half(values: FloatArray, room: int) -> FloatArray:
    return values[_some(np.arange(len(values)), room // 2)]


def distances(a: FloatArray, b: FloatArray) -> FloatArray:
    """Measure how far each of some vectors (n, d) is from each of others (m, d): (n, m)."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * (a @ b.T)
    found: FloatArray = np.sqrt(np.maximum(squares, 0))
    return found


def margin(cells: Cells, looks: list[Look]) -> FloatArray:
    """Say how much more each cell is like a thing than like what is around it.

    Returns:
        float32 (h, w) of the grid, from -1, surely something else, to 1; -1 outside of the image.
    """
    on = _nearest(cells.vectors, np.concatenate([look.on for look in looks]))
    off = _nearest(cells.vectors, np.concatenate([look.off for look in looks]))
    found = (off - on) / np.maximum(off + on, 1e-6)
    return np.where(cells.shown, found, np.float32(-1)).reshape(cells.grid_hw)


def _nearest(vectors: FloatArray, others: FloatArray) -> FloatArray:
    """Measure how far vectors are from the nearest few others: (n,)."""
    if not len(others):  # a thing that fills the image
        return np.ones(len(vectors), np.float32)
    between = distances(vectors, others)
    count = min(_NEAREST, len(others))
    nearest: FloatArray = np.partition(between, count - 1, axis=1)[:, :count].mean(axis=1)
    return nearest
