"""Outlines: traced round pixels, they give back the very same mask, here and in pycocotools."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis.extra import numpy as hnp
from pycocotools import mask as reference

from anymask.errors import InputError
from anymask.masks import polygon, rle
from anymask.masks.outline import trace

RING = np.pad(np.zeros((1, 1), bool), 1, constant_values=True)
Outlines = list[Any]


def outlines_of(mask: np.ndarray, tolerance: float = 0) -> Outlines:
    return trace(rle.encode(mask), (mask.shape[0], mask.shape[1]), tolerance)


def filled_by_pycocotools(outlines: Outlines, size_hw: tuple[int, ...]) -> np.ndarray:
    if not outlines:
        return np.zeros(size_hw, bool)
    flat = [outline.ravel().tolist() for outline in outlines]
    merged = reference.merge(reference.frPyObjects(flat, *size_hw))
    return rle.decode(rle.from_string(merged["counts"]), (size_hw[0], size_hw[1]))


def filled_by_us(outlines: Outlines, size_hw: tuple[int, ...]) -> np.ndarray:
    return rle.decode(polygon.fill(outlines, (size_hw[0], size_hw[1])), (size_hw[0], size_hw[1]))


masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))


@given(masks)
@example(np.ones((1, 1), bool))
@example(np.ones((1, 7), bool))
@example(np.ones((7, 1), bool))
@example(np.eye(6, dtype=bool))
@example(np.eye(6, dtype=bool)[::-1])
@example(RING)
@example(np.pad(np.tile(RING[1:, 1:], (3, 3)), ((1, 0), (1, 0)), constant_values=True))
@example(np.indices((5, 5)).sum(axis=0) % 2 == 0)
@example(np.indices((5, 5)).sum(axis=0) % 2 == 1)
@example(np.pad(~np.eye(4, dtype=bool), 2, constant_values=True))
def test_filled_again_it_is_the_same_mask(mask: np.ndarray) -> None:
    outlines = outlines_of(mask)
    np.testing.assert_array_equal(filled_by_us(outlines, mask.shape), mask)
    np.testing.assert_array_equal(filled_by_pycocotools(outlines, mask.shape), mask)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60), st.floats(0.05, 0.95))
def test_larger_masks(seed: int, h: int, w: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((h, w)) < share
    np.testing.assert_array_equal(filled_by_pycocotools(outlines_of(mask), mask.shape), mask)


@given(masks)
def test_one_outline_for_each_piece(mask: np.ndarray) -> None:
    outlines = outlines_of(mask)
    scipy = pytest.importorskip("scipy.ndimage")
    labels, n = scipy.label(mask, np.ones((3, 3)))
    assert len(outlines) == n
    for outline in outlines:
        assert outline.dtype == np.float32
        piece = filled_by_us([outline], mask.shape)
        assert (labels[piece] == labels[piece][0]).all()


def test_rings_in_rings() -> None:
    y, x = np.mgrid[:90, :90]
    mask = np.hypot(x - 45, y - 45).astype(int) // 8 % 2 == 0
    mask[[0, -1], :] = mask[:, [0, -1]] = True
    np.testing.assert_array_equal(filled_by_pycocotools(outlines_of(mask), mask.shape), mask)


def test_it_runs_clockwise_from_the_leftmost_corner() -> None:
    assert outlines_of(np.ones((2, 3), bool))[0].tolist() == [[0, 0], [3, 0], [3, 2], [0, 2]]
    (ring,) = outlines_of(RING)
    assert ring.tolist() == [
        [0, 0], [3, 0], [3, 3], [0, 3],
        [0, 1], [1, 1], [1, 2], [2, 2], [2, 1], [1, 1], [0, 1],
    ]  # fmt: skip


def test_no_mask_has_no_outline() -> None:
    assert outlines_of(np.zeros((3, 4), bool)) == []


def disc(radius: float, hole: float) -> np.ndarray:
    y, x = np.mgrid[:200, :200]
    distance = np.hypot(x - 99.5, y - 99.5)
    return (distance < radius) & (distance > hole)


@pytest.mark.parametrize("tolerance", [1, 2, 5])
def test_simpler_outlines_stay_near(tolerance: float) -> None:
    mask = disc(80, 30)
    (exact,), (simple,) = outlines_of(mask), outlines_of(mask, tolerance)
    assert len(simple) < len(exact) / 3
    wrong = filled_by_us([simple], mask.shape) != mask
    y, x = np.nonzero(wrong)
    distance = np.hypot(x - 99.5, y - 99.5)
    assert np.minimum(abs(distance - 80), abs(distance - 30)).max(initial=0) < tolerance + 1.5


def test_the_simplest_outline_of_anything_has_three_corners() -> None:
    for mask in (np.ones((1, 1), bool), disc(80, 30), RING):
        for outline in outlines_of(mask, 1e6):
            assert len(set(map(tuple, outline.tolist()))) >= 3


@given(masks, st.sampled_from([0.3, 1.0, 3.0]))
def test_every_simpler_outline_can_be_filled(mask: np.ndarray, tolerance: float) -> None:
    for outline in outlines_of(mask, tolerance):
        assert len(outline) >= 3
        polygon.fill([outline], (mask.shape[0], mask.shape[1]))


@pytest.mark.parametrize("tolerance", [-1, float("nan"), float("inf")])
def test_tolerances_that_make_no_sense(tolerance: float) -> None:
    with pytest.raises(InputError, match="tolerance"):
        outlines_of(RING, tolerance)
