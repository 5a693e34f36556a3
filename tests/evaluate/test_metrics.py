"""Overlap, sizes and averages."""

from __future__ import annotations

import numpy as np
import pytest

from anymask.evaluate.metrics import iou, mean, size_of


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
