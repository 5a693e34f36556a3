"""Pictures of cases."""

from __future__ import annotations

import numpy as np
import pytest

from anymask.evaluate.report.comparison import draw_comparison
from anymask.masks.masks import Masks


@pytest.mark.parametrize("found", [True, False])
def test_the_truth_has_a_white_outline_and_the_answer_a_colour(found: bool) -> None:
    grey = np.full((60, 80, 3), 90, np.uint8)
    truth, answer = np.zeros((2, 60, 80), bool)
    truth[10:50, 10:30] = True
    answer[10:50, 50:70] = True
    masks = Masks.from_dense(answer) if found else Masks.empty((60, 80))
    drawn = np.asarray(draw_comparison(grey, masks, truth))
    assert drawn[30, 9].tolist() == [255, 255, 255]
    assert drawn[30, 8].tolist() == [0, 0, 0]
    assert drawn[30, 20].tolist() == [90, 90, 90]
    assert (drawn[30, 60].tolist() != [90, 90, 90]) == found
