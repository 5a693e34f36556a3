"""Detections: checked, indexed like masks, without duplicates, and to prompts, masks and files."""

from __future__ import annotations

import io
import json
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymask import geometry
from anymask.detections import Detections
from anymask.errors import InputError
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

BOXES = [(10, 20, 110, 220), (0, 0, 64, 48), (30, 40, 42, 49.5)]
FOUND = Detections((300, 400), BOXES, [0.5, np.nan, 0.9], ["dog", None, "cup"], "a.jpg", "yolo")


def test_arrays_are_locked_and_our_own() -> None:
    mine = np.array(BOXES, np.float32)
    found = Detections((300, 400), mine)
    mine[:] = 0
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert found.boxes.tolist() == [list(box) for box in BOXES]
    assert np.isnan(found.scores).all()
    assert found.labels == (None, None, None)
    with pytest.raises(ValueError, match="read-only"):
        found.boxes[0] = 1
    with pytest.raises(FrozenInstanceError):
        found.boxes = mine  # type: ignore[misc]


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4)), ()])
def test_there_may_be_none(boxes: Any) -> None:
    none = Detections((3, 4), boxes)
    assert (len(none), none.boxes.shape, none.scores.shape, none.labels) == (0, (0, 4), (0,), ())
    assert none == Detections.empty((3, 4)) == none.nms() == none.best() == none.clip()
    assert (none.prompts(), len(none.masks()), list(none)) == ([], 0, [])
    assert Detections.from_coco(none.to_coco()) == none
    assert repr(none) == "Detections(no boxes of 4 x 3)"


def test_it_is_like_a_list() -> None:
    assert len(FOUND) == 3
    assert [one.labels for one in FOUND] == [("dog",), (None,), ("cup",)]
    assert FOUND[-1].boxes.tolist() == [list(BOXES[2])]
    assert FOUND[[2, 0]].labels == ("cup", "dog")
    assert FOUND[FOUND.scores > 0.4].labels == ("dog", "cup")
    assert FOUND[1:].source == "a.jpg"
    assert repr(FOUND) == "Detections(3 boxes of 400 x 300, best score 0.90)"
    assert FOUND[:] == FOUND
    assert FOUND[:2] != FOUND
    with pytest.raises(IndexError, match="detection 3 does not exist; there are 3"):
        FOUND[3]
    with pytest.raises(InputError, match=r"as in detections\.areas"):
        FOUND[np.array([True])]


def test_choosing() -> None:
    assert FOUND.areas.tolist() == [20000, 3072, 114]
    assert FOUND.sort().labels == ("cup", "dog", None)  # unknown comes last
    assert FOUND.sort("area", descending=False).labels == ("cup", None, "dog")
    assert FOUND.best().labels == ("cup",)
    assert FOUND.filter(min_score=0.5).labels == ("dog", "cup")
    assert FOUND.filter(labels=["cup", "bed"]).labels == ("cup",)
    assert FOUND.filter(min_area=114, max_area=0.03).labels == (None, "cup")
    with pytest.raises(InputError, match=r"write \['cup'\]"):
        FOUND.filter(labels="cup")
    with pytest.raises(InputError, match="out of score, area"):
        FOUND.sort("size")  # type: ignore[arg-type]


def test_joining() -> None:
    other = Detections((300, 400), [(1, 2, 3, 4)], source="a.jpg")
    both = Detections.concat([FOUND, other])
    assert both.labels == ("dog", None, "cup", None)
    assert (both.source, both.model) == ("a.jpg", None)
    assert both[:3].boxes.tolist() == FOUND.boxes.tolist()
    with pytest.raises(InputError, match=r"got none; use Detections\.empty"):
        Detections.concat([])
    with pytest.raises(InputError, match="of the same image only"):
        Detections.concat([FOUND, Detections.empty((3, 4))])


def test_duplicates_go_for_each_name_or_for_all() -> None:
    boxes = [(0, 0, 10, 10), (0, 0, 10, 9), (0, 0, 10, 10), (50, 50, 60, 60)]
    found = Detections((99, 99), boxes, [0.5, 0.8, 0.6, 0.1], ["dog", "dog", "bed", "dog"])
    assert found.nms().scores.tolist() == pytest.approx([0.8, 0.6, 0.1])
    assert found.nms(per_label=False).scores.tolist() == pytest.approx([0.8, 0.1])
    assert len(found.nms(0.9)) == 4  # as equal as that is not greater
    with pytest.raises(InputError, match="from 0 to 1, got 2"):
        found.nms(2)


@given(st.integers(0, 30), st.integers(0, 2**32 - 1))
def test_suppression_is_that_of_tensors(count: int, seed: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    corners = np.float32(rng.integers(0, 20, (count, 2)))
    boxes = np.hstack([corners, corners + np.float32(rng.integers(0, 9, (count, 2)))])
    scores = np.float32(rng.integers(0, 4, count))
    found = Detections((40, 40), boxes, scores, [f"{i}" for i in range(count)])
    kept = geometry.nms(torch.tensor(boxes), torch.tensor(scores), 0.3)
    assert found.nms(0.3, per_label=False).labels == tuple(str(i) for i in kept.tolist())


def test_prompts_and_masks_agree_about_pixels() -> None:
    whole = Detections((3, 4), [(0, 0, 4, 3)])
    assert whole.masks().dense().all()
    (prompt,) = whole.prompts()
    assert isinstance(prompt, Prompt)
    assert prompt.box is not None
    assert prompt.box.tolist() == [0, 0, 4, 3]
    with pytest.raises(InputError, match=r"detection 1 has none; leave such out first"):
        Detections((3, 4), [(0, 0, 4, 3), (1, 1, 1, 2)]).prompts()


@given(st.lists(st.tuples(*[st.floats(-3, 12, width=32)] * 4), max_size=4))
def test_masks_hold_the_pixels_whose_centres_are_inside(corners: list[Any]) -> None:
    h, w = 7, 9
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners]
    found = Detections((h, w), boxes, labels=["box"] * len(boxes))
    y, x = np.mgrid[:h, :w] + 0.5
    for (x0, y0, x1, y1), mask in zip(found.boxes, found.masks().dense(), strict=True):
        assert np.array_equal(mask, (x >= x0) & (x < x1) & (y >= y0) & (y < y1))
    assert found.masks().labels == found.labels


def test_boxes_of_masks_run_round_the_pixels() -> None:
    dense = np.zeros((3, 7, 9), bool)
    dense[0, 2:4, 3:8] = dense[2, 6, 8] = True
    masks = Masks.from_dense(dense, scores=[0.1, 0.2, 0.3], labels=["a", "b", "c"], source="x.png")
    found = Detections.from_masks(masks)
    assert found.boxes.tolist() == [[3, 2, 8, 4], [8, 6, 9, 7]]
    assert (found.labels, found.source, found.size_hw) == (("a", "c"), "x.png", (7, 9))
    assert np.array_equal(found.masks().dense(), dense[[0, 2]])


def test_clipping() -> None:
    found = Detections((10, 20), [(-5, -5, 5, 5), (18, 8, 30, 30), (30, 0, 40, 5), (3, 3, 3, 3)])
    assert found.clip().boxes.tolist() == [[0, 0, 5, 5], [18, 8, 20, 10]]


def test_files_in_cocos_layout(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    FOUND.save(path)
    assert Detections.load(path) == FOUND
    file = io.BytesIO()
    FOUND.save(file)
    assert file.getvalue() == path.read_bytes()
    assert Detections.load(file.getvalue()) == Detections.load(path, "a.jpg") == FOUND
    document = json.loads(path.read_bytes())
    assert [e["bbox"] for e in document["annotations"]][2] == [30, 40, 12, 9.5]
    assert ["score" in e for e in document["annotations"]] == [True, False, True]
    assert {e["name"]: e["id"] for e in document["categories"]} == {"dog": 1, "object": 2, "cup": 3}


def test_no_name_is_told_from_the_name_of_an_object() -> None:
    found = Detections((9, 9), [(0, 0, 3, 3), (1, 1, 4, 4)], labels=[None, "object"])
    assert Detections.from_coco(found.to_coco()).labels == (None, "object")


def test_a_score_that_is_null_is_unknown() -> None:
    document = FOUND.to_coco(7)
    for entry in document["annotations"]:
        entry["score"] = None
    assert np.isnan(Detections.from_coco(document).scores).all()


def test_one_of_several_images_is_read() -> None:
    document = FOUND.to_coco(7)
    document["images"].append({"id": 8, "width": 5, "height": 6, "file_name": "b.jpg"})
    document["annotations"].append({"image_id": 8, "category_id": 99, "bbox": [1, 1, 2, 2]})
    assert len(Detections.from_coco(document, 7)) == 3
    other = Detections.from_coco(document, "b.jpg")
    assert (other.size_hw, other.labels, other.source) == ((6, 5), ("99",), "b.jpg")
    for wanted in (None, 9, "c.jpg"):
        with pytest.raises(InputError, match="one of 2 images"):
            Detections.from_coco(document, wanted)


@pytest.mark.parametrize(
    "document",
    [{}, {"images": [{}], "annotations": []}, {"images": 3}, []]
    + [
        {"images": [{"id": 1, "width": 9, "height": 9}], "annotations": [entry]}
        for entry in (
            {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3]},
            {"image_id": 1, "category_id": 1, "bbox": [1, 2, "x", 3]},
            {"image_id": 1, "bbox": [1, 2, 3, 4]},
            {"image_id": 1, "category_id": 1, "bbox": [1, 2, -3, 4]},
            {"image_id": 1, "category_id": 1, "bbox": [1, 2, 1e999, 4]},
        )
    ],
)
def test_other_documents_are_refused(document: Any) -> None:
    with pytest.raises(InputError, match="expected") as caught:
        Detections.from_coco(document)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0, 4), []), r"both at least 1, got \(0, 4\)"),
        (((3, 4), [(0, 0, 1)]), r"boxes of shape \(1, 4\), got \(1, 3\); .* per detection"),
        (((3, 4), (0, 0, 1, 1)), r"boxes of shape \(4, 4\), got \(4,\)"),
        (((3, 4), [(0, 0, 1, 1), (0, 0)]), "boxes as plain numbers in equal rows"),
        (((3, 4), [("a", 0, 1, 1)]), "boxes as plain numbers"),
        (((3, 4), [(0, 0, None, {})]), "boxes as plain numbers"),
        (((3, 4), [(0, np.nan, 1, 1)]), "finite corners, got .* for detection 0"),
        (((3, 4), [(0, 0, np.inf, 1)]), "finite corners"),
        (((3, 4), [(0, 0, 1, 1), (2, 2, 1, 3)]), "for detection 1; swap its corners"),
        (((3, 4), [(0, 0, 1, 1)], [0.1, 0.2]), r"scores of shape \(1,\), got \(2,\)"),
        (((3, 4), [(0, 0, 1, 1)], ["good"]), "scores as plain numbers"),
        (((3, 4), [(0, 0, 1, 1)], [1e39]), "scores that float32 can hold"),
        (((3, 4), [(0, 0, 1, 1)], [0], "dog"), "labels as a list"),
        (((3, 4), [(0, 0, 1, 1)], [0], ["dog", "cat"]), "each of the 1 detections, got 2"),
        (((3, 4), [(0, 0, 1, 1)], [0], [7]), "got 7 for detection 0"),
    ],
)
def test_unfit_detections_are_one_sentence(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Detections(*arguments)
    assert "\n" not in str(caught.value)


def test_drawing() -> None:
    image = np.full((300, 400, 3), 255, np.uint8)
    drawn = np.asarray(Detections((300, 400), BOXES[:1]).draw(image))
    assert drawn.shape == image.shape
    changed = (drawn != 255).any(axis=2)
    assert changed[30:210, 20:100].all()
    assert not changed[:, 120:].any()
