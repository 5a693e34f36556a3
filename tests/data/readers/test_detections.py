"""A detector's boxes in a file."""

from __future__ import annotations

from typing import Any

import pytest

from anymask.data.readers.detections import read_detections
from anymask.errors import InputError

ONE = {"image_id": 4, "category_id": 2, "bbox": [1, 2, 3, 4.5], "score": 0.5}


def test_boxes_come_by_image_best_first(folder: Any) -> None:
    path = folder.json("boxes.json", [ONE, {**ONE, "score": 0.9}, {**ONE, "image_id": 3}])
    found = read_detections(path)
    assert [one.score for one in found[4]] == [0.9, 0.5]
    assert found[3][0].box == (1, 2, 4, 6.5)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({}, "expected a list of detections"),
        ([{**ONE, "bbox": [1, 2, 3]}], "cannot read detection 1"),
        ([ONE, {"image_id": 4}], "cannot read detection 2 .*'bbox'"),
        ([{**ONE, "bbox": [1, 2, -3, 4]}], "width and height of at least 0"),
        ([{**ONE, "score": float("nan")}], "cannot read detection 1"),
        ([7], "cannot read detection 1"),
    ],
)
def test_damaged_files_are_refused(folder: Any, content: Any, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        read_detections(folder.json("boxes.json", content))
