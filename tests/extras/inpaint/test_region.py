"""Where to paint: distances, growth, soft edges, surroundings."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from anymask.extras.inpaint.region import distance, grown, smooth_fill, soft_edge, surroundings


def some_mask(seed: int, size: tuple[int, int] = (13, 17), share: float = 0.05) -> np.ndarray:
    mask = np.random.default_rng(seed).random(size) < share
    mask[size[0] // 2, size[1] // 2] = True
    return mask


def all_distances(mask: np.ndarray) -> np.ndarray:
    y, x = np.indices(mask.shape)
    points = np.argwhere(mask)
    return np.min([np.hypot(y - a, x - b) for a, b in points], axis=0)


@hypothesis.given(st.integers(0, 10**6), st.integers(1, 9))
def test_distances_are_those_to_the_nearest_pixel(seed: int, limit: int) -> None:
    mask = some_mask(seed)
    expected = all_distances(mask)
    found = distance(mask, limit)
    near = expected <= limit
    np.testing.assert_allclose(found[near], expected[near], rtol=1e-6)
    assert np.isinf(found[~near]).all()


@pytest.mark.parametrize("pixels", [1, 2, 5, 40])
def test_a_mask_grows_by_a_circle_and_shrinks_by_one(pixels: int) -> None:
    mask = some_mask(3, (40, 50), 0.005)
    bigger = grown(mask, pixels)
    np.testing.assert_array_equal(bigger, all_distances(mask) <= pixels)
    smaller = grown(bigger, -pixels)
    assert smaller[mask].all()
    if not bigger.all():
        np.testing.assert_array_equal(smaller, all_distances(~bigger) > pixels)


def test_a_mask_at_the_border_does_not_shrink_from_there() -> None:
    mask = np.zeros((10, 10), bool)
    mask[:, :5] = True
    assert grown(mask, -2).sum() == 10 * 3
    assert grown(np.ones((4, 4), bool), -2).all()


def test_a_soft_edge_lies_outside_and_ends_where_it_should() -> None:
    mask = np.zeros((41, 41), bool)
    mask[20, 20] = True
    weights = soft_edge(mask, 10)
    away = all_distances(mask)
    assert weights[20, 20] == 1
    assert (weights[away > 10] == 0).all() and (weights[away <= 10] > 0).all()
    assert (np.diff(weights[20, 20:31]) < 0).all()
    np.testing.assert_array_equal(soft_edge(mask, 0), mask)


def test_pieces_far_apart_get_parts_of_their_own() -> None:
    hole = np.zeros((500, 900), bool)
    hole[50:60, 50:60] = hole[400:420, 800:810] = True
    parts = surroundings(hole, 20)
    assert parts == [(30, 30, 80, 80), (780, 380, 830, 440)]
    assert surroundings(hole, 400) == [(0, 0, 900, 500)]


@hypothesis.given(st.integers(0, 10**6), st.integers(0, 60))
def test_parts_hold_all_of_the_hole_and_do_not_overlap(seed: int, margin: int) -> None:
    hole = some_mask(seed, (120, 310), 0.0005)
    seen = np.zeros(hole.shape, int)
    for x0, y0, x1, y1 in surroundings(hole, margin):
        seen[y0:y1, x0:x1] += 1
    assert seen.max() == 1
    assert (seen[grown(hole, margin)] == 1).all()


def test_smooth_fill_keeps_what_is_known_and_stays_within_it() -> None:
    values = np.random.default_rng(0).integers(50, 200, (37, 53, 3))
    known = some_mask(1, (37, 53), 0.2)
    filled = smooth_fill(values, known)
    np.testing.assert_array_equal(filled[known], values[known])
    assert filled.min() >= 50 and filled.max() <= 200
    ramp = np.broadcast_to(np.arange(64.0)[None, :, None], (64, 64, 1))
    hole = np.zeros((64, 64), bool)
    hole[20:40, 20:40] = True
    assert np.abs(smooth_fill(ramp, ~hole) - ramp).max() < 6


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (2, 3)])
def test_the_smallest_images(size: tuple[int, int]) -> None:
    known = np.zeros(size, bool)
    known[0, 0] = True
    values = np.full((*size, 2), 9)
    np.testing.assert_allclose(smooth_fill(values, known), 9, rtol=1e-6)
    assert surroundings(known, 5) == [(0, 0, min(6, size[1]), min(6, size[0]))]
