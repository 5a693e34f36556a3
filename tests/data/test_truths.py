"""Which masks take part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anymask.data.dataset import Sample
from anymask.data.truths import Choice
from anymask.errors import InputError

LABELS = np.zeros((10, 10), np.uint8)
LABELS[0, :2], LABELS[1, :5], LABELS[2:] = 1, 2, 3  # 2, 5 and 80 pixels
SAMPLE = Sample(np.zeros((10, 10, 3), np.uint8), (LABELS,), {"set": "s", "id": "a"})


def test_small_and_large_masks_can_be_left_out() -> None:
    assert [t.number for t in Choice().of(SAMPLE)] == [0, 1, 2]
    assert [t.number for t in Choice(min_area=5).of(SAMPLE)] == [1, 2]
    assert [t.number for t in Choice(max_share=0.5).of(SAMPLE)] == [0, 1]
    assert [(t.area, t.size) for t in Choice(min_area=50).of(SAMPLE)] == [(80, "small")]


def test_drawing_is_the_same_every_time_and_keeps_the_order() -> None:
    drawn = [[t.number for t in Choice(per_image=2, seed=seed).of(SAMPLE)] for seed in range(20)]
    again = [[t.number for t in Choice(per_image=2, seed=seed).of(SAMPLE)] for seed in range(20)]
    assert drawn == again
    assert all(len(d) == 2 and d == sorted(d) for d in drawn)
    assert len({tuple(d) for d in drawn}) > 1


@pytest.mark.parametrize(
    "options", [{"max_share": 0}, {"max_share": 1.5}, {"min_area": 0}, {"per_image": 0}]
)
def test_a_choice_of_nothing_is_refused(options: Any) -> None:
    with pytest.raises(InputError, match="expected"):
        Choice(**options)
