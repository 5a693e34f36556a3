"""Parts of data sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anymask.data.dataset import Sample
from anymask.data.portion import Portion
from anymask.data.truths import Choice
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
    assert keys(Portion(images=2).of(Stripes(), None)) == ["stripes-0", "stripes-1"]
    assert len(Portion(images=9).of(Stripes(), None)) == 5
    drawn = [tuple(keys(Portion(images=2, draw=n).of(Stripes(), None))) for n in range(9)]
    again = [tuple(keys(Portion(images=2, draw=n).of(Stripes(), None))) for n in range(9)]
    assert drawn == again
    assert len(set(drawn)) > 3
    assert all(list(some) == sorted(some) for some in drawn)


def test_masks_are_drawn_from_those_that_take_part() -> None:
    choice = Choice(min_area=2)
    part = Portion(masks=6, draw=1).of(Stripes(), choice)
    truths = {part.key(i): choice.of(part[i]) for i in range(len(part))}
    assert sum(map(len, truths.values())) == 6
    assert all(truth.area == 8 for some in truths.values() for truth in some)
    everything = Portion(masks=99).of(Stripes(), choice)
    assert sum(len(choice.of(everything[i])) for i in range(len(everything))) == 15
    assert len(everything[4].masks()) == 6  # the others are still there


def test_no_masks_are_drawn_for_protocols_about_whole_images() -> None:
    with pytest.raises(InputError, match="use --images"):
        Portion(masks=3).of(Stripes(), None)


@pytest.mark.parametrize("name", ["images", "masks"])
def test_an_empty_part_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"expected {name} of at least 1, got 0"):
        Portion(**{name: 0})
