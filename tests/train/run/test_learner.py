"""The small parts of a learner; what it learns is tested with the loop."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from anymask.train.run.learner import images_of, means


def test_means_are_over_those_that_have_a_number() -> None:
    assert means([{"a": 1.0}, {"a": 3.0, "b": 5.0}]) == {"a": 2.0, "b": 5.0}
    assert means([]) == {}


@pytest.mark.parametrize(
    ("batch", "images"),
    [
        ([SimpleNamespace(key="a"), SimpleNamespace(key="b")], ["a", "b"]),
        (SimpleNamespace(key="a"), ["a"]),
        ([1, 2], []),
        ({"image": 1}, []),
    ],
)
def test_images_of_a_batch(batch: Any, images: list[str]) -> None:
    assert images_of(batch) == images
