"""COCO JSON, LVIS and videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask.data.readers import coco
from anymask.data.readers.notes import DataWarning
from anymask.errors import InputError
from anymask.formats.segmentation import read_segmentation
from anymask.masks import rle

SIZE = (6, 8)
SQUARE = [[0, 0, 4, 0, 4, 4, 0, 4]]


def compressed(mask: np.ndarray) -> dict[str, Any]:
    return {"size": list(SIZE), "counts": rle.to_string(rle.encode(mask))}


def rows(*numbers: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[list(numbers)] = True
    return mask


def image(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "height": SIZE[0], "width": SIZE[1]} | more


def thing(number: int, image_id: int, segmentation: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 7,
        "segmentation": segmentation,
        "iscrowd": 0,
    } | more


CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}]


def document(**more: Any) -> dict[str, Any]:
    return {
        "images": [image(2, file_name="b.jpg"), image(1, file_name="a.jpg")],
        "annotations": [
            thing(1, 1, SQUARE),
            thing(2, 1, compressed(rows(3, 4)), category_id=9),  # overlaps the square
            thing(3, 1, {"size": list(SIZE), "counts": [5, 1] * 8}),  # the last row
            thing(4, 1, compressed(rows(0, 1)), iscrowd=1),
        ],
        "categories": CATEGORIES,
    } | more


def test_reads_polygons_and_run_lengths_and_crowds(folder: Any) -> None:
    folder.photo("val/a.jpg", "val/b.jpg")
    data = coco.read(folder.json("annotations/instances_val.json", document()))
    assert [data.key(i) for i in range(len(data))] == ["b", "a"]
    assert data[0].masks() == []  # an image on which nothing was found
    sample = data[1]
    assert sample.names == ("cat", "cat", "dog")
    assert [int(mask.sum()) for mask in sample.masks()] == [16, 8, 16]
    assert sample.void is not None
    square = np.pad(np.ones((4, 4), bool), ((0, 2), (0, 4)))
    assert (sample.void == (rows(0, 1) & ~square)).all()
    assert (sample.meta["set"], sample.meta["id"]) == ("instances_val", "a")
    own = sample.meta["coco"]
    assert own["image"]["id"] == 1 and own["ids"] == (2, 1) and list(own["categories"]) == [7, 9]
    assert [entry["id"] for entry in own["annotations"]] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("pictures", "file"),
    [
        ("", "labels.json"),
        ("data/", "labels.json"),
        ("val2017/", "annotations/labels.json"),
        ("", "annotations/labels.json"),
    ],
)
def test_finds_the_images_around_the_file(folder: Any, pictures: str, file: str) -> None:
    folder.photo(f"{pictures}a.jpg", f"{pictures}b.jpg")
    assert coco.read(folder.json(file, document()))[0].image.shape == (*SIZE, 3)


def test_takes_a_folder_of_images_and_no_other(folder: Any, tmp_path: Path) -> None:
    folder.photo("elsewhere/far/a.jpg", "elsewhere/far/b.jpg")
    file = folder.json("labels.json", document())
    assert len(coco.read(file, tmp_path / "set/elsewhere/far")) == 2
    with pytest.raises(InputError, match=r"got none of them, such as 'b\.jpg'"):
        coco.read(file)


def test_names_of_categories_are_not_needed(folder: Any) -> None:
    folder.photo("a.jpg", "b.jpg")
    data = coco.read(folder.json("labels.json", document(categories=[])))
    assert data[1].names == ()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pycocotools', of NumPy
def test_masks_equal_those_of_pycocotools(folder: Any) -> None:
    from pycocotools.coco import COCO

    rng = np.random.default_rng(0)
    stars = rng.normal((30, 20), (15, 10), (20, 9, 2)).reshape(20, 1, -1).tolist()
    listed = image(1, file_name="a.jpg") | {"height": 40, "width": 60}
    drawn = [thing(i, 1, star) for i, star in enumerate(stars, 1)]
    folder.photo("a.jpg", size=(40, 60))
    file = folder.json("labels.json", document(images=[listed], annotations=drawn))
    theirs = COCO(str(file))
    wanted = {theirs.annToMask(entry).astype(bool).tobytes() for entry in drawn}
    assert {mask.tobytes() for mask in coco.read(file)[0].masks()} == wanted


LVIS = [
    {"id": 7, "name": "cat", "frequency": "f"},
    {"id": 8, "name": "bow_(weapon)", "frequency": "r"},
    {"id": 9, "name": "dog", "frequency": "c"},
]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("val2017/000000000001.jpg", {"file_name": "COCO_val2014_000000000001.jpg"}),  # v0.5
        ("val2017/000000000001.jpg", {"coco_url": "http://x.org/val2017/000000000001.jpg"}),  # v1
        ("000000000001.jpg", {"coco_url": "http://x.org/val2017/000000000001.jpg"}),
    ],
)
def test_reads_both_versions_of_lvis(folder: Any, file: str, said: dict[str, str]) -> None:
    folder.photo(file)
    listed = image(1, **said, neg_category_ids=[8], not_exhaustive_category_ids=[9])
    content = document(images=[listed], annotations=document()["annotations"][:2], categories=LVIS)
    sample = coco.read(folder.json("annotations/lvis.json", content))[0]
    assert sample.names == ("cat", "dog")
    assert sample.meta["negative"] == ["bow_(weapon)"]
    assert sample.meta["incomplete"] == ["dog"]
    assert sample.meta["frequency"] == {"cat": "f", "dog": "c"}
    json.dumps(sample.meta)


def test_images_may_lie_in_several_folders(folder: Any) -> None:
    folder.photo("train2017/a.jpg", "val2017/b.jpg")
    assert len(coco.read(folder.json("annotations/lvis.json", document()))) == 2


def test_frames_of_a_video_are_images(folder: Any) -> None:
    folder.photo("train/v/1.jpg", "train/v/2.jpg", "train/v/3.jpg")
    content = {
        "videos": [
            {"id": 4, "height": 6, "width": 8, "file_names": ["v/1.jpg", "v/2.jpg", "v/3.jpg"]}
        ],
        "annotations": [
            {
                "id": 1,
                "video_id": 4,
                "category_id": 7,
                "iscrowd": 0,
                "segmentations": [compressed(rows(0)), None, compressed(rows(1))],
            },
            {
                "id": 2,
                "video_id": 4,
                "category_id": 9,
                "iscrowd": 0,
                "segmentations": [None, None, compressed(rows(2))],
            },
        ],
        "categories": CATEGORIES,
    }
    data = coco.read(folder.json("annotations_train.json", content))
    assert [data.key(i) for i in range(len(data))] == ["v-1", "v-3"]
    assert [data[i].names for i in range(2)] == [("cat",), ("cat", "dog")]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"annotations": []}, "expected a field 'images'"),
        ({"images": []}, "expected a field 'annotations'"),
        (document(annotations=[thing(1, 3, SQUARE)]), r"1 others \(annotations of images that are"),
        (document(annotations=[thing(1, 1, [])] * 2), r"2 others \(annotations without a mask\)"),
        (document(annotations=[thing(1, 1, "x")]), "as polygons or as run lengths"),
        (
            document(images=[image(1, file_name="a.jpg"), image(1, file_name="b.jpg")]),
            "got 'b.jpg' and another one with the id 1",
        ),
        ([], "expected a JSON object"),
    ],
)
def test_a_file_of_another_kind_is_refused(folder: Any, content: Any, complaint: str) -> None:
    folder.photo("a.jpg", "b.jpg")
    with pytest.raises(InputError, match=complaint):
        coco.read(folder.json("labels.json", content))


# What an annotation may say beside the square that is always there, and how many pixels are found.
RUNS = {"size": list(SIZE), "counts": [5, 1] * 8}  # the last row, 8 pixels
SAID = {"size": list(SIZE), "counts": rle.to_string(rle.encode(rows(3, 4)))}  # 16 pixels
FLAT = SQUARE[0]
TAKEN: dict[str, tuple[dict[str, Any], int]] = {
    "a list of polygons": ({"segmentation": SQUARE}, 16),
    "a flat polygon": ({"segmentation": FLAT}, 16),
    "a flat polygon of text": ({"segmentation": list(map(str, FLAT))}, 16),
    "corners as pairs": ({"segmentation": [[0, 0], [4, 0], [4, 4], [0, 4]]}, 16),
    "polygons of pairs": ({"segmentation": [[[0, 0], [4, 0], [4, 4], [0, 4]]]}, 16),
    "a polygon and a line": ({"segmentation": [FLAT, [0, 0, 1, 1]]}, 16),
    "partly outside": ({"segmentation": [[-9, -9, 4, -9, 4, 4, -9, 4]]}, 16),
    "run lengths": ({"segmentation": RUNS}, 8),
    "run lengths as floats": ({"segmentation": {"size": [6.0, 8.0], "counts": [5.0, 1.0] * 8}}, 8),
    "run lengths without a size": ({"segmentation": {"counts": [5, 1] * 8}}, 8),
    "run lengths in a list": ({"segmentation": [RUNS]}, 8),
    "compressed run lengths in a list": ({"segmentation": [SAID]}, 16),
    "two run lengths": ({"segmentation": [RUNS, SAID]}, 24),
    "a polygon and run lengths": ({"segmentation": [FLAT, RUNS]}, 24),
    "no crowd, as text": ({"segmentation": SQUARE, "iscrowd": "0"}, 16),
    "no crowd, as a truth value": ({"segmentation": SQUARE, "iscrowd": False}, 16),
    "no crowd, as nothing": ({"segmentation": SQUARE, "iscrowd": None}, 16),
    "no crowd, as a float": ({"segmentation": SQUARE, "iscrowd": 0.0}, 16),
    "a float for the image": ({"segmentation": SQUARE, "image_id": 1.0}, 16),
    "text for the image": ({"segmentation": SQUARE, "image_id": "1"}, 16),
    "text for the category": ({"segmentation": SQUARE, "category_id": "9"}, 16),
    "a float for the category": ({"segmentation": SQUARE, "category_id": 9.0}, 16),
}
FIRST = "the first is annotation 2$"
NAMED: dict[str, tuple[Any, str]] = {
    "an unlisted image": ({"image_id": 3}, f"of images that are not listed .* {FIRST}"),
    "no image": ({"image_id": None}, f"of images that are not listed .* {FIRST}"),
    "a box alone": ({"segmentation": [], "bbox": [0, 0, 2, 2]}, f"without a mask .* {FIRST}"),
    "no segmentation": ({"segmentation": None}, f"without a mask .* {FIRST}"),
    "a line": ({"segmentation": [[0, 0, 1, 1]]}, f"fewer than three corners .* {FIRST}"),
    "an outline outside": ({"segmentation": [[9, 9, 12, 9, 12, 12]]}, f"no pixel .* {FIRST}"),
    "another size": ({"segmentation": {"size": [3, 3], "counts": [0, 9]}}, f"size .* {FIRST}"),
    "text": ({"segmentation": "nothing"}, f"cannot be read .* {FIRST}"),
    "a number": ({"segmentation": 7}, f"cannot be read .* {FIRST}"),
    "an odd number": ({"segmentation": [[0, 0, 4, 0, 4, 4, 0]]}, f"cannot be read .* {FIRST}"),
    "words for corners": ({"segmentation": [["a"] * 6]}, f"cannot be read .* {FIRST}"),
    "a crowd of maybe": ({"iscrowd": "maybe"}, f"cannot be read .* {FIRST}"),
    "another list": (None, "cannot be read .* the first is annotation 2$"),
}
AT_LAST = {  # what shows only when the mask is drawn
    "too few pixels": ({"size": list(SIZE), "counts": [5, 1]}, "cannot be read .* annotation 2 "),
    "damaged text": ({"size": list(SIZE), "counts": "~~~"}, "cannot be read .* annotation 2 "),
    "no corner known": ([[float("nan")] * 6], "(cannot be read|no pixel) .* annotation 2"),
    "nothing set": ({"size": list(SIZE), "counts": [48]}, "no pixel .* annotation 2$"),
    "a spike": ([[0, 0, 4, 0, 0, 0]], "no pixel .* annotation 2$"),
}


def beside_a_square(folder: Any, *more: dict[str, Any] | None, **others: Any) -> Path:
    folder.photo("a.jpg", "b.jpg")
    odd = [None if m is None else thing(n, 1, SQUARE) | m for n, m in enumerate(more, 2)]
    return folder.json("labels.json", document(annotations=[thing(1, 1, SQUARE), *odd], **others))


@pytest.mark.parametrize(("more", "pixels"), TAKEN.values(), ids=TAKEN)
def test_what_other_programs_write_is_taken(folder: Any, more: dict[str, Any], pixels: int) -> None:
    sample = coco.read(beside_a_square(folder, more))[1]
    masks = sample.masks()
    assert len(masks) == len(sample.names) == 2
    assert sorted(int(mask.sum()) for mask in masks) == sorted([16, pixels])
    assert sample.void is None
    # For the measure of others, who know COCO's own forms alone.
    entry = sample.meta["coco"]["annotations"][1]
    assert (entry["image_id"], entry["iscrowd"]) == (1, 0)
    assert rle.area(read_segmentation(entry["segmentation"], SIZE)) == pixels


@pytest.mark.parametrize("crowd", [1, "1", True, 1.0, "true"])
def test_crowds_are_crowds_in_every_form(folder: Any, crowd: Any) -> None:
    more = {"segmentation": SAID, "iscrowd": crowd}
    sample = coco.read(beside_a_square(folder, more))[1]
    assert len(sample.masks()) == 1
    assert sample.void is not None and sample.void.sum() == 12


@pytest.mark.parametrize(("more", "words"), NAMED.values(), ids=NAMED)
def test_what_cannot_be_used_is_named(folder: Any, more: Any, words: str) -> None:
    file = beside_a_square(folder, more, more)
    with pytest.warns(DataWarning, match=f"annotations .*{words}") as caught:
        sample = coco.read(file)[1]
    assert [str(one.message).count(": 2 in ") for one in caught] == [1]  # one for both
    assert len(sample.masks()) == len(sample.meta["coco"]["annotations"]) == 1


@pytest.mark.parametrize(("segmentation", "words"), AT_LAST.values(), ids=AT_LAST)
def test_what_shows_only_when_it_is_drawn_is_named_once(
    folder: Any, segmentation: Any, words: str
) -> None:
    more = {"segmentation": segmentation}
    with pytest.warns(DataWarning, match=words) as caught:
        data = coco.read(beside_a_square(folder, more, more))
        assert len(data[1].masks()) == len(data[1].masks()) == 1
    assert len(caught) == 1


def test_categories_that_are_not_listed_have_no_name(folder: Any) -> None:
    with pytest.warns(DataWarning, match="not listed are taken without a name: 2 in") as caught:
        sample = coco.read(beside_a_square(folder, {"category_id": 5}, {"category_id": None}))[1]
    assert len(caught) == 1
    assert sorted(sample.names) == ["", "", "cat"] and len(sample.masks()) == 3
    assert [e["category_id"] for e in sample.meta["coco"]["annotations"]] == [7, 5]


def test_images_that_are_not_there_are_named(folder: Any) -> None:
    folder.photo("a.jpg")
    with pytest.warns(DataWarning, match=r"not there are left out: 1 in .* is 'b\.jpg'") as caught:
        data = coco.read(folder.json("labels.json", document()))
    assert len(caught) == 1
    assert [data.key(i) for i in range(len(data))] == ["a"]


@pytest.mark.parametrize("second", [1, 5, "1"])
def test_an_image_that_is_listed_twice_is_one(folder: Any, second: Any) -> None:
    twice = [image(1, file_name="a.jpg"), image(second, file_name="a.jpg")]
    other = {"image_id": second, "segmentation": RUNS}
    with pytest.warns(DataWarning, match=r"twice are taken together: 1 in .* is 'a\.jpg'"):
        data = coco.read(beside_a_square(folder, other, images=twice))
    assert len(data) == 1
    assert [int(mask.sum()) for mask in data[0].masks()] == [16, 8]


@pytest.mark.parametrize(
    ("name", "key"),
    [(r"val\a.jpg", "val-a"), ("/home/me/a.jpg", "a"), (r"C:\photos\a.jpg", "a"), ("./a.jpg", "a")],
)
def test_names_of_other_machines_are_understood(folder: Any, name: str, key: str) -> None:
    folder.photo("val/a.jpg" if key == "val-a" else "images/a.jpg")
    content = document(images=[image(1, file_name=name)])
    data = coco.read(folder.json("labels.json", content))
    assert [data.key(i) for i in range(len(data))] == [key]


def test_images_may_differ_in_their_suffix_alone(folder: Any) -> None:
    folder.photo("a.jpg", "a.png")
    content = document(images=[image(1, file_name="a.jpg"), image(2, file_name="a.png")])
    data = coco.read(folder.json("labels.json", content))
    assert [data.key(i) for i in range(len(data))] == ["a.jpg", "a.png"]


def test_an_image_needs_no_size(folder: Any) -> None:
    folder.photo("a.jpg")
    content = document(images=[{"id": 1, "file_name": "a.jpg"}])
    assert len(coco.read(folder.json("labels.json", content))[0].masks()) == 3


@pytest.mark.parametrize("entry", [{"id": 4}, {"file_name": "c.jpg"}, "c.jpg"])
def test_images_without_id_or_name_are_named(folder: Any, entry: Any) -> None:
    listed = [*document()["images"], entry]
    with pytest.warns(DataWarning, match="without an id or a file name .*: 1 in .* is number 3"):
        assert len(coco.read(beside_a_square(folder, images=listed))) == 2


def test_an_image_of_another_size_is_refused(folder: Any) -> None:
    folder.photo("a.jpg", "b.jpg", size=(12, 16))
    with pytest.raises(InputError, match=r"labels of shape \(12, 16\), as their image"):
        coco.read(folder.json("labels.json", document()))[0]
