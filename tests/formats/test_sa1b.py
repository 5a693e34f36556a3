from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask.errors import InputError
from anymask.formats import sa1b
from anymask.formats.annotation import prompt_fields
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.prompt import Prompt


def written(masks: Masks, path: Path) -> dict[str, Any]:
    sa1b.write(path, masks)
    return json.loads(path.read_text())


def test_comes_back(masks: Masks, tmp_path: Path) -> None:
    sa1b.write(tmp_path / "masks.json", masks)
    back = sa1b.read(tmp_path / "masks.json")
    assert replace(back, prompts=()) == replace(masks, prompts=())
    assert list(map(prompt_fields, back.prompts)) == list(map(prompt_fields, masks.prompts))


@pytest.mark.parametrize("masks", [Masks.empty((3, 5)), Masks.from_dense(np.ones((1, 1), bool))])
def test_the_least_comes_back(masks: Masks, tmp_path: Path) -> None:
    sa1b.write(tmp_path / "masks.json", masks)
    assert sa1b.read(tmp_path / "masks.json") == masks


def test_equals_the_golden_records(tmp_path: Path, parity_dir: Path) -> None:
    golden = json.loads((parity_dir / "amg" / "explicit_grid.json").read_text())
    records = golden["records"]
    crops = np.float32([record["crop_box"] for record in records])
    masks = Masks(
        (golden["scene"]["height"], golden["scene"]["width"]),
        tuple(rle.from_string(record["segmentation"]["counts"]) for record in records),
        scores=np.float32([record["predicted_iou"] for record in records]),
        stability=np.float32([record["stability_score"] for record in records]),
        prompts=tuple(Prompt(points_xy=record["point_coords"]) for record in records),
        crop_boxes=np.concatenate([crops[:, :2], crops[:, :2] + crops[:, 2:]], axis=1),
    )
    annotations = written(masks, tmp_path / "masks.json")["annotations"]
    assert [annotation.pop("id") for annotation in annotations] == [1, 2, 3, 4]
    for ours, record in zip(annotations, records, strict=True):
        points = ours.pop("point_coords")
        np.testing.assert_allclose(points, record.pop("point_coords"), rtol=1e-6)
        assert ours == record


def test_has_the_layout_of_the_data_set(masks: Masks, tmp_path: Path) -> None:
    document = written(replace(masks, model=None), tmp_path / "masks.json")
    assert document["image"] == {
        "image_id": 42,
        "width": 60,
        "height": 40,
        "file_name": "truck_0042.jpg",
    }
    assert document.keys() == {"image", "annotations"}
    pixel = written(Masks.from_dense(np.eye(1, dtype=bool)), tmp_path / "pixel.json")
    assert pixel["annotations"][0]["bbox"] == [0, 0, 0, 0]
    assert pixel["annotations"][0].keys() == {
        "id",
        "segmentation",
        "bbox",
        "area",
        "predicted_iou",
        "stability_score",
        "point_coords",
        "crop_box",
    }


def test_names_the_image_without_its_folder(masks: Masks, tmp_path: Path) -> None:
    document = written(replace(masks, source="/home/somebody/a.jpg"), tmp_path / "masks.json")
    assert document["image"]["file_name"] == "a.jpg"
    assert document["image"]["image_id"] == 1


def test_what_masks_are_comes_back(masks: Masks, tmp_path: Path) -> None:
    named = replace(
        masks,
        labels=("dog", None, "\u732b", "dog"),
        ids=(5, 6, None, 2**40),
        meta=({"note": [1, {"a": None}]}, {}, {"iscrowd": 1}, {}),
        image_meta={"camera": "left", "id": 7},
    )
    document = written(named, tmp_path / "masks.json")
    assert [entry.get("label") for entry in document["annotations"]] == list(named.labels)
    assert document["annotations"][0]["track_id"] == 5
    assert document["image"]["image_id"] == 7
    back = sa1b.read(tmp_path / "masks.json")
    assert replace(back, prompts=()) == replace(named, prompts=())


def test_fields_of_others_come_back(tmp_path: Path) -> None:
    document = {
        **GOOD,
        "image": {**GOOD["image"], "image_id": 223750, "file_name": "sa_5.jpg", "place": "x"},
        "annotations": [{**GOOD["annotations"][0], "id": 1300, "quality": "good"}],
        "made by": "somebody",
    }
    (tmp_path / "masks.json").write_text(json.dumps(document))
    masks = sa1b.read(tmp_path / "masks.json")
    assert masks.meta == ({"quality": "good", "id": 1300},)
    again = written(masks, tmp_path / "again.json")
    assert again["image"] == document["image"]
    assert again["made by"] == "somebody"
    assert again["annotations"][0]["id"] == 1300
    assert sa1b.read(tmp_path / "again.json") == masks


GOOD: dict[str, Any] = {
    "image": {"width": 4, "height": 3},
    "annotations": [{"segmentation": {"size": [3, 4], "counts": [4, 2, 6]}}],
}


def test_reads_the_least_there_can_be(tmp_path: Path) -> None:
    (tmp_path / "masks.json").write_text(json.dumps(GOOD))
    masks = sa1b.read(tmp_path / "masks.json")
    assert masks == Masks((3, 4), (np.uint32([4, 2, 6]),))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image": None}, "expected the values of its format"),
        ({"image": {"width": 4}}, "a field 'height'"),
        ({"image": {"width": "x", "height": 3}}, "invalid literal"),
        ({"image": {"width": 5, "height": 3}}, "annotation 1: expected run lengths of an image"),
        ({"annotations": None}, "expected the values of its format"),
        ({"annotations": [3]}, "annotation 1"),
        ({"annotations": [{}]}, "annotation 1: expected a field 'segmentation'"),
        ({"annotations": GOOD["annotations"] + [{"segmentation": "x"}]}, "annotation 2"),
        ({"annotations": [{**GOOD["annotations"][0], "crop_box": [1]}]}, "annotation 1"),
        ({"annotations": [{**GOOD["annotations"][0], "predicted_iou": "x"}]}, "'x'"),
        ({"annotations": [{**GOOD["annotations"][0], "point_coords": [[1]]}]}, "annotation 1"),
    ],
)
def test_says_what_is_wrong(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    (tmp_path / "masks.json").write_text(json.dumps(GOOD | change))
    with pytest.raises(InputError, match=says) as caught:
        sa1b.read(tmp_path / "masks.json")
    assert "masks.json" in str(caught.value)
