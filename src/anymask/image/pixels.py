"""Turning image files and Pillow images of every kind into RGB pixels of 8 bits.

The rules are those of a photographer looking at the image in a viewer:

* The camera's orientation tag is applied, an embedded colour profile is converted to sRGB, and of
  an animation or a stack of pages the first one is taken.
* Transparent pixels show the background, white unless told otherwise; the colours below and the
  alpha channel are kept, too.
* More than 8 bits, floating point and values below zero: see `anymask.image.scaling`. (Of PNG files
  with 16 bits of grey and of alpha, Pillow gives us the upper 8 bits only.)
* TIFF files that Pillow does not know, or of which it shows the upper bits only, are read by
  tifffile; of many bands the first three (see `anymask.image.tiff`).
* HEIC and JPEG XL need packages of their own, which errors name.
"""

from __future__ import annotations

import os
import sys
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageFile

from anymask.errors import InputError, MissingExtraError
from anymask.image.colour import Colour, Decoded, lay_on, to_srgb
from anymask.image.files import (
    SHRINK,
    check_content,
    closed,
    damaged,
    identify,
    is_tiff,
    open_source,
)
from anymask.image.geo import Geo, geo_from_tags
from anymask.image.scaling import Bounds, find_bounds, from_values
from anymask.image.tiff import UnknownKind, check_whole, open_tiff, warn_of_left_out

__all__ = [
    "MAX_PIXELS",
    "ImageFile",
    "check_end",
    "decode",
    "is_deep",
    "pil_geo",
    "read_deep",
    "read_file",
    "read_pil",
    "read_size",
    "read_tiff",
]

MAX_PIXELS = 200_000_000
"""Pixels that a file may have: as many as the largest cameras take, fewer than bombs expand to."""

ImageFile: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]
"""A path, the bytes of an image file, or a file that is open for reading bytes."""

_TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
_LYING = (5, 6, 7, 8)
_TAGS_OFFSETS = 273, 324  # of strips and of tiles
_TAGS_SIZES = 279, 325
_TAG_COMPRESSION = 259
_RARE = (34925, 50000, 50001)  # LZMA, Zstandard and WebP, which not every libtiff has
_TAG_SUBFILE = 254
_TAG_BITS = 258
_TAG_PHOTOMETRIC = 262
_TAG_ORIENTATION = 274
_TAG_SAMPLES = 277
_TAG_EXTRA_SAMPLES = 338
_TAG_SAMPLE_FORMAT = 339


def read_size(path: str | os.PathLike[str], *, upright: bool = False) -> tuple[int, int]:
    """Read height and width of an image file, without decoding it.

    Args:
        path: The file.
        upright: Give them as `Image.open` does, turned as the camera's tag says; else as they are
            stored.

    Raises:
        InputError: The file is missing, empty, damaged or not an image.
        MissingExtraError: The package that reads its format is not installed.
    """
    with open_source(path) as (file, name):
        try:
            with identify(file, name) as image:
                lies = upright and _orientation(image) in _LYING
                return (image.width, image.height) if lies else (image.height, image.width)
        except InputError:
            if not is_tiff(file):
                raise
        with open_tiff(file, name) as tiff:
            return tiff.size_hw


def read_file(source: ImageFile, background: Colour, max_pixels: int) -> tuple[Decoded, Geo | None]:
    """Read an image file.

    Args:
        source: A path, bytes, or a file opened for reading bytes, which is read from where it
            stands.
        background: RGB, shows through where the image is transparent.
        max_pixels: Larger files are refused before they are decoded.

    Raises:
        InputError: It is missing, empty, damaged, too large or not an image.
        MissingExtraError: The package that reads its format is not installed.
    """
    with open_source(source) as (file, name):
        if is_tiff(file):
            return read_tiff(file, name, background, max_pixels)
        with identify(file, name) as image:
            wide = read_deep(image, file, name, background, max_pixels)
            return wide or read_pil(image, background, max_pixels, name), None


# ------------------------------------------------------------------------------ TIFF files


def read_tiff(
    file: IO[bytes], name: str, background: Colour, max_pixels: int, remedy: str = SHRINK
) -> tuple[Decoded, Geo | None]:
    """Read a TIFF file as `read_file` does: by Pillow, or by tifffile where that sees more."""
    try:
        image = identify(file, name)
    except InputError:  # it may only be of a kind that Pillow does not know
        return _by_tifffile(file, name, background, max_pixels, remedy)
    with image:
        tags = dict(_tags(image))
        check_end(image, file, name)
        if is_deep(image):
            try:
                return _by_tifffile(file, name, background, max_pixels, remedy)
            except (UnknownKind, MissingExtraError):
                decoded = read_deep(image, file, name, background, max_pixels, remedy)
                if decoded is None and not _is_wide(image) and image.mode not in ("CMYK", "LAB"):
                    raise  # the rest Pillow misunderstands
        else:
            decoded = None
        try:
            decoded = decoded or read_pil(image, background, max_pixels, name, remedy=remedy)
        except InputError as error:
            try:  # what is not damaged, but unknown to Pillow
                return _by_tifffile(file, name, background, max_pixels, remedy)
            except MissingExtraError:
                raise error from None
            except UnknownKind:
                if tags.get(_TAG_COMPRESSION) in _RARE:
                    raise
                raise error from None
        if not is_deep(image):  # else it was said already
            samples, colours = int(tags.get(_TAG_SAMPLES, 1)), tags.get(_TAG_PHOTOMETRIC, 1)
            warn_of_left_out(samples, tuple(tags.get(_TAG_EXTRA_SAMPLES, ())), colours)
        return decoded, geo_from_tags(tags, (image.height, image.width))


def _by_tifffile(
    file: IO[bytes], name: str, background: Colour, max_pixels: int, remedy: str
) -> tuple[Decoded, Geo | None]:
    with open_tiff(file, name) as tiff:
        check_content(tiff.size_hw, tiff.subfile, max_pixels, name, remedy)
        tiff.check()
        tiff.warn()
        decoded = tiff.read(0, tiff.size_hw[0], background).turned(tiff.orientation)
        return decoded, geo_from_tags(tiff.tags, tiff.size_hw)


def check_end(image: PIL.ImageFile.ImageFile, file: IO[bytes], name: str) -> None:
    """Check that a TIFF file is not cut off, before libtiff prints errors about it.

    Raises:
        InputError: It is.
    """
    tags = _tags(image)
    offsets, sizes = (tags.get(a, tags.get(b, ())) for a, b in (_TAGS_OFFSETS, _TAGS_SIZES))
    check_whole(offsets, sizes, file.seek(0, os.SEEK_END), name)


def pil_geo(image: PIL.Image.Image) -> Geo | None:
    """Read where a Pillow image of a TIFF file lies."""
    return geo_from_tags(dict(_tags(image)), (image.height, image.width))


def is_deep(image: PIL.Image.Image) -> bool:
    """Return whether a TIFF file has values of which Pillow shows only a part, or others."""
    bits, kinds = (_tags(image).get(tag, (1,)) for tag in (_TAG_BITS, _TAG_SAMPLE_FORMAT))
    return max(bits, default=1) > 8 or any(kind != 1 for kind in kinds)


def _tags(image: PIL.Image.Image) -> Any:
    """Get the tags of a TIFF file; none for other images."""
    return getattr(image, "tag_v2", {})


# --------------------------------------------------------------------------- Pillow images


def read_deep(
    image: PIL.ImageFile.ImageFile,
    file: IO[bytes],
    name: str,
    background: Colour,
    max_pixels: int,
    remedy: str = SHRINK,
) -> Decoded | None:
    """Read a file of colours of 16 bits; None if it has others.

    Pillow keeps one byte of the two, the upper one. It is given the file a second time, and told
    that the bytes are the other way round.

    Args:
        image: As `identify` found it.
        file: The file that it is in.
        name: What to call it in errors.
        background: RGB, shows through where the image is transparent.
        max_pixels: Larger images are refused before they are decoded.
        remedy: What to do in that case.

    Raises:
        InputError: It is damaged or too large.
    """
    swapped: list[Any] = [_with_bytes_swapped(tile) for tile in getattr(image, "tile", ())]
    if image.mode not in ("RGB", "RGBA") or not swapped or None in swapped:
        return None
    _check_content(image, max_pixels, name, remedy)
    try:
        image.load()
        with identify(file, name) as other:
            other.tile = swapped
            other.load()
            values = np.asarray(other) | np.left_shift(np.asarray(image), 8, dtype=np.uint16)
    except Exception as error:  # see read_pil
        raise damaged(name, error) from error
    profile, hidden = (image.info.get(key) for key in ("icc_profile", "transparency"))
    decoded = from_values(values, background, find_bounds(values), profile=profile)
    if isinstance(hidden, tuple) and image.mode == "RGB":
        decoded = _hidden(decoded, (values == hidden).all(axis=2), background)
    return decoded.turned(_orientation(image))


def _with_bytes_swapped(tile: Any) -> Any | None:
    """Describe a part of a file to Pillow with its bytes swapped; None if it has but 8 bits.

    Args:
        tile: (codec, place, offset, arguments), of which the first is the order of the bits.
    """
    codec, place, offset, arguments = tile
    order, *rest = arguments if isinstance(arguments, tuple) else (arguments,)
    mode, _, bits = str(order).partition(";")
    swapped = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
    if mode not in ("RGB", "RGBA", "RGBX") or bits not in swapped:
        return None
    order = f"{mode};{swapped[bits]}"
    arguments = (order, *rest) if isinstance(arguments, tuple) else order
    named = hasattr(tile, "_replace")  # since Pillow 11.1
    return tile._replace(args=arguments) if named else (codec, place, offset, arguments)


def decode(file: IO[bytes], name: str, max_pixels: int, remedy: str) -> PIL.Image.Image:
    """Decode an image file as it is, only turned upright; `read_pil` can convert it part by part.

    Args:
        file: Opened for bytes.
        name: What to call it in errors.
        max_pixels: Larger ones are refused before they are decoded.
        remedy: What to do in that case.

    Raises:
        InputError: It is empty, damaged, too large or not an image.
    """
    with identify(file, name) as image:
        try:
            _check_content(image, max_pixels, name, remedy)
            image.load()
            turn = _TURNS.get(_orientation(image))
            return image if turn is None else image.transpose(turn)
        except InputError:
            raise
        except Exception as error:  # see read_pil
            raise damaged(name, error) from error


def read_pil(
    image: PIL.Image.Image,
    background: Colour,
    max_pixels: int,
    name: str = "the Pillow image",
    bounds: Bounds | None = None,
    remedy: str = SHRINK,
) -> Decoded:
    """Convert a Pillow image of any mode to RGB of 8 bits.

    Args:
        image: Of any mode.
        background: RGB, shows through where the image is transparent.
        max_pixels: Larger images are refused before they are decoded.
        name: What to call it in errors.
        bounds: Which values of the image that this one is a part of become 0 and 255; None: found
            in this one.
        remedy: What to do about images that are too large.

    Raises:
        InputError: It is damaged, too large, or holds no pixels that can be shown.
    """
    try:
        _check_content(image, max_pixels, name, remedy)
        image.load()
        wide = _is_wide(image)
        decoded = _wide_grey(image, background, bounds) if wide else _flatten(image, background)
        return decoded.turned(_orientation(image))
    except InputError:
        raise
    except Exception as error:  # broken files make Pillow's readers raise nearly anything
        gone = getattr(image, "fp", image) is None
        if gone and isinstance(error, AssertionError | ValueError):  # how Pillow misses its file
            raise closed(name) from error
        raise damaged(name, error) from error


def _check_content(image: PIL.Image.Image, max_pixels: int, name: str, remedy: str) -> None:
    subfile = _tags(image).get(_TAG_SUBFILE, 0)
    check_content((image.height, image.width), subfile, max_pixels, name, remedy)


def _orientation(image: PIL.Image.Image) -> int:
    """Read the EXIF orientation, 1 to 8; 1 for whatever else stands there."""
    try:
        orientation = image.getexif().get(_TAG_ORIENTATION)
    except Exception:  # broken EXIF is common, and no reason to refuse the image
        return 1
    return orientation if orientation in _TURNS else 1


def _is_wide(image: PIL.Image.Image) -> bool:
    """Return whether an image has grey values of more than 8 bits, which Pillow would clip."""
    return image.mode in ("I", "F") or image.mode.startswith("I;")


def _wide_grey(image: PIL.Image.Image, background: Colour, bounds: Bounds | None) -> Decoded:
    """Scale wide grey values to 8 bits, as RGB."""
    values = np.asarray(image)[..., None]
    bounds = bounds or find_bounds(values)
    inverted = _tags(image).get(_TAG_PHOTOMETRIC) == 0  # white is zero; Pillow inverts only 8 bits
    decoded = from_values(values, background, bounds, inverted=inverted)
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):
        decoded = _hidden(decoded, values[..., 0] == hidden, background)
    return decoded


def _hidden(decoded: Decoded, where: npt.NDArray[np.bool_], background: Colour) -> Decoded:
    """Make pixels of an opaque image transparent."""
    alpha = np.where(where, np.uint8(0), np.uint8(255))
    straight = PIL.Image.fromarray(decoded.pixels)
    return lay_on(background, straight, PIL.Image.fromarray(alpha))


def _flatten(image: PIL.Image.Image, background: Colour) -> Decoded:
    """Convert an image of 8 bits per channel to RGB in sRGB, laid on the background."""
    profile = image.info.get("icc_profile")
    if not image.has_transparency_data:
        return Decoded(np.asarray(to_srgb(image, profile)))
    solid = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    return lay_on(background, to_srgb(solid.convert("RGB"), profile), solid.getchannel("A"))
