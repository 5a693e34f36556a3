from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from anymask.data.open import layout_of, open_dataset
from anymask.data.readers.notes import DataWarning
from anymask.errors import InputError

QUARTER = "0 0 0.5 0 0.5 0.5 0 0.5"


@pytest.fixture
def root(folder: Any) -> Path:
    """Two splits with an image of the same name each, one of them without labels."""
    folder.photo("images/train/a.jpg", "images/val/a.jpg", "images/val/b.jpg")
    for split in ("train", "val"):
        (folder.root / "labels" / split).mkdir(parents=True)
        (folder.root / f"labels/{split}/a.txt").write_text(f"0 {QUARTER}\n1 {QUARTER}\n")
    text = "names: {0: dog, 1: traffic light}\ntrain: images/train\nval: images/val\n"
    (folder.root / "data.yaml").write_text(text)
    return Path(folder.root)


@pytest.mark.parametrize(
    ("place", "keys"),
    [
        ("", ["train-a", "val-a", "b"]),
        ("data.yaml", ["train-a", "val-a", "b"]),
        ("images/val", ["a"]),
    ],
)
def test_folders_files_and_splits(root: Path, place: str, keys: list[str]) -> None:
    assert layout_of(root / place) == "yolo"
    data = pickle.loads(pickle.dumps(open_dataset(root / place)))
    assert [data.key(i) for i in range(len(data))] == keys
    assert data[0].names == ("dog", "traffic light")
    assert [int(mask.sum()) for mask in data[0].masks()] == [12, 12]
    if len(data) == 3:
        assert data[2].masks() == []


def test_faults_are_named_once_and_left_out(root: Path) -> None:
    (root / "labels/val/a.txt").write_text(f"0 0.1 0.1\n0 {QUARTER}\n0 nan 1 1 1 1 1\n")
    with pytest.warns(DataWarning) as warned:
        sample = open_dataset(root / "images/val")[0]
    assert len(sample.masks()) == 1
    (one,) = warned
    assert "rows that cannot be read are left out: the first in" in str(one.message)
    assert "line 1 of" in str(one.message)


def test_boxes_are_no_masks(root: Path) -> None:
    (root / "labels/val/a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    with pytest.warns(DataWarning, match="boxes without a mask"):
        assert open_dataset(root / "images/val")[0].masks() == []


def test_a_place_that_is_not_there(root: Path) -> None:
    (root / "data.yaml").write_text("names: [dog]\nval: nowhere\n")
    with pytest.raises(InputError, match="nothing there"):
        open_dataset(root)
