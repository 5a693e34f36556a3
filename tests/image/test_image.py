from __future__ import annotations

import io
import os
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from anymask.errors import InputError, OutputError
from anymask.image.colour import turn
from anymask.image.geo import Geo, read_geo
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


def test_it_shows_what_it_is() -> None:
    assert repr(Image(RGB, "a.jpg")) == "Image(6 x 4 a.jpg)"
    assert repr(Image(RGB, alpha=RGB[..., 0])) == "Image(6 x 4, with alpha)"


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


# --------------------------------------------------------------------- transparency


def transparent() -> np.ndarray:
    """Colours whose alpha rises from the left, and is full on the right."""
    alpha = np.minimum(np.linspace(0, 400, 60), 255).astype(np.uint8)
    colours = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return np.dstack([colours, np.broadcast_to(alpha, (40, 60))])


def test_alpha_and_the_colours_below_are_kept() -> None:
    rgba = transparent()
    image = Image.open(rgba, background=(10, 20, 30))
    assert image.alpha is not None
    assert image.straight is not None
    np.testing.assert_array_equal(image.alpha, rgba[..., 3])
    np.testing.assert_array_equal(image.straight, rgba[..., :3])
    share = rgba[..., 3:] / 255
    laid = rgba[..., :3] * share + np.array([10, 20, 30]) * (1 - share)
    np.testing.assert_allclose(image.pixels, laid, atol=1)
    for array in (image.pixels, image.alpha, image.straight):
        assert array.flags.c_contiguous
        assert not array.flags.writeable
    np.testing.assert_array_equal(np.asarray(image.to_pil(alpha=True)), rgba)
    assert image.to_pil().mode == "RGB"


def test_what_is_opaque_has_no_alpha() -> None:
    opaque = np.dstack([RGB, np.full((4, 6), 255, np.uint8)])
    for source in (opaque, RGB, PIL.Image.fromarray(opaque), PIL.Image.fromarray(RGB)):
        image = Image.open(source)
        assert image.alpha is None
        assert image.straight is None
        assert image.to_pil(alpha=True).mode == "RGB"


def test_given_alpha_is_checked_and_locked() -> None:
    alpha = np.full((4, 6), 7, np.uint8)
    image = Image(RGB, alpha=alpha)
    alpha[:] = 0
    assert image.alpha is not None
    assert image.alpha.min() == 7
    np.testing.assert_array_equal(image.straight, RGB)
    for wrong in (alpha[:3], alpha.astype(float), alpha.tolist(), alpha[..., None]):
        with pytest.raises(InputError, match=r"alpha as uint8 \(4, 6\), got"):
            Image(RGB, alpha=wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"straight as uint8 \(4, 6, 3\)"):
        Image(RGB, alpha=alpha, straight=RGB[:3])
    with pytest.raises(InputError, match="alpha along with"):
        Image(RGB, straight=RGB)


GEO = Geo((0.5, 0.0, 499_999.0, 0.0, -0.25, 4_649_001.0), 32633, "UTM 33N")


def test_a_crop_keeps_what_belongs_to_it() -> None:
    whole = replace(Image.open(transparent()), source="a.tif", geo=GEO)
    part = whole.crop((10, 4, 30, 24))
    for name in ("pixels", "alpha", "straight"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[4:24, 10:30])
    assert part.source == "a.tif"
    assert part.geo is not None
    assert part.geo.transform == (0.5, 0.0, 500_004.0, 0.0, -0.25, 4_649_000.0)
    assert (part.geo.epsg, part.geo.citation) == (32633, "UTM 33N")


# --------------------------------------------------------------------------- saving


@pytest.mark.parametrize("suffix", ["png", "tif", "TIFF", "webp", "jpg", "JPEG"])
@pytest.mark.parametrize("kind", ["path", "text", "file", "named"])
def test_images_are_saved(tmp_path: Path, suffix: str, kind: str) -> None:
    smooth = np.asarray(PIL.Image.linear_gradient("L").resize((60, 40)).convert("RGB"))
    image, path = Image.open(smooth), tmp_path / f"a.{suffix}"
    if kind == "path":
        image.save(path)
    elif kind == "text":
        image.save(str(path))
    elif kind == "file":
        file = io.BytesIO()
        image.save(file, suffix)
        assert not file.closed
        path.write_bytes(file.getvalue())
    else:
        with path.open("wb") as opened:
            image.save(opened)
    exact = suffix.lower() in ("png", "tif", "tiff")
    back = Image.open(path)
    assert np.abs(back.pixels.astype(int) - smooth).max() <= (0 if exact else 4)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with PIL.Image.open(path) as picture:
        assert not set(picture.getexif()) - set(range(254, 340))  # what a TIFF file consists of
        assert "exif" not in picture.info


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
def test_transparency_is_saved(suffix: str) -> None:
    image, file = Image.open(transparent()), io.BytesIO()
    image.save(file, suffix)
    back = Image.open(file.getvalue())
    if suffix == "jpg":  # which has none: what was seen
        assert back.alpha is None
        assert back.pixels[:, :5].mean() > 220  # white shows at the left
        return
    np.testing.assert_array_equal(back.alpha, image.alpha)
    if suffix != "webp":
        np.testing.assert_array_equal(back.straight, image.straight)


def test_quality() -> None:
    noise = Image.open(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    sizes = []
    for quality in (10, 50, 95):
        file = io.BytesIO()
        noise.save(file, "jpeg", quality=quality)
        sizes.append(len(file.getvalue()))
    assert sizes == sorted(set(sizes))
    for wrong in (0, 101, 1.5, True, "good"):
        with pytest.raises(InputError, match="quality from 1 to 100"):
            noise.save(io.BytesIO(), "webp", quality=wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no quality for PNG"):
        noise.save(io.BytesIO(), "png", quality=90)


@pytest.mark.parametrize("size", [(1, 1), (1, 9000), (9000, 1)])
@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
def test_thin_and_tiny_images_are_saved(size: tuple[int, int], suffix: str) -> None:
    file = io.BytesIO()
    Image.open(np.zeros(size, np.uint8)).save(file, suffix)
    assert Image.open(file.getvalue()).size_hw == size


def test_what_a_format_cannot_hold_is_one_sentence() -> None:
    wide = Image.open(np.zeros((1, 70_000), np.uint8))
    for suffix in ("jpg", "webp"):
        with pytest.raises(InputError, match=r"70000 x 1 pixels as .*; save as PNG or TIFF") as e:
            wide.save(io.BytesIO(), suffix)
        assert "\n" not in str(e.value)


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_text("before")
    with pytest.raises(InputError):
        Image.open(np.zeros((1, 70_000), np.uint8)).save(path)
    with pytest.raises(OutputError, match="its folder does not exist"):
        Image(RGB).save(tmp_path / "no" / "a.jpg")
    with pytest.raises(OutputError, match="it is a folder"):
        Image(RGB).save(tmp_path, "png")
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.jpg"]


def closed() -> io.BytesIO:
    file = io.BytesIO()
    file.close()
    return file


@pytest.mark.parametrize(
    ("target", "format", "message"),
    [
        ("a.bmp", None, r"ends in one of png, .*, got 'a\.bmp'; change it, or name a format"),
        ("a", None, "ends in one of png"),
        ("a.png", "bmp", "a format out of png, .*, got 'bmp'"),
        ("a.png", 7, "a format out of"),
        (io.BytesIO(), None, "a format for a file without a name"),
        (io.StringIO(), "png", 'with "wb"'),
        (closed(), "png", "got a closed one; give its path"),
        (7, "png", "got int; give one"),
        (None, "png", "got NoneType; give one"),
    ],
)
def test_where_it_cannot_be_saved(target: Any, format: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Image(RGB).save(target, format)
    assert "\n" not in str(caught.value)


def test_a_file_for_reading_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"before")
    with (tmp_path / "a.png").open("rb") as file, pytest.raises(InputError, match='with "wb"'):
        Image(RGB).save(file)
    with (
        (tmp_path / "b.png").open("wb") as file,
        pytest.raises(InputError, match="for reading, got one for writing; use mode 'rb'"),
    ):
        Image.open(file)


# ------------------------------------------------------------------ where on the earth


@pytest.mark.parametrize(
    "geo",
    [
        GEO,
        Geo((0.1, 0.0, 13.0, 0.0, -0.1, 52.0), 4326, None, geographic=True),
        Geo((0.1, 0.2, 13.0, 0.3, -0.1, 52.0), 7844, "GDA2020", geographic=True),
        Geo((1.0, 0.0, 0.0, 0.0, 1.0, 0.0)),
    ],
)
def test_a_tiff_keeps_its_place_on_the_earth(tmp_path: Path, geo: Geo) -> None:
    path = tmp_path / "a.tif"
    replace(Image(RGB), geo=geo).save(path)
    image = Image.open(path)
    assert image.geo == geo == read_geo(path)
    np.testing.assert_array_equal(image.pixels, RGB)
    assert Image.open(path.read_bytes()).geo == geo
    with PIL.Image.open(path) as picture:
        assert Image.open(picture).geo == geo
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffFile(path) as tiff:  # read by others as we mean it
        tags = tiff.pages[0].geotiff_tags
    key = "GeographicTypeGeoKey" if geo.geographic else "ProjectedCSTypeGeoKey"
    assert tags[key] == (geo.epsg or 32767)
    assert tags.get("GTCitationGeoKey") == geo.citation


def test_other_formats_do_not_say_it(tmp_path: Path) -> None:
    replace(Image(RGB), geo=GEO).save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").geo is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_image_keeps_its_place(orientation: int) -> None:
    stored = np.arange(4 * 6).reshape(4, 6)
    upright = turn(stored, orientation)
    turned = GEO.turned(orientation, (4, 6))

    def place(geo: Geo, x: float, y: float) -> tuple[float, float]:
        a, b, c, d, e, f = geo.transform
        return a * x + b * y + c, d * x + e * y + f

    for y, x in np.ndindex(upright.shape):
        below_y, below_x = np.argwhere(stored == upright[y, x])[0]
        expected = place(GEO, below_x + 0.5, below_y + 0.5)  # the middle of the same pixel
        assert place(turned, x + 0.5, y + 0.5) == pytest.approx(expected, rel=0, abs=1e-6)


# ---------------------------------------------------------------- where it came from


def test_open_files_and_pillow_images_know_their_paths(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    PIL.Image.fromarray(RGB).save(path)
    with path.open("rb") as file:
        assert Image.open(file).source == str(path)
    with PIL.Image.open(path) as picture:
        assert Image.open(picture).source == str(path)
    for source in (io.BytesIO(path.read_bytes()), PIL.Image.fromarray(RGB), RGB):
        assert Image.open(source).source is None
