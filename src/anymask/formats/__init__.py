"""Files of masks: a module for each format, each with ``write(path, masks)`` and ``read(path)``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from anymask.errors import InputError
from anymask.formats import annotation, coco, png, sa1b
from anymask.masks.masks import Masks

__all__ = ["FORMATS", "Format", "read", "write"]


class Format(NamedTuple):
    """One way to keep masks in a file."""

    suffix: str
    """How its files end, dot included."""
    write: Callable[..., None]
    """Takes a path and `Masks`, and options of its own."""
    read: Callable[..., Masks]
    """Takes a path, and options of its own."""


FORMATS = {
    "sa1b": Format(".json", sa1b.write, sa1b.read),
    "coco": Format(".json", coco.write, coco.read),
    "png": Format(".png", png.write, png.read),
}
"""The formats by name. Of those with one suffix, the first is written when none is named."""


def write(
    path: str | os.PathLike[str], masks: Masks, format: str | None = None, **options: Any
) -> None:
    """Write masks to a file, whole or not at all.

    Args:
        path: The file. Its folder must exist.
        masks: The masks of one image.
        format: Name of the format; None: by the suffix of the path (``.json`` is SA-1B's).
        **options: See the ``write`` of the format's module.

    Raises:
        InputError: The format is unknown, or cannot hold these masks.
        OutputError: The file cannot be written; what was there before is untouched.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/truck.json"
        >>> write(path, Masks.empty((480, 640)))
        >>> read(path)
        Masks(no masks of 640 x 480)
    """
    _named(format or _by_suffix(path)).write(path, masks, **options)


def read(path: str | os.PathLike[str], format: str | None = None, **options: Any) -> Masks:
    """Read masks from a file.

    Args:
        path: The file.
        format: Name of the format; None: by what is in the file.
        **options: See the ``read`` of the format's module.

    Raises:
        InputError: The file is missing, damaged, or of no known format.
    """
    return _named(format or _by_content(path)).read(path, **options)


def _named(format: str) -> Format:
    if format not in FORMATS:
        raise InputError(f"expected a format out of {', '.join(FORMATS)}, got {format!r}; name one")
    return FORMATS[format]


def _by_suffix(path: str | os.PathLike[str]) -> str:
    suffix = Path(path).suffix
    for name, known in FORMATS.items():
        if known.suffix == suffix.lower():
            return name
    raise InputError(
        f"expected a file name that ends in .json or .png, got {Path(path).name!r}; change it, or "
        f"name a format: {', '.join(FORMATS)}"
    )


def _by_content(path: str | os.PathLike[str]) -> str:
    try:
        with open(path, "rb") as file:
            head = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")  # byte order mark, white space
    except OSError as error:
        raise InputError(
            f"cannot read {str(path)!r}: {error.strerror or error}; check the name"
        ) from error
    if head.startswith(b"\x89PNG"):
        return "png"
    if head.startswith(b"{"):
        document = annotation.read_json(path)
        for name, field in (("sa1b", "image"), ("coco", "images")):
            if field in document and "annotations" in document:
                return name
    raise InputError(
        f"expected a file of masks in one of the formats {', '.join(FORMATS)}, got {str(path)!r}, "
        "which looks like none; if it is one, name the format"
    )
