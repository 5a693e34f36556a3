from __future__ import annotations

from typing import Any

import pytest

from anymask.data.open import layout_of, open_dataset
from anymask.data.readers.notes import DataWarning
from anymask.errors import InputError

SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4]]


def document(*labels: str, **about: Any) -> dict[str, Any]:
    shapes = [{"label": x, "points": SQUARE, "shape_type": "polygon"} for x in labels]
    return {"shapes": shapes, "imagePath": "", "imageHeight": 6, "imageWidth": 8, **about}


def test_files_beside_their_images(folder: Any) -> None:
    folder.photo("a.jpg", "deep/b.PNG").json("a.json", document("dog", "cat"))
    folder.json("deep/b.json", document())
    assert layout_of(folder.root) == "labelme"
    data = open_dataset(folder.root)
    assert [data.key(i) for i in range(len(data))] == ["a", "deep-b"]
    assert data[0].names == ("dog", "cat") and data[1].masks() == []


def test_files_without_an_image_and_others_are_named(folder: Any) -> None:
    folder.photo("a.jpg").json("a.json", document("dog"))
    folder.json("b.json", document("dog"))
    folder.json("c.json", {"x": 1})
    with pytest.warns(DataWarning) as warned:
        assert len(open_dataset(folder.root)) == 1
    assert [str(one.message).partition(":")[0] for one in warned] == [
        "files whose image is not there are left out",
        "files that are none of LabelMe's are left out",
    ]


def test_no_image_at_all(folder: Any) -> None:
    folder.json("a.json", document("dog"))
    with pytest.raises(InputError, match="got none that has its image"), pytest.warns(DataWarning):
        open_dataset(folder.root, "labelme")


def test_an_image_of_another_size(folder: Any) -> None:
    folder.photo("a.jpg", size=(5, 5)).json("a.json", document("dog"))
    with pytest.raises(InputError, match=r"labels of shape \(5, 5\)"):
        open_dataset(folder.root)[0]


def test_crowds_are_void(folder: Any) -> None:
    content = document("dog")
    content["shapes"][0]["iscrowd"] = 1
    folder.photo("a.jpg").json("a.json", content)
    sample = open_dataset(folder.root)[0]
    assert sample.masks() == [] and sample.void is not None and sample.void.sum() == 16
