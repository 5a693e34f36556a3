"""Thin lines: by hand, and against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anymask.evaluate.edges.thinning import boundary_of, thin

MAPS = arrays(np.bool_, st.tuples(st.integers(1, 30), st.integers(1, 30)))


def test_a_boundary_lies_between_labels_and_is_thin() -> None:
    labels = np.zeros((6, 8), int)
    labels[:, 4:] = 1
    expected = np.zeros((6, 8), bool)
    expected[:, 3] = True
    assert np.array_equal(boundary_of(labels), expected)
    assert not boundary_of(np.ones((5, 5))).any()


def test_a_bar_becomes_a_line() -> None:
    bar = np.zeros((9, 20), bool)
    bar[3:6, 2:18] = True
    thinned = thin(bar)
    assert thinned.sum(axis=0).max() == 1
    assert thinned[4, 3:17].all()


@given(MAPS)
def test_thin_lines_stay_as_they_are(drawn: np.ndarray) -> None:
    once = thin(drawn)
    assert not (once & ~drawn).any()
    assert np.array_equal(thin(once), once)


@given(MAPS)
def test_the_same_pixels_stay_as_in_scikit_image(drawn: np.ndarray) -> None:
    morphology = pytest.importorskip("skimage.morphology")
    assert np.array_equal(thin(drawn), morphology.thin(drawn))


def test_larger_pictures_are_thinned_alike() -> None:
    morphology = pytest.importorskip("skimage.morphology")
    y, x = np.mgrid[:120, :150]
    waves = np.sin(x / 7) + np.cos(y / 5 + x / 20)
    for level in (-1, -0.3, 0, 0.5):
        assert np.array_equal(thin(waves > level), morphology.thin(waves > level))
