"""Several data sets as one, and data sets with changed copies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anymask.data.dataset import Sample
from anymask.data.joined import Joined
from anymask.data.views import Views


class Named:
    """Grey images of one pixel by their names."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def key(self, index: int) -> str:
        return self.names[index]

    def __getitem__(self, index: int) -> Sample:
        image = np.full((1, 1, 3), ord(self.names[index]), np.uint8)
        return Sample(image, (np.ones((1, 1), np.uint8),))


@pytest.mark.parametrize(
    ("sets", "keys"),
    [
        ([], []),
        ([Named("a", "b")], ["a", "b"]),
        ([Named("a", "b"), Named(), Named("c")], ["a", "b", "c"]),
        ([Named("a", "b"), Named("b"), Named("b", "c")], ["a", "1-b", "2-b", "3-b", "c"]),
    ],
)
def test_sets_follow_one_another(sets: list[Named], keys: list[str]) -> None:
    data = Joined(sets)
    assert [data.key(i) for i in range(len(data))] == keys
    letters = [chr(data[i].image[0, 0, 0]) for i in range(len(data))]
    assert letters == [key[-1] for key in keys]
    for index in (-1, len(data)):
        with pytest.raises(IndexError):
            data[index]


def darker(sample: Sample, rng: np.random.Generator) -> Sample:
    return replace(sample, image=sample.image - rng.integers(1, 60, dtype=np.uint8))


def test_copies_come_behind_their_image() -> None:
    data = Views(Named("a", "b"), 2, [darker], seed=7)
    assert [data.key(i) for i in range(len(data))] == ["a", "a~7.1", "a~7.2", "b", "b~7.1", "b~7.2"]
    shades = [int(data[i].image[0, 0, 0]) for i in range(6)]
    assert shades[::3] == [ord("a"), ord("b")]
    assert shades[1] < shades[0]
    assert len(set(shades)) == 6
    assert [int(data[i].image[0, 0, 0]) for i in range(6)] == shades


def test_without_copies_it_is_the_data_set() -> None:
    data = Views(Named("a", "b"), 0, [darker])
    assert [(data.key(i), data[i].image[0, 0, 0]) for i in range(len(data))] == [
        ("a", ord("a")),
        ("b", ord("b")),
    ]
