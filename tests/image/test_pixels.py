"""Files and Pillow images of every kind and mode, upright."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest
from PIL import ImageCms
from tests.image.arrow import ARROW, arrow, read, saved

from anymask.image.image import Image

# ---------------------------------------------------------------- kinds of files


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
        ("PPM", {}),
        ("TGA", {}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("JPEG2000", {}),
    ],
)
def test_files_of_every_kind(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    data = saved(arrow(), kind, **options)
    path = tmp_path / "smörgås bord.dat"  # the name says nothing
    path.write_bytes(data)
    for source in (data, bytearray(data), memoryview(data), io.BytesIO(data), path, str(path)):
        assert np.abs(read(source).astype(int) - ARROW).max() <= (6 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_frame_counts(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    others = [PIL.Image.new("RGB", (16, 24), color) for color in ("red", "blue")]
    data = saved(arrow(), kind, save_all=True, append_images=others, **options)
    np.testing.assert_array_equal(read(data), ARROW)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an orientation by the table of the EXIF standard: where row 0 and column 0 are."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    flip_rows, flip_columns = {
        1: (False, False), 2: (False, True), 3: (True, True), 4: (True, False),
        5: (False, False), 6: (False, True), 7: (True, True), 8: (True, False),
    }[orientation]  # fmt: skip
    return pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "PIL", "PIL I;16", "PIL LA"])
def test_images_stand_upright(kind: str, orientation: int) -> None:
    image, expected = arrow(), ARROW
    if kind.startswith("PIL "):
        image = image.convert("L").convert(kind[4:])
        expected = np.repeat(np.asarray(arrow().convert("L"))[..., None], 3, axis=2)
    exif = image.getexif()
    exif[274] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"subsampling": 0}}.get(kind, {})
    pil = kind.startswith("PIL")
    pixels = read(image if pil else saved(image, kind, exif=exif, **options))

    expected = turned(expected, orientation)
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= (30 if kind == "JPEG" else 0)


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_unknown_orientations_are_ignored(orientation: int) -> None:
    image = arrow()
    image.getexif()[274] = orientation
    np.testing.assert_array_equal(read(image), ARROW)


def test_broken_exif_is_ignored() -> None:
    data = saved(arrow(), "PNG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x05nonsense")
    np.testing.assert_array_equal(read(data), ARROW)


# ---------------------------------------------------------------- modes


def test_grey_becomes_three_equal_channels() -> None:
    for mode in ("L", "1"):
        pixels = read(arrow().convert("L").convert(mode))
        np.testing.assert_array_equal(pixels, np.asarray(arrow().convert(mode).convert("RGB")))


@pytest.mark.parametrize("mode", ["LA", "La", "RGBA", "RGBa", "PA"])
@pytest.mark.parametrize("background", [(255, 255, 255), (10, 20, 30)])
def test_alpha_is_laid_on_the_background(mode: str, background: tuple[int, int, int]) -> None:
    grey = PIL.Image.new("L", (3, 1), 100)
    alpha = PIL.Image.frombytes("L", (3, 1), bytes([0, 128, 255]))
    image = PIL.Image.merge("LA", (grey, alpha))
    if mode != "La":
        image = image.convert("RGBA")
    image = image.convert(mode)
    pixels = read(image, background=background)[0].astype(float)

    half = np.round(100 * 128 / 255 + np.array(background) * 127 / 255)
    np.testing.assert_allclose(pixels, [background, half, (100, 100, 100)], atol=1)
    np.testing.assert_array_equal(pixels[0], background)


@pytest.mark.parametrize("transparency", [2, bytes([255, 128, 0])])
def test_palettes_with_transparency(transparency: int | bytes) -> None:
    image = PIL.Image.new("P", (3, 1))
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    image.putdata([0, 1, 2])
    for source in (
        saved(image, "PNG", transparency=transparency),
        PIL.Image.open(io.BytesIO(saved(image, "PNG", transparency=transparency))),
    ):
        pixels = read(source)[0].tolist()
        half = [0, 200, 0] if isinstance(transparency, int) else [127, 227, 127]
        assert pixels == [[200, 0, 0], half, [255, 255, 255]]


def test_one_transparent_colour() -> None:
    image = PIL.Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (9, 9, 9))
    data = saved(image, "PNG", transparency=(1, 2, 3))
    assert read(data, background=(0, 0, 0))[0].tolist() == [[0, 0, 0], [9, 9, 9]]


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("top", [1023, 4095, 65535])
def test_colours_of_16_bits_keep_all_of_them(channels: int, top: int) -> None:
    cv2 = pytest.importorskip("cv2")
    values = np.random.default_rng(0).integers(0, top, (9, 7, channels)).astype(np.uint16)
    values[0, 0] = top
    _, content = cv2.imencode(".png", values[..., [2, 1, 0, 3][:channels]])
    image, expected = Image.open(content.tobytes()), Image.open(values)
    np.testing.assert_array_equal(image.pixels, expected.pixels)
    if channels == 4:
        np.testing.assert_array_equal(image.alpha, expected.alpha)
        np.testing.assert_array_equal(image.straight, expected.straight)


def test_one_transparent_colour_of_16_bits() -> None:
    cv2 = pytest.importorskip("cv2")
    values = np.array([[(1000, 2000, 3000), (1000, 2000, 3001)]], np.uint16)
    content = cv2.imencode(".png", values[..., ::-1])[1].tobytes()
    chunk = b"tRNS" + struct.pack(">HHH", 1000, 2000, 3000)
    chunk = struct.pack(">I", 6) + chunk + struct.pack(">I", zlib.crc32(chunk))
    place = content.index(b"IDAT") - 4
    image = Image.open(content[:place] + chunk + content[place:])
    assert image.alpha is not None
    assert image.alpha.tolist() == [[0, 255]]
    assert image.pixels[0, 0].tolist() == [255, 255, 255]


def test_one_transparent_grey_of_16_bits() -> None:
    image = PIL.Image.fromarray(np.array([[1000, 65535]], np.uint16))
    data = saved(image, "PNG", transparency=1000)
    assert read(data, background=(1, 2, 3))[0].tolist() == [[1, 2, 3], [255, 255, 255]]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_files(kind: str) -> None:
    colours = [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255)]
    for colour in colours:
        image = PIL.Image.new("RGB", (16, 16), colour).convert("CMYK")
        np.testing.assert_allclose(read(saved(image, kind))[8, 8], colour, atol=3)


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "LAB", "RGBX", "CMYK", "P"])
def test_other_colour_spaces(mode: str) -> None:
    image = arrow()
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
        assert converted is not None
        image = converted
    else:
        image = image.convert(mode)
    np.testing.assert_allclose(read(image).astype(int), ARROW, atol=6)
