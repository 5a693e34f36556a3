"""Segmentations: every way in which programs write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anymask.errors import InputError
from anymask.formats.segmentation import read_segmentation
from anymask.masks import rle

SQUARE = {"size": [3, 4], "counts": [4, 2, 6]}


@pytest.mark.parametrize(
    "segmentation",
    [
        SQUARE,
        {"size": [3, 4], "counts": rle.to_string(np.uint32([4, 2, 6]))},
        {"size": [3, 4], "counts": rle.to_string(np.uint32([4, 2, 6])).encode()},
        {"size": [3, 4], "counts": [4.0, 2.0, 6.0]},
        [[1, 1, 2, 1, 2, 3, 1, 3]],
        [1, 1, 2, 1, 2, 3, 1, 3],
        [[1, 1], [2, 1], [2, 3], [1, 3]],
        [[[1, 1], [2, 1], [2, 3], [1, 3]]],
        [SQUARE],
        ["1", "1", "2", "1", "2", "3", "1", "3"],
        {"size": ["3", "4"], "counts": [4, 2, 6]},
        [{"size": [3, 4], "counts": [4, 1, 7]}, {"size": [3, 4], "counts": [5, 1, 6]}],
        [{"size": [3, 4], "counts": [4, 1, 7]}, [1, 2, 2, 2, 2, 3, 1, 3]],
        [[1, 1, 2, 1, 2, 3, 1, 3], [0, 0], [0, 0, 1, 1]],
    ],
    ids=[
        "run lengths",
        "string",
        "bytes",
        "run lengths with points",
        "polygon",
        "flat polygon",
        "polygon of pairs",
        "polygons of pairs",
        "list of run lengths",
        "numbers as text",
        "size as text",
        "several run lengths",
        "run lengths and polygons",
        "points and lines beside",
    ],
)
def test_reads_every_kind_of_coco_segmentation(segmentation: object) -> None:
    assert read_segmentation(segmentation, (3, 4)).tolist() == [4, 2, 6]


@pytest.mark.parametrize("segmentation", [None, [], {}, [[]], [[1, 1]], [[1, 1, 2, 2]], [1, 1]])
def test_nothing_covers_nothing(segmentation: object) -> None:
    assert read_segmentation(segmentation, (3, 4)).tolist() == [12]


@pytest.mark.parametrize(
    ("segmentation", "size_hw", "says"),
    [
        ("5", (3, 4), "got '5'"),
        ({"size": [4, 3]}, (3, 4), "polygons or as run lengths"),
        (SQUARE, (4, 3), "that the annotation belongs to"),
        ({"counts": [1, 2]}, (3, 4), "that the annotation belongs to"),
        ({"counts": [14, -2]}, (3, 4), "0 or more"),
        ({"counts": [2**32 + 12]}, (3, 4), "0 or more"),
        ({"counts": [[12], [1, 2]]}, (3, 4), "polygons or as run lengths"),
        ({"counts": []}, (3, 4), "that the annotation belongs to"),
        ({"counts": None}, (3, 4), "polygons or as run lengths"),
        ({"counts": [4.5, 7.5]}, (3, 4), "whole numbers"),
        ([{"size": [4, 3], "counts": [12]}], (3, 4), "that the annotation belongs to"),
        ([{"size": [3, 4]}], (3, 4), "polygons or as run lengths"),
        ([[1, 2, 3]], (3, 4), "polygons or as run lengths"),
        ([["a", "b"]], (3, 4), "polygons or as run lengths"),
    ],
)
def test_unfit_segmentations_are_refused(
    segmentation: Any, size_hw: tuple[int, int], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        read_segmentation(segmentation, size_hw)
