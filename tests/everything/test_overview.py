"""The picture as a whole, made small, and what is found in it, in pixels of the picture."""

from __future__ import annotations

import numpy as np
import pytest

from anymask.everything.grid import Grid
from anymask.everything.overview import Overview
from anymask.everything.stitch import Part
from anymask.image.bands import open_bands
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

GRID = Grid.lay((150, 230), side=100, halo=20)


def overview_of(pixels: np.ndarray) -> Overview:
    with open_bands(pixels) as bands:
        return Overview.of(bands, GRID.side)


def found(mask: np.ndarray, **known: object) -> Masks:
    return Masks.from_dense(mask, scores=np.array([0.5], dtype=np.float32), **known)


@pytest.mark.parametrize("rows_at_once", [1, 40, 1000])
def test_squares_are_averaged_whatever_is_read_at_a_time(
    rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anymask.everything.overview._VALUES_AT_ONCE", rows_at_once * 3 * 230)
    pixels = np.random.default_rng(0).integers(0, 256, (150, 230, 3), dtype=np.uint8)
    overview = overview_of(pixels)
    assert overview.factor == 3
    assert overview.pixels.shape == (50, 77, 3)
    mean = pixels[3:6, 6:9].mean(axis=(0, 1))
    assert np.abs(overview.pixels[1, 2] - mean).max() <= 0.5
    assert np.abs(overview.pixels[1, 76] - pixels[3:6, 228:].mean(axis=(0, 1))).max() <= 0.5


def test_only_what_no_tile_sees_is_given_and_tiles_draw_what_they_agree_on() -> None:
    overview = overview_of(np.zeros((150, 230, 3), dtype=np.uint8))
    small = np.zeros((2, 50, 77), dtype=bool)
    small[0, 10:20, 4:70] = True  # over three tiles
    small[1, 10:20, 10:20] = True  # inside of one
    masks = Masks.from_dense(
        small, scores=np.array([0.5, 0.9]), prompts=[Prompt(points_xy=[(30, 15)])] * 2
    )
    fine = np.zeros((150, 230), dtype=bool)
    fine[31:59, 13:209] = True
    parts = {}
    for cell in GRID.cells():
        x0, y0, x1, y1 = GRID.box(cell)
        seen = fine[y0:y1, x0:x1] if cell == (0, 0) else np.zeros((y1 - y0, x1 - x0), dtype=bool)
        parts[cell] = Part.of(found(seen), GRID, cell)
    large = overview.large(masks, GRID, parts)

    expected = np.repeat(np.repeat(small[0], 3, axis=0), 3, axis=1)[:150, :230]
    x0, y0, x1, y1 = GRID.core((0, 0))
    expected[y0:y1, x0:x1] = fine[y0:y1, x0:x1]
    assert (large.dense() == expected[None]).all()
    assert large.scores.tolist() == [0.5]
    assert large.points_xy[0] is not None
    assert large.points_xy[0].tolist() == [[90, 45]]


def test_nothing_found_is_nothing() -> None:
    overview = overview_of(np.zeros((150, 230, 3), dtype=np.uint8))
    assert len(overview.large(Masks.empty((50, 77)), GRID, {})) == 0
