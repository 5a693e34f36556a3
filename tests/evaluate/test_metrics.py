"""Overlap, sizes and averages."""

from __future__ import annotations

import numpy as np
import pytest

from anymask.data.truths import iou, size_of
from anymask.evaluate.metrics import mean, rank_correlation


def test_iou_counts_pixels() -> None:
    answer, truth = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    answer[:2], truth[1:3] = True, True
    assert iou(answer, truth) == pytest.approx(4 / 12)
    assert iou(answer, answer) == 1
    assert iou(answer, ~answer) == 0
    assert iou(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 1


@pytest.mark.parametrize(
    ("area", "size"),
    [(1, "small"), (1023, "small"), (1024, "medium"), (9215, "medium"), (9216, "large")],
)
def test_sizes_are_those_of_coco(area: int, size: str) -> None:
    assert size_of(area) == size


def test_the_mean_of_nothing_is_nothing() -> None:
    assert mean([]) is None
    assert mean([1.0, 0.5]) == 0.75


@pytest.mark.parametrize(
    ("pairs", "correlation"),
    [
        ([(0.1, 3), (0.2, 40), (0.9, 41)], 1),
        ([(0.1, 3), (0.2, 2), (0.9, 1)], -1),
        ([(1, 1), (2, 3), (3, 2)], 1 - 6 * 2 / (3 * 8)),  # 1 - 6 d^2 / (n (n^2 - 1))
        ([(1, 1), (1, 2), (2, 3)], 1.5 / np.sqrt(1.5 * 2)),  # ranks 1.5, 1.5, 3
        ([(0.5, 1), (0.5, 2)], None),
        ([(0.5, 1)], None),
        ([], None),
    ],
)
def test_ranks_are_compared(pairs: list[tuple[float, float]], correlation: float | None) -> None:
    pytest.importorskip("scipy")
    assert rank_correlation(pairs) == pytest.approx(correlation)
