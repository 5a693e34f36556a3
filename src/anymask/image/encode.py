"""Images to the content of files: PNG, JPEG, WebP and TIFF, with nothing about camera or place.

Only a TIFF file says where on the earth the image lies, for only there does it have a standard.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import PIL.Image

from anymask.atomic import Target
from anymask.errors import InputError
from anymask.image.geo import geo_to_tags
from anymask.image.png import encode_png

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    from anymask.image.geo import Geo

__all__ = ["FORMATS", "encode", "format_of"]

FORMATS = {
    "png": "PNG",
    "jpg": "JPEG",
    "jpeg": "JPEG",
    "webp": "WEBP",
    "tif": "TIFF",
    "tiff": "TIFF",
}
"""What Pillow calls a format, by the suffix of its files."""

_QUALITY = {"JPEG": 92, "WEBP": 90}  # of the formats that lose something
_LARGEST = 2**32 - 2**24  # bytes that a TIFF file can hold, unless it is a BigTIFF
_SHORT, _DOUBLE, _ASCII = 3, 12, 2


def format_of(target: Target, format: str | None) -> str:
    """Find the format to write, as a key of `FORMATS`: the one named, or by the file's suffix.

    Raises:
        InputError: There is none, or it cannot be written.
    """
    known = ", ".join(FORMATS)
    if format is not None:
        name = format.lower().removeprefix(".") if isinstance(format, str) else ""
        if name not in FORMATS:
            raise InputError(f"expected a format out of {known}, got {format!r}; name one")
        return name
    path = target if isinstance(target, str | os.PathLike) else getattr(target, "name", None)
    if not isinstance(path, str | os.PathLike):
        raise InputError("expected a format for a file without a name, got none; try format='png'")
    name = Path(os.fsdecode(path)).suffix.lower().removeprefix(".")
    if name not in FORMATS:
        raise InputError(
            f"expected a file name that ends in one of {known}, got {os.fsdecode(path)!r}; "
            f"change it, or name a format"
        )
    return name


def encode(image: PIL.Image.Image, format: str, quality: int | None, geo: Geo | None) -> bytes:
    """Write an image of mode RGB or RGBA to the content of a file.

    Args:
        image: Without alpha for JPEG.
        format: A key of `FORMATS`.
        quality: 1 to 100, of JPEG and WebP; None: a good one.
        geo: Where on the earth it lies; TIFF keeps it.

    Raises:
        InputError: The quality is none, or the image is too large for the format.
    """
    kind = FORMATS[format]
    options: dict[str, Any] = {}
    if kind in _QUALITY:
        options["quality"] = _checked(quality, _QUALITY[kind])
    elif quality is not None:
        raise InputError(
            f"expected no quality for {kind}, which loses nothing, got {quality}; leave it out"
        )
    if kind == "TIFF":
        large = image.width * image.height * len(image.getbands()) > _LARGEST
        options |= {"compression": "tiff_adobe_deflate", "tiffinfo": _tiff_tags(geo)}
        options |= {"big_tiff": large}
    if kind == "PNG":
        return encode_png(image)
    buffer = io.BytesIO()
    try:
        image.save(buffer, kind, **options)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"cannot write {image.width} x {image.height} pixels as {kind} ({reason}); "
            f"save as PNG or TIFF"
        ) from error
    return buffer.getvalue()


def _checked(quality: int | None, usual: int) -> int:
    if quality is None:
        return usual
    if isinstance(quality, bool) or not isinstance(quality, int) or not 1 <= quality <= 100:
        raise InputError(f"expected a quality from 1 to 100, got {quality!r}; try {usual}")
    return quality


def _tiff_tags(geo: Geo | None) -> ImageFileDirectory_v2:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2  # here, because hardly any image needs it

    tags = ImageFileDirectory_v2()
    for number, value in ({} if geo is None else geo_to_tags(geo)).items():
        whole = isinstance(value, tuple) and all(isinstance(one, int) for one in value)
        tags.tagtype[number] = _ASCII if isinstance(value, str) else _SHORT if whole else _DOUBLE
        tags[number] = value
    return tags
