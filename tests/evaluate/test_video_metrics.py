"""J and F of DAVIS, against a computation pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from anymask.data.truths import iou
from anymask.evaluate.video_metrics import contour_accuracy

pytest.importorskip("scipy", reason="SciPy is not installed")


def squares(shift: int) -> tuple[np.ndarray, np.ndarray]:
    found, truth = np.zeros((2, 120, 160), bool)
    truth[30:80, 40:100] = True
    found[30:80, 40 + shift : 100 + shift] = True
    return found, truth


def plain_contour(found: np.ndarray, truth: np.ndarray) -> float:
    def boundary(mask: np.ndarray) -> np.ndarray:
        wide = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
        return np.argwhere(
            (mask != wide[1:, :-1]) | (mask != wide[:-1, 1:]) | (mask != wide[1:, 1:])
        )

    reach = math.ceil(0.008 * math.hypot(*found.shape))
    ours, theirs = boundary(found), boundary(truth)
    apart = ((ours[:, None] - theirs[None]) ** 2).sum(axis=2)
    precision = (apart.min(axis=1) <= reach**2).mean()
    recall = (apart.min(axis=0) <= reach**2).mean()
    return float(2 * precision * recall / (precision + recall))


@pytest.mark.parametrize("shift", [0, 1, 2, 3, 9])
def test_contour_accuracy(shift: int) -> None:
    found, truth = squares(shift)
    assert contour_accuracy(found, truth) == pytest.approx(plain_contour(found, truth))


def test_region_similarity() -> None:
    found, truth = squares(30)
    assert iou(found, truth) == pytest.approx(1 / 3)


def test_empty_masks() -> None:
    found, truth = squares(0)
    none = np.zeros_like(truth)
    for measure in (contour_accuracy, iou):
        assert measure(none, none) == 1.0
        assert measure(none, truth) == measure(found, none) == 0.0
