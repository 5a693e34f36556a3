from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import anymask
from anymask import formats
from anymask.data.readers.notes import DataWarning
from anymask.errors import InputError
from anymask.formats.conversion import convert, read_place
from anymask.masks.masks import Masks

pytestmark = pytest.mark.filterwarnings("ignore:(YOLO|VOC|LabelMe|CVAT|Label Studio) cannot hold")

OURS = ("sa1b", "coco", "png", "yolo", "labelme", "voc", "cvat", "labelstudio")
LABELS = {"a": ("dog", "traffic light"), "deep/b": ("\u732b", "dog"), "c": ()}


def masks_of(name: str) -> Masks:
    dense = np.zeros((len(LABELS[name]), 12, 16), bool)
    for i, mask in enumerate(dense):
        mask[2:6, 8 * i + 1 : 8 * i + 6] = mask[9:11, 8 * i + 2 : 8 * i + 4] = True
        mask[3:5, 8 * i + 2 : 8 * i + 4] = False
    return Masks.from_dense(dense, labels=LABELS[name], source=f"{name}.jpg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of SA-1B beside their images."""
    for name in LABELS:
        path = tmp_path / "in" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", (16, 12)).save(path)
        replace(masks_of(name), source=path.name).save(path.with_suffix(".json"))
    return tmp_path / "in"


def contents(place: Path, images: Path | None = None) -> dict[str, tuple[Masks, Path | None]]:
    return {name: (masks, image) for name, masks, image in read_place(place, images=images)}


@pytest.mark.parametrize("second", OURS)
@pytest.mark.parametrize("first", OURS)
def test_between_all(first: str, second: str, folder: Path, tmp_path: Path) -> None:
    assert convert(folder, tmp_path / "1", first) == 3
    assert convert(tmp_path / "1", tmp_path / "2", second, images=folder) == 3
    found = contents(tmp_path / "2", images=folder)
    assert set(found) == set(LABELS)
    for name, (masks, image) in found.items():
        expected = masks_of(name)
        np.testing.assert_array_equal(masks.dense(), expected.dense())
        assert masks.labels == expected.labels
        assert image is not None and image.stem == Path(name).name


@pytest.mark.parametrize("second", OURS)
@pytest.mark.parametrize("first", ["semantic", "grounded-sam"])
def test_from_folders_of_maps(first: str, second: str, folder: Path, tmp_path: Path) -> None:
    assert convert(folder, tmp_path / "1", first) == 3
    assert convert(tmp_path / "1", tmp_path / "2", second, images=folder) == 3
    found = contents(tmp_path / "2", images=folder)
    assert {len(masks) for masks, _ in found.values()} == {0, 2}
    (dogs,) = (masks for name, (masks, _) in found.items() if Path(name).name[0] == "a")
    assert set(dogs.labels) == {"dog", "traffic light"}


@pytest.mark.parametrize("format", OURS)
def test_a_single_file(format: str, folder: Path, tmp_path: Path) -> None:
    assert convert(folder / "a.json", tmp_path / "out", format) == 1
    ((masks, image),) = contents(tmp_path / "out", images=folder).values()
    np.testing.assert_array_equal(masks.dense(), masks_of("a").dense())
    assert image is not None


@pytest.mark.parametrize("format", ["sa1b", "coco", "png", "labelme", "yolo", "voc"])
def test_to_a_file(format: str, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / f"x{formats.find(format).suffix}"
    assert convert(folder / "a.json", path, format) == 1
    known = {"size_hw": (12, 16)} if format == "yolo" else {}
    masks = anymask.read(path, format=format, **known)
    np.testing.assert_array_equal(masks.dense(), masks_of("a").dense())
    with pytest.raises(InputError, match=f"{path.name}' exists"):
        convert(folder / "a.json", path, format)
    if format != "coco":
        with pytest.raises(InputError, match="of one image"):
            convert(folder, tmp_path / f"y{path.suffix}", format)


def test_splits_and_names(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "yolo", "yolo", names=["x", "dog"], val_fraction=0.6)
    text = (tmp_path / "yolo/data.yaml").read_text(encoding="utf-8")
    assert "0: x\n  1: dog" in text and "val: images/val" in text
    splits = {k: m.image_meta["split"] for k, (m, _) in contents(tmp_path / "yolo").items()}
    assert set(splits.values()) == {"train", "val"}
    convert(tmp_path / "yolo", tmp_path / "voc", "voc")
    again = {k: m.image_meta["split"] for k, (m, _) in contents(tmp_path / "voc").items()}
    assert again == splits


def test_what_is_there_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    for format in OURS:
        convert(folder, tmp_path / format, format)
        with pytest.raises(InputError, match=r"exists; replace it or add to it \(--overwrite\)"):
            convert(folder, tmp_path / format, format)
        assert convert(folder, tmp_path / format, format, overwrite=True) == 3
        assert not (tmp_path / format / ".anymask").exists()


def test_other_files_are_told_or_known(folder: Path, tmp_path: Path) -> None:
    (folder / "a-overlay.png").write_bytes(b"x")
    (folder / "notes.txt").write_text("hello")
    with pytest.warns(DataWarning, match="hold no masks are left out: 1 .* 'notes.txt'"):
        assert convert(folder, tmp_path / "out", "coco") == 3
    (folder / "a.json").write_bytes(b"{")
    with pytest.raises(InputError, match=r"a\.json"):
        convert(folder, tmp_path / "other", "coco")
    assert not (tmp_path / "other/annotations.json").exists()


@pytest.mark.parametrize("format", [None, "labelme"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_photo_beside_its_masks_is_none_of_them(
    format: str | None, mode: str, tmp_path: Path
) -> None:
    """A grey one looks like a map of labels."""
    PIL.Image.new(mode, (6, 4)).save(tmp_path / "a.png")
    masks = Masks.from_dense(np.eye(4, 6, dtype=bool)[None], labels=["line"], source="a.png")
    formats.write(tmp_path / "a.json", masks, format="labelme", image_path="a.png")
    (found,) = read_place(tmp_path, format)
    assert found.image == tmp_path / "a.png" and found.masks.labels == ("line",)


def test_a_photo_is_none_of_its_masks_whatever_their_file_is_called(tmp_path: Path) -> None:
    """That of CVAT is sorted after the photo."""
    PIL.Image.new("L", (6, 4)).save(tmp_path / "a.png")
    masks = Masks.from_dense(np.eye(4, 6, dtype=bool)[None], labels=["line"], source="a.png")
    formats.write(tmp_path / "a.xml", masks, format="cvat")
    (found,) = read_place(tmp_path)
    assert found.image == tmp_path / "a.png" and found.masks.labels == ("line",)


def test_images_that_are_not_there(folder: Path, tmp_path: Path) -> None:
    os.unlink(folder / "a.jpg")
    with pytest.warns(DataWarning, match="images that were not found.*: 1 in .* 'a'"):
        convert(folder, tmp_path / "out", "yolo")
    assert len(list((tmp_path / "out/labels").rglob("*.txt"))) == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"source": "missing"}, "which is not there"),
        ({"source": "empty"}, "expected masks in"),
        ({"format": "gif"}, "a format out of"),
        ({"output": "in"}, "in different folders"),
        ({"val_fraction": 1.0}, "less than 1, got 1.0"),
    ],
)
def test_bad_arguments(change: dict[str, object], says: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    asked: dict[str, object] = {"source": "in", "output": "out", "format": "yolo", **change}
    for place in ("source", "output"):
        asked[place] = tmp_path / str(asked[place])
    with pytest.raises(InputError, match=says):
        convert(**asked)  # type: ignore[arg-type]
