"""How data sets number their objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from anymask.data.dataset import Labels
from anymask.data.readers import codes
from anymask.data.readers.label_image import layer_of, read_label_image
from anymask.errors import InputError

SIZE = (1, 6)


def read(code: object, path: Path, pixels: object) -> Labels:
    PillowImage.fromarray(np.asarray(pixels)).save(path)
    assert callable(code)
    labels = code(path, SIZE)
    assert isinstance(labels, Labels)
    return labels


def listed(array: np.ndarray | None) -> list[int] | None:
    return None if array is None else array.astype(int).ravel().tolist()


@pytest.mark.parametrize(
    ("code", "pixels", "layer", "void"),
    [
        (codes.every_number, [0, 3, 255, 7, 7, 0], [0, 3, 255, 7, 7, 0], None),
        (codes.foreground, [0, 3, 255, 7, 7, 0], [0, 1, 1, 1, 1, 0], None),
        (codes.void_255, [0, 3, 255, 7, 7, 0], [0, 3, 0, 7, 7, 0], [0, 0, 1, 0, 0, 0]),
        # a void class, road, a group of cars, a car, a person
        (
            codes.cityscapes_instances,
            [4, 7, 26, 26000, 24003, 7],
            [0, 0, 0, 26000, 24003, 0],
            [1, 0, 1, 0, 0, 0],
        ),
        (
            codes.cityscapes_panoptic,
            [4, 7, 26, 26000, 24003, 7],
            [0, 7, 0, 26000, 24003, 7],
            [1, 0, 1, 0, 0, 0],
        ),
    ],
)
def test_numbers_mean_what_the_data_set_says(
    tmp_path: Path, code: object, pixels: list[int], layer: list[int], void: list[int] | None
) -> None:
    dtype = np.uint16 if max(pixels) > 255 else np.uint8
    labels = read(code, tmp_path / "a.png", np.array([pixels], dtype))
    assert [listed(each) for each in labels.layers] == [layer]
    assert listed(labels.void) == void


def test_ade20k_counts_pairs_of_class_and_object_and_reads_parts(tmp_path: Path) -> None:
    # Red / 10 and green are the class, blue the object.
    door, wall = (10, 5), (0, 7)
    seg = [(0, 0, 0), (*door, 1), (*door, 2), (*wall, 1), (*wall, 1), (0, 0, 9)]
    parts = [(0, 0, 0), (0, 3, 4), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0)]
    PillowImage.fromarray(np.array([parts], np.uint8)).save(tmp_path / "a_parts_1.png")
    labels = read(codes.ade20k, tmp_path / "a_seg.png", np.array([seg], np.uint8))
    objects, handle = (np.unique(x, return_inverse=True)[1].ravel() for x in labels.layers)
    assert listed(objects) == [0, 2, 3, 1, 1, 0]
    assert listed(handle) == [0, 1, 0, 0, 0, 0]


def test_colours_are_numbers_and_black_is_none(tmp_path: Path) -> None:
    colours = [(0, 0, 0), (0, 0, 1), (9, 0, 0), (9, 0, 0), (0, 1, 0), (0, 0, 0)]
    labels = read(codes.every_number, tmp_path / "a.png", np.array([colours], np.uint8))
    assert listed(labels.layers[0]) == [0, 1, 3, 3, 2, 0]
    assert labels.layers[0].dtype == np.uint8


def test_a_palette_stays_a_palette(tmp_path: Path) -> None:
    picture = PillowImage.fromarray(np.array([[0, 1, 2, 2, 1, 0]], np.uint8), mode="L").convert("P")
    picture.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    picture.save(tmp_path / "a.png")
    assert listed(read_label_image(tmp_path / "a.png", SIZE)) == [0, 1, 2, 2, 1, 0]


NUMBERS = [0, 1, 2, 2, 200, 0]


def grey(mode: str) -> PillowImage.Image:
    """The numbers above in an image of some mode."""
    picture = PillowImage.fromarray(np.array([NUMBERS], np.uint8))
    return picture.convert(mode)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I", "F", "I;16"])
def test_greys_are_read_from_every_mode(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.tif"
    if mode == "I;16":
        PillowImage.fromarray(np.array([NUMBERS], np.uint16)).save(path)
    else:
        grey(mode).save(path)
    with PillowImage.open(path) as picture:
        assert picture.mode == mode
    assert listed(read_label_image(path, SIZE)) == NUMBERS


def test_transparency_is_left_aside(tmp_path: Path) -> None:
    picture = grey("LA")
    picture.putalpha(PillowImage.fromarray(np.array([[0, 9, 0, 9, 0, 9]], np.uint8)))
    picture.save(tmp_path / "a.png")
    assert listed(read_label_image(tmp_path / "a.png", SIZE)) == NUMBERS


def test_less_than_nothing_is_unknown(tmp_path: Path) -> None:
    numbers = np.array([[-1, 1, -128, 3, 70_000, 0]], np.int32)
    PillowImage.fromarray(numbers).save(tmp_path / "a.tif")
    assert listed(read_label_image(tmp_path / "a.tif", SIZE)) == [0, 1, 0, 3, 70_000, 0]


def test_layers_are_as_narrow_as_their_numbers_allow() -> None:
    assert layer_of(np.array([[255]], np.int32)).dtype == np.uint8
    assert layer_of(np.array([[256]], np.int32)).dtype == np.uint16
    assert layer_of(np.array([[70000, 0, 9]], np.int32)).tolist() == [[2, 0, 1]]


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: path.write_bytes(b"no picture"), "cannot read .* as a label map"),
        (lambda path: PillowImage.new("L", (3, 3)).save(path), r"labels of shape \(1, 6\)"),
        (lambda path: PillowImage.new("CMYK", (6, 1)).save(path, "TIFF"), "of mode CMYK"),
        (lambda path: PillowImage.new("L", (6, 1)).save(path, "JPEG"), "JPEG with 1 page;"),
        (
            lambda path: PillowImage.new("L", (6, 1)).save(
                path, "TIFF", save_all=True, append_images=[PillowImage.new("L", (6, 1))]
            ),
            "TIFF with 2 pages",
        ),
        (lambda path: PillowImage.new("F", (6, 1), 0.5).save(path, "TIFF"), "got fractions in"),
        (lambda path: None, "cannot read"),
    ],
)
def test_what_is_no_label_map_of_the_image_is_refused(
    tmp_path: Path, make: object, complaint: str
) -> None:
    assert callable(make)
    make(tmp_path / "a.png")
    with pytest.raises(InputError, match=complaint):
        read_label_image(tmp_path / "a.png", SIZE)
