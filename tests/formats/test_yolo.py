from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.strategies import random_masks

import anymask
from anymask import formats
from anymask.data.readers.notes import DataWarning
from anymask.errors import InputError
from anymask.formats import yolo
from anymask.masks.masks import Masks

pytestmark = pytest.mark.filterwarnings("ignore:YOLO cannot hold")

SQUARE = "0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75"
SIZE = (8, 8)


def square(label: str | None = "dog", source: str | None = None) -> Masks:
    dense = np.zeros(SIZE, bool)
    dense[2:6, 2:6] = True
    return Masks.from_dense(dense, labels=[label], source=source)


def photo(path: Path, size_hw: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", size_hw[::-1]).save(path)
    return path


def names_in(folder: Path) -> list[str]:
    document = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    assert document["nc"] == len(document["names"])
    assert list(document["names"]) == list(range(document["nc"]))
    return list(document["names"].values())


# --------------------------------------------------------------------------- round trips


@given(random_masks())
def test_masks_come_back_to_the_pixel(masks: Masks) -> None:
    names = list(dict.fromkeys(label for label in masks.labels if label is not None))
    named = replace(masks, labels=tuple(label or "object" for label in masks.labels))
    file = io.BytesIO()
    yolo.write(file, named, names=[*names, "object"])
    back = yolo.read(file.getvalue(), size_hw=masks.size_hw, names=[*names, "object"])
    full = named[named.areas > 0]
    np.testing.assert_array_equal(back.dense(), full.dense())
    assert back.labels == full.labels


@settings(max_examples=6)
@given(st.lists(random_masks(), max_size=3))
def test_a_data_set_comes_back(several: list[Masks]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "set"
        with yolo.writer(folder) as add:
            for i, masks in enumerate(several):
                image = photo(Path(place) / f"{i}.png", masks.size_hw)
                add(replace(masks, source=f"{i}.png"), image)
        if not several:
            return
        found = [masks for masks, _ in yolo.read_all(folder)]
    assert [masks.source for masks in found] == [f"{i}.png" for i in range(len(several))]
    for before, after in zip(several, found, strict=True):
        full = before[before.areas > 0]
        np.testing.assert_array_equal(after.dense(), full.dense())
        assert after.labels == full.labels


def test_a_large_image_needs_no_more_digits() -> None:
    h, w = 3, 30_001
    dense = np.zeros((h, w), bool)
    dense[1, 1::200] = True
    masks = Masks.from_dense(dense)
    file = io.BytesIO()
    yolo.write(file, masks)
    back = yolo.read(file.getvalue(), size_hw=(h, w), names=["object"])
    np.testing.assert_array_equal(back.dense(), masks.dense())


def test_pieces_and_holes_are_one_row() -> None:
    dense = np.zeros((9, 20), bool)
    dense[1:8, 1:8] = dense[2:4, 15:18] = True
    dense[3:5, 3:5] = False
    file = io.BytesIO()
    yolo.write(file, Masks.from_dense(dense, labels=["ring"]), names=["ring"])
    assert len(file.getvalue().splitlines()) == 1
    np.testing.assert_array_equal(
        yolo.read(file.getvalue(), size_hw=(9, 20), names=["ring"]).dense(), dense[None]
    )


def test_simpler_outlines(tmp_path: Path) -> None:
    y, x = np.mgrid[:80, :80]
    disc = Masks.from_dense(np.hypot(x - 40, y - 40) < 30, labels=["disc"])
    sizes = []
    for tolerance in (0, 1):
        disc.save(tmp_path / "disc.txt", tolerance=tolerance)
        back = anymask.read(tmp_path / "disc.txt", format="yolo", size_hw=(80, 80))
        assert np.logical_xor(back.dense(), disc.dense()).sum() <= 250 * tolerance
        sizes.append((tmp_path / "disc.txt").stat().st_size)
    assert sizes[1] < sizes[0] / 3


# ------------------------------------------------------------------- numbers of classes


def test_names_lie_beside_the_file_and_grow(tmp_path: Path) -> None:
    for label in ("dog", "cat", "dog", None, "no"):
        square(label).save(tmp_path / f"{label}.txt")
    photo(tmp_path / "dog.png")
    assert names_in(tmp_path) == ["dog", "cat", "object", "no"]
    found = {p.stem: anymask.read(p, size_hw=SIZE).labels for p in tmp_path.glob("*.txt")}
    assert found == {"dog": ("dog",), "cat": ("cat",), "None": (None,), "no": ("no",)}
    assert anymask.read(tmp_path / "dog.txt").source == "dog.png"
    assert sorted(os.listdir(tmp_path)) == sorted(
        ["None.txt", "cat.txt", "data.yaml", "dog.png", "dog.txt", "no.txt"]
    )


def test_a_thing_called_object_is_another_class(tmp_path: Path) -> None:
    square(None).save(tmp_path / "a.txt")
    square("object").save(tmp_path / "b.txt")
    assert names_in(tmp_path) == ["unlabelled", "object"]
    read = [anymask.read(tmp_path / f"{name}.txt", size_hw=SIZE).labels for name in "ab"]
    assert read == [(None,), ("object",)]


def test_two_runs_in_one_folder_agree(tmp_path: Path) -> None:
    with yolo.writer(tmp_path / "set", names=["a", "b"]) as add:
        add(square("c", "1.jpg"))
        with yolo.writer(tmp_path / "set", names=["b", "x"]) as other:
            other(square("d", "2.jpg"))
            add(square("e", "3.jpg"))
            other(square("c", "4.jpg"))
        add(square("d", "5.jpg"))
    assert names_in(tmp_path / "set") == ["a", "b", "c", "x", "d", "e"]
    numbers = {p.stem: p.read_text()[0] for p in (tmp_path / "set/labels/train").iterdir()}
    assert numbers == {"1": "2", "2": "4", "3": "5", "4": "2", "5": "4"}
    assert not (tmp_path / "set/.anymask").exists()


def test_what_a_file_says_beside_stays(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(
        "names: [dog, cat]\nnc: 2\nlicence: mine\ntest: photos\n", encoding="utf-8"
    )
    with yolo.writer(tmp_path) as add:
        add(square("bird", "1.jpg"))
    document = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert document == {
        "path": str(tmp_path),
        "train": "images/train",
        "val": "images/train",
        "test": "photos",
        "nc": 3,
        "names": {0: "dog", 1: "cat", 2: "bird"},
        "licence": "mine",
    }


def test_given_names_are_all_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="classes 'cat', got 'dog'"):
        square("dog").save(tmp_path / "a.txt", names=["cat"])
    assert os.listdir(tmp_path) == []


# ----------------------------------------------------------------------------- splits


def test_the_same_images_are_held_back_every_time(tmp_path: Path) -> None:
    image = photo(tmp_path / "photo.png")
    for _ in range(2):
        with yolo.writer(tmp_path / "set", val_fraction=0.3) as add:
            for i in range(40):
                add(square(source=f"{i}.png"), image)
    held = sorted(p.stem for p in (tmp_path / "set/labels/val").iterdir())
    assert 4 < len(held) < 20
    assert sorted(p.stem for p in (tmp_path / "set/images/val").iterdir()) == held
    with yolo.writer(tmp_path / "set") as add:
        for i in range(40):
            add(square(source=f"{i}.png"), image)
    assert len(list((tmp_path / "set/images/train").iterdir())) == 40
    assert list((tmp_path / "set/images/val").iterdir()) == []


def test_images_come_along(tmp_path: Path) -> None:
    with yolo.writer(tmp_path / "set") as add:
        add(square(source="deep/a.jpg"), photo(tmp_path / "deep/a.jpg"))
        add(square(source="b.gif"), photo(tmp_path / "b.gif"))
        add(square(source="b.jpg"), photo(tmp_path / "b.jpg"))
    found = sorted(
        p.relative_to(tmp_path / "set/images/train").as_posix()
        for p in (tmp_path / "set/images").rglob("*.*")
    )
    assert found == ["b.jpg.jpg", "b.png", "deep/a.jpg"]
    assert (tmp_path / "set/images/train/deep/a.jpg").read_bytes() == (
        tmp_path / "deep/a.jpg"
    ).read_bytes()
    assert len(list(yolo.read_all(tmp_path / "set"))) == 3


def test_a_moved_folder_is_read(tmp_path: Path) -> None:
    with yolo.writer(tmp_path / "set") as add:
        add(square(source="a.jpg"), photo(tmp_path / "a.jpg"))
    (tmp_path / "set").rename(tmp_path / "moved")
    ((masks, image),) = yolo.read_all(tmp_path / "moved")
    assert masks.labels == ("dog",) and image == tmp_path / "moved/images/train/a.jpg"


# ------------------------------------------------------------------- what is not held


def test_what_is_lost_is_said_once(masks: Masks, tmp_path: Path) -> None:
    known = replace(masks, meta=({"iscrowd": 1}, {}, {}, {"bbox": [1, 2, 3, 4]}), ids=(1, 2, 3, 4))
    with pytest.warns(DataWarning) as warned:
        known.save(tmp_path / "a.txt")
    assert [str(one.message) for one in warned] == [
        "YOLO cannot hold all that is known: 3 scores, 3 stability scores, 3 prompts, 4 ids, 2 "
        f"entries of meta, 1 crowd and 1 empty mask are not in {str(tmp_path / 'a.txt')!r}"
    ]
    assert len((tmp_path / "a.txt").read_text().splitlines()) == 2


@pytest.mark.filterwarnings("error")
def test_nothing_is_said_if_nothing_is_lost(tmp_path: Path) -> None:
    square().save(tmp_path / "a.txt")


# --------------------------------------------------------------------- files of others


def rows(text: str | bytes, **known: object) -> Masks:
    data = text.encode() if isinstance(text, str) else text
    return yolo.read(data, **{"size_hw": SIZE, "names": ["dog", "cat"], **known})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        f"1 {SQUARE}",
        f"\n  1\t{SQUARE}   \r\n\r\n",
        f"1.0 {SQUARE}\n",
        f"\ufeff1 {SQUARE}\n",
        f"1 {SQUARE}\n".encode("utf-16"),
        f"1.000000000000000000e+00 {SQUARE}\n",
    ],
)
def test_ways_to_write_a_row(text: str | bytes) -> None:
    masks = rows(text)
    np.testing.assert_array_equal(masks.dense(), square().dense())
    assert masks.labels == ("cat",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 0.1 0.1 0.5", "line 1 .* at least three corners, got 4 numbers"),
        (f"0 {SQUARE}\n0 {SQUARE} 7", "line 2 .*from 0 to 1, got 7; divide"),
        (f"0 {SQUARE} 1.5", "odd number of 9"),
        (f"0 {SQUARE} -0.5", "odd number of 9"),
        (f"-1 {SQUARE}", "number of a class first, got '-1'"),
        (f"0.5 {SQUARE}", "number of a class first, got '0.5'"),
        (f"dog {SQUARE}", "expected numbers with spaces between them, got 'dog 0.25"),
        ("0,0.1,0.1,0.5,0.5,0.1,0.5", "expected numbers with spaces"),
        ("0 nan 0.1 0.5 0.5 0.1 0.5", "expected finite numbers"),
        ("0 inf 0.1 0.5 0.5 0.1 0.5", "expected finite numbers"),
        ("1e400 0.1 0.1 0.5 0.5 0.1 0.5", "expected finite numbers"),
        ("0 320 100 400 100 400 200", "from 0 to 1, got 400; divide"),
        (b"\xff\x00\xff", "text file in UTF-8|expected numbers"),
        (b"0 0.1 \xe9", "text file in UTF-8"),
        (b"\x00" * 9, "expected numbers"),
    ],
)
def test_rows_that_cannot_be_read(text: str | bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        rows(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 0.5 0.5 0.5 0.25\n", "boxes without a mask.*: 1 in .* the first is line 1"),
        ("0 0.5 0.5 0.5 0.25 0.9\n", "boxes without a mask"),
        (f"0 {SQUARE}\n7 {SQUARE}", "no name are called by their number: 1 .* 7 in line 2"),
        (f"0 {SQUARE} 0.75", "have a confidence as the last"),
        ("0 -0.1 0 1.05 0 1.05 1 -0.1 1", "corners outside the image are cut"),
        ("0 0.5 0.5 0.5 0.5 0.5 0.5", "covers no pixel"),
    ],
)
def test_rows_that_are_read_with_a_word(text: str, says: str) -> None:
    with pytest.warns(DataWarning, match=says):
        rows(text)


@pytest.mark.filterwarnings("ignore::anymask.data.readers.notes.DataWarning")
def test_what_becomes_of_them() -> None:
    box = rows("0 0.5 0.5 0.5 0.25\n")
    assert (box.areas.tolist(), box.meta[0]) == ([0], {"bbox": [2, 3, 4, 2]})
    assert rows(f"7 {SQUARE}").labels == ("7",)
    assert rows(f"0 {SQUARE} 0.75").scores.tolist() == [0.75]
    assert rows("0 -0.1 0 1.05 0 1.05 1 -0.1 1").areas.tolist() == [64]
    file = io.BytesIO()
    box.save(file, format="coco")
    assert json.loads(file.getvalue())["annotations"][0]["bbox"] == [2, 3, 4, 2]


def test_a_long_file_is_read_in_a_moment() -> None:
    masks = rows(f"0 {SQUARE}\n" * 3000)
    assert len(masks) == 3000


def test_the_size_has_to_be_known(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"0 {SQUARE}\n")
    with pytest.raises(InputError, match=r"the image of .*a\.txt' beside it"):
        anymask.read(tmp_path / "a.txt")
    other = photo(tmp_path / "other.jpg", (16, 4))
    assert yolo.read(tmp_path / "a.txt", image=other, names=["x"]).size_hw == (16, 4)


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".png", ".tif", ".bmp"])
def test_the_image_of_a_file_in_labels(suffix: str, tmp_path: Path) -> None:
    photo(tmp_path / "images/val/deep" / f"a{suffix}", (12, 9))
    labels = tmp_path / "labels/val/deep/a.txt"
    labels.parent.mkdir(parents=True)
    labels.write_text(f"1 {SQUARE}\n")
    (tmp_path / "data.yaml").write_text("names: [dog, cat]\n")
    masks = anymask.read(labels)
    assert (masks.size_hw, masks.labels) == ((12, 9), ("cat",))


def test_a_photo_that_lies_on_its_side(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[274] = 6
    PIL.Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "a.txt").write_text(f"0 {SQUARE}\n")
    assert yolo.read(tmp_path / "a.txt", names=["x"]).size_hw == (30, 20)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [dog, no, 1, null, 1.0]", ["dog", "no", "1", "null", "1.0"]),
        ("names:\n  0: dog\n  2: cat\n", ["dog", "1", "cat"]),
        ("names: {'1': b, '0': a}", ["a", "b"]),
        ("\ufeffnc: 2\r\nnames:\r\n- x\r\n- y\r\n", ["x", "y"]),
        ("nc: 3", ["0", "1", "2"]),
        ("names: [a]\npath: /nowhere\n", ["a"]),
    ],
)
def test_ways_to_name_classes(text: str, names: list[str], tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(text, encoding="utf-8")
    for number in range(len(names)):
        (tmp_path / "a.txt").write_text(f"{number} {SQUARE}\n")
        assert yolo.read(tmp_path / "a.txt", size_hw=SIZE).labels == (names[number],)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("names: dog, cat", "'names' in .* got 'dog, cat'"),
        ("names: {dog: 0}", "with a name each, got"),
        ("names: {99999999999: dog}", "with a name each, got"),
        ("names: [[a], b]", "as a list"),
        ("names: [a", "as YAML"),
        ("- a\n- b", "got a list"),
        ("", "got nothing"),
        ("train: images", "'names'"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nnames: *c", "as a list"),
    ],
)
def test_files_that_name_no_classes(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "a.txt").write_text(f"0 {SQUARE}\n")
    with pytest.raises(InputError, match=says):
        yolo.read(tmp_path / "a.txt", size_hw=SIZE)
    with pytest.raises(InputError):
        square().save(tmp_path / "b.txt")
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "data.yaml"]


def test_a_list_of_names_of_older_programs(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("dog\ntraffic light\n")
    (tmp_path / "a.txt").write_text(f"1 {SQUARE}\n")
    assert yolo.read(tmp_path / "a.txt", size_hw=SIZE).labels == ("traffic light",)
    square("cat").save(tmp_path / "b.txt")
    assert names_in(tmp_path) == ["dog", "traffic light", "cat"]


@pytest.mark.parametrize(
    ("places", "image"),
    [
        ("train: images/train\nval: images/val", "images/train/a.jpg"),
        ("path: ../set\ntrain: [images/train]", "images/train/a.jpg"),
        ("train: ../train/images\nval: ../valid/images", "train/images/a.jpg"),
        ("train: train.txt", "pictures/a.jpg"),
        ("", "images/a.jpg"),
        ("", "train/images/a.jpg"),
        ("", "a.jpg"),
    ],
)
def test_layouts(places: str, image: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    photo(root / image)
    (root / "data.yaml").write_text(f"names: [dog]\n{places}\n".replace("\nval: images/val", ""))
    (root / "train.txt").write_text("./pictures/a.jpg\n")
    if places.startswith("train: ../"):
        (root / "data.yaml").write_text("names: [dog]\ntrain: ../train/images\n")
    labels = (root / image.replace("images/", "labels/")).with_suffix(".txt")
    labels.parent.mkdir(parents=True, exist_ok=True)
    labels.write_text(f"0 {SQUARE}\n")
    ((masks, found),) = yolo.read_all(root)
    assert found.samefile(root / image)
    assert masks.labels == ("dog",) and masks.areas.tolist() == [16]
    assert masks.image_meta == ({"split": "train"} if places else {})


def test_empty_files_and_missing_ones_are_images_without_masks(tmp_path: Path) -> None:
    for name in ("a", "b"):
        photo(tmp_path / f"images/train/{name}.jpg")
    (tmp_path / "data.yaml").write_text("names: [dog]\ntrain: images/train\nval: images/train\n")
    (tmp_path / "labels/train").mkdir(parents=True)
    (tmp_path / "labels/train/a.txt").write_text("")
    assert [len(masks) for masks, _ in yolo.read_all(tmp_path)] == [0, 0]
    assert len(anymask.read(tmp_path / "labels/train/a.txt")) == 0


def test_a_folder_without_any(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected images with files of labels"):
        list(yolo.read_all(tmp_path))
    (tmp_path / "data.yaml").write_text("names: [dog]\ntrain: images/train\n")
    with pytest.raises(InputError, match="got nothing there"):
        list(yolo.read_all(tmp_path))


def test_rows_are_recognised() -> None:
    known = formats.find("yolo").recognises
    assert known is not None
    assert known(f"0 {SQUARE}\n".encode()) and known(f"12 {SQUARE}".encode())
    assert known((f"0 {SQUARE} " * 999).encode()[:4096])
    assert not known(b"0 1\n") and not known(b"hello\n") and not known(b"0 0.1 0.1 0.5 0.5 x")
