"""COCO JSON, LVIS and videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask.data.readers import coco
from anymask.errors import InputError
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
            thing(5, 1, [[0, 0, 1, 1]]),  # a line
            thing(6, 1, []),  # a box without a mask
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
    assert own["image"]["id"] == 1 and own["ids"] == [2, 1] and list(own["categories"]) == [7, 9]
    assert [entry["id"] for entry in own["annotations"]] == [1, 2, 3, 4, 5]


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
    with pytest.raises(InputError, match=r"got none for 2 of them, such as 'b\.jpg'"):
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
        (document(annotations=[thing(1, 3, SQUARE)]), "got one of image 3"),
        (document(images=[image(1, height=6)]), "expected a field 'coco_url'"),
        (document(images=[image(1, file_name="a.jpg")] * 2), "got 1 different ids"),
        (document(images=[image(n, file_name="a.jpg") for n in (1, 2)]), "got 'a' twice"),
        ([], "expected a JSON object"),
    ],
)
def test_a_file_of_another_kind_is_refused(folder: Any, content: Any, complaint: str) -> None:
    folder.photo("a.jpg", "b.jpg")
    with pytest.raises(InputError, match=complaint):
        coco.read(folder.json("labels.json", content))


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"segmentation": {"size": [3, 3], "counts": [9]}}, r"image 1 of .* \(6, 8\)"),
        ({"segmentation": "nothing"}, "image 1 of .* polygons or as run lengths"),
        ({"category_id": 5}, "expected a field 5"),
    ],
)
def test_an_annotation_that_cannot_be_meant_is_named(
    folder: Any, more: dict[str, Any], complaint: str
) -> None:
    folder.photo("a.jpg", "b.jpg")
    content = document(annotations=[thing(1, 1, SQUARE) | more])
    with pytest.raises(InputError, match=complaint):
        coco.read(folder.json("labels.json", content))[1]


def test_an_image_of_another_size_is_refused(folder: Any) -> None:
    folder.photo("a.jpg", "b.jpg", size=(12, 16))
    with pytest.raises(InputError, match=r"labels of shape \(12, 16\), as their image"):
        coco.read(folder.json("labels.json", document()))[0]
