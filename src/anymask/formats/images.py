"""The image that a file of masks belongs to."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SUFFIXES", "find_image", "named"]

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
    for place in places:
        for suffix in SUFFIXES:
            for written in (suffix, suffix.upper()):
                candidate = place.with_name(place.stem + written)
                if candidate.is_file():
                    return candidate
    return None


def named(stem: Path) -> list[Path]:
    """List the images of a name that has no suffix."""
    return [p for suffix in SUFFIXES if (p := stem.with_name(stem.name + suffix)).is_file()]
