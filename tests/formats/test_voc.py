from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from tests.formats.strategies import random_masks

import anymask
from anymask.data.readers.notes import DataWarning
from anymask.errors import InputError
from anymask.formats import voc
from anymask.formats.voc_files import palette
from anymask.masks.masks import Masks

NUMBERS = np.array([[0, 1, 1, 255], [2, 2, 0, 255], [2, 2, 0, 0]], np.uint8)


def save(path: Path, numbers: np.ndarray, mode: str = "P") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = PIL.Image.fromarray(numbers)
    if mode in ("P", "RGB", "RGBA"):
        image.putpalette(palette().ravel().tolist())
    image = image.convert(mode) if mode in ("RGB", "RGBA") else image
    image.save(path)
    return path


def annotation(*things: tuple[str, tuple[int, int, int, int]], size: str = "") -> str:
    size = size or "<size><width>4</width><height>3</height><depth>3</depth></size>"
    corners = ("xmin", "ymin", "xmax", "ymax")
    entries = "".join(
        f"<object><name>{name}</name><bndbox>"
        + "".join(f"<{c}>{v}</{c}>" for c, v in zip(corners, box, strict=True))
        + "</bndbox><truncated>1</truncated></object>"
        for name, box in things
    )
    return f"<annotation><filename>a.jpg</filename>{size}{entries}</annotation>"


def masks_of(*labels: str | None) -> Masks:
    return Masks.from_dense(
        np.eye(max(len(labels), 2), dtype=bool)[: len(labels), None], labels=labels
    )


@settings(max_examples=6)
@given(random_masks(overlapping=False))
@pytest.mark.filterwarnings("ignore:VOC cannot hold")
def test_a_data_set_comes_back(masks: Masks) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        with voc.writer(place) as add:
            add(replace(masks, source="a.png"))
        ((back, image),) = voc.read_all(place)
        alone = anymask.read(Path(place) / "Annotations/a.xml")
    assert image is None
    full = masks[masks.areas > 0]
    np.testing.assert_array_equal(back.dense(), full.dense())
    assert back.labels == full.labels == alone.labels
    assert back.image_meta == {"split": "train"}


def test_the_palette_is_that_of_voc() -> None:
    assert palette()[:4].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert palette()[[15, 20, 255]].tolist() == [[192, 128, 128], [0, 64, 128], [224, 224, 192]]
    assert len({tuple(colour) for colour in palette().tolist()}) == 256


def test_files_of_an_image(tmp_path: Path) -> None:
    masks = replace(masks_of("dog", "traffic light", None), meta=({"difficult": 1}, {}, {}))
    (tmp_path / "Annotations").mkdir()
    masks.save(tmp_path / "Annotations/a.xml")
    classes = PIL.Image.open(tmp_path / "SegmentationClass/a.png")
    objects = PIL.Image.open(tmp_path / "SegmentationObject/a.png")
    assert classes.mode == objects.mode == "P"
    assert np.asarray(classes).tolist() == [[12, 21, 22]]  # a dog is VOC's twelfth class
    assert np.asarray(objects).tolist() == [[1, 2, 3]]
    assert objects.convert("RGB").getpixel((0, 0)) == (128, 0, 0)
    lines = (tmp_path / "labelmap.txt").read_text().splitlines()
    assert lines[1] == "background:0,0,0::" and lines[13] == "dog:64,0,128::"
    assert lines[22:] == ["traffic light:128,64,128::", "object:0,192,128:unlabelled:"]
    root = ElementTree.parse(tmp_path / "Annotations/a.xml").getroot()
    assert [entry.findtext("name") for entry in root.iter("object")] == [
        "dog",
        "traffic light",
        "object",
    ]
    boxes = [[int(side.text or "") for side in box] for box in root.iter("bndbox")]
    assert boxes == [[1, 1, 1, 1], [2, 1, 2, 1], [3, 1, 3, 1]]
    for place in ("Annotations/a.xml", "SegmentationObject/a.png", "SegmentationClass/a.png"):
        back = anymask.read(tmp_path / place)
        assert back.labels == ("dog", "traffic light", None)
        assert back.meta[0] == {"difficult": 1}
    assert not (tmp_path / ".anymask").exists()


def test_one_png_holds_its_labels(tmp_path: Path) -> None:
    masks = masks_of("dog", None, "\u732b")
    masks.save(tmp_path / "a.png", format="voc")
    assert anymask.read(tmp_path / "a.png").labels == masks.labels
    (tmp_path / "b").mkdir()
    masks.save(tmp_path / "b/x.png")  # our own label map is another format
    assert "void" not in anymask.read(tmp_path / "b/x.png").image_meta


def test_numbers_of_classes_stay(tmp_path: Path) -> None:
    for name, label in {"a": "tree", "b": "cat", "c": "tree", "d": "a:b", "e": "#\\n\nx"}.items():
        with voc.writer(tmp_path, names=["house"] if name == "b" else ()) as add:
            add(replace(masks_of(label), source=f"{name}.jpg"))
    found = {
        path.stem: int(np.asarray(PIL.Image.open(path)).max())
        for path in (tmp_path / "SegmentationClass").iterdir()
    }
    assert found == {"a": 21, "b": 8, "c": 21, "d": 23, "e": 24}


def test_void_and_crowds(tmp_path: Path) -> None:
    path = save(tmp_path / "SegmentationObject/a.png", NUMBERS)
    masks = anymask.read(path)
    assert masks.areas.tolist() == [2, 4]
    assert masks.image_meta["void"] == {
        "size": [3, 4],
        "counts": masks.image_meta["void"]["counts"],
    }
    file = io.BytesIO()
    masks.save(file, format="voc")
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(file)), NUMBERS)
    crowd = replace(masks, meta=({"iscrowd": 1}, {}), image_meta={})
    with pytest.warns(DataWarning, match="1 crowd became void"):
        crowd.save(file := io.BytesIO(), format="voc")
    expected = np.where(NUMBERS == 1, 255, np.where(NUMBERS == 2, 1, 0))
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(file)), expected)


def test_what_is_lost_is_said_once(masks: Masks, tmp_path: Path) -> None:
    twice = Masks.concat([masks, masks[:1]])
    with pytest.warns(DataWarning) as warned:
        twice.save(tmp_path / "a.xml")
    assert [str(one.message) for one in warned] == [
        "VOC cannot hold all that is known: 4 scores, 4 stability scores, 4 prompts, 1 empty mask "
        f"and 1 mask that smaller ones cover are not in {str(tmp_path / 'a.xml')!r}; 1 mask lost "
        "the pixels that smaller ones cover"
    ]


def test_more_objects_than_numbers() -> None:
    row = np.zeros((300, 1, 600), bool)
    for i in range(300):
        row[i, 0, 2 * i : 2 * i + 1 + (i % 2)] = True
    file = io.BytesIO()
    with pytest.warns(DataWarning, match="46 masks beyond the 254 largest are not"):
        Masks.from_dense(row).save(file, format="voc")
    back = voc.read(file.getvalue())
    assert len(back) == 254 and int((back.areas == 2).sum()) == 150


def test_more_classes_than_numbers(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at most 254 classes"):
        voc.writer(tmp_path, names=[f"thing {i}" for i in range(240)]).__enter__()


# --------------------------------------------------------------------- files of others


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "RGBA"])
def test_kinds_of_pngs(mode: str, tmp_path: Path) -> None:
    path = save(tmp_path / "SegmentationObject/a.png", NUMBERS, mode)
    masks = voc.read(path)
    np.testing.assert_array_equal(masks.dense(), [NUMBERS == 1, NUMBERS == 2])


def test_names_without_a_list(tmp_path: Path) -> None:
    save(tmp_path / "SegmentationObject/a.png", NUMBERS)
    assert voc.read(tmp_path / "SegmentationObject/a.png").labels == (None, None)
    save(tmp_path / "SegmentationClass/a.png", np.where(NUMBERS == 2, 12, NUMBERS).astype(np.uint8))
    assert voc.read(tmp_path / "SegmentationObject/a.png").labels == ("aeroplane", "dog")
    os.unlink(tmp_path / "SegmentationObject/a.png")
    assert voc.read(tmp_path / "SegmentationClass/a.png").labels == ("aeroplane", "dog")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("# c\nbackground:::\ncat:::\ndog:::\n", ("cat", "dog")),
        ("background\ncat\ndog", ("cat", "dog")),
        ("cat:128,0,0::\ndog:0,128,0::\nbackground:0,0,0::\n", ("cat", "dog")),
        ("\ufeffcat\r\ndog\r\n", ("cat", "dog")),
        ("background:0,0,0::\ncat:1,2,3::\ndog:4,5,6::\n", ("cat", "dog")),
        ("background:0,0,0::\ndog:0,128,0::\n", ("1", "dog")),
    ],
)
def test_lists_of_classes(text: str, names: tuple[str, str], tmp_path: Path) -> None:
    save(tmp_path / "SegmentationClass/a.png", NUMBERS)
    (tmp_path / "labelmap.txt").write_text(text, encoding="utf-8")
    assert voc.read(tmp_path / "SegmentationClass/a.png").labels == names


def test_boxes_alone(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(annotation(("dog", (1, 1, 2, 3))))
    with pytest.warns(DataWarning, match="boxes without a map of objects come as empty masks: 1"):
        masks = anymask.read(tmp_path / "a.xml")
    assert (masks.labels, masks.areas.tolist(), masks.source) == (("dog",), [0], "a.jpg")
    assert masks.meta[0] == {"bbox": [0, 0, 2, 3], "truncated": 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<annotation>", "as XML"),
        ("<other/>", "expected an annotation of VOC"),
        (
            annotation(
                ("dog", (1, 1, 2, 3)), size="<size><width>9</width><height>3</height></size>"
            ),
            r"annotation of \(h, w\) = \(3, 4\)",
        ),
        (annotation().replace("<width>4", "<width>x"), "as VOC"),
        ("<annotation><object><name>x</name></object></annotation>", "field 'bndbox'"),
        (annotation(("dog", (1, 1, 2, 3))).replace("<xmax>2", "<xmax>nan"), "finite"),
        ('<?xml version="1.0" encoding="nonsense"?><annotation/>', "as XML"),
        (
            '<!DOCTYPE x [<!ENTITY a "aaa"><!ENTITY b SYSTEM "file:///etc/passwd">]>'
            "<annotation><filename>&b;</filename></annotation>",
            "as XML",
        ),
    ],
)
def test_annotations_that_cannot_be_read(text: str, says: str, tmp_path: Path) -> None:
    save(tmp_path / "SegmentationObject/a.png", NUMBERS)
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations/a.xml").write_text(text)
    with pytest.raises(InputError, match=says):
        voc.read(tmp_path / "Annotations/a.xml")


def test_pngs_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "SegmentationObject/a.png"
    save(path, NUMBERS)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"cannot read .* as a PNG of VOC"):
        voc.read(path)
    PIL.Image.new("RGB", (4, 3), (1, 2, 3)).save(path)
    with pytest.raises(InputError, match=r"colours of VOC's palette .* got \(1, 2, 3\)"):
        voc.read(path)
    PIL.Image.fromarray(NUMBERS.astype(np.uint16) * 9).save(path)
    with pytest.raises(InputError, match="numbers up to 255"):
        voc.read(path)
    save(path, NUMBERS)
    save(tmp_path / "SegmentationClass/a.png", NUMBERS[:2])
    with pytest.raises(InputError, match="of shape"):
        voc.read(path)


def test_names_with_spaces_have_their_split(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (3, 1)).save(tmp_path / "my cat 1.jpg")
    with voc.writer(tmp_path / "set") as add:
        held = replace(masks_of("cat", "dog", "cat"), image_meta={"split": "val"})
        add(replace(held, source="my cat 1.jpg"), tmp_path / "my cat 1.jpg")
    ((masks, _),) = voc.read_all(tmp_path / "set")
    assert (masks.source, masks.image_meta["split"]) == ("my cat 1.jpg", "val")
    # As with a blank at the end of its line.
    (tmp_path / "set/ImageSets/Segmentation/val.txt").write_text("my cat 1 \n")
    ((masks, _),) = voc.read_all(tmp_path / "set")
    assert masks.image_meta["split"] == "val"


def test_images_and_lists_come_along(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (3, 1)).save(tmp_path / "a.png")
    PIL.Image.new("RGB", (3, 1)).save(tmp_path / "b.jpg")
    for _ in range(2):
        with voc.writer(tmp_path / "set") as add:
            add(replace(masks_of("cat", "dog", "cat"), source="a.png"), tmp_path / "a.png")
            held = replace(masks_of("cat", "dog", "cat"), image_meta={"split": "val"})
            add(replace(held, source="b.jpg"), tmp_path / "b.jpg")
    root = tmp_path / "set"
    assert sorted(os.listdir(root / "JPEGImages")) == ["a.jpg", "b.jpg"]
    assert (root / "JPEGImages/b.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
    assert (root / "ImageSets/Segmentation/train.txt").read_text() == "a\n"
    assert (root / "ImageSets/Segmentation/val.txt").read_text() == "b\n"
    found = {masks.source: masks.image_meta["split"] for masks, _ in voc.read_all(root)}
    assert found == {"a.jpg": "train", "b.jpg": "val"}
    with pytest.raises(InputError, match="folder of one year"):
        next(voc.read_all(tmp_path))
