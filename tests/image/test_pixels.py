"""Odd and broken images of every kind, as files, Pillow images and arrays."""

from __future__ import annotations

import io
import struct
import sys
import types
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ImageCms

from anymask.errors import InputError, MissingExtraError
from anymask.image.image import Image
from anymask.image.pixels import read_size

# Rows and columns can be told apart in it, and it survives JPEG.
ARROW = np.zeros((24, 16, 3), np.uint8)
ARROW[:8, :8] = 255
ARROW[16:, :8, 0] = 255


def arrow() -> PIL.Image.Image:
    return PIL.Image.fromarray(ARROW)


def saved(image: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read(source: Any, **options: Any) -> np.ndarray:
    return Image.open(source, **options).pixels


def png_of(width: int, height: int) -> bytes:
    """A PNG file of a few bytes that claims to be of any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


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
def test_pictures_stand_upright(kind: str, orientation: int) -> None:
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


# ---------------------------------------------------------------- colour profiles


def swapped_profile(name: bytes = b"swap") -> bytes:
    """An sRGB profile whose red and blue are exchanged."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags = {profile[132 + 12 * i :][:4]: 132 + 12 * i for i in range(profile[131])}
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    data = bytearray(profile)
    data[red + 4 : red + 12], data[blue + 4 : blue + 12] = (
        profile[blue + 4 : blue + 12],
        profile[red + 4 : red + 12],
    )
    wide = b"sRGB".decode().encode("utf-16-be")
    assert wide in data
    return bytes(data).replace(wide, name.decode().encode("utf-16-be"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_embedded_profiles_are_converted(mode: str) -> None:
    image = PIL.Image.new("RGB", (2, 2), (255, 0, 51)).convert(mode)
    for source in (image, saved(image, "PNG", icc_profile=swapped_profile())):
        if isinstance(source, PIL.Image.Image):
            source.info["icc_profile"] = swapped_profile()
        np.testing.assert_allclose(read(source)[0, 0], (51, 0, 255), atol=2)


def linear_grey_profile() -> bytes:
    """A small profile of grey values that are proportional to light."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    name = b"linear grey\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78),
        b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249),
        b"kTRC": b"curv\0\0\0\0" + struct.pack(">I", 0),
    }
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        table += tag + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = 128 + len(table) + len(body)
    header = struct.pack(">I", size) + b"\0\0\0\0\x02\x10\0\0" + b"mntrGRAYXYZ "
    header = header.ljust(36, b"\0") + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return header.ljust(128, b"\0") + table + body


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_profiles_are_converted(mode: str) -> None:
    image = PIL.Image.new("L", (2, 2), 128).convert(mode)
    data = saved(image, "PNG", icc_profile=linear_grey_profile())
    np.testing.assert_allclose(read(data)[0, 0], (188, 188, 188), atol=1)


def test_profiles_of_srgb_change_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(read(saved(arrow(), "PNG", icc_profile=profile)), ARROW)


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
def test_profiles_that_do_not_fit_are_ignored(mode: str) -> None:
    image = arrow().convert(mode)
    plain = read(image.copy())
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (b"nonsense", lab, swapped_profile()[:200]):
        image.info["icc_profile"] = profile
        np.testing.assert_array_equal(read(image), plain)


# ---------------------------------------------------------------- more than 8 bits

RAMP16 = np.arange(65536, dtype=np.uint16).reshape(256, 256)


@pytest.mark.parametrize("source", ["PNG", "TIFF", "tiff_lzw", "PPM", "array", "I;16B", "big"])
def test_16_bits_are_divided_by_257(source: str) -> None:
    given_: Any = PIL.Image.fromarray(RAMP16)
    if source in ("PNG", "TIFF", "PPM"):
        given_ = saved(given_, source)
    elif source == "tiff_lzw":
        given_ = saved(given_, "TIFF", compression=source)
    elif source == "array":
        given_ = RAMP16
    elif source == "big":
        given_ = RAMP16.astype(">u2")
    else:
        given_ = PIL.Image.frombytes("I;16B", (256, 256), RAMP16.astype(">u2").tobytes())
    expected = np.repeat(((RAMP16.astype(int) + 128) // 257)[..., None], 3, axis=2)
    np.testing.assert_array_equal(read(given_), expected)


@pytest.mark.parametrize("kind", ["array", "PNG", "TIFF"])
@pytest.mark.parametrize("top", [255, 1023, 4095, 16383])
def test_fewer_bits_in_16_are_not_black(kind: str, top: int) -> None:
    values = np.array([[0, top // 2, top]], np.uint16)
    source: Any = values if kind == "array" else saved(PIL.Image.fromarray(values), kind)
    assert read(source)[0, :, 0].tolist() == [0, 127, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 100, 200]], np.int64), [0, 100, 200]),
        (np.array([[0, 100, 200]], np.float32), [0, 100, 200]),
        (np.array([[0, 0.5, 1]], np.float16), [0, 128, 255]),
        (np.array([[0, 0.5, 1]], np.float64), [0, 128, 255]),
        (np.array([[-0.08, 0.5, 1.1]]), [0, 128, 255]),  # a resize that rings
        (np.array([[-20.0, 128, 270]]), [0, 128, 255]),
        (np.array([[0.0, 0, 0]]), [0, 0, 0]),
        (np.array([[0.0, 2048, 4095]]), [0, 128, 255]),
        (np.array([[0, 2**31, 2**32 - 1]], np.uint32), [0, 128, 255]),
        (np.array([[0, 2**64 - 1]], np.uint64), [0, 255]),
        (np.array([[-1000, 500, 2000]], np.int16), [0, 128, 255]),  # Hounsfield units
        (np.array([[-3.0, -2, -1]]), [0, 128, 255]),
        (np.array([[-7, -7]]), [0, 0]),
        (np.array([[0.0, 1e300]]), [0, 255]),
        (np.array([[False, True]]), [0, 255]),
    ],
)
def test_ranges(values: np.ndarray, expected: list[int]) -> None:
    assert read(values)[0, :, 0].tolist() == expected
    if values.dtype in (np.int32, np.float32):
        assert read(PIL.Image.fromarray(values))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pillow_images_of_32_bits(dtype: type) -> None:
    values = np.array([[0, 30000, 65535]], dtype)
    image = PIL.Image.fromarray(values)
    assert image.mode in ("I", "F")
    assert read(image)[0, :, 0].tolist() == [0, 117, 255]
    assert read(saved(image, "TIFF"))[0, :, 0].tolist() == [0, 117, 255]


def test_white_is_zero_in_16_bit_tiffs() -> None:
    image = PIL.Image.fromarray(np.array([[0, 65535]], np.uint16))
    data = bytearray(saved(image, "TIFF"))
    entry = data.index(struct.pack("<HHII", 262, 3, 1, 1))
    data[entry + 8] = 0
    assert read(bytes(data))[0, :, 0].tolist() == [255, 0]


# ---------------------------------------------------------------- arrays


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_colours_of_8_bits_stay(height: int, width: int, seed: int) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    np.testing.assert_array_equal(read(rgb), rgb)
    np.testing.assert_array_equal(read(rgb / 255), rgb)
    np.testing.assert_array_equal(read(np.float32(rgb) / 255), rgb)
    np.testing.assert_array_equal(read(rgb[::-1, ::-1]), rgb[::-1, ::-1])
    np.testing.assert_array_equal(read(np.asfortranarray(rgb)), rgb)
    opaque = np.concatenate([rgb, np.full((height, width, 1), 255, np.uint8)], axis=2)
    np.testing.assert_array_equal(read(opaque), rgb)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_arrays_with_alpha(dtype: type) -> None:
    full = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
    grey = np.array([[[full, 0], [0, full], [full, full]]], dtype)
    assert read(grey, background=(9, 8, 7))[0].tolist() == [[9, 8, 7], [0] * 3, [255] * 3]
    rgba = np.array([[[full, 0, 0, 0], [0, full, 0, full]]], dtype)
    assert read(rgba)[0].tolist() == [[255, 255, 255], [0, 255, 0]]


def test_one_channel_may_have_an_axis() -> None:
    values = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(read(values[..., None]), read(values))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), r"got \(5,\)"),
        (np.zeros((3, 20, 30)), r"got \(3, 20, 30\); .*transpose\(1, 2, 0\)"),
        (np.zeros((2, 20, 30, 3)), r"got \(2, 20, 30, 3\); .*one by one"),
        (np.zeros((20, 30, 5)), r"got \(20, 30, 5\)"),
        (np.zeros((0, 5)), r"at least one pixel, got .*\(0, 5"),
        (np.array([[np.nan]]), "NaN or infinity"),
        (np.array([[0, np.inf]]), "NaN or infinity"),
        (np.array([[-np.inf, 0]]), "NaN or infinity"),
        (np.array([[1j]]), "complex128"),
        (np.array([["a"]]), "<U1"),
        (np.array([[None]]), "object"),
        (np.array([[[-2.1, 0, 2.6]]]), r"down to -2\.1; undo the normalisation"),
        (np.full((2, 2, 3), -1, np.int32), "down to -1"),
    ],
)
def test_unfit_arrays_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(array)
    assert "\n" not in str(caught.value)


def test_nan_in_files_is_refused() -> None:
    image = PIL.Image.fromarray(np.array([[np.nan, 1]], np.float32))
    with pytest.raises(InputError, match="NaN or infinity"):
        read(saved(image, "TIFF"))


# ---------------------------------------------------------------- broken files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"hello", "Pillow"),
        (b"\xff", "Pillow"),
        (b"\xff\xd8\xff", "Pillow"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"\xef\xbb\xbf\n<HTML>", "web page"),
        (b'<?xml version="1.0"?><svg/>', "drawing"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "drawing"),
        (b"%PDF-1.7 ...", "document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "document"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00", "a video"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (saved(arrow(), "PNG")[:4], "beginning is damaged"),
        (saved(arrow(), "PNG")[:20], "damaged or cut off"),
        (saved(arrow(), "PNG")[:-40], "damaged or cut off"),
        (saved(arrow(), "JPEG")[:-300], "damaged or cut off"),
        (saved(arrow(), "JPEG")[:100], "damaged or cut off"),
        (saved(arrow(), "TIFF")[:60], "damaged or cut off"),
        (saved(arrow(), "WEBP")[:-20], "damaged or cut off"),
        (png_of(100_000, 100_000), r"at most 200 million pixels, but .* 100000 x 100000; shrink"),
        (png_of(2**31 - 1, 2**31 - 1), "at most 200 million pixels"),
        (saved(arrow(), "TIFF", tiffinfo={254: 1}), "raw file"),
    ],
)
def test_broken_files_are_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert "photo.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=message):
        read(content)


def test_missing_files_folders_and_addresses(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.jpg' does not exist; check the path"):
        read(tmp_path / "none.jpg")
    with pytest.raises(InputError, match="is a folder; name a file inside it"):
        read(tmp_path)
    with pytest.raises(InputError, match=r"got the address .*; download it first"):
        read("https://example.org/photo.jpg")
    with pytest.raises(InputError, match="cannot open"):
        read("a\0b")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM"])
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(data=st.data())
def test_damage_anywhere_raises_nothing_else(kind: str, data: st.DataObject) -> None:
    content = bytearray(saved(arrow(), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(len(content) // 2, len(content))) :]
    try:
        pixels = read(bytes(content))
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert pixels.ndim == 3


def test_closed_pillow_images_are_refused(tmp_path: Path) -> None:
    arrow().save(tmp_path / "a.png")
    with PIL.Image.open(tmp_path / "a.png") as image:
        pass
    with pytest.raises(InputError, match="the Pillow image is closed; pass its path"):
        read(image)


def test_open_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    arrow().save(path)
    with path.open("rb") as file:
        np.testing.assert_array_equal(read(file), ARROW)
    with pytest.raises(InputError, match="the file given is closed; pass its path"):
        read(file)
    with path.open(encoding="latin-1") as text, pytest.raises(InputError, match="mode 'rb'"):
        read(text)


# ---------------------------------------------------------------- size


@pytest.mark.parametrize("size", [(1, 1), (1, 30_000), (30_000, 1)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_thin_and_tiny_pictures(size: tuple[int, int], kind: str) -> None:
    image = PIL.Image.new("RGB", size, (255, 255, 255))
    assert read(saved(image, kind)).shape == (size[1], size[0], 3)


def test_the_limit_can_be_moved() -> None:
    data = saved(arrow(), "PNG")
    with pytest.raises(InputError, match=r"but .* has 16 x 24; .* raise max_pixels"):
        read(data, max_pixels=16 * 24 - 1)
    assert read(data, max_pixels=16 * 24).shape == (24, 16, 3)
    with pytest.raises(InputError, match="raise max_pixels"):
        read(arrow(), max_pixels=5)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_pillows_own_limit_neither_warns_nor_changes(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = saved(arrow(), kind)
    for limit in (10, 300):  # far below, and below by less than half: an error and a warning
        monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", limit)
        assert read(data).shape == (24, 16, 3)
        assert limit == PIL.Image.MAX_IMAGE_PIXELS


def test_where_pillow_insists_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(arrow(), "WEBP")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(InputError, match=r"raise PIL\.Image\.MAX_IMAGE_PIXELS"):
        read(data)


# ------------------------------------------------- formats that need a package of their own

HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1"
JPEG_XL = b"\xff\x0a" + bytes(20)


@pytest.mark.parametrize(
    ("content", "module", "line"),
    [
        (HEIC, "pillow_heif", r"HEIC image: .*pip install 'anymask\[heic\]'"),
        (JPEG_XL, "pillow_jxl", "JPEG XL image: .*pip install pillow-jxl-plugin"),
    ],
)
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, module: str, line: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "a.heic").write_bytes(content)
    for read_ in (Image.open, read_size):
        with pytest.raises(MissingExtraError, match=r"a\.heic', a " + line) as caught:
            read_(tmp_path / "a.heic")
        assert "\n" not in str(caught.value)


class FakeReader(PIL.ImageFile.ImageFile):
    """What packages that read HEIC give Pillow: the image in a mode, with an EXIF orientation."""

    def _open(self) -> None:
        assert self.fp is not None
        if len(self.fp.read()) < 24:
            raise SyntaxError("cut off")
        self._mode, self._size = "RGBA", (2, 3)
        self.info["exif"] = PIL.Image.Exif().tobytes()

    def load(self) -> Any:
        self.im = PIL.Image.new("RGBA", self.size, (10, 20, 30, 128)).im
        return super().load()


@pytest.mark.parametrize(
    ("content", "module", "names"),
    [
        (HEIC + b"more", "pillow_heif", ("HeifImageFile",)),
        (JPEG_XL + b"more", "pillow_jxl", ("JpegXLImagePlugin", "JXLImageFile")),
    ],
)
def test_the_package_reads_it(
    monkeypatch: pytest.MonkeyPatch, content: bytes, module: str, names: tuple[str, ...]
) -> None:
    fake: Any = FakeReader
    for name in reversed(names):
        fake = types.SimpleNamespace(**{name: fake})
    monkeypatch.setitem(sys.modules, module, fake)
    image = Image.open(content)
    assert image.size_hw == (3, 2)
    assert image.alpha is not None
    assert image.alpha[0, 0] == 128
    assert image.straight is not None
    assert image.straight[0, 0].tolist() == [10, 20, 30]
    assert "HEIF" not in PIL.Image.OPEN  # the process is left as it was
    with pytest.raises(InputError, match=r"damaged or cut off \(cut off\)"):
        Image.open(content[:20])
