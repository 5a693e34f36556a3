from __future__ import annotations

import math

import numpy as np
import pytest

from anymask.errors import InputError
from anymask.label.review.agreement import Agreement, agreement, audit, honeypots, pair, share
from anymask.masks.masks import Masks

pytest.importorskip("scipy")


def rows_of(*spans: tuple[int, int], width: int = 10) -> Masks:
    """Masks of one row each: pixels from .. to of a line."""
    dense = np.zeros((len(spans), 1, width), bool)
    for mask, (start, stop) in zip(dense, spans, strict=True):
        mask[0, start:stop] = True
    return Masks.from_dense(dense.reshape(len(spans), 1, width))


def test_numbers_worked_by_hand() -> None:
    # 0..4 with 0..5: 4 of 5; 5..9 with 6..9: 3 of 4; 9..10 has none, nor has 5..6.
    found = agreement(rows_of((0, 4), (5, 9), (9, 10)), rows_of((6, 9), (0, 5), (5, 6)))
    assert found.ious == (0.8, 0.75)
    assert found.mean_iou == pytest.approx(0.775)
    assert (found.only_first, found.only_second) == (1, 1)
    assert found.above(0.75).value == 0.5 and found.above(0.9).value == 0
    assert len(found.boundary_f) == 2 and 0 <= found.mean_boundary_f <= 1


def test_half_is_enough_and_less_is_not() -> None:
    assert [one.iou for one in pair(rows_of((0, 2)), rows_of((0, 4)))] == [0.5]
    found = agreement(rows_of((0, 2)), rows_of((0, 5)))
    assert found.ious == () and (found.only_first, found.only_second) == (1, 1)
    assert math.isnan(found.mean_iou) and math.isnan(found.above(0.9).value)


def test_a_good_pair_is_not_given_up_for_two_bad_ones() -> None:
    # 0.6 for the good pair; 0.45 and 0.4, which are more together, for the two others.
    first = rows_of((0, 100), (0, 27), width=100)
    second = rows_of((0, 60), (60, 100), width=100)
    assert [tuple(one) for one in pair(first, second)] == [(0, 0, 0.6)]
    assert [one.iou for one in pair(first, second, threshold=0)] == [0.4, 0.45]


def test_empty_masks_are_no_things() -> None:
    found = agreement(rows_of((0, 0), (1, 3)), rows_of((1, 3), (0, 0), (4, 4)))
    assert found.ious == (1.0,) and (found.only_first, found.only_second) == (0, 0)
    assert agreement(rows_of(), rows_of((0, 2))).only_second == 1


def test_several_images_are_joined() -> None:
    parts = [agreement(rows_of((0, 4)), rows_of((0, 4))), agreement(rows_of((0, 4)), rows_of())]
    whole = Agreement.joined(parts)
    assert whole.ious == (1.0,) and whole.only_first == 1 and whole.boundary_f == (1.0,)


def test_two_sizes() -> None:
    with pytest.raises(InputError, match=r"one size, got \(h, w\) = \(1, 10\) and \(1, 9\)"):
        agreement(rows_of((0, 2)), rows_of((0, 2), width=9))


@pytest.mark.parametrize(
    ("hits", "number", "low", "high"),
    [  # Wilson's interval by its formula with z = 1.959964, worked out apart
        (8, 10, 0.490162, 0.943318),
        (1, 2, 0.094531, 0.905469),
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
        (940, 1000, 0.923529, 0.953104),
    ],
)
def test_intervals_of_wilson(hits: int, number: int, low: float, high: float) -> None:
    found = share(hits, number)
    assert found.value == hits / number and found.number == number
    assert (found.low, found.high) == pytest.approx((low, high), abs=2e-5)


def test_impossible_shares() -> None:
    for wrong in ((3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)):
        with pytest.raises(InputError, match="hits and a confidence"):
            share(*wrong)


def test_honeypots_score_annotators() -> None:
    known = rows_of((0, 4), (5, 9))
    found = honeypots([
        ("ann", known, rows_of((0, 4), (5, 9), (9, 10))),
        ("bob", known, rows_of((0, 5))),
        ("ann", rows_of((0, 2)), rows_of((4, 6))),
    ])  # fmt: skip
    assert found["ann"].ious == (1.0, 1.0) and found["ann"].only_first == 1
    assert found["ann"].only_second == 0  # what else is there may be right
    assert found["bob"].ious == (0.8,) and found["bob"].only_first == 1


def test_an_audit_by_annotator_and_model() -> None:
    found = audit([("net 2", 0.95), ("ann", 0.8), ("net 2", 0.9), ("net 2", 0.76), ("net 2", 0)])
    assert [one.by for one in found] == ["ann", "net 2"]
    net = found[1]
    assert net.number == 4 and net.mean_iou == pytest.approx(2.61 / 4)
    assert net.above[0.9].value == 0.25 and net.above[0.75].value == 0.75  # above, not at
    assert net.above[0.75].low == pytest.approx(0.300642, abs=1e-5)
    with pytest.raises(InputError, match="IoU from 0 to 1 of a mask of 'x'"):
        audit([("x", math.nan)])
