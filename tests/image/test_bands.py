"""Bands: every kind of file gives the pixels that `Image.open` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from anymask.errors import InputError, MissingExtraError
from anymask.image import bands
from anymask.image.bands import open_bands
from anymask.image.image import Image

RNG = np.random.default_rng(0)
H, W = 70, 90


def read_all(source: Any, step: int = 17) -> np.ndarray:
    with open_bands(source) as opened:
        h, w = opened.size_hw
        parts = [opened.read(top, min(top + step, h)) for top in range(0, h, step)]
        assert opened.read(3, 9).shape == (6, w, 3)  # overlapping the last one, and out of turn
    return np.concatenate(parts)


def values(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    if np.dtype(dtype).kind == "f":
        return RNG.random(shape).astype(dtype)
    return RNG.integers(0, min(4000, np.iinfo(dtype).max), shape).astype(dtype)


TIFFS: list[tuple[tuple[int, ...], Any, dict[str, Any]]] = [
    ((H, W, 3), np.uint8, {}),
    ((H, W, 3), np.uint8, {"rowsperstrip": 8, "compression": "zlib"}),
    ((H, W, 3), np.uint8, {"compression": "zlib", "predictor": True}),
    ((H, W, 3), np.uint8, {"tile": (32, 16), "compression": "zlib"}),
    ((H, W, 3), np.uint8, {"tile": (32, 16), "byteorder": ">"}),
    ((H, W, 3), np.uint8, {"bigtiff": True}),
    ((3, H, W), np.uint8, {"planarconfig": "separate"}),
    ((3, H, W), np.uint8, {"planarconfig": "separate", "tile": (16, 32), "compression": "zlib"}),
    ((H, W), np.uint8, {"photometric": "minisblack", "rowsperstrip": 5}),
    ((H, W), np.uint8, {"photometric": "miniswhite"}),
    ((H, W), np.uint16, {"photometric": "minisblack", "byteorder": ">"}),
    ((H, W), np.uint16, {"photometric": "miniswhite", "tile": (16, 16), "compression": "zlib"}),
    ((H, W), np.float32, {"photometric": "minisblack"}),
    ((H, W, 4), np.uint8, {"extrasamples": ["unassalpha"], "rowsperstrip": 16}),
    ((H, W, 2), np.uint8, {"photometric": "minisblack", "extrasamples": ["unassalpha"]}),
]


@pytest.mark.parametrize(("shape", "dtype", "options"), TIFFS)
def test_a_tiff_looks_as_it_does_as_a_whole(
    tmp_path: Path, shape: Any, dtype: Any, options: dict[str, Any]
) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, values(shape, dtype), **{"photometric": "rgb", **options})
    with open_bands(path) as opened:
        assert type(opened).__name__ == "_Tiff"  # read where its rows are
        assert (opened.size_hw, opened.source) == ((H, W), str(path))
    assert np.array_equal(read_all(path), Image.open(path).pixels)


def test_sixteen_bit_colours_are_scaled_alike_in_every_band(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    colours = values((H, W, 3), np.uint16)
    colours[:20] //= 100
    tifffile.imwrite(tmp_path / "large.tif", colours, photometric="rgb", compression="zlib")
    assert np.array_equal(read_all(tmp_path / "large.tif"), Image.open(colours).pixels)


def test_a_palette(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    colours = RNG.integers(0, 65536, (3, 256)).astype(np.uint16)
    path = tmp_path / "map.tif"
    tifffile.imwrite(path, values((H, W), np.uint8), photometric="palette", colormap=colours)
    assert np.array_equal(read_all(path), Image.open(path).pixels)


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("photo.jpg", "RGB", {}),
        ("photo.png", "RGBA", {}),
        ("grey.png", "L", {}),
        ("wide.png", "I;16", {}),
        ("turned.jpg", "RGB", {"orientation": 6}),
        ("turned.tif", "RGB", {"orientation": 3}),  # a TIFF that only Pillow reads
        ("print.tif", "CMYK", {}),
        ("fax.tif", "1", {}),
        ("lzw.tif", "RGB", {"compression": "tiff_lzw"}),
        ("packed.tif", "RGB", {"compression": "packbits"}),
    ],
)
def test_other_files_are_decoded_once(
    tmp_path: Path, name: str, mode: str, options: dict[str, Any]
) -> None:
    pytest.importorskip("tifffile")
    picture = PIL.Image.fromarray(values((H, W), np.uint16)) if mode == "I;16" else None
    picture = picture or PIL.Image.fromarray(values((H, W, 4), np.uint8), "RGBA").convert(mode)
    if turn := options.pop("orientation", None):
        options["exif"] = exif = PIL.Image.Exif()
        exif[274] = turn
    picture.save(tmp_path / name, **options)
    assert np.array_equal(read_all(tmp_path / name), Image.open(tmp_path / name).pixels)


@pytest.mark.parametrize("top", [1.0, 0.25, 4000.0, -7.0])
@pytest.mark.parametrize("name", ["floats.tif", "floats.pfm"])
def test_floats_are_scaled_alike_in_every_band(tmp_path: Path, name: str, top: float) -> None:
    pytest.importorskip("tifffile")
    grey = values((H, W), np.float32) * np.float32(top)
    grey[:20] /= 100  # dark bands stay dark
    PIL.Image.fromarray(grey).save(tmp_path / name)
    with PIL.Image.open(tmp_path / name) as image:
        assert image.mode == "F"
    bands = read_all(tmp_path / name)
    assert np.array_equal(bands, Image.open(grey).pixels)
    assert np.array_equal(bands, Image.open(tmp_path / name).pixels)


def test_colours_of_16_bits_that_only_pillow_reads(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    colours = values((H, W, 3), np.uint16)
    colours[:20] //= 100
    cv2.imwrite(str(tmp_path / "a.png"), colours[..., ::-1])
    assert np.array_equal(read_all(tmp_path / "a.png"), Image.open(colours).pixels)


def test_arrays_and_images() -> None:
    pixels = values((H, W, 3), np.uint8)
    assert np.array_equal(read_all(pixels), pixels)
    assert np.array_equal(read_all(Image(pixels, "photo")), pixels)


def test_a_missing_strip_is_black(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "sparse.tif"
    tifffile.imwrite(path, shape=(64, 64, 3), dtype=np.uint8, photometric="rgb", tile=(32, 32))
    assert not read_all(path).any()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"II*\0", "damaged or cut off"),
        (b"II*\0\xff\xff\xff\x00", "damaged or cut off"),
        (b"no picture", "expected an image"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    pytest.importorskip("tifffile")
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(InputError, match=message), open_bands(tmp_path / "a.tif"):
        pass
    with pytest.raises(InputError, match="does not exist"), open_bands(tmp_path / "b.tif"):
        pass


def test_a_tiff_that_is_cut_off(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values((H, W, 3), np.uint8), rowsperstrip=8, compression="zlib")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged or cut off"):
        read_all(path)


def test_what_has_to_be_decoded_as_a_whole_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tifffile")
    monkeypatch.setattr(bands, "MAX_DECODED", 1000)
    picture = PIL.Image.fromarray(values((H, W, 3), np.uint8))
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "a.tif", compression="tiff_lzw")
    with pytest.raises(InputError, match="save it as a TIFF file with tiles"):
        read_all(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"tiles and deflate, because .*imagecodecs"):
        read_all(tmp_path / "a.tif")


def test_without_tifffile_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PIL.Image.new("RGB", (W, H)).save(tmp_path / "a.tif")
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with (
        pytest.raises(MissingExtraError, match=r"anymask\[image\]"),
        open_bands(tmp_path / "a.tif"),
    ):
        pass
