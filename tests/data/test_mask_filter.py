"""Which masks take part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anymask.data.dataset import Sample
from anymask.data.mask_filter import MaskFilter
from anymask.errors import InputError

LABELS = np.zeros((10, 10), np.uint8)
LABELS[0, :2], LABELS[1, :5], LABELS[2:] = 1, 2, 3  # 2, 5 and 80 pixels
SAMPLE = Sample(np.zeros((10, 10, 3), np.uint8), (LABELS,), {"set": "s", "id": "a"})


def test_small_and_large_masks_can_be_left_out() -> None:
    assert [t.number for t in MaskFilter().select(SAMPLE)] == [0, 1, 2]
    assert [t.number for t in MaskFilter(min_area=5).select(SAMPLE)] == [1, 2]
    assert [t.number for t in MaskFilter(max_share=0.5).select(SAMPLE)] == [0, 1]
    assert [(t.area, t.size) for t in MaskFilter(min_area=50).select(SAMPLE)] == [(80, "small")]


def test_drawing_is_the_same_every_time_and_keeps_the_order() -> None:
    drawn = [
        [t.number for t in MaskFilter(per_image=2, seed=seed).select(SAMPLE)] for seed in range(20)
    ]
    again = [
        [t.number for t in MaskFilter(per_image=2, seed=seed).select(SAMPLE)] for seed in range(20)
    ]
    assert drawn == again
    assert all(len(d) == 2 and d == sorted(d) for d in drawn)
    assert len({tuple(d) for d in drawn}) > 1


@pytest.mark.parametrize(
    "options", [{"max_share": 0.0}, {"max_share": 1.5}, {"min_area": 0}, {"per_image": 0}]
)
def test_a_filter_of_nothing_is_refused(options: Any) -> None:
    with pytest.raises(InputError, match="expected"):
        MaskFilter(**options)


def test_labels_are_selected_by_the_same_rules_in_random_order() -> None:
    layers, rng = np.stack([LABELS, np.full_like(LABELS, 7)]), np.random.default_rng(0)

    def chosen(mask_filter: MaskFilter) -> list[tuple[int, ...]]:
        return [tuple(pair) for pair in mask_filter.select_labels(layers, rng).tolist()]

    assert sorted(chosen(MaskFilter())) == [(0, 1), (0, 2), (0, 3), (1, 7)]
    assert sorted(chosen(MaskFilter(min_area=5, max_share=0.9))) == [(0, 2), (0, 3)]
    drawn = {tuple(chosen(MaskFilter(per_image=2))) for _ in range(40)}
    assert {len(some) for some in drawn} == {2}
    assert {pair for some in drawn for pair in some} == {(0, 1), (0, 2), (0, 3), (1, 7)}
    assert any(some != tuple(sorted(some)) for some in drawn)


def test_nothing_fits_is_an_empty_selection() -> None:
    none = MaskFilter(min_area=101).select_labels(LABELS[None], np.random.default_rng(0))
    assert none.shape == (0, 2)
