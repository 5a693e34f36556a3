"""TIFF files of every dtype and number of bands: whole, in bands, from memory, by Pillow alone.

What is expected is what `Image.open` makes of the same values as an array, for which the rule is
tested elsewhere.
"""

from __future__ import annotations

import io
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask.errors import InputError, MissingExtraError
from anymask.image import bands as bands_module
from anymask.image import tiff as tiff_module
from anymask.image.bands import open_bands
from anymask.image.image import Image
from anymask.image.pixels import read_size

tifffile = pytest.importorskip("tifffile")

RNG = np.random.default_rng(0)
H, W = 40, 60
RGB8 = RNG.integers(0, 255, (H, W, 3), dtype=np.uint8)
RGB12 = RGB8.astype(np.uint16) * 16
RGBA8 = np.dstack([RGB8, np.full((H, W), 160, np.uint8)])
GREY8 = RGB8[..., 0]
RGB = {"photometric": "rgb"}
GREY = {"photometric": "minisblack"}
CODED = {"compression": "zlib"}
PLANES = {"planarconfig": "separate"}


def planes(values: np.ndarray) -> np.ndarray:
    return np.moveaxis(values, 2, 0)


def in_bands(path: Path) -> np.ndarray:
    with open_bands(path) as bands:
        h, _ = bands.size_hw
        return np.concatenate([bands.read(top, min(top + 7, h)) for top in range(0, h, 7)])


def write(path: Path, values: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, values, **options)
    return path


# What is stored, how, and the same as an array; None: as it is.
FILES: dict[str, tuple[np.ndarray, dict[str, Any], np.ndarray | None]] = {
    "float16": ((RGB8 / 255).astype(np.float16), RGB, None),
    "float32": ((RGB8 / 255).astype(np.float32), RGB, None),
    "float64": (RGB8 / 255, RGB, None),
    "float64, 0 to 255": (RGB8.astype(np.float64), RGB, None),
    "grey float64": (GREY8 / 255, GREY, None),
    "grey float16": ((GREY8 / 255).astype(np.float16), GREY, None),
    "heights": ((GREY8 * 10.0 - 500).astype(np.float32), GREY | CODED, None),
    "12 of 16 bits": (RGB12, RGB, None),
    "12 of 16 bits, planes": (planes(RGB12), RGB | PLANES, RGB12),
    "12 of 16 bits, coded": (RGB12, RGB | CODED | {"predictor": True}, None),
    "16 bits with alpha": (
        RGBA8.astype(np.uint16) * 257,
        RGB | {"extrasamples": ["unassalpha"]},
        None,
    ),
    "grey 16 bits with alpha": (
        RGBA8[..., 2:].astype(np.uint16) * 257,
        GREY | {"extrasamples": ["unassalpha"]},
        None,
    ),
    "uint32": (RGB8.astype(np.uint32) * 2**24, RGB, None),
    "grey uint32": (GREY8.astype(np.uint32) * 2**24, GREY, None),
    "uint64": (RGB8.astype(np.uint64), RGB, None),
    "int8": ((RGB8 // 2).astype(np.int8), RGB, None),
    "grey int8": (GREY8.astype(np.int8), GREY, None),
    "int16": (RGB8.astype(np.int16), RGB, None),
    "grey int32": (GREY8.astype(np.int32) - 99, GREY, None),
    "float32, planes, tiles": (
        planes((RGB8 / 255).astype(np.float32)),
        RGB | PLANES | CODED | {"tile": (16, 16)},
        (RGB8 / 255).astype(np.float32),
    ),
    "BigTIFF, other order of bytes": (
        RGB8 / 255,
        RGB | {"bigtiff": True, "byteorder": ">", "rowsperstrip": 7},
        None,
    ),
    "pages": (np.stack([RGB12, RGB12 // 2]), RGB, RGB12),
}


@pytest.mark.parametrize("name", FILES)
def test_files_look_like_arrays(tmp_path: Path, name: str) -> None:
    values, options, array = FILES[name]
    path = write(tmp_path / "a.tif", values, **options)
    expected = Image.open(values if array is None else array)
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        image = Image.open(source)
        np.testing.assert_array_equal(image.pixels, expected.pixels)
        assert (image.alpha is None) == (expected.alpha is None)
        if image.alpha is not None:
            np.testing.assert_array_equal(image.alpha, expected.alpha)
            np.testing.assert_array_equal(image.straight, expected.straight)
    np.testing.assert_array_equal(in_bands(path), expected.pixels)
    assert read_size(path) == (H, W)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_files_that_only_tifffile_reads_stand_upright(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "a.tif"
    tag = [(274, "H", 1, orientation)]
    expected = Image.open(write(path, RGB8, **RGB, extratags=tag)).pixels  # by Pillow
    wide = write(path, (RGB8 / 255).astype(np.float32), **RGB, extratags=tag)
    np.testing.assert_array_equal(Image.open(wide).pixels, expected)
    np.testing.assert_array_equal(in_bands(wide), expected)


NIR8 = np.dstack([RGB8, GREY8])
BANDS: dict[str, tuple[np.ndarray, dict[str, Any], str]] = {
    "nine": (np.dstack([RGB8] * 3), GREY | {"planarconfig": "contig"}, "9 bands.*first three"),
    "nine planes": (planes(np.dstack([RGB8] * 3)), GREY | PLANES, "9 bands.*first three"),
    "four": (NIR8, RGB | {"extrasamples": ["unspecified"]}, "4 bands.*first three"),
    "four without a word": (planes(NIR8), GREY | PLANES, "4 bands.*first three"),
    "four of 16 bits": (NIR8.astype(np.uint16) * 257, RGB | {"extrasamples": [0]}, "4 bands"),
    "four and alpha": (
        np.dstack([NIR8, np.full((H, W), 255, np.uint8)]),
        RGB | {"extrasamples": ["unspecified", "unassalpha"]},
        "4 bands",
    ),
}


@pytest.mark.parametrize("name", BANDS)
def test_of_many_bands_the_first_three_are_shown(tmp_path: Path, name: str) -> None:
    values, options, said = BANDS[name]
    path = write(tmp_path / "a.tif", values, **options)
    with pytest.warns(UserWarning, match=said):
        np.testing.assert_array_equal(Image.open(path).pixels, RGB8)
    with pytest.warns(UserWarning, match=said):
        np.testing.assert_array_equal(in_bands(path), RGB8)


def test_of_two_bands_the_first_is_grey(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", RGB8[..., :2], **GREY, planarconfig="contig")
    with pytest.warns(UserWarning, match="2 bands, of which the first is shown as grey"):
        np.testing.assert_array_equal(Image.open(path).pixels, Image.open(GREY8).pixels)


def test_alpha_behind_other_bands(tmp_path: Path) -> None:
    values = np.dstack([NIR8, RGBA8[..., 3]])
    extra = ["unspecified", "unassalpha"]
    path = write(tmp_path / "a.tif", values, **RGB, extrasamples=extra)
    with pytest.warns(UserWarning, match="4 bands"):
        image = Image.open(path)
    np.testing.assert_array_equal(image.alpha, RGBA8[..., 3])
    np.testing.assert_array_equal(image.straight, RGB8)
    np.testing.assert_array_equal(image.pixels, Image.open(RGBA8).pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_colours_that_are_multiplied_by_alpha(tmp_path: Path, dtype: Any) -> None:
    full = 1 if dtype is np.float32 else np.iinfo(dtype).max
    alpha = np.linspace(0.25, 1, W) * np.ones((H, 1))
    values = (np.dstack([RGB8 / 255 * alpha[..., None], alpha]) * full).astype(dtype)
    path = write(tmp_path / "a.tif", values, **RGB, extrasamples=["assocalpha"])
    image = Image.open(path)
    assert image.straight is not None
    assert np.abs(image.straight.astype(int) - RGB8).max() <= 5  # a quarter of 8 bits is 6
    np.testing.assert_array_equal(in_bands(path), image.pixels)


# -------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (GREY8.astype(np.complex64), GREY, "complex64"),
        (RGB12, {"photometric": "cielab"}, "has colours as CIELAB; save it as RGB"),
        (np.full((H, W), np.nan, np.float32), GREY, "NaN"),
        (np.full((H, W, 3), np.inf, np.float32), RGB, "infinity"),
        (np.full((H, W, 3), -1.0), RGB, "down to -1; undo the normalisation"),
    ],
)
def test_what_cannot_be_shown(
    tmp_path: Path, values: np.ndarray, options: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "a.tif", values, **options)
    for read in (Image.open, in_bands):
        with pytest.raises(InputError, match=message) as caught:
            read(path)
        assert "damaged" not in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("name", [name for name in FILES if name != "pages"])
def test_files_that_are_cut_off(
    tmp_path: Path, name: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    values, options, _ = FILES[name]
    content = write(tmp_path / "whole.tif", values, **options).read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: int(len(content) * share)])
    for read in (Image.open, in_bands):
        with pytest.raises(InputError, match="damaged or cut off") as caught:
            read(tmp_path / "a.tif")
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # nothing that a library prints


def test_nothing_is_printed_beside_our_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    values, options, _ = BANDS["nine"]
    path = write(tmp_path / "a.tif", values, **options)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a program without logging
    with pytest.warns(UserWarning, match="9 bands"):
        Image.open(path)
    assert capfd.readouterr() == ("", "")
    logged: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", logged.append)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    with pytest.warns(UserWarning, match="9 bands"):
        Image.open(path)
    assert {record.name for record in logged} == {"PIL.TiffImagePlugin"}


def test_large_strips_are_no_way_round_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.tif", RGB8, **RGB, **CODED)
    monkeypatch.setattr(tiff_module, "_LARGEST_SEGMENT", H * W * 3 - 1)
    np.testing.assert_array_equal(in_bands(path), RGB8)  # as a whole
    monkeypatch.setattr(bands_module, "MAX_DECODED", H * W - 1)
    with pytest.raises(InputError, match="because its strips or tiles are too large"):
        in_bands(path)


def test_only_the_first_page_counts(tmp_path: Path) -> None:
    values, options, array = FILES["pages"]
    content = write(tmp_path / "whole.tif", values, **options).read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) * 9 // 10])
    np.testing.assert_array_equal(
        Image.open(tmp_path / "a.tif").pixels,
        Image.open(array).pixels,  # type: ignore[arg-type]
    )


def test_the_limit_of_pixels_counts_before_decoding(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", RGB8 / 255, **RGB)
    with pytest.raises(InputError, match=r"has 60 x 40; .* raise max_pixels"):
        Image.open(path, max_pixels=H * W - 1)


def test_raw_files_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", RGB8 / 255, **RGB, subfiletype=1)
    with pytest.raises(InputError, match="raw file"):
        Image.open(path)


# ------------------------------------------------------------------- without tifffile


@pytest.mark.parametrize(
    "options",
    [{}, {"byteorder": ">"}, CODED, CODED | {"predictor": True}, CODED | {"tile": (16, 16)}],
)
def test_pillow_gives_both_bytes(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, RGB12, **RGB, **options)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    np.testing.assert_array_equal(Image.open(file.getvalue()).pixels, Image.open(RGB12).pixels)


@pytest.mark.parametrize(
    ("values", "options"),
    [(RGB8 / 255, RGB), (GREY8 / 255, GREY), (planes(RGB12), RGB | PLANES)],
)
def test_what_only_tifffile_reads_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: np.ndarray, options: dict[str, Any]
) -> None:
    path = write(tmp_path / "a.tif", values, **options)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(MissingExtraError, match=r"a\.tif.*pip install 'anymask\[image\]'"):
        Image.open(path)


def test_what_pillow_reads_needs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.tif", RGB8, **RGB)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(Image.open(path).pixels, RGB8)


@pytest.mark.parametrize("side", [60_000, 3_000_000])
def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path, side: int) -> None:
    content = bytearray(write(tmp_path / "a.tif", RGB8, **RGB, **CODED).read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        places = [tiff.pages[0].tags[code].valueoffset for code in (256, 257, 278)]
        sizes = [tiff.pages[0].tags[code].dtype for code in (256, 257, 278)]
    for place, size in zip(places, sizes, strict=True):
        width = 2 if size == 3 else 4
        content[place : place + width] = min(side, 2 ** (8 * width) - 1).to_bytes(width, "little")
    (tmp_path / "b.tif").write_bytes(content)
    for read in (Image.open, in_bands):
        with pytest.raises(InputError, match="million pixels"):
            read(tmp_path / "b.tif")


NO_DATA = {  # what GDAL writes, and the value that it means
    "a number": ("-9999", np.float32, -9999),
    "the lowest float, rounded": ("-3.40282346639e+38", np.float32, np.finfo(np.float32).min),
    "not a number": ("nan", np.float32, np.nan),
    "infinity": ("inf", np.float64, np.inf),
    "a signed integer": ("-32768", np.int16, -32768),
    "an unsigned integer": ("65535", np.uint16, 65535),
}


@pytest.mark.parametrize("kind", NO_DATA)
@pytest.mark.parametrize("low", [0, -500])
def test_values_that_stand_for_none_take_no_contrast(tmp_path: Path, kind: str, low: int) -> None:
    text, dtype, value = NO_DATA[kind]
    if low < 0 and dtype == np.uint16:
        pytest.skip("it has no values below zero")
    heights = np.linspace(low, 3000, H * W).reshape(H, W).astype(dtype)
    wanted = Image.open(heights).pixels.copy()
    wanted[5:15, 20:30] = 0
    heights[5:15, 20:30] = value
    path = tmp_path / "heights.tif"
    tifffile.imwrite(path, heights, extratags=[(42113, "s", 0, text, True)])
    np.testing.assert_array_equal(Image.open(path).pixels, wanted)
    with open_bands(path) as opened:
        np.testing.assert_array_equal(opened.read(3, 30), wanted[3:30])


def test_nothing_but_values_that_stand_for_none(tmp_path: Path) -> None:
    path = tmp_path / "none.tif"
    tag = (42113, "s", 0, "nan", True)
    tifffile.imwrite(path, np.full((H, W), np.nan, np.float32), extratags=[tag])
    assert not Image.open(path).pixels.any()
