from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest

from anymask.errors import InputError
from anymask.formats import png
from anymask.masks.masks import Masks


def columns(n: int) -> Masks:
    """One mask of one column each."""
    return Masks.from_dense(np.eye(n, dtype=bool)[:, None, :].repeat(2, axis=1))


@pytest.mark.parametrize(("n", "mode"), [(0, "L"), (1, "L"), (255, "L"), (256, "I;16")])
def test_comes_back(n: int, mode: str, tmp_path: Path) -> None:
    masks = columns(n) if n else Masks.empty((2, 3))
    png.write(tmp_path / "labels.png", masks)
    assert png.read(tmp_path / "labels.png") == masks
    with PIL.Image.open(tmp_path / "labels.png") as picture:
        assert picture.mode == mode


def test_the_smaller_mask_is_on_top(masks: Masks, tmp_path: Path) -> None:
    png.write(tmp_path / "labels.png", masks)
    labels = np.asarray(PIL.Image.open(tmp_path / "labels.png"))
    large, small, apart, _ = masks.dense()
    assert (labels[small] == 2).all()
    assert (labels[large & ~small] == 1).all()
    assert (labels[apart] == 3).all()
    assert (labels[~(large | small | apart)] == 0).all()
    back = png.read(tmp_path / "labels.png")
    np.testing.assert_array_equal(back.dense(), [large & ~small, small, apart])


def test_what_masks_are_comes_back(masks: Masks, tmp_path: Path) -> None:
    named = replace(
        masks,
        labels=("dog", None, "\u732b", "nothing"),
        ids=(5, 6, None, 7),
        meta=({"iscrowd": 1}, {}, {"caption": "x" * 2_000_000}, {}),
    )
    png.write(tmp_path / "labels.png", named)
    back = png.read(tmp_path / "labels.png")
    assert (back.labels, back.ids, back.meta) == (named.labels[:3], named.ids[:3], named.meta[:3])


def test_names_belong_to_numbers(masks: Masks, tmp_path: Path) -> None:
    """Whoever deletes a mask from a label map with another program keeps the other names."""
    png.write(tmp_path / "labels.png", replace(masks, labels=("a", "b", "c", "d")))
    image = PIL.Image.open(tmp_path / "labels.png")
    text = PIL.PngImagePlugin.PngInfo()
    text.add_itxt("anymask", image.info["anymask"])
    changed = image.point(lambda value: 0 if value == 2 else value)
    changed.save(tmp_path / "changed.png", pnginfo=text)
    assert png.read(tmp_path / "changed.png").labels == ("a", "c")


@pytest.mark.parametrize(
    "text", ["x", "[]", '{"masks": 3}', '{"masks": [{"number": 1, "label": 2}]}']
)
def test_damaged_names(text: str, masks: Masks, tmp_path: Path) -> None:
    info = PIL.PngImagePlugin.PngInfo()
    info.add_itxt("anymask", text)
    PIL.Image.fromarray(LABELS // 3).save(tmp_path / "labels.png", pnginfo=info)
    with pytest.raises(InputError, match=r"labels\.png' says of its masks"):
        png.read(tmp_path / "labels.png")


def test_more_masks_than_16_bits_can_count(tmp_path: Path) -> None:
    many = columns(1)[np.zeros(65_536, dtype=int)]
    with pytest.raises(InputError, match="at most 65535"):
        png.write(tmp_path / "labels.png", many)


LABELS = np.array([[0, 3, 3], [7, 0, 7]], dtype=np.uint8)


@pytest.mark.parametrize("kind", ["grey", "palette", "16 bits", "black and white"])
def test_reads_label_maps_of_others(kind: str, tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(LABELS)
    if kind == "palette":
        picture = picture.convert("P")
        picture.putpalette([0, 0, 0] + [250, 9, 9] * 255)
    elif kind == "16 bits":
        picture = PIL.Image.fromarray(LABELS.astype(np.uint16) * 300)
    elif kind == "black and white":
        picture = PIL.Image.fromarray(LABELS == 7)
    picture.save(tmp_path / "labels.png")
    expected = [LABELS == 7] if kind == "black and white" else [LABELS == 3, LABELS == 7]
    np.testing.assert_array_equal(png.read(tmp_path / "labels.png").dense(), expected)


def test_a_photo_is_no_label_map(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (3, 2)).save(tmp_path / "photo.png")
    with pytest.raises(InputError, match="RGB colours"):
        png.read(tmp_path / "photo.png")


@pytest.mark.parametrize("kept", [0, 4, 20, 40, 60, 100, -30])
def test_damaged_files(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "labels.png"
    noise = np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8)
    PIL.Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"cannot read .*labels\.png"):
        png.read(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        png.read(tmp_path / "labels.png")
