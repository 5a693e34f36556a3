"""Exports of CVAT and of Label Studio as data sets."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask import InputError, Masks
from anymask.data.open import open_dataset
from anymask.data.readers.notes import DataWarning
from anymask.formats import cvat, labelstudio


def squares(name: str) -> Masks:
    """Two squares that share pixels, as no single label map can hold."""
    dense = np.zeros((2, 6, 8), bool)
    dense[0, :4, :4] = dense[1, 2:6, 2:6] = True
    return Masks.from_dense(dense, labels=["cat", "dog"], source=name)


WRITERS: dict[str, tuple[Callable[..., None], str]] = {
    "cvat": (cvat.write, "annotations.xml"),
    "labelstudio": (labelstudio.write, "tasks.json"),
}


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("layout", WRITERS)
def test_an_export_is_a_data_set(folder: Any, layout: str, told: bool) -> None:
    folder.photo("images/a.jpg", "images/deep/b.jpg")
    write, name = WRITERS[layout]
    write(folder.root / name, [squares("a.jpg"), squares("deep/b.jpg")])
    data = open_dataset(folder.root / name, layout if told else "auto")
    data = pickle.loads(pickle.dumps(data))  # as workers get it
    assert [data.key(i) for i in range(len(data))] == ["a", "deep-b"]
    for sample in (data[0], data[1]):
        assert [int(mask.sum()) for mask in sample.masks()] == [16, 16]
        assert sample.names == ("cat", "dog") and len(sample.layers) == 2


@pytest.mark.parametrize("layout", WRITERS)
def test_what_cannot_be_used_is_told(folder: Any, layout: str) -> None:
    folder.photo("a.jpg", "small.jpg", size=(6, 8)).photo("small.jpg", size=(3, 4))
    write, name = WRITERS[layout]
    path = folder.root / name
    write(path, [squares("a.jpg"), squares("small.jpg"), squares("gone.jpg")])
    with pytest.warns(DataWarning, match=r"file is not there are left out: 1 .*'gone\.jpg'"):
        data = open_dataset(path)
    assert len(data) == 2
    with pytest.raises(InputError, match=r"shape \(3, 4\), as their image, in .*small\.jpg'"):
        data[1]
    write(path, [squares("gone.jpg")])
    with pytest.raises(InputError, match=r"got none of them, such as 'gone\.jpg'"):
        open_dataset(path)


def test_points_enclose_nothing(folder: Any) -> None:
    folder.photo("a.jpg")
    path = folder.root / "annotations.xml"
    path.write_text(
        '<annotations><image id="0" name="a.jpg" width="8" height="6">'
        '<points label="eye" points="1,1"/>'
        '<polygon label="cat" points="0,0;4,0;4,4;0,4"/></image></annotations>'
    )
    with pytest.warns(DataWarning, match="points"):
        data = open_dataset(path)
    assert data[0].names == ("cat",) and len(data[0].masks()) == 1


def test_a_single_task(folder: Any) -> None:
    folder.photo("a.jpg")
    path = folder.root / "tasks.json"
    labelstudio.write(path, squares("a.jpg"))
    (task,) = json.loads(path.read_text())
    path.write_text(json.dumps(task))
    assert open_dataset(path)[0].names == ("cat", "dog")


def test_a_zip_has_to_be_unpacked(folder: Any, tmp_path: Path) -> None:
    cvat.write(tmp_path / "export.zip", squares("a.jpg"))
    with pytest.raises(InputError, match="unpack it"):
        open_dataset(tmp_path / "export.zip")


def test_an_empty_export_is_refused(folder: Any) -> None:
    path = folder.json("tasks.json", [])
    path.write_text("<annotations></annotations>")
    with pytest.raises(InputError, match="expected images in"):
        open_dataset(path)


def test_the_folder_hints_at_the_file(folder: Any) -> None:
    folder.photo("images/a.jpg")
    cvat.write(folder.root / "annotations.xml", squares("a.jpg"))
    with pytest.raises(InputError, match=r"name one of them instead, such as .*annotations\.xml"):
        open_dataset(folder.root)
