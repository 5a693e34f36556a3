"""Pairs of pixels, beside a dense solver's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anymask.errors import InputError
from anymask.evaluate.edges.matching import Matching

SIZE_HW = (9, 12)
DIAGONAL = 15
MAPS = arrays(np.bool_, SIZE_HW)


def pairs_of_a_dense_solver(found: np.ndarray, drawn: np.ndarray, reach: float) -> tuple[int, int]:
    """How many pairs, and how far apart all together, in thousandths of a pixel."""
    optimize = pytest.importorskip("scipy.optimize")
    apart = np.argwhere(found)[:, None] - np.argwhere(drawn)
    distance = np.hypot(*np.moveaxis(apart, -1, 0))
    costs = np.where(distance <= reach * DIAGONAL, np.rint(1000 * distance), 1e9)
    chosen = costs[optimize.linear_sum_assignment(costs)]
    return int((chosen < 1e9).sum()), int(chosen[chosen < 1e9].sum())


def pairs_of(matching: Matching) -> tuple[int, int]:
    distances = [
        dict(matching._near[pixel])[partner]
        for pixel, partner in matching._found.partner.items()
        if partner >= 0
    ]
    return len(distances), sum(distances)


@settings(deadline=None)
@given(MAPS, st.lists(MAPS, min_size=1, max_size=4), st.sampled_from([0.01, 0.1, 0.15, 0.3]))
def test_pairs_are_as_many_and_as_near_as_can_be(
    drawn: np.ndarray, maps: list[np.ndarray], reach: float
) -> None:
    matching = Matching(drawn, reach)
    for found in maps:
        matched = matching.update(found)
        assert not (matched & ~found).any()
        expected = pairs_of_a_dense_solver(found, drawn, reach)
        assert (int(matched.sum()), pairs_of(matching)) == (expected[0], expected)


@settings(deadline=None)
@given(MAPS, st.lists(MAPS, min_size=1, max_size=4))
def test_what_came_before_does_not_change_the_number(
    drawn: np.ndarray, maps: list[np.ndarray]
) -> None:
    used = Matching(drawn, 0.15)
    for found in maps:
        assert used.update(found).sum() == Matching(drawn, 0.15).update(found).sum()


def test_prices_prove_that_no_assignment_is_cheaper() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.random((40, 50)) < 0.2
    matching = Matching(drawn, 0.06)
    for share in (0.1, 0.3, 0.2, 0.6):
        matching.update(rng.random(drawn.shape) < share)
        found, other = matching._found, matching._drawn
        for pixel, near in matching._near.items():
            assert all(found.price[pixel] + other.price[one] <= apart for one, apart in near)
        for side in (found, other):
            assert max(side.price.values()) <= side.highest
            alone = [pixel for pixel, partner in side.partner.items() if partner < 0]
            assert all(side.price[pixel] == side.highest for pixel in alone)


def test_of_two_candidates_the_near_one_is_taken() -> None:
    drawn, doubled = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    drawn[5, 5:15] = True
    doubled[4, 5:15] = doubled[7, 5:15] = True
    matched = Matching(drawn, max_distance=0.2).update(doubled)
    assert matched.sum() == 10
    assert matched[4, 5:15].all()


def test_a_far_partner_is_better_than_none() -> None:
    drawn, found = np.zeros((1, 9), bool), np.zeros((1, 9), bool)
    drawn[0, [2, 4]] = found[0, [4, 6]] = True  # 4 and 4 are nearest, and would leave two alone
    assert Matching(drawn, max_distance=2.1 / np.hypot(1, 9)).update(found).sum() == 2


def test_maps_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(60, 80\).*\(30, 40\)"):
        Matching(np.zeros((60, 80), bool)).update(np.zeros((30, 40), bool))
