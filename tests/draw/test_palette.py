"""Colours: one for each name, wherever it is met."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymask.draw.palette import colours, colours_of_labels
from anymask.masks.masks import Masks

NAMES = st.lists(st.text(max_size=5), max_size=24, unique=True)


@given(NAMES)
def test_names_have_colours_of_their_own_in_any_order(names: list[str]) -> None:
    found = colours_of_labels(names)
    assert len(set(found.values())) == len(names)
    assert colours_of_labels(names[::-1]) == found


def test_a_name_alone_always_has_the_same_colour() -> None:
    code = "from anymask.draw.palette import colours_of_labels as c; print(c(['dog'])['dog'])"
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert said == str(colours_of_labels(["dog", None])["dog"])


def test_few_names_are_far_apart() -> None:
    few = np.array(list(colours_of_labels(["dog", "cat", "horse", "cow", "sheep"]).values()))
    gaps = np.linalg.norm(few[:, None] - few[None].astype(float), axis=2)
    assert gaps[~np.eye(5, dtype=bool)].min() > 50


def test_more_names_than_colours() -> None:
    found = colours_of_labels([f"name {i}" for i in range(60)])
    _, times = np.unique(np.array(list(found.values())), axis=0, return_counts=True)
    assert times.max() <= 3


@pytest.mark.parametrize("n", [0, 1, 100])
def test_every_mask_that_is_not_empty_has_a_colour(n: int) -> None:
    dense = np.zeros((n, 4, 5), dtype=bool)
    dense[: n // 2 + n % 2, 1] = True
    found = colours(Masks.from_dense(dense, labels=[None, "a"] * (n // 2) + [None] * (n % 2)))
    assert sorted(found) == list(range(n // 2 + n % 2))


def test_a_mask_without_name_differs_from_named_ones_that_it_touches() -> None:
    x = np.arange(40)[None, :].repeat(4, axis=0)
    masks = Masks.from_dense(
        np.stack([x < 10, (x >= 10) & (x < 25), x >= 25]), labels=["dog", None, "cat"]
    )
    found = np.array([colours(masks)[i] for i in range(3)], dtype=float)
    assert np.abs(np.diff(found, axis=0)).max(axis=1).min() > 60
