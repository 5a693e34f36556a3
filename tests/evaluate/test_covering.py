"""Covering, against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from anymask.evaluate.covering import covering, partition
from anymask.masks.masks import Masks

QUARTERS = np.kron([[1, 2], [3, 4]], np.ones((2, 2), int))
COLUMNS = np.tile([1, 2, 3, 4], (4, 1))


def test_regions_cover_themselves_under_any_numbers() -> None:
    assert covering(QUARTERS, QUARTERS) == 1
    assert covering(QUARTERS, 100 - 7 * QUARTERS) == 1


def test_every_region_takes_the_best_by_iou() -> None:
    # A quarter, 4 pixels, shares 2 with a column of 4: 2 of 6.
    assert covering(QUARTERS, COLUMNS) == pytest.approx(2 / 6)
    # The halves against quarters: 4 of 8. And back: 4 of 8.
    halves = (QUARTERS + 1) // 2
    assert covering(halves, QUARTERS) == covering(QUARTERS, halves) == 0.5


def test_it_is_weighted_by_size_and_has_a_direction() -> None:
    drawn = np.array([[1, 1, 1, 1, 2, 2]])
    found = np.array([[1, 1, 1, 1, 1, 2]])
    assert covering(drawn, found) == pytest.approx((4 * 4 / 5 + 2 * 1 / 2) / 6)
    one, cut = np.ones((1, 6), int), np.array([[1, 1, 1, 1, 2, 2]])
    assert covering(one, cut) == pytest.approx(4 / 6)
    assert covering(cut, one) == pytest.approx((4 * 4 / 6 + 2 * 2 / 6) / 6)


def test_a_region_found_may_cover_several() -> None:
    drawn, found = np.array([[1, 2, 3, 3]]), np.array([[5, 5, 5, 5]])
    assert covering(drawn, found) == pytest.approx((1 / 4 + 1 / 4 + 2 * 2 / 4) / 4)


def test_what_is_not_labelled_needs_no_cover_but_counts_against_what_goes_astray() -> None:
    drawn = np.array([[0, 0, 1, 1]])
    assert covering(drawn, np.array([[1, 1, 2, 2]])) == 1
    assert covering(drawn, np.array([[1, 2, 2, 2]])) == pytest.approx(2 / 3)


def test_void_pixels_count_neither_way() -> None:
    drawn = np.array([[0, 0, 1, 1]])
    void = np.array([[False, True, False, False]])
    assert covering(drawn, np.array([[1, 2, 2, 2]]), void) == 1
    assert covering(drawn, np.array([[1, 1, 2, 3]]), np.array([[0, 0, 0, 1]], bool)) == 1


def test_nothing_to_cover_is_no_number() -> None:
    assert covering(np.zeros((2, 2), int), np.ones((2, 2), int)) is None
    assert covering(np.ones((2, 2), int), np.ones((2, 2), int), np.ones((2, 2), bool)) is None


def test_gaps_fall_into_connected_regions() -> None:
    dense = np.zeros((2, 5, 5), bool)
    dense[0, :, 2] = True  # a wall
    dense[1, 2, :] = True  # and one behind it
    labels = partition(Masks.from_dense(dense))
    assert set(labels[:, 2]) == {1} and set(labels[2, [0, 1, 3, 4]]) == {2}
    corners = [labels[0, 0], labels[0, 4], labels[4, 0], labels[4, 4]]
    assert sorted(corners) == [3, 4, 5, 6]


def test_no_mask_at_all_is_one_region() -> None:
    assert set(partition(Masks.empty((4, 5))).flat) == {1}


def test_pixels_that_touch_at_a_corner_are_not_connected() -> None:
    assert partition(Masks.from_dense(np.eye(2, dtype=bool)[None])).tolist() == [[1, 2], [3, 1]]
