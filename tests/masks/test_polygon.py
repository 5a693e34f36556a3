from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from pycocotools import mask as reference

from anymask.errors import InputError
from anymask.masks import polygon, rle

PARITY = Path(__file__).resolve().parents[1] / "parity"
GOLDEN = json.loads((PARITY / "rle" / "rle.json").read_text())


@pytest.mark.parametrize("case", GOLDEN["polygons"])
def test_equals_the_golden_polygons(case: dict[str, Any]) -> None:
    counts = polygon.fill([np.reshape(case["polygon"], (-1, 2))], case["size"])
    assert rle.to_string(counts) == case["counts"]
    assert rle.area(counts) == case["area"]


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
corners = st.integers(-150, 350).map(lambda tenth: tenth / 10)


@given(sizes, st.lists(st.tuples(corners, corners), min_size=3, max_size=9))
def test_equals_pycocotools(size_hw: tuple[int, int], outline: list[tuple[float, float]]) -> None:
    counts = polygon.fill([np.array(outline)], size_hw)
    flat = [value for corner in outline for value in corner]
    expected = reference.frPyObjects([flat], *size_hw)[0]
    assert rle.to_string(counts).encode() == expected["counts"]


def test_several_are_united() -> None:
    left, right = [[0, 0], [1, 0], [1, 3], [0, 3]], [[3, 0], [4, 0], [4, 3], [3, 3]]
    assert polygon.fill([left, right], (3, 4)).tolist() == [0, 3, 6, 3]
    assert polygon.fill([], (3, 4)).tolist() == [12]


@pytest.mark.parametrize(
    ("outline", "says"),
    [
        (np.zeros((2, 2)), "at least 3 corners"),
        ([[0, 0], [1, np.nan], [2, 2]], "nan"),
        ([[0, 0], [1, 1], [2e9, 2]], "2000000000"),
    ],
)
def test_unfit_outlines_are_refused(outline: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        polygon.fill([outline], (3, 4))
