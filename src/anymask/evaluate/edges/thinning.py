"""Lines one pixel wide: thinning, and the boundaries of label maps."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["boundary_of", "thin"]

BoolMap = npt.NDArray[np.bool_]

_NEIGHBOURS = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))
"""Steps (y, x) to the eight neighbours, anticlockwise from the right."""


def boundary_of(labels: npt.NDArray[Any]) -> BoolMap:
    """Find the boundaries of a label map (h, w): thin lines of pixels, bool (h, w)."""
    return thin(borders(labels))


def borders(labels: npt.NDArray[Any]) -> BoolMap:
    """Mark pixels whose right, lower or lower right neighbour has another label: bool (h, w)."""
    edge = np.zeros(labels.shape, np.bool_)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    edge[:-1, :-1] |= labels[:-1, :-1] != labels[1:, 1:]
    return edge


def thin(boundary: BoolMap) -> BoolMap:
    """Thin lines to one pixel, bool (h, w) to bool (h, w).

    Pixels go from two sides in turn until none can (Guo and Hall, CACM 1989, algorithm A1, which is
    also MATLAB's). Only the neighbours of pixels that went need another look.
    """
    padded = np.pad(boundary, 1)
    flat = padded.reshape(-1)
    around = np.array([dy * padded.shape[1] + dx for dy, dx in _NEIGHBOURS])
    looked_at = np.flatnonzero(flat)
    before = looked_at[:0]
    for turn in count():
        neighbours = np.packbits(flat[looked_at[:, None] + around], axis=1, bitorder="little")
        going = looked_at[_MAY_GO[turn % 2][neighbours[:, 0]]]
        flat[going] = False
        if turn:
            changed = np.concatenate([before, going])
            if not changed.size:
                break
            near = np.unique(changed[:, None] + around)
            looked_at = near[flat[near]]
        before = going
    return padded[1:-1, 1:-1]


def _may_go() -> BoolMap:
    """Return in which of the two turns a pixel goes, by its neighbours as bits: (2, 256)."""
    x = (np.arange(256) >> np.arange(8)[:, None] & 1).astype(np.bool_)
    sides, after, previous = x[0::2], x[1::2], np.roll(x[1::2], 1, axis=0)
    lines = (~sides & (after | np.roll(sides, -1, axis=0))).sum(axis=0)
    pairs = np.minimum((previous | sides).sum(axis=0), (sides | after).sum(axis=0))
    goes = (lines == 1) & (pairs >= 2) & (pairs <= 3)
    first = goes & ~((x[1] | x[2] | ~x[7]) & x[0])
    second = goes & ~((x[5] | x[6] | ~x[3]) & x[4])
    return np.stack([first, second])


_MAY_GO = _may_go()
