"""The lists of PASCAL VOC."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask.data.open import open_dataset
from anymask.data.readers.notes import DataWarning
from anymask.errors import InputError
from anymask.formats.voc_files import palette


@pytest.fixture
def year(folder: Any, stripes: Callable[..., np.ndarray]) -> Path:
    """The folder of one year: three images, two of them with instances, and some lists."""
    for name in ("2007_000032", "2007_000039", "2007_000061"):
        folder.photo(f"JPEGImages/{name}.jpg")
    for name in ("2007_000032", "2007_000039"):
        folder.labels(f"SegmentationObject/{name}.png", stripes(0, 1, 255, 2))
    lists = folder.root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000032\n")
    (lists / "val.txt").write_text("2007_000039 -1\n\n")
    (lists / "main.txt").write_text("2007_000039 -1\n2007_000061  1\n\n")
    (lists / "test.txt").write_text("2007_000061\n")
    (lists / "broken.txt").write_bytes(b"\xff\xfe\x00")
    return Path(folder.root)


@pytest.mark.parametrize("layout", ["auto", "voc"])
@pytest.mark.parametrize(("name", "key"), [("train", "2007_000032"), ("val", "2007_000039")])
def test_a_list_names_its_images(year: Path, layout: str, name: str, key: str) -> None:
    data = open_dataset(year / "ImageSets" / "Segmentation" / f"{name}.txt", layout)
    assert [data.key(i) for i in range(len(data))] == [key]
    sample = data[0]
    assert sample.meta["set"] == f"set-{name}"
    assert len(sample.masks()) == 2
    assert sample.void is not None
    assert sample.void.sum() == 8  # one row of 255


def test_images_whose_instances_were_not_drawn_are_named(year: Path) -> None:
    with pytest.warns(DataWarning, match="not drawn are left out: 1 in .* is '2007_000061'"):
        data = open_dataset(year / "ImageSets" / "Segmentation" / "main.txt")
    assert [data.key(i) for i in range(len(data))] == ["2007_000039"]


def test_names_are_those_of_the_classes(folder: Any, year: Path, stripes: Any) -> None:
    image = folder.root / "ImageSets" / "Segmentation" / "train.txt"
    assert open_dataset(image)[0].names == ()
    folder.labels("SegmentationClass/2007_000032.png", stripes(0, 12, 255, 15, 15, 9))
    assert open_dataset(image)[0].names == ("dog", "person")
    folder.labels("SegmentationClass/2007_000032.png", stripes(0, 0, 255, 20))
    assert open_dataset(image)[0].names == ("", "tvmonitor")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("test", "got none among the 1 of"), ("broken", "cannot read .* as a list of images")],
)
def test_a_list_without_instances_is_refused(year: Path, name: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        open_dataset(year / "ImageSets" / "Segmentation" / f"{name}.txt")


def test_names_of_an_annotation_and_of_a_list(folder: Any, year: Path, stripes: Any) -> None:
    image = folder.root / "ImageSets" / "Segmentation" / "train.txt"
    folder.labels("SegmentationClass/2007_000032.png", stripes(0, 21, 255, 22))
    (folder.root / "labelmap.txt").write_text("background\n" + "x\n" * 20 + "tree\nhouse\n")
    assert open_dataset(image)[0].names == ("tree", "house")
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>"
    objects = "".join(f"<object><name>{x}</name>{box}</object>" for x in ("oak", "barn"))
    (folder.root / "Annotations").mkdir()
    (folder.root / "Annotations/2007_000032.xml").write_text(f"<annotation>{objects}</annotation>")
    assert open_dataset(image)[0].names == ("oak", "barn")


def test_maps_in_colours(folder: Any, year: Path, stripes: Any) -> None:
    colours = palette()[stripes(0, 1, 255, 2)]
    folder.labels("SegmentationObject/2007_000032.png", colours)
    sample = open_dataset(folder.root / "ImageSets" / "Segmentation" / "train.txt")[0]
    assert [int(mask.sum()) for mask in sample.masks()] == [8, 24]
    assert sample.void is not None and sample.void.sum() == 8
