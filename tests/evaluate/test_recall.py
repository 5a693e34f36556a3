"""Which answer finds which true mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anymask.evaluate.recall import THRESHOLDS, finders


@pytest.mark.parametrize(
    ("overlaps", "found_by"),
    [
        ([[1.0]], [0]),
        ([[0.49]], [1]),
        ([[0.5]], [0]),
        ([[0.0], [0.7]], [1]),
        ([[0.9, 0.8]], [0, 1]),  # one answer finds one
        ([[0.9, 0.8], [0.95, 0.6]], [0, 1]),  # the first comes first, the second takes what is left
        ([[0.7, 0.7]], [1, 0]),
        ([[], []], []),
        (np.zeros((0, 2)), [0, 0]),
    ],
)
def test_the_best_answer_chooses_first(overlaps: Any, found_by: list[int]) -> None:
    assert finders(np.array(overlaps, float))[0].tolist() == found_by


def test_every_threshold_is_by_itself() -> None:
    found_by = finders(np.array([[0.62], [0.83]]))
    assert found_by[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert len(THRESHOLDS) == 10
