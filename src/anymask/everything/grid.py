"""Grids: overlapping tiles of one size on an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from numbers import Integral

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError

__all__ = ["SMALLEST", "Box", "Cell", "Grid", "check_tiles"]

Box = tuple[int, int, int, int]
"""xyxy in whole pixels, right and bottom exclusive."""
Cell = tuple[int, int]
"""Row and column of a tile."""

SMALLEST = 64
"""Pixels that a tile has along each side at least."""

_MOST_PIXELS = np.iinfo(np.uint32).max  # a run of zeros can be as long as the image


def check_tiles(side: int, halo: int | None = None) -> int:
    """Check how large tiles are to be, and how far each reaches into its neighbours.

    Returns:
        The halo: the one given, or an eighth of the side.

    Raises:
        InputError: They are no whole numbers, or too small, or the halo is too large.

    Examples:
        >>> check_tiles(1024)
        128
    """
    if not _is_whole(side) or side < SMALLEST:
        raise InputError(
            f"expected tiles of at least {SMALLEST} pixels along each side, got {side!r}; the "
            "default is 1024"
        )
    halo = side // 8 if halo is None else halo
    if not _is_whole(halo) or not 0 < halo < side / 2:
        raise InputError(
            f"expected a halo of at least 1 pixel and less than half of the tile, {side // 2}, "
            f"got {halo!r}; an eighth of the tile is usual"
        )
    return halo


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


@dataclass(frozen=True)
class Grid:
    """Overlapping tiles of one size on an image.

    Each has a core, the pixels that are nearer to its middle than to another tile's. The cores lie
    side by side and cover the image.

    Attributes:
        size_hw: Height and width of the image.
        side: Height and width of a tile; the image may be smaller.
        tops: First row of each row of tiles.
        lefts: First column of each column of tiles.
    """

    size_hw: tuple[int, int]
    side: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    @classmethod
    def lay(cls, size_hw: tuple[int, int], side: int, halo: int) -> Grid:
        """Spread as few tiles as will do evenly over an image.

        Args:
            size_hw: Height and width of the image.
            side: Height and width of a tile.
            halo: Half of what neighbours overlap at least.

        Examples:
            >>> Grid.lay((1000, 2000), side=1024, halo=128).lefts
            (0, 488, 976)
        """
        check_tiles(side, halo)
        h, w = size_hw
        if h * w > _MOST_PIXELS:
            raise InputError(
                f"expected at most {_MOST_PIXELS} pixels, which run lengths can count, got "
                f"{w} x {h}; cut the image into parts"
            )
        return cls(size_hw, side, _starts(h, side, halo), _starts(w, side, halo))

    def __len__(self) -> int:
        """Count the tiles."""
        return len(self.tops) * len(self.lefts)

    def cells(self) -> Iterator[Cell]:
        """Go through all tiles, row by row."""
        return product(range(len(self.tops)), range(len(self.lefts)))

    def box(self, cell: Cell) -> Box:
        """Give the pixels of a tile."""
        top, left = self.tops[cell[0]], self.lefts[cell[1]]
        h, w = self.size_hw
        return left, top, min(left + self.side, w), min(top + self.side, h)

    def core(self, cell: Cell) -> Box:
        """Give the pixels that no other tile knows better."""
        (y0, y1), (x0, x1) = (edges[i : i + 2] for edges, i in zip(self._edges, cell, strict=True))
        return int(x0), int(y0), int(x1), int(y1)

    def under(self, box: Box) -> list[Cell]:
        """List the tiles whose cores have pixels in a box."""
        x0, y0, x1, y1 = box
        rows, columns = (
            range(np.searchsorted(edges, low, "right") - 1, np.searchsorted(edges, high, "left"))
            for edges, low, high in zip(self._edges, (y0, x0), (y1, x1), strict=True)
        )
        return list(product(rows, columns))

    def sees(self, box: Box) -> bool:
        """Return whether some tile sees all of a box."""
        x0, y0, x1, y1 = box
        return all(
            any(start <= low and high <= start + self.side for start in starts)
            for starts, low, high in ((self.tops, y0, y1), (self.lefts, x0, x1))
        )

    def neighbours(self) -> Iterator[tuple[Cell, Cell]]:
        """Go through all pairs of tiles that lie side by side or touch at a corner."""
        for row, column in self.cells():
            for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
                other = row + down, column + right
                if other[0] < len(self.tops) and 0 <= other[1] < len(self.lefts):
                    yield (row, column), other

    @cached_property
    def _edges(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where the cores of rows and of columns begin, and where the last one ends."""
        rows, columns = (
            np.array([0, *((a + b + self.side) // 2 for a, b in pairwise(starts)), length])
            for starts, length in zip((self.tops, self.lefts), self.size_hw, strict=True)
        )
        return rows, columns


def _starts(length: int, side: int, halo: int) -> tuple[int, ...]:
    if length <= side:
        return (0,)
    gaps = -(-(length - 2 * halo) // (side - 2 * halo)) - 1
    return tuple(i * (length - side) // gaps for i in range(gaps + 1))
