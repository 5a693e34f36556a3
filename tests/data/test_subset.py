"""Parts of data sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anymask.data.dataset import Sample
from anymask.data.mask_filter import MaskFilter
from anymask.data.subset import SubsetSpec
from anymask.errors import InputError


class Stripes:
    """Five images, with i + 1 masks of 8 pixels each and one of a single pixel."""

    def __len__(self) -> int:
        return 5

    def key(self, index: int) -> str:
        return f"stripes-{index}"

    def __getitem__(self, index: int) -> Sample:
        labels = np.zeros((8, 8), np.uint8)
        labels[: index + 1] = np.arange(1, index + 2)[:, None]
        labels[7, 0] = 9
        meta = {"set": "stripes", "id": self.key(index)}
        return Sample(np.zeros((8, 8, 3), np.uint8), (labels,), meta)


def keys(data: Any) -> list[str]:
    return [data.key(i) for i in range(len(data))]


def test_the_first_images_or_some_drawn_by_a_seed() -> None:
    assert keys(SubsetSpec(images=2).take(Stripes())) == ["stripes-0", "stripes-1"]
    assert len(SubsetSpec(images=9).take(Stripes())) == 5
    drawn = [tuple(keys(SubsetSpec(images=2, draw=n).take(Stripes()))) for n in range(9)]
    again = [tuple(keys(SubsetSpec(images=2, draw=n).take(Stripes()))) for n in range(9)]
    assert drawn == again
    assert len(set(drawn)) > 3
    assert all(list(some) == sorted(some) for some in drawn)


def test_masks_are_drawn_from_those_that_take_part() -> None:
    mask_filter = MaskFilter(min_area=2)
    part = SubsetSpec(masks=6, draw=1).take(Stripes(), mask_filter)
    truths = {part.key(i): mask_filter.select(part[i]) for i in range(len(part))}
    assert sum(map(len, truths.values())) == 6
    assert all(truth.area == 8 for some in truths.values() for truth in some)
    everything = SubsetSpec(masks=99).take(Stripes(), mask_filter)
    assert sum(len(mask_filter.select(everything[i])) for i in range(len(everything))) == 15
    assert len(everything[4].masks()) == 6  # the others are still there


def test_no_masks_are_drawn_for_protocols_about_whole_images() -> None:
    with pytest.raises(InputError, match="use --images"):
        SubsetSpec(masks=3).take(Stripes())


@pytest.mark.parametrize("name", ["images", "masks"])
def test_an_empty_part_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"expected {name} of at least 1, got 0"):
        SubsetSpec(**{name: 0})
