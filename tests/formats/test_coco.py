from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import anymask
from anymask.errors import InputError, OutputError
from anymask.formats import coco
from anymask.formats.annotation import prompt_fields
from anymask.masks.masks import Masks


@pytest.fixture
def several(masks: Masks) -> list[Masks]:
    other = Masks.from_dense(np.eye(7, 9, dtype=bool)[None], source="b/small.jpg")
    return [masks, Masks.empty((5, 5), source="nothing.jpg"), other]


def bare(masks: Masks, **change: Any) -> Masks:
    """Leave out the numbers that a file gives to images and annotations."""
    return replace(masks, meta=(), image_meta={}, **change)


def test_comes_back(masks: Masks, tmp_path: Path) -> None:
    coco.write(tmp_path / "masks.json", masks)
    back = coco.read(tmp_path / "masks.json")
    assert back.meta == tuple({"id": i + 1} for i in range(4))
    assert back.image_meta == {"id": 1}
    assert bare(back, prompts=()) == replace(masks, prompts=(), crop_boxes=None)
    assert list(map(prompt_fields, back.prompts)) == list(map(prompt_fields, masks.prompts))


def test_several_images_come_back(several: list[Masks], tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    coco.write(path, iter(several))
    back = coco.read_all(path)
    assert [entry.source for entry in back] == ["truck_0042.jpg", "nothing.jpg", "b/small.jpg"]
    assert [bare(entry) for entry in back[1:]] == several[1:]
    assert bare(coco.read(path, file_name="b/small.jpg")) == several[2]
    assert bare(coco.read(path, image_id=3)) == several[2]


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
    assert masks.labels == (None, None)
    assert masks.meta == ({"id": 1, "category": {"id": 3}}, {"id": 2, "iscrowd": 1})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"images": []}, "expected one image, got 0 of 0"),
        ({"images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "b"}]}, "'a', 'b'"),
        ({"images": [{"id": 7, "file_name": "a"}]}, "a field 'height'"),
        ({"images": 3}, "not iterable"),
        ({"annotations": [{"id": 5, "segmentation": []}]}, "a field 'image_id'"),
        (
            {"annotations": [{"id": 5, "image_id": 7, "segmentation": [[1, 2, 3]]}]},
            "n 5: .*polyg",
        ),
        ({"annotations": [{"id": 5, "image_id": 7, "iscrowd": 2}]}, "iscrowd of 0 or 1, got 2"),
        ({"annotations": [{"id": 5, "image_id": 7, "anymask_meta": 2}]}, "as an object, got int"),
    ],
)
def test_says_what_is_wrong(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    (tmp_path / "masks.json").write_text(json.dumps(FOREIGN | change))
    with pytest.raises(InputError, match=says) as caught:
        coco.read(tmp_path / "masks.json")
    assert "masks.json" in str(caught.value)


def test_images_of_one_id(tmp_path: Path) -> None:
    (tmp_path / "masks.json").write_text(json.dumps({**FOREIGN, "images": FOREIGN["images"] * 2}))
    with pytest.raises(InputError, match="2 images with ids of their own, got 1 different"):
        coco.read_all(tmp_path / "masks.json")


def test_an_image_that_is_not_there(several: list[Masks], tmp_path: Path) -> None:
    coco.write(tmp_path / "all.json", several)
    with pytest.raises(InputError, match=r"one image named 'x\.jpg', got 0 of 3"):
        coco.read(tmp_path / "all.json", file_name="x.jpg")
    with pytest.raises(InputError, match="one image with id 9, got 0 of 3"):
        coco.read(tmp_path / "all.json", image_id=9)


# ------------------------------------------------------------------- there and back


def box(x: int, y: int, w: int, h: int) -> list[int]:
    return [x, y, x + w, y, x + w, y + h, x, y + h]


ZOO: dict[str, Any] = {
    "info": {"description": "a zoo", "year": 2026},
    "licenses": [{"id": 3, "name": "CC BY"}],
    "categories": [
        {"id": 18, "name": "dog", "supercategory": "animal", "keypoints": ["nose"]},
        {"id": 17, "name": "cat", "supercategory": "animal"},
        {"id": 1, "name": "person", "supercategory": "person", "colour": [255, 0, 0]},
        {"id": 90, "name": "nobody has this", "supercategory": "none"},
    ],
    "images": [
        {"id": 139, "file_name": "a.jpg", "width": 60, "height": 40, "license": 3, "coco_url": "x"},
        {"id": 285, "file_name": "b.jpg", "width": 60, "height": 40, "date_captured": "today"},
        {"id": 632, "file_name": "c.jpg", "width": 6, "height": 4, "neg_category_ids": [18]},
    ],
    "annotations": [
        {
            "id": 1001,
            "image_id": 139,
            "category_id": 18,
            "iscrowd": 0,
            "segmentation": [box(2, 3, 20, 10), box(30, 5, 5, 5)],
            "area": 225.5,
            "bbox": [2, 3, 33, 10],
            "attributes": {"occluded": True, "tags": ["wet", None]},
            "keypoints": [5, 6, 2],
            "num_keypoints": 1,
        },
        {
            "id": 900100,
            "image_id": 139,
            "category_id": 1,
            "iscrowd": 1,
            "segmentation": {"size": [40, 60], "counts": [100, 200, 2100]},
        },
        {
            "id": 7,
            "image_id": 139,
            "category_id": 17,
            "iscrowd": 0,
            "segmentation": box(4, 4, 8, 8),
            "score": 0.75,
            "track_id": 12,
        },
        {
            "id": 8,
            "image_id": 285,
            "category_id": 18,
            "iscrowd": 0,
            "segmentation": [{"size": [40, 60], "counts": [0, 30, 2370]}],
            "track_id": "rex",
        },
    ],
}


def read_zoo(tmp_path: Path) -> list[Masks]:
    (tmp_path / "zoo.json").write_text(json.dumps(ZOO))
    return coco.read_all(tmp_path / "zoo.json")


def test_says_what_masks_are(tmp_path: Path) -> None:
    first, second, third = read_zoo(tmp_path)
    assert first.labels == ("dog", "person", "cat")
    assert first.ids == (None, None, 12)
    assert first.areas.tolist() == [225, 200, 64]
    assert [meta["category"]["supercategory"] for meta in first.meta] == [
        "animal",
        "person",
        "animal",
    ]
    assert [meta.get("iscrowd") for meta in first.meta] == [None, 1, None]
    assert first.meta[0]["attributes"] == {"occluded": True, "tags": ["wet", None]}
    assert (second.labels, second.ids, second.meta[0]["track_id"]) == (("dog",), (None,), "rex")
    assert len(third) == 0
    assert third.image_meta["neg_category_ids"] == [18]


def without_pixels(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a document what describes pixels."""
    pixels = ("segmentation", "area", "bbox")
    entries = [
        {k: v for k, v in entry.items() if k not in pixels} for entry in document["annotations"]
    ]
    return {**document, "annotations": entries}


def test_a_foreign_file_comes_back_whole(tmp_path: Path) -> None:
    masks = read_zoo(tmp_path)
    coco.write(tmp_path / "again.json", masks)
    again = json.loads((tmp_path / "again.json").read_text())
    assert without_pixels(again) == without_pixels(ZOO)
    assert coco.read_all(tmp_path / "again.json") == masks


def test_what_is_left_after_choosing_keeps_its_ids(tmp_path: Path) -> None:
    first = read_zoo(tmp_path)[0]
    for chosen, places in ((first[1:], [1, 2]), (first.nms(0.9), [2, 0, 1])):
        coco.write(tmp_path / "part.json", chosen)
        part = json.loads((tmp_path / "part.json").read_text())
        whole = [without_pixels(ZOO)["annotations"][i] for i in places]
        assert without_pixels(part)["annotations"] == whole
        assert part["categories"] == ZOO["categories"]
        assert part["images"] == ZOO["images"][:1]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # theirs
@pytest.mark.parametrize("polygons", [False, True])
def test_pycocotools_sees_the_same_masks_and_categories(polygons: bool, tmp_path: Path) -> None:
    first = read_zoo(tmp_path)[0]
    coco.write(tmp_path / "again.json", first, polygons=polygons)
    ours, theirs = COCO(str(tmp_path / "again.json")), COCO(str(tmp_path / "zoo.json"))
    assert ours.loadCats(ours.getCatIds()) == theirs.loadCats(theirs.getCatIds())
    assert ours.getAnnIds(iscrowd=True) == [900100]
    for number, mask in zip((1001, 900100, 7), first.dense(), strict=True):
        (entry,) = ours.loadAnns(number)
        assert isinstance(entry["segmentation"], list) == (polygons and number != 900100)
        np.testing.assert_array_equal(ours.annToMask(entry), mask)


def test_through_sa1b_and_back_to_coco(tmp_path: Path) -> None:
    first = read_zoo(tmp_path)[0]
    first.save(tmp_path / "as-sa1b.json", format="sa1b")
    back = anymask.read(tmp_path / "as-sa1b.json")
    assert back == first
    coco.write(tmp_path / "again.json", back)
    again = json.loads((tmp_path / "again.json").read_text())
    assert without_pixels(again)["annotations"] == without_pixels(ZOO)["annotations"][:3]
    assert again["categories"] == ZOO["categories"]


def test_a_changed_label_is_another_category(tmp_path: Path) -> None:
    first = read_zoo(tmp_path)[0]
    coco.write(tmp_path / "new.json", replace(first, labels=("cat", "wolf", None)))
    document = json.loads((tmp_path / "new.json").read_text())
    made = {c["id"]: c["name"] for c in document["categories"] if c not in ZOO["categories"]}
    assert sorted(made.values()) == ["object", "wolf"]
    assert [made.get(a["category_id"], a["category_id"]) for a in document["annotations"]] == [
        17,
        "wolf",
        "object",
    ]
    assert coco.read(tmp_path / "new.json").labels == ("cat", "wolf", None)


def test_labels_alone_make_categories(masks: Masks, tmp_path: Path) -> None:
    named = replace(masks, labels=("dog", "\u732b", "dog", None), ids=(1, 2, None, 4))
    coco.write(tmp_path / "masks.json", named)
    back = coco.read(tmp_path / "masks.json")
    assert (back.labels, back.ids) == (named.labels, named.ids)
    document = json.loads((tmp_path / "masks.json").read_text())
    assert [category["name"] for category in document["categories"]] == ["dog", "\u732b", "object"]


def test_files_are_joined_by_the_names_of_categories(tmp_path: Path) -> None:
    first = read_zoo(tmp_path)[0]
    other = {
        **ZOO,
        "categories": [
            {"id": 18, "name": "bird"},
            {"id": 1, "name": "dog"},
            {"id": 17, "name": "person"},
        ],
    }
    (tmp_path / "other.json").write_text(json.dumps(other))
    second = replace(coco.read(tmp_path / "other.json", "a.jpg"), source="d.jpg")
    coco.write(tmp_path / "joined.json", [first, second])
    both = coco.read_all(tmp_path / "joined.json")
    assert [entry.labels for entry in both] == [first.labels, second.labels]
    document = json.loads((tmp_path / "joined.json").read_text())
    names = [category["name"] for category in document["categories"]]
    assert len(names) == len(set(names))
    for table in ("annotations", "images", "categories"):
        ids = [entry["id"] for entry in document[table]]
        assert len(ids) == len(set(ids))


def test_two_categories_of_one_name_stay_two(tmp_path: Path) -> None:
    twins = [{"id": 18, "name": "x"}, {"id": 1, "name": "x"}, {"id": 17, "name": "x"}]
    (tmp_path / "twins.json").write_text(json.dumps({**ZOO, "categories": twins}))
    coco.write(tmp_path / "again.json", coco.read_all(tmp_path / "twins.json"))
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["categories"] == twins
    assert [a["category_id"] for a in again["annotations"]] == [18, 1, 17, 18]


def test_ids_and_names_of_other_types(tmp_path: Path) -> None:
    document = {
        **FOREIGN,
        "categories": [{"id": "3", "name": 12}, {"id": 4}],
        "annotations": [
            {**FOREIGN["annotations"][0], "image_id": "7"},
            {**FOREIGN["annotations"][0], "category_id": 4},
        ],
    }
    (tmp_path / "masks.json").write_text(json.dumps(document))
    masks = coco.read(tmp_path / "masks.json")
    assert masks.labels == ("12", None)
    coco.write(tmp_path / "again.json", masks)
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["categories"] == [{"id": "3", "name": 12}, {"id": 4, "name": "4"}]
    assert [entry["category_id"] for entry in again["annotations"]] == ["3", 4]


@pytest.mark.parametrize(
    "extra",
    [
        {"bbox": [1, 2, 3, 4], "area": 12.0},
        {"bbox": [1, 2, 3, 4], "segmentation": []},
        {"segmentation": [[]], "keypoints": [1, 2, 2]},
        {"segmentation": None},
        {"segmentation": {}},
        {"segmentation": [[1, 2, 3, 4]]},
        {"segmentation": [[1, 2]], "bbox": [1, 2, 0, 0]},
    ],
)
def test_what_has_no_mask_is_named_and_kept(extra: dict[str, Any], tmp_path: Path) -> None:
    entry = {"id": 55, "image_id": 139, "category_id": 17, **extra}
    document = {**ZOO, "annotations": [*ZOO["annotations"], entry]}
    (tmp_path / "masks.json").write_text(json.dumps(document))
    with pytest.warns(UserWarning, match=r"1 annotations of '.*masks.json' cover no pixel \(55\)"):
        masks = anymask.read(tmp_path / "masks.json", file_name="a.jpg")
    assert masks.areas.tolist() == [225, 200, 64, 0]
    coco.write(tmp_path / "again.json", masks)
    again = json.loads((tmp_path / "again.json").read_text())["annotations"][-1]
    kept = {key: value for key, value in extra.items() if key != "segmentation"}
    assert {key: again[key] for key in kept} == kept
    assert (again["id"], again["category_id"]) == (55, 17)


def test_annotations_of_unlisted_images_are_named(tmp_path: Path) -> None:
    document = {**FOREIGN, "annotations": [*FOREIGN["annotations"], {"image_id": 8}]}
    (tmp_path / "masks.json").write_text(json.dumps(document))
    with pytest.warns(UserWarning, match=r"1 annotations of .* does not list \(ids 8\)"):
        assert len(coco.read(tmp_path / "masks.json")) == 2


@pytest.mark.parametrize("iscrowd", ["0", 0, False, None, "", "1", 1, True, 1.0])
def test_iscrowd_in_every_spelling(iscrowd: Any, tmp_path: Path) -> None:
    (entry, *_) = FOREIGN["annotations"]
    document = {**FOREIGN, "annotations": [{**entry, "iscrowd": iscrowd}]}
    (tmp_path / "masks.json").write_text(json.dumps(document))
    crowd = coco.read(tmp_path / "masks.json").meta[0].get("iscrowd", 0)
    assert crowd == (1 if iscrowd in ("1", 1, True) else 0)


def test_what_collides_with_a_field_is_set_aside(masks: Masks, tmp_path: Path) -> None:
    named = replace(
        masks,
        meta=[
            {"area": "kitchen", "score": "good", "anymask_meta": 3, "note": "x"},
            {"id": [1], "category": "indoor", "image_id": None},
            {"category": {"colour": "red"}},
            {"track_id": "rex", "segmentation": 1, "crop_box": 2},
        ],
        image_meta={"width": "wide", "note": "y", "document": 3},
    )
    for format in ("coco", "sa1b"):
        named.save(tmp_path / "masks.json", format=format)
        back = anymask.read(tmp_path / "masks.json")
        for known, expected in zip(back.meta, named.meta, strict=True):
            assert {k: v for k, v in known.items() if k in expected} == expected
            assert known.keys() <= {*expected, "id"}
        assert {k: v for k, v in back.image_meta.items() if k != "id"} == named.image_meta
        assert back.scores[0] == named.scores[0]


def test_nan_in_a_foreign_field_is_nothing(tmp_path: Path) -> None:
    (entry, *_) = FOREIGN["annotations"]
    document = {**FOREIGN, "annotations": [{**entry, "caption": np.nan, "score": np.nan}]}
    document |= {"info": {"version": [np.inf]}}
    (tmp_path / "masks.json").write_text(json.dumps(document))
    masks = coco.read(tmp_path / "masks.json")
    assert masks.meta[0]["caption"] is None
    assert np.isnan(masks.scores[0])
    assert masks.image_meta["document"] == {"info": {"version": [None]}}
