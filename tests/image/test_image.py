from __future__ import annotations

import os
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from anymask.errors import InputError
from anymask.image.image import Image

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def test_pixels_are_locked_and_our_own() -> None:
    mine = RGB.copy()
    for image in (Image.open(mine), Image(mine)):
        with pytest.raises(ValueError, match="read-only"):
            image.pixels[0] = 1
        with pytest.raises(FrozenInstanceError):
            image.pixels = mine  # type: ignore[misc]
    images = [Image.open(mine), Image(mine), Image(mine[::-1])]
    mine[:] = 7
    for image, expected in zip(images, (RGB, RGB, RGB[::-1]), strict=True):
        np.testing.assert_array_equal(image.pixels, expected)
        assert image.pixels.flags.c_contiguous


def test_every_source_gives_contiguous_uint8(tmp_path: Path) -> None:
    PIL.Image.fromarray(RGB).save(tmp_path / "a.png")
    for source in (tmp_path / "a.png", PIL.Image.fromarray(RGB), RGB, RGB[..., 0]):
        pixels = Image.open(source).pixels
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert not pixels.flags.writeable


def test_the_source_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    PIL.Image.fromarray(RGB).save(path)
    assert Image.open(path).source == str(path)
    assert Image.open(str(path)).source == str(path)
    assert Image.open(path.read_bytes()).source is None
    assert Image.open(path).crop((0, 0, 1, 1)).source == str(path)


def test_paths_of_any_kind(tmp_path: Path) -> None:
    class Odd(os.PathLike[str]):
        def __fspath__(self) -> str:
            return str(tmp_path / "a.png")

    PIL.Image.fromarray(RGB).save(tmp_path / "a.png")
    assert Image.open(Odd()).size_hw == (4, 6)


def test_an_image_comes_back_as_it_is() -> None:
    image = Image(RGB)
    assert Image.open(image) is image


def test_two_images_are_never_equal() -> None:
    image, other = Image(RGB), Image(RGB)
    assert image == image
    assert image != other
    assert len({image, other}) == 2


def test_crop_and_to_pil() -> None:
    part = Image(RGB).crop((1, 0, 3, 4))
    assert part.size_hw == (4, 2)
    np.testing.assert_array_equal(part.pixels, RGB[:, 1:3])
    np.testing.assert_array_equal(np.asarray(part.to_pil()), RGB[:, 1:3])


@pytest.mark.parametrize("xyxy", [(0, 0, 0, 4), (-1, 0, 2, 2), (0, 0, 7, 4), (3, 3, 2, 4)])
def test_crops_over_the_border_are_refused(xyxy: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match="inside the 6 x 4 image"):
        Image(RGB).crop(xyxy)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (RGB.astype(float), "expected uint8 pixels, got float64; use Image.open"),
        (RGB.tolist(), "expected uint8 pixels, got list"),
        (RGB[..., 0], r"shape \(h, w, 3\), got \(4, 6\)"),
        (RGB[:0], r"shape \(h, w, 3\), got \(0, 6, 3\)"),
    ],
)
def test_unfit_pixels_are_refused(pixels: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Image(pixels)


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        (None, "convert it first"),
        (5, "convert it first"),
        (object(), "convert it first"),
        ([[1]], r"pass numpy.array\(\.\.\.\)"),
        (torch.zeros(3, 4, 4), r"pass tensor.permute\(1, 2, 0\).numpy\(\)"),
    ],
)
def test_other_sources_are_refused(source: Any, advice: str) -> None:
    expected = f"path, bytes, Pillow image or numpy array, got {type(source).__name__}; {advice}"
    with pytest.raises(InputError, match=expected):
        Image.open(source)


@pytest.mark.parametrize(
    "background", ["white", 255, (1, 2), (0, 0, 256), (-1, 0, 0), (0.5, 0.5, 0.5), None]
)
def test_backgrounds_are_checked(background: Any) -> None:
    with pytest.raises(InputError, match=r"\(red, green, blue\), each a whole number"):
        Image.open(RGB, background=background)
