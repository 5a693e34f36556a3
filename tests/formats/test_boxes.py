"""Boxes of many images in one file."""

from __future__ import annotations

import io
import json

import pytest

from anymask.detections import Detections
from anymask.formats import boxes


def test_categories_are_shared_and_numbers_run_on() -> None:
    file = io.BytesIO()
    first = Detections((48, 64), [(1, 2, 3, 4), (5, 5, 9, 9)], [0.5, 0.4], ["cup", None])
    second = Detections((30, 20), [(0, 0, 2, 2), (1, 1, 4, 4)], [0.9, 0.8], ["object", "cup"])
    with boxes.writer(file) as add:
        add(first, "a.jpg")
        add(Detections.empty((5, 5)), "none.jpg")
        add(second, "in/b.jpg")
    document = json.loads(file.getvalue())
    assert [one["id"] for one in document["annotations"]] == [1, 2, 3, 4]
    assert [one["image_id"] for one in document["annotations"]] == [1, 1, 3, 3]
    assert len(document["categories"]) == 3
    for found, name in ((first, "a.jpg"), (second, "in/b.jpg")):
        again = Detections.load(file.getvalue(), name)
        assert again.labels == found.labels
        assert again.boxes.tolist() == found.boxes.tolist()
    assert len(Detections.load(file.getvalue(), "none.jpg")) == 0


def test_after_an_error_there_is_no_file(tmp_path) -> None:
    with pytest.raises(KeyError), boxes.writer(tmp_path / "a.json") as add:
        add(Detections.empty((5, 5)), "a.jpg")
        raise KeyError
    assert list(tmp_path.iterdir()) == []
