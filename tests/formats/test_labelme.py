from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from tests.formats.strategies import random_masks

import anymask
from anymask.data.readers.notes import DataWarning
from anymask.errors import InputError
from anymask.formats import labelme
from anymask.masks.masks import Masks

SIZE = (20, 30)


def png(dense: np.ndarray) -> str:
    file = io.BytesIO()
    PIL.Image.fromarray(dense).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def document(*shapes: dict[str, Any], **about: Any) -> bytes:
    full = [{"label": "x", "group_id": None, "flags": {}, **shape} for shape in shapes]
    known = {"version": "5.0.1", "imagePath": "a.jpg", "imageData": None}
    size = {"imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    return json.dumps({**known, "shapes": full, **size, **about}).encode()


def shape(kind: str | None, *points: tuple[float, float], **about: Any) -> dict[str, Any]:
    return {"shape_type": kind, "points": [list(point) for point in points], **about}


@pytest.mark.filterwarnings("ignore:LabelMe cannot hold")
@given(random_masks())
def test_masks_come_back(masks: Masks) -> None:
    file = io.BytesIO()
    labelme.write(file, masks)
    back = labelme.read(file.getvalue())
    assert all(set(meta) <= {"group_id"} for meta in back.meta)
    assert replace(back, meta=()) == masks[masks.areas > 0]


def test_all_that_is_known_comes_back(masks: Masks) -> None:
    known = replace(
        masks,
        crop_boxes=None,
        labels=("a", None, "a", "b"),
        ids=(1, 7, None, 3),
        meta=(
            {"flags": {"wet": True}, "description": "old", "group_id": 4, "iscrowd": 1},
            {"flags": "none", "description": 3, "group_id": "four", "points": 7, "mask": 1},
            {"group_id": 4, "tags": ["x"]},
            {},
        ),
        image_meta={"flags": {"night": False}, "author": "me"},
    )
    file = io.BytesIO()
    with pytest.warns(DataWarning, match="1 empty mask is not in the file"):
        labelme.write(file, known)
    back = labelme.read(file.getvalue())
    assert back.meta[2]["group_id"] != 4  # or it would be one mask with the first
    changed = tuple(
        {**meta, **({"group_id": back.meta[2]["group_id"]} if i == 2 else {})}
        for i, meta in enumerate(known.meta)
    )
    assert back == replace(known, meta=changed)[:3]


def test_pieces_are_a_group_and_holes_a_png() -> None:
    dense = np.zeros((2, *SIZE), bool)
    dense[0, 2:6, 2:6] = dense[0, 2:6, 10:14] = dense[1, 10:16, 2:9] = True
    dense[1, 12:14, 4:6] = False
    file = io.BytesIO()
    labelme.write(file, Masks.from_dense(dense, labels=["pair", "ring"]))
    shapes = json.loads(file.getvalue())["shapes"]
    kinds = [(one["label"], one["shape_type"], one["group_id"]) for one in shapes]
    assert kinds == [("pair", "polygon", 1), ("pair", "polygon", 1), ("ring", "mask", None)]
    assert shapes[2]["points"] == [[2, 10], [8, 15]]
    inside = PIL.Image.open(io.BytesIO(base64.b64decode(shapes[2]["mask"])))
    np.testing.assert_array_equal(np.asarray(inside), dense[1, 10:16, 2:9])


def test_pixels_for_all() -> None:
    masks = Masks.from_dense(np.eye(4, dtype=bool)[None])
    masks.save(file := io.BytesIO(), format="labelme", shapes="mask")
    (one,) = json.loads(file.getvalue())["shapes"]
    assert (one["shape_type"], one["points"]) == ("mask", [[0, 0], [3, 3]])
    np.testing.assert_array_equal(labelme.read(file.getvalue()).dense(), masks.dense())
    with pytest.raises(InputError, match="polygon or mask, got 'box'"):
        masks.save(file, format="labelme", shapes="box")


@pytest.mark.parametrize(
    ("drawn", "area"),
    [
        (shape("polygon", (2, 2), (8, 2), (8, 6), (2, 6)), 24),
        (shape(None, (2, 2), (8, 2), (8, 6), (2, 6)), 24),
        (shape("rectangle", (8, 6), (2, 2)), 24),
        (shape("oriented_rectangle", (2, 2), (8, 2), (8, 6), (2, 6)), 24),
        (shape("circle", (10, 10), (15, 10)), 78),
        (shape("circle", (10, 10), (10, 10)), 0),
        (shape("mask", (2, 3), (4, 4), mask=png(np.ones((2, 3), bool))), 6),
        (shape("mask", (2.6, 3.9), (4.2, 4.4), mask=png(np.full((2, 3), 255, np.uint8))), 6),
    ],
)
def test_kinds_of_shapes(drawn: dict[str, Any], area: int) -> None:
    masks = labelme.read(document(drawn))
    assert masks.labels == ("x",) and abs(int(masks.areas[0]) - area) <= 2 * (area == 78)


def test_shapes_of_a_group_are_one_mask() -> None:
    left, right = shape("rectangle", (0, 0), (2, 2)), shape("rectangle", (5, 0), (7, 2))
    both = [{**one, "group_id": 3} for one in (left, right)]
    assert labelme.read(document(*both)).areas.tolist() == [8]
    other = {**both[1], "label": "y"}
    assert labelme.read(document(both[0], other)).areas.tolist() == [4, 4]
    assert labelme.read(document(left, right)).areas.tolist() == [4, 4]


@pytest.mark.parametrize(
    ("drawn", "says"),
    [
        (shape("point", (3, 4)), "enclose nothing.* the first is shape 1, a point called 'x'"),
        (shape("linestrip", (3, 4), (5, 6), (7, 8)), "enclose nothing"),
        (shape("polygon", (3, 4), (5, 6)), "enclose nothing"),
        (shape("cuboid", (3, 4), (5, 6), (7, 8)), "not known.* a cuboid"),
    ],
)
def test_what_encloses_nothing_is_kept(drawn: dict[str, Any], says: str) -> None:
    with pytest.warns(DataWarning, match=says):
        masks = labelme.read(document(drawn))
    assert masks.areas.tolist() == [0]
    file = io.BytesIO()
    masks.save(file, format="labelme")
    (back,) = json.loads(file.getvalue())["shapes"]
    assert (back["shape_type"], back["points"]) == (drawn["shape_type"], drawn["points"])


@pytest.mark.parametrize(
    "drawn",
    [
        shape("rectangle", (-5, -5), (2, 2)),
        shape("polygon", (28, 0), (40, 0), (40, 2), (28, 2)),
        shape("mask", (-1, -1), (1, 1), mask=png(np.ones((3, 3), bool))),
        shape("mask", (28, 18), (30, 20), mask=png(np.ones((3, 3), bool))),
    ],
)
def test_shapes_beyond_the_image(drawn: dict[str, Any]) -> None:
    with pytest.warns(DataWarning, match="cut at its border: 1"):
        assert labelme.read(document(drawn)).areas.tolist() == [4]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (document({"points": [[0, 0]], "shape_type": "circle"}), "expected 2 points, got 1"),
        (document({"points": "x"}), "shape 1"),
        (document({"points": [[0, 0], [1, float("nan")], [2, 2]]}), "finite coordinates"),
        (document({"points": [[0, 0], [1e300, 0], [2, 2]]}), "in or near the image"),
        (document({"shape_type": "polygon"}), "field 'points'"),
        (document(shape("mask", (0, 0), (1, 1), mask="@@@")), "cannot read the PNG"),
        (document(shape("mask", (0, 0), (1, 1))), "a field 'mask'"),
        (document(shape("mask", (0, 0), (1, 1), mask=None)), "a mask in base64"),
        (document(shape("mask", (0, 0), (5, 1), mask=png(np.ones((2, 2), bool)))), r"\(2, 6\)"),
        (document(imageHeight=None), r"imageHeight and imageWidth, or the image 'a\.jpg'"),
        (document(imageData=png(np.ones((3, 3), bool))), r"\(h, w\) = \(20, 30\) in it"),
        (document(imageData="@@"), "LabelMe"),
        (b'{"shapes": 3, "imagePath": "", "imageHeight": 2, "imageWidth": 2}', "as LabelMe"),
        (b'{"shapes": [3], "imagePath": "", "imageHeight": 2, "imageWidth": 2}', "shape 1"),
    ],
)
def test_files_that_cannot_be_read(content: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        labelme.read(content)


def test_ways_to_write_a_file(tmp_path: Path) -> None:
    text = document(shape("rectangle", (0, 0), (2, 2)), imagePath="..\\photos\\a.jpg")
    for name, data in {
        "bom": b"\xef\xbb\xbf" + text,
        "crlf": text.replace(b", ", b",\r\n"),
        "utf-16": text.decode().encode("utf-16"),
    }.items():
        (tmp_path / name).write_bytes(data)
        masks = anymask.read(tmp_path / name)
        assert (masks.source, masks.areas.tolist()) == ("../photos/a.jpg", [4])
    assert masks.image_meta == {"version": "5.0.1"}


def test_the_size_of_the_image(tmp_path: Path) -> None:
    drawn = shape("rectangle", (0, 0), (2, 2))
    nothing = {"imageHeight": None, "imageWidth": None}
    embedded = document(drawn, **nothing, imageData=png(np.zeros((7, 9), np.uint8)))
    assert labelme.read(embedded).size_hw == (7, 9)
    PIL.Image.new("RGB", (6, 5)).save(tmp_path / "a.jpg")
    (tmp_path / "b.json").write_bytes(document(drawn, **nothing))
    assert labelme.read(tmp_path / "b.json").size_hw == (5, 6)


def test_where_the_image_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "out").mkdir()
    PIL.Image.new("RGB", SIZE[::-1]).save(tmp_path / "photos/a.jpg")
    masks = Masks.from_dense(np.ones(SIZE, bool), source=str(tmp_path / "photos/a.jpg"))

    def said(**options: Any) -> dict[str, Any]:
        masks.save(tmp_path / "out/a.json", format="labelme", **options)
        content: dict[str, Any] = json.loads((tmp_path / "out/a.json").read_bytes())
        return content

    assert (said()["imagePath"], said()["imageData"]) == ("../photos/a.jpg", None)
    assert said(image_path="x/a.jpg")["imagePath"] == "x/a.jpg"
    data = base64.b64decode(said(image=tmp_path / "photos/a.jpg")["imageData"])
    assert data == (tmp_path / "photos/a.jpg").read_bytes()
