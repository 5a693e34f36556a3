"""Masks of a clip in one JSON file."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest

from anymask.errors import InputError
from anymask.formats import youtube_vis
from anymask.masks import rle
from anymask.masks.masks import Masks


def frame(column: int | None, status: str = "tracked") -> Masks:
    dense = np.zeros((1, 4, 6), bool)
    if column is not None:
        dense[0, 1:3, column : column + 2] = True
    return Masks.from_dense(dense, ids=[1], labels=["cup"], scores=[0.5], meta=[{"status": status}])


def written(frames: list[Masks], names: list[str], **more: Any) -> Any:
    file = io.BytesIO()
    youtube_vis.write(
        file, iter(frames), name="clip", size_hw=(4, 6), things=[(1, "cup"), (2, "cup"), (3, "é")],
        file_names=names, **more,
    )  # fmt: skip
    return json.loads(file.getvalue())


def test_a_thing_is_an_annotation_with_a_list_over_frames() -> None:
    frames = [frame(0, "prompted"), frame(None, "lost"), frame(3)]
    found = written(frames, ["0.png", "1.png", "2.png"], times=[0.0, 0.04, 0.15])
    (video,) = found["videos"]
    assert (video["width"], video["height"], video["length"]) == (6, 4, 3)
    assert video["file_names"] == ["0.png", "1.png", "2.png"] and video["times"][2] == 0.15
    cup, other, third = found["annotations"]
    assert [c["name"] for c in found["categories"]] == ["cup", "é"]
    assert (cup["category_id"], other["category_id"], third["category_id"]) == (1, 1, 2)
    assert cup["bboxes"] == [[0, 1, 2, 2], None, [3, 1, 2, 2]]
    assert cup["areas"] == [4, None, 4] and cup["status"] == ["prompted", "lost", "tracked"]
    assert cup["scores"] == [0.5] * 3 and other["segmentations"] == [None] * 3
    counts = rle.from_string(cup["segmentations"][2]["counts"])
    assert np.array_equal(rle.decode(counts, (4, 6)), frame(3).dense()[0])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_the_masks() -> None:
    reader = pytest.importorskip("pycocotools.mask")
    found = written([frame(2)], ["0.png"])
    mask = found["annotations"][0]["segmentations"][0]
    assert np.array_equal(reader.decode(mask).astype(bool), frame(2).dense()[0])


def test_names_that_are_too_few() -> None:
    with pytest.raises(InputError, match="got 1 for 2"):
        written([frame(0), frame(1)], ["0.png"])
