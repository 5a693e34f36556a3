"""Turning files, Pillow images and arrays of every kind into RGB pixels of 8 bits.

The rules are those of a photographer looking at the picture in a viewer:

* The camera's orientation tag is applied, an embedded colour profile is converted to sRGB, and of
  an animation or a stack of pages the first one is taken.
* Transparent pixels show the background, white unless told otherwise.
* More than 8 bits: the range is the smallest of 8, 10, 12, 14, 16, 24, 32 bits that holds the
  brightest value. So 16-bit photos are divided by 257, and the 12-bit data that microscopes store
  in 16-bit files do not come out black. (Of files with 16-bit colours or 16-bit alpha, Pillow gives
  us the upper 8 bits only.)
* Floating point: 0 to 1 if the values are in there (give or take the ringing of a resize), else as
  for integers, so that 0 to 255 stays what it is.
* Grey values below zero (heights, Hounsfield units) have no natural range: smallest to largest.
  Colours below zero are refused: they come from a network's normalisation; undo that first.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageFile

from anymask.errors import InputError

__all__ = [
    "MAX_PIXELS",
    "Bounds",
    "Colour",
    "Pixels",
    "decode",
    "open_file",
    "read_array",
    "read_bytes",
    "read_file",
    "read_open_file",
    "read_pil",
    "read_size",
    "value_range",
]

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Bounds = tuple[float, float]
"""The values that become 0 and 255."""

MAX_PIXELS = 200_000_000
"""Pixels that a file may have: as many as the largest cameras take, fewer than bombs expand to."""

_FULL = tuple(2.0**bits - 1 for bits in (8, 10, 12, 14, 16, 24, 32, 64))
_RINGING = 0.125  # how far a sharpening resize overshoots at a hard edge, as a share of the range
_TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
_TAG_SUBFILE = 254
_TAG_PHOTOMETRIC = 262
_TAG_ORIENTATION = 274


def read_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Read height and width of an image file as it is stored, without decoding it.

    Raises:
        InputError: The file is missing, empty, damaged or not an image.
    """
    with open_file(path) as file, _identify(file, repr(os.fsdecode(path))) as image:
        return image.height, image.width


def read_file(path: str | os.PathLike[str], background: Colour, max_pixels: int) -> Pixels:
    """Read an image file to uint8 (h, w, 3) RGB.

    Raises:
        InputError: The file is missing, empty, damaged, too large or not an image.
    """
    with open_file(path) as file:
        return _read(file, repr(os.fsdecode(path)), background, max_pixels)


@contextmanager
def open_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open an image file for bytes, and put into words what can be wrong with it.

    Raises:
        InputError: It is missing, cannot be read, or is a folder.
    """
    name = repr(os.fsdecode(path))
    if "://" in name:
        raise InputError(f"expected an image file, got the address {name}; download it first")
    if os.path.isdir(path):
        raise InputError(f"expected an image file, but {name} is a folder; name a file inside it")
    try:
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise InputError(
            f"expected an image file, but {name} does not exist; check the path"
        ) from None
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"cannot open the image file {name}: {error}; check the path") from error


def read_bytes(data: bytes, background: Colour, max_pixels: int) -> Pixels:
    """Read the content of an image file to uint8 (h, w, 3) RGB.

    Raises:
        InputError: The bytes are none, damaged, too many pixels or not an image.
    """
    return _read(io.BytesIO(data), "the data given", background, max_pixels)


def read_open_file(file: IO[bytes], background: Colour, max_pixels: int) -> Pixels:
    """Read an image file that is open, from where it stands, to uint8 (h, w, 3) RGB.

    Raises:
        InputError: It is closed or opened for text, or its bytes are no image; see `read_bytes`.
    """
    if getattr(file, "closed", False):
        raise _closed("the file given")
    try:
        data = file.read()
    except (OSError, ValueError) as error:
        raise _damaged("the file given", error) from error
    if not isinstance(data, bytes):
        raise InputError("expected a file opened for bytes, got one for text; use mode 'rb'")
    return read_bytes(data, background, max_pixels)


def _read(file: IO[bytes], name: str, background: Colour, max_pixels: int) -> Pixels:
    with _identify(file, name) as image:
        return read_pil(image, background, max_pixels, name)


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
    with _identify(file, name) as image:
        try:
            _check_content(image, max_pixels, name, remedy)
            image.load()
            return _upright(image)
        except InputError:
            raise
        except Exception as error:  # see read_pil
            raise _damaged(name, error) from error


def _identify(file: IO[bytes], name: str) -> PIL.ImageFile.ImageFile:
    """Find the reader for a file; its pixels are not decoded yet."""
    # Pillow's own open() warns from 89 million pixels on, which good cameras reach today, and
    # refuses at 179 million; both can only be changed for the whole process. Hence our own loop.
    head = file.read(16)
    if not head:
        raise InputError(f"expected an image, but {name} is empty (0 bytes); get the file again")
    for load_readers in (PIL.Image.preinit, PIL.Image.init):
        load_readers()
        for kind in tuple(PIL.Image.ID):
            if kind == "EPS":  # a program that Pillow would hand to Ghostscript
                continue
            reader, accepts = PIL.Image.OPEN[kind]
            file.seek(0)
            try:
                likely = accepts(head) if accepts else True
                if likely and not isinstance(likely, str):  # a sentence: its library is missing
                    return reader(file, "")
            except (SyntaxError, IndexError, TypeError, struct.error):
                continue  # not this kind after all
            except Exception as error:
                raise _damaged(name, error) from error
    raise InputError(
        f"expected an image such as JPEG, PNG, TIFF or WebP, but {name} is {_guess(head)}"
    )


def _guess(head: bytes) -> str:
    """Say what a file that no reader knows may be, and what to do."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<head")):
        return "a web page; save the picture itself"
    if start.startswith((b"<svg", b"<?xml", b"%pdf", b"%!ps")):
        return "a drawing or document without pixels; export it as PNG first"
    if head[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1"):
        return "a HEIC photo; convert it to JPEG, or register the reader of the package pillow-heif"
    return "none that Pillow can read, or its beginning is damaged; convert it or get it again"


def _closed(name: str) -> InputError:
    return InputError(f"expected an open image, but {name} is closed; pass its path instead")


def _damaged(name: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, PIL.Image.DecompressionBombError | PIL.Image.DecompressionBombWarning):
        return InputError(
            f"{name} has more pixels than Pillow allows in this format ({reason}); "
            f"shrink it first, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        )
    return InputError(f"cannot decode {name}, damaged or cut off ({reason}); get it again")


def read_pil(
    image: PIL.Image.Image,
    background: Colour,
    max_pixels: int,
    name: str = "the Pillow image",
    bounds: Bounds | None = None,
) -> Pixels:
    """Convert a Pillow image of any mode to uint8 (h, w, 3) RGB.

    Args:
        image: Of any mode.
        background: RGB, shows through where the image is transparent.
        max_pixels: Larger images are refused before they are decoded.
        name: What to call it in errors.
        bounds: The `value_range` of the image that this one is a part of; None: its own.

    Raises:
        InputError: It is damaged, too large, or holds no pixels that can be shown.
    """
    try:
        _check_content(image, max_pixels, name)
        image.load()
        wide = _is_wide(image)
        rgb = _wide_grey(image, background, bounds) if wide else _flatten(image, background)
        return np.asarray(_upright(rgb, like=image))
    except InputError:
        raise
    except Exception as error:  # broken files make Pillow's readers raise nearly anything
        gone = getattr(image, "fp", image) is None
        if gone and isinstance(error, AssertionError | ValueError):  # how Pillow misses its file
            raise _closed(name) from error
        raise _damaged(name, error) from error


def _upright(image: PIL.Image.Image, like: PIL.Image.Image | None = None) -> PIL.Image.Image:
    """Turn an image as its EXIF orientation says, or that of the one it was made from."""
    turn = _TURNS.get(_orientation(like or image))
    return image if turn is None else image.transpose(turn)


def _check_content(
    image: PIL.Image.Image,
    max_pixels: int,
    name: str,
    remedy: str = "shrink it first, or raise max_pixels if you trust it",
) -> None:
    """Check what an image says of itself before its pixels are decoded."""
    width, height = image.size
    if width * height > max_pixels:
        raise InputError(
            f"expected at most {max_pixels / 1e6:.0f} million pixels, but {name} has "
            f"{width} x {height}; {remedy}"
        )
    if width == 0 or height == 0:
        raise InputError(
            f"expected at least one pixel, but {name} is {width} x {height}; use another"
        )
    if _tags(image).get(_TAG_SUBFILE, 0) & 1:
        raise InputError(
            f"expected a picture, but {name} is a camera's raw file with a small preview; "
            f"develop it to JPEG or TIFF first"
        )


def _tags(image: PIL.Image.Image) -> Any:
    """Get the tags of a TIFF file; none for other images."""
    return getattr(image, "tag_v2", {})


def _orientation(image: PIL.Image.Image) -> Any:
    """Read the EXIF orientation, 1 to 8, or whatever else stands there."""
    try:
        return image.getexif().get(_TAG_ORIENTATION)
    except Exception:  # broken EXIF is common, and no reason to refuse the picture
        return None


def _is_wide(image: PIL.Image.Image) -> bool:
    """Tell whether an image has grey values of more than 8 bits, which Pillow would clip."""
    return image.mode in ("I", "F") or image.mode.startswith("I;")


def _wide_grey(
    image: PIL.Image.Image, background: Colour, bounds: Bounds | None
) -> PIL.Image.Image:
    """Scale wide grey values to 8 bits, as RGB."""
    values = np.asarray(image)
    grey = _to_uint8(values, 1, bounds)
    if _tags(image).get(_TAG_PHOTOMETRIC) == 0:  # white is zero; Pillow inverts only 8 bits
        grey = 255 - grey
    rgb = np.repeat(grey[..., None], 3, axis=2)
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):
        rgb[values == hidden] = background
    return PIL.Image.fromarray(rgb)


def _flatten(image: PIL.Image.Image, background: Colour) -> PIL.Image.Image:
    """Convert an image of 8 bits per channel to RGB in sRGB, laid on the background."""
    profile = image.info.get("icc_profile")
    if not image.has_transparency_data:
        return _to_srgb(image, profile)
    solid = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    colour = _to_srgb(solid.convert("RGB"), profile)
    sheet = PIL.Image.new("RGB", image.size, background)
    sheet.paste(colour, mask=solid.getchannel("A"))
    return sheet


def _to_srgb(image: PIL.Image.Image, profile: bytes | None) -> PIL.Image.Image:
    """Convert to RGB by the embedded colour profile, or plainly if there is none that fits."""
    if profile:
        try:
            return _apply_profile(image, profile)
        except Exception:  # a broken or foreign profile, or a Pillow without its colour module
            pass
    return image.convert("RGB")


def _apply_profile(image: PIL.Image.Image, profile: bytes) -> PIL.Image.Image:
    from PIL import ImageCms

    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if "sRGB" in ImageCms.getProfileDescription(source):
        return image.convert("RGB")
    space = source.profile.xcolor_space.strip()
    if (space == "CMYK") == (image.mode == "CMYK"):
        image = image.convert({"GRAY": "L", "CMYK": "CMYK"}.get(space, "RGB"))
    converted = ImageCms.profileToProfile(
        image,
        source,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert converted is not None  # None is for inPlace=True
    return converted


def read_array(array: npt.NDArray[Any], background: Colour, bounds: Bounds | None = None) -> Pixels:
    """Convert an array to uint8 (h, w, 3) RGB.

    Args:
        array: Shape (h, w) or (h, w, c): grey, grey + alpha, RGB or RGBA for c = 1, 2, 3, 4; bool,
            integer or floating point.
        background: RGB, shows where alpha is below full.
        bounds: The `value_range` of the image that this array is a part of; None: its own.

    Raises:
        InputError: The shape, dtype or values are none of these.
    """
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4):
        raise InputError(
            f"expected an image array of shape (h, w) or (h, w, 1 to 4), got {array.shape}; "
            f"{_shape_hint(array.shape)}"
        )
    if array.size == 0:
        raise InputError(
            f"expected at least one pixel, got an array of shape {array.shape}; use another"
        )
    values = _to_uint8(array, array.shape[2], bounds)
    if values.shape[2] == 1:
        return np.repeat(values, 3, axis=2)
    if values.shape[2] == 3:
        return np.array(values, order="C")
    mode = "LA" if values.shape[2] == 2 else "RGBA"
    height, width, _ = values.shape
    image = PIL.Image.frombytes(mode, (width, height), values.tobytes())
    return np.asarray(_flatten(image, background))


def _shape_hint(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return "move the channels last with array.transpose(1, 2, 0)"
    if len(shape) == 4:
        return "pass the images of a batch one by one"
    return "reshape it first"


def _to_uint8(values: npt.NDArray[Any], channels: int, bounds: Bounds | None) -> Pixels:
    """Scale values of any dtype to 0 to 255 by the rules at the top of this module."""
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind not in "iuf":
        raise InputError(
            f"expected an image array of bool, integer or floating point, got {values.dtype}; "
            f"convert it to uint8 first"
        )
    low, high = bounds or value_range(
        float(values.min()), float(values.max()), values.dtype.kind == "f", channels
    )
    # 32 bits of float hold 16-bit integers exactly.
    narrow = values.dtype.itemsize <= 2 or values.dtype == np.float32
    scaled: npt.NDArray[Any] = values.astype(np.float32 if narrow else np.float64)
    scaled = (scaled - low) * (255 / (high - low) if high > low else 0.0)
    whole: Pixels = np.rint(scaled.clip(0, 255)).astype(np.uint8)
    return whole


def value_range(low: float, high: float, floating: bool, channels: int) -> Bounds:
    """Say which values of an image become 0 and 255, by the rules at the top of this module.

    Args:
        low: Its smallest value.
        high: Its largest value.
        floating: Whether it is of floating point.
        channels: How many it has.

    Raises:
        InputError: The values are not finite, or are colours below zero.
    """
    if not np.isfinite(low) or not np.isfinite(high):
        raise InputError(
            "expected finite pixel values, got NaN or infinity; "
            "replace them first, for example by numpy.nan_to_num"
        )
    ranges, slack = ((1.0, *_FULL), _RINGING) if floating else (_FULL, 0.0)
    if low >= -slack * high:
        return 0.0, next((full for full in ranges if high <= full * (1 + slack)), high)
    if channels > 1:
        raise InputError(
            f"expected colours of 0 or more, got values down to {low:g}; "
            f"undo the normalisation first"
        )
    return low, high
