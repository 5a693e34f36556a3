from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from anymask.errors import InputError, OutputError
from anymask.formats import coco
from anymask.formats.annotation import prompt_fields
from anymask.masks.masks import Masks


@pytest.fixture
def several(masks: Masks) -> list[Masks]:
    other = Masks.from_dense(np.eye(7, 9, dtype=bool)[None], source="b/small.jpg")
    return [masks, Masks.empty((5, 5), source="nothing.jpg"), other]


def test_comes_back(masks: Masks, tmp_path: Path) -> None:
    coco.write(tmp_path / "masks.json", masks)
    back = coco.read(tmp_path / "masks.json")
    assert replace(back, prompts=()) == replace(masks, prompts=(), crop_boxes=None)
    assert list(map(prompt_fields, back.prompts)) == list(map(prompt_fields, masks.prompts))


def test_several_images_come_back(several: list[Masks], tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    coco.write(path, iter(several))
    back = coco.read_all(path)
    assert [entry.source for entry in back] == ["truck_0042.jpg", "nothing.jpg", "b/small.jpg"]
    assert back[1:] == several[1:]
    assert coco.read(path, file_name="b/small.jpg") == several[2]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # theirs
def test_pycocotools_reads_it(several: list[Masks], tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    coco.write(path, several)
    data = COCO(str(path))
    assert data.getCatIds() == [1]
    assert [image["file_name"] for image in data.loadImgs(data.getImgIds())] == [
        entry.source for entry in several
    ]
    for image_id, masks in zip(data.getImgIds(), several, strict=True):
        annotations = data.loadAnns(data.getAnnIds(image_id))
        assert len(annotations) == len(masks)
        for annotation, mask in zip(annotations, masks, strict=True):
            np.testing.assert_array_equal(data.annToMask(annotation), mask.dense()[0])
            assert annotation["area"] == mask.areas[0]
            assert annotation["iscrowd"] == 0


def test_pycocotools_evaluates_it(masks: Masks, tmp_path: Path) -> None:
    full = masks[masks.areas > 0]
    coco.write(tmp_path / "true.json", full)
    truth = COCO(str(tmp_path / "true.json"))
    found = [entry | {"score": 1.0} for entry in truth.loadAnns(truth.getAnnIds())]
    evaluation = COCOeval(truth, truth.loadRes(found), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (None, ""),
        ("truck.jpg", "truck.jpg"),
        ("day-1/truck.jpg", "day-1/truck.jpg"),
        ("/home/somebody/truck.jpg", "truck.jpg"),
        ("../../truck.jpg", "truck.jpg"),
    ],
)
def test_image_names(source: str | None, name: str, tmp_path: Path) -> None:
    coco.write(tmp_path / "masks.json", Masks.empty((3, 4), source=source))
    document = json.loads((tmp_path / "masks.json").read_text())
    assert document["images"] == [{"id": 1, "width": 4, "height": 3, "file_name": name}]
    assert coco.read(tmp_path / "masks.json").source == (name or None)


def test_an_error_in_between_leaves_no_file(several: list[Masks], tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), coco.writer(tmp_path / "all.json") as add:
        add(several[0])
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place(several: list[Masks], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="create it first"):
        coco.write(tmp_path / "missing" / "all.json", several)


FOREIGN = {
    "images": [{"id": 7, "width": 4, "height": 3, "file_name": "a.jpg"}],
    "annotations": [
        {"id": 1, "image_id": 7, "segmentation": [[1, 1, 2, 1, 2, 3, 1, 3]], "category_id": 3},
        {"id": 2, "image_id": 7, "segmentation": {"size": [3, 4], "counts": [0, 12]}, "iscrowd": 1},
    ],
}


def test_reads_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "masks.json").write_text(json.dumps(FOREIGN))
    masks = coco.read(tmp_path / "masks.json")
    assert [counts.tolist() for counts in masks.counts] == [[4, 2, 6], [0, 12]]
    assert masks.source == "a.jpg"
    assert np.isnan(masks.scores).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"images": []}, "expected one image, got 0 of 0"),
        ({"images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "b"}]}, "'a', 'b'"),
        ({"images": [{"id": 7, "file_name": "a"}]}, "a field 'height'"),
        ({"images": 3}, "not iterable"),
        ({"annotations": [{"image_id": 8}]}, "one of image 8"),
        ({"annotations": [{"id": 5, "image_id": 7}]}, "annotation 5: expected a field 'segm"),
        ({"annotations": [{"id": 5, "image_id": 7, "segmentation": [[1, 2]]}]}, "3 corners"),
    ],
)
def test_says_what_is_wrong(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    (tmp_path / "masks.json").write_text(json.dumps(FOREIGN | change))
    with pytest.raises(InputError, match=says) as caught:
        coco.read(tmp_path / "masks.json")
    assert "masks.json" in str(caught.value)


def test_an_image_that_is_not_there(several: list[Masks], tmp_path: Path) -> None:
    coco.write(tmp_path / "all.json", several)
    with pytest.raises(InputError, match=r"one image named 'x\.jpg', got 0 of 3"):
        coco.read(tmp_path / "all.json", file_name="x.jpg")
