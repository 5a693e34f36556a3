from __future__ import annotations

import io
import json
import tracemalloc
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from tests.formats.strategies import random_masks

import anymask
from anymask.data.readers.notes import DataWarning
from anymask.errors import InputError
from anymask.formats import labelstudio
from anymask.formats import labelstudio_rle as brush
from anymask.formats.conversion import convert, read_place
from anymask.masks.masks import Masks

# What Label Studio's converter writes for [[0, 1, 1], [0, 0, 1]] in its words: 24 bytes of RGBA.
RLE = [0, 0, 0, 24, 57, 27, 252, 96, 19, 255, 206, 1, 31, 248]
MASK = np.array([[False, True, True], [False, False, True]])


def result(kind: str, value: dict[str, Any], **also: Any) -> dict[str, Any]:
    name = f"{kind}labels"
    return {
        "original_width": 20,
        "original_height": 10,
        "image_rotation": 0,
        "value": {**value, name: ["cup"]},
        "id": kind,
        "from_name": "label",
        "to_name": "image",
        "type": name,
        "origin": "manual",
        **also,
    }


RECTANGLE = {"x": 10.0, "y": 20.0, "width": 30.0, "height": 40.0, "rotation": 0}
POLYGON = {"points": [[50.0, 0.0], [60.0, 0.0], [60.0, 50.0], [50.0, 50.0]], "closed": True}
ELLIPSE = {"x": 50.0, "y": 50.0, "radiusX": 40.0, "radiusY": 30.0, "rotation": 0}
POINT = {"x": 12.5, "y": 30.0, "width": 0.5}
GRADE = {"value": {**RECTANGLE, "choices": ["clean"]}, "id": "rectangle", "from_name": "grade",
         "to_name": "image", "type": "choices", "origin": "manual",
         "original_width": 20, "original_height": 10, "image_rotation": 0}  # fmt: skip
WEATHER = {"value": {"choices": ["rain"]}, "id": "w", "from_name": "weather", "to_name": "image",
           "type": "choices", "origin": "manual"}  # fmt: skip
RELATION = {"from_id": "rectangle", "to_id": "polygon", "type": "relation", "direction": "right"}


def task(*results: Any, **also: Any) -> dict[str, Any]:
    annotation = {
        "id": 31,
        "completed_by": 1,
        "result": list(results),
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2026-03-01T09:12:33.123456Z",
        "updated_at": "2026-03-01T09:14:33.123456Z",
        "draft_created_at": None,
        "lead_time": 12.5,
        "prediction": {},
        "result_count": len(results),
        "unique_id": "0e0a6bb1-4c11-4d1a-a25b-7e1a3a8a7a10",
        "import_id": None,
        "last_action": None,
        "task": 12,
        "project": 3,
        "updated_by": 1,
        "parent_prediction": None,
        "parent_annotation": None,
        "last_created_by": None,
    }
    return {
        "id": 12,
        "annotations": [annotation],
        "file_upload": "0a1b2c3d-cup.jpg",
        "drafts": [],
        "predictions": [],
        "data": {"image": "/data/upload/3/0a1b2c3d-cup.jpg"},
        "meta": {},
        "created_at": "2026-03-01T09:00:00.000000Z",
        "updated_at": "2026-03-01T09:14:33.123456Z",
        "inner_id": 1,
        "total_annotations": 1,
        "cancelled_annotations": 0,
        "total_predictions": 0,
        "comment_count": 0,
        "unresolved_comment_count": 0,
        "last_comment_updated_at": None,
        "project": 3,
        "updated_by": 1,
        "comment_authors": [],
        **also,
    }


def file(*tasks: Any) -> bytes:
    return json.dumps(list(tasks)).encode()


def quietly(source: Any, **options: Any) -> list[Masks]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return list(labelstudio.read_all(source, **options))


def drawn(*results: Any) -> Any:
    (masks,) = quietly(file(task(*results)))
    return masks.dense()


def predicted(*results: Any, **also: Any) -> dict[str, Any]:
    return {"model_version": "net 1", "score": 0.5, "result": list(results), **also}


# ------------------------------------------------------------------------ run lengths


def test_run_lengths_of_label_studio() -> None:
    assert brush.decode(RLE, (2, 3)).tolist() == MASK.tolist()
    assert brush.decode(brush.encode(MASK), (2, 3)).tolist() == MASK.tolist()


def test_words_that_are_not_repeated() -> None:
    """One pixel of four words as they are, of which only the last is alpha; then a run."""
    bits = f"{12:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    bits += "0" + "00" + f"{5:03b}" + "".join(f"{word:08b}" for word in (9, 0, 9, 0, 0, 7))
    bits += "1" + "00" + f"{5:03b}" + f"{3:08b}"
    data = [int(bits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(bits), 8)]
    assert brush.decode(data, (1, 3)).tolist() == [[False, True, True]]


def test_long_runs() -> None:
    mask = np.zeros((300, 700), bool)
    mask[50:250] = True  # a run of 560,000 words, of which a block holds 65,536
    assert (brush.decode(brush.encode(mask), mask.shape) == mask).all()
    assert len(brush.encode(mask)) < 80


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        (RLE[:-3], "more run lengths"),
        ([], "more run lengths"),
        ([300, *RLE], "from 0 to 255"),
        (["a"], "from 0 to 255"),
        ([255, 255, 255, 255, *RLE[4:]], "one of 4,294,967,295 words"),
        ([0, 0, 0, 24, 0, *RLE[5:]], "words of 1 bits"),
    ],
)
def test_damaged_run_lengths(stream: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        brush.decode(stream, (2, 3))


# ----------------------------------------------------------------------------- reading


def test_a_file_as_label_studio_writes_it() -> None:
    small = {"original_width": 3, "original_height": 2}
    one = result("brush", {"format": "rle", "rle": RLE}, **small)
    other = task(one, data={"image": "https://example.org/x/b.jpg"})
    a, b = quietly(file(task(result("rectangle", RECTANGLE), GRADE, result("polygon", POLYGON),
                             WEATHER, RELATION), other))  # fmt: skip
    assert (a.source, a.size_hw, b.source) == ("cup.jpg", (10, 20), "b.jpg")
    assert a.labels == ("cup", "cup") and a.areas.tolist() == [24, 10]
    assert a.dense()[0, 2:6, 2:8].all() and a.dense()[1, :5, 10:12].all()
    assert b.dense()[0].tolist() == MASK.tolist()
    known = a.meta[0]["labelstudio"]
    assert known["id"] == "rectangle" and known["annotation"] == 0
    assert known["also"][0]["value"] == {"choices": ["clean"]}
    assert a.image_meta["seconds"] == 12.5
    said = a.image_meta["labelstudio"]
    assert said["task"]["id"] == 12 and said["annotations"][0]["completed_by"] == 1
    assert [entry["type"] for entry in said["results"]] == ["choices", "relation"]


def test_it_comes_back_whole(tmp_path: Path) -> None:
    results = [result("rectangle", RECTANGLE), GRADE, result("ellipse", ELLIPSE),
               result("keypoint", POINT), WEATHER, RELATION]  # fmt: skip
    first = quietly(file(task(*results)))
    labelstudio.write(tmp_path / "a.json", first)
    assert quietly(tmp_path / "a.json") == first
    (again,) = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    expected = task(*results)
    assert again["data"] == expected["data"] and again["file_upload"] == expected["file_upload"]
    (annotation,) = again["annotations"]
    assert annotation["completed_by"] == 1 and annotation["lead_time"] == 12.5
    by_type = {entry["type"]: entry for entry in annotation["result"] if entry["type"] != "choices"}
    for before in results:
        if before["type"] != "choices":
            assert by_type[before["type"]] == before


def test_results_of_one_id_are_one_mask() -> None:
    """A region of the tags Labels and Rectangle: each says where it is, and one says what."""
    bare = {key: RECTANGLE[key] for key in RECTANGLE}
    common = {**result("rectangle", {}), "id": "r"}
    shape = {**common, "type": "rectangle", "value": bare}
    named = {**common, "type": "labels", "value": {**bare, "labels": ["cup", "blue"]}}
    (masks,) = quietly(file(task(shape, named)))
    assert masks.labels == ("cup",) and masks.areas.tolist() == [24]
    assert masks.meta[0]["labelstudio"]["labels"] == ["cup", "blue"]
    apart = {**named, "value": {**bare, "x": 60.0, "labels": ["cup"]}}
    (masks,) = quietly(file(task(shape, apart)))
    assert masks.areas.tolist() == [48]


def test_rectangles_turn_about_their_corner() -> None:
    value = {"x": 50.0, "y": 20.0, "width": 30.0, "height": 20.0, "rotation": 90}
    dense = drawn(result("rectangle", value))[0]  # 6 x 2 pixels, hanging from (10, 2) to the left
    assert dense.sum() == 12 and dense[2:8, 8:10].all()


def test_ellipses() -> None:
    y, x = np.mgrid[:10, :20] + 0.5
    dense = drawn(result("ellipse", ELLIPSE))[0]
    inside = ((x - 10) / 8) ** 2 + ((y - 5) / 3) ** 2
    assert dense[inside < 0.85].all() and not dense[inside > 1.15].any()
    turned = drawn(result("ellipse", {**ELLIPSE, "radiusX": 20, "rotation": 90}))[0]
    inside = ((x - 10) / 3) ** 2 + ((y - 5) / 4) ** 2
    assert turned[inside < 0.8].all() and not turned[inside > 1.2].any()


def test_whose_masks_are_read() -> None:
    second = {**task(result("polygon", POLYGON))["annotations"][0], "id": 32, "completed_by": 2}
    skipped = {**second, "id": 33, "was_cancelled": True}
    both = task(result("rectangle", RECTANGLE))
    both["annotations"] += [second, skipped]
    both["predictions"] = [predicted(result("ellipse", ELLIPSE, score=0.25))]
    both["drafts"] = [{"result": [result("polygon", POLYGON)]}]
    with pytest.warns(DataWarning) as told:
        (masks,) = labelstudio.read_all(file(both))
    said = " | ".join(str(warning.message) for warning in told)
    for words in (
        "cancelled are left out: 1",
        "drafts",
        "predictions of images",
        "masks of all: 1",
    ):
        assert words in said
    assert [meta["labelstudio"]["annotation"] for meta in masks.meta] == [0, 1]
    assert masks.image_meta["seconds"] == 25 and masks.model is None
    (models,) = quietly(file(both), take="predictions")
    assert models.scores.tolist() == [0.25] and models.model == "net 1"
    (everything,) = quietly(file(both), take="all")
    assert everything.areas.tolist()[:2] == [24, 10] and len(everything) == 3
    alone = {**both, "annotations": [skipped]}
    (masks,) = quietly(file(alone))
    assert masks.scores.tolist() == [0.25]


def test_images_without_regions(tmp_path: Path) -> None:
    empty = task()
    with pytest.warns(DataWarning, match="whose size is not known, are left out: 1"):
        assert list(labelstudio.read_all(file(empty))) == []
    PIL.Image.new("RGB", (20, 10)).save(tmp_path / "cup.jpg")
    (tmp_path / "tasks.json").write_bytes(file(empty))
    ((name, masks, image),) = read_place(tmp_path / "tasks.json")
    assert name == "cup" and masks.size_hw == (10, 20) and image == tmp_path / "cup.jpg"
    sized = task(data={"image": "a.jpg", "width": 7, "height": 5})
    assert quietly(file(sized))[0].size_hw == (5, 7)


def test_the_field_of_the_image() -> None:
    one = task(result("polygon", POLYGON), data={"text": "hello", "photo": "s3://bucket/in/a.png"})
    assert quietly(file(one))[0].source == "a.png"
    two = task(result("polygon", POLYGON), data={"left": "l.jpg", "right": "r.jpg"})
    assert quietly(file(two), data_key="right")[0].source == "r.jpg"
    with pytest.raises(InputError, match="expected a field 'up'"):
        quietly(file(two), data_key="up")
    with pytest.raises(InputError, match="address of an image in data, got 'age'"):
        quietly(file(task(data={"age": 3})))


def test_further_images_and_turned_ones_are_told() -> None:
    first = result("polygon", POLYGON)
    second = result("rectangle", RECTANGLE, to_name="image2")
    third = result("ellipse", ELLIPSE, image_rotation=90)
    with pytest.warns(DataWarning) as told:
        (masks,) = labelstudio.read_all(file(task(first, second, third)))
    said = " | ".join(str(warning.message) for warning in told)
    assert "further images of a task" in said and "that were turned" in said
    assert len(masks) == 2


def test_a_single_task_is_a_file_too() -> None:
    one = json.dumps(task(result("polygon", POLYGON))).encode()
    assert anymask.read(one).areas.tolist() == [10]


def test_json_min_is_told() -> None:
    entry = {
        "image": "a.jpg",
        "id": 1,
        "label": [{**RECTANGLE}],
        "annotator": 1,
        "annotation_id": 2,
    }
    with pytest.raises(InputError, match="got its JSON-MIN"):
        quietly(file(entry))


# ----------------------------------------------------------------------------- writing


@settings(deadline=None)
@given(random_masks())
def test_masks_come_back(masks: Masks) -> None:
    for shapes in ("mask", "polygon"):
        target = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            labelstudio.write(target, masks, shapes=shapes)  # type: ignore[arg-type]
        again = labelstudio.read(target.getvalue())
        held = masks.areas > 0
        assert again.dense().tolist() == masks.dense()[held].tolist()
        assert list(again.labels) == [masks.labels[i] for i in np.flatnonzero(held)]


def test_everything_but_empty_masks_is_held(masks: Masks, tmp_path: Path) -> None:
    meta = ({"note": "x", "score": "good"}, {}, {}, {})
    known = replace(masks, meta=meta, ids=(1, None, 7, 2), image_meta={"country": "NO"})
    with pytest.warns(DataWarning) as told:
        labelstudio.write(tmp_path / "a.json", known)
    (said,) = told
    assert str(said.message).endswith("1 empty mask is not in " + repr(str(tmp_path / "a.json")))
    again = labelstudio.read(tmp_path / "a.json")
    held = known[:3]
    assert again.dense().tolist() == held.dense().tolist()
    for name in ("scores", "stability"):
        np.testing.assert_array_equal(getattr(again, name), getattr(held, name))
    for name in ("labels", "ids", "source", "model"):
        assert getattr(again, name) == getattr(held, name)
    first, second = again.prompts[0], held.prompts[0]
    assert first is not None and second is not None
    assert first.points_xy.tolist() == second.points_xy.tolist()
    assert again.prompts[2] is not None and again.prompts[2].box is not None
    assert again.meta[0]["note"] == "x" and again.meta[0]["score"] == "good"
    assert again.image_meta["country"] == "NO"


def test_models_predict_and_people_annotate(masks: Masks) -> None:
    for known, results, kind in (
        (masks, None, "predictions"),
        (masks, "annotations", "annotations"),
        (replace(masks, model=None), None, "annotations"),
        (replace(masks, model=None), "predictions", "predictions"),
    ):
        target = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            labelstudio.write(target, known, results=results)  # type: ignore[arg-type]
        (one,) = json.loads(target.getvalue())
        other = {"predictions": "annotations", "annotations": "predictions"}[kind]
        assert len(one[kind]) == 1 and not one[other]
        assert len(one[kind][0]["result"]) == 3
        ids = {entry["id"] for entry in one[kind][0]["result"]}
        assert len(ids) == 3
        if kind == "predictions":
            assert one[kind][0]["score"] == pytest.approx((0.9 + 0.125) / 2)


def test_addresses_of_images() -> None:
    masks = Masks.from_dense(np.ones((1, 2, 3), bool), source="in/a cup.jpg")
    for prefix, name in (("", "in/a cup.jpg"), ("https://example.org/", "a cup.jpg"),
                         ("/data/local-files/?d=", "in/a cup.jpg")):  # fmt: skip
        target = io.BytesIO()
        labelstudio.write(target, masks, image_prefix=prefix, data_key="photo")
        (one,) = json.loads(target.getvalue())
        assert one["data"]["photo"] == prefix + ("in/a%20cup.jpg" if prefix else "in/a cup.jpg")
        assert labelstudio.read(target.getvalue()).source == name


def test_the_labelling_interface_has_the_names_of_the_results(tmp_path: Path) -> None:
    dense = np.ones((1, 2, 3), bool)
    masks = Masks.from_dense(dense, labels=["a & b"], source="a.jpg")
    masks.save(tmp_path / "a.json", format="sa1b")
    convert(tmp_path / "a.json", tmp_path / "out", "labelstudio", image_prefix="/data/")
    config = ElementTree.parse(tmp_path / "out/label_config.xml").getroot()
    names = {control.get("name"): control.tag for control in config if control.tag != "Image"}
    ((one,),) = [json.loads((tmp_path / "out/tasks.json").read_text())]
    assert one["data"]["image"] == "/data/a.jpg"
    (entry,) = one["annotations"][0]["result"]
    assert names[entry["from_name"]].lower() == entry["type"]
    assert "a & b" in {label.get("value") for label in config.iter("Label")}
    with pytest.raises(InputError, match="no prefix of images for coco"):
        convert(tmp_path / "a.json", tmp_path / "x", "coco", image_prefix="/data/")


def test_a_corrected_rectangle_is_a_brush() -> None:
    (masks,) = quietly(file(task(result("rectangle", RECTANGLE))))
    for dense, kind in ((masks.dense(), "rectanglelabels"), (~masks.dense(), "brushlabels")):
        target = io.BytesIO()
        changed = Masks.from_dense(dense, labels=masks.labels, meta=masks.meta)
        labelstudio.write(target, changed)
        assert json.loads(target.getvalue())[0]["annotations"][0]["result"][0]["type"] == kind


# -------------------------------------------------------------------------- bad input


WRONG = [None, 3, -1.5, "x", True, [], {}, [[]], [{"a": 1}], 1e308, 10**30]


def paths_in(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [at] if at else []
    if isinstance(value, dict | list):
        for key, child in inner:
            below = paths_in(child, (*at, key)) if isinstance(child, dict | list) else [(*at, key)]
            found += below[:9]
    return found


FULL = task(
    result("rectangle", RECTANGLE, score=0.5, meta={"text": ["x"], "point_coords": [[1, 2]]}),
    result("polygon", POLYGON),
    result("ellipse", ELLIPSE),
    result("brush", {"format": "rle", "rle": brush.encode(np.ones((10, 20), bool))}),
)
FULL["predictions"] = [predicted(result("polygon", POLYGON, score=0.5))]


@pytest.mark.parametrize("path", paths_in(FULL), ids=lambda path: ".".join(map(str, path)))
@pytest.mark.filterwarnings("ignore::anymask.data.readers.notes.DataWarning")
def test_wrong_types_in_every_field(path: tuple[Any, ...]) -> None:
    for wrong in WRONG:
        one = json.loads(json.dumps(FULL))
        holder = one
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = wrong
        try:
            masks = labelstudio.read(file(one), take="all")
        except InputError as error:
            assert "the bytes given" in str(error) and "\n" not in str(error)
        else:
            labelstudio.write(io.BytesIO(), masks)


@pytest.mark.parametrize("data", [b"[3]", b"[null]", b'["x"]', b'[{"annotations": 1}]', b"[[]]"])
def test_lists_of_something_else(data: bytes) -> None:
    with pytest.raises(InputError, match="task 1 of the bytes given"):
        labelstudio.read(data)


def test_images_of_a_size_of_their_own() -> None:
    two = task(result("polygon", POLYGON), result("ellipse", ELLIPSE, original_width=30))
    with pytest.raises(InputError, match=r"regions of one image, got \(h, w\) = \(10, 20\) and"):
        quietly(file(two))
    bare = result("polygon", POLYGON)
    del bare["original_width"], bare["original_height"]
    with pytest.raises(InputError, match="got neither, and the image 'cup"):
        quietly(file(task(bare)))
    huge = result("brush", {"format": "rle", "rle": RLE}, original_width=10**5,
                  original_height=4 * 10**4)  # fmt: skip
    with pytest.raises(InputError, match="got one of 24 words"):
        quietly(file(task(huge)))


def test_memory_is_that_of_a_task(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    one = json.dumps(task(result("polygon", POLYGON), meta={"note": "x" * 9000}))
    path.write_text("[" + ",\n".join([one] * 500) + "]")
    tracemalloc.start()
    number = sum(len(masks) for masks in labelstudio.read_all(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert number == 500 and path.stat().st_size > 4e6
    assert peak < 3e6
