"""The image that a file of masks belongs to."""

from __future__ import annotations

import hashlib
from itertools import chain, count
from pathlib import Path

__all__ = ["SUFFIXES", "find_image", "free_name", "is_held_back", "named"]

SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".heic", ".avif", ".jp2"),
    *(".dng", ".mpo", ".pfm", ".gif", ".jfif"),
)
"""Of images, the likeliest first."""


def find_image(path: Path) -> Path | None:
    """Find the image of a file of labels: in ``images/`` for ``labels/``, or beside it."""
    places = [path]
    for i in range(len(path.absolute().parts) - 2, -1, -1):
        parts = path.absolute().parts
        if parts[i] == "labels":
            places.insert(0, Path(*parts[:i], "images", *parts[i + 1 :]))
            break
    return next((image for place in places for image in named(place.with_suffix(""))), None)


def named(stem: Path) -> list[Path]:
    """List the images of a name that has no suffix."""
    suffixes = [written for suffix in SUFFIXES for written in (suffix, suffix.upper())]
    found = [stem.with_name(stem.name + suffix) for suffix in suffixes]
    return [path for path in found if path.is_file()]


def free_name(source: str | None, taken: set[str]) -> str:
    """Name an image below the folder of all images, unlike any other."""
    place = Path(source or "image")
    parts = (place.name,) if place.is_absolute() or ".." in place.parts else place.parts
    stem = Path(*parts).with_suffix("").as_posix()
    numbered = (f"{stem}-{i}" for i in count(2))
    names = chain((stem, Path(*parts).as_posix()), numbered)
    name = next(name for name in names if name.casefold() not in taken)
    taken.add(name.casefold())
    return name


def is_held_back(name: str, val_fraction: float) -> bool:
    """Return whether an image is for validation: by its name alone, so that it stays so.

    Examples:
        >>> sum(is_held_back(f"photo-{i}", 0.2) for i in range(100))
        24
    """
    number = int(hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8], 16)
    return number < val_fraction * 2**32
