"""Grids: tiles cover the picture, overlap enough, and their cores lie side by side."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymask.errors import InputError
from anymask.everything.grid import Box, Grid

sides = st.integers(1, 700)


@given(sides, sides, st.integers(64, 300), st.integers(1, 149))
def test_tiles(h: int, w: int, side: int, halo: int) -> None:
    halo = min(halo, (side - 1) // 2)
    grid = Grid.lay((h, w), side, halo)
    cells = [(row, column) for row in range(len(grid.tops)) for column in range(len(grid.lefts))]
    assert len(cells) == len(grid)
    for starts, length in ((grid.tops, h), (grid.lefts, w)):
        assert starts[0] == 0 and starts[-1] == max(0, length - side)
        assert all(b - a <= side - 2 * halo for a, b in pairwise(starts))
    covered = np.zeros((h, w), dtype=int)
    for cell in cells:
        (x0, y0, x1, y1), box = grid.core(cell), grid.box(cell)
        assert box[0] <= x0 < x1 <= box[2] and box[1] <= y0 < y1 <= box[3]
        assert (box[2] - box[0], box[3] - box[1]) == (min(side, w), min(side, h))
        covered[y0:y1, x0:x1] += 1
    assert (covered == 1).all()


@given(sides, sides, st.data())
def test_cores_under_a_box(h: int, w: int, data: st.DataObject) -> None:
    grid = Grid.lay((h, w), 100, 20)
    x0, y0 = data.draw(st.integers(0, w - 1)), data.draw(st.integers(0, h - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, w)), data.draw(st.integers(y0 + 1, h))
    expected = [
        (row, column)
        for row in range(len(grid.tops))
        for column in range(len(grid.lefts))
        for core in [grid.core((row, column))]
        if max(x0, core[0]) < min(x1, core[2]) and max(y0, core[1]) < min(y1, core[3])
    ]
    assert grid.under((x0, y0, x1, y1)) == expected


def test_neighbours_come_once() -> None:
    grid = Grid.lay((200, 300), 100, 10)
    pairs = list(grid.neighbours())
    assert len(pairs) == len({frozenset(pair) for pair in pairs})
    assert all(max(abs(a[0] - b[0]), abs(a[1] - b[1])) == 1 for a, b in pairs)
    rows, columns = len(grid.tops), len(grid.lefts)
    across, down = rows * (columns - 1), (rows - 1) * columns
    assert len(pairs) == across + down + 2 * (rows - 1) * (columns - 1)


@pytest.mark.parametrize(
    ("size_hw", "side", "halo", "message"),
    [
        ((9, 9), 63, 8, "tiles of at least 64 pixels along each side, got 63"),
        ((9, 9), 64, 32, "less than half of the tile, 32, got 32"),
        ((9, 9), 64, 0, "at least 1 pixel .* got 0"),
        ((9, 9), 0, 8, "tiles of at least 64 pixels along each side, got 0"),
        ((9, 9), "64", 8, "tiles of at least 64 pixels along each side, got '64'"),
        ((9, 9), 64.5, 8, "tiles of at least 64 pixels along each side, got 64.5"),
        ((9, 9), 64, 8.5, "at least 1 pixel .* got 8.5"),
        ((70_000, 70_000), 1024, 128, "at most 4294967295 pixels"),
    ],
)
def test_what_does_not_work_is_refused(
    size_hw: tuple[int, int], side: int, halo: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Grid.lay(size_hw, side, halo)


@pytest.mark.parametrize(
    ("box", "seen"),
    [
        ((0, 0, 100, 100), True),
        ((60, 0, 130, 50), True),
        ((0, 0, 101, 50), False),
        ((40, 0, 160, 50), False),
    ],
)
def test_what_a_tile_sees_as_a_whole(box: Box, seen: bool) -> None:
    assert Grid.lay((100, 220), side=100, halo=20).sees(box) == seen
