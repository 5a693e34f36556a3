"""JSON of the VGG Image Annotator, as NDD20 has it: polygons in the order of their drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from os.path import splitext
from pathlib import Path
from typing import Any

import numpy as np

from anymask.data.dataset import Entry, Labels, Listing, key_of
from anymask.data.readers.documents import outline
from anymask.data.readers.image_files import find_images
from anymask.data.readers.overlaps import layered
from anymask.formats.annotation import understanding

__all__ = ["list_images"]

Fields = Mapping[str, Any]


def list_images(document: Fields, path: Path, images: str | Path | None = None) -> Listing:
    """List the images of an annotation file.

    Args:
        document: Its content.
        path: Where it is.
        images: Folder of the images; None: looked for in and beside the file's folder.

    Raises:
        InputError: The content is not in this layout, or images are not there.
    """
    with understanding(f"{str(path)!r} as VIA"):
        names = [about["filename"] for about in document.values()]
        regions = [about["regions"] for about in document.values()]
        files = find_images(path, [[name] for name in names], images)
        entries = [
            Entry(key_of(splitext(name)[0]), file, partial(_labels, path, some))
            for name, file, some in zip(names, files, regions, strict=True)
        ]
        return Listing(path.stem, entries)


def _labels(
    path: Path, regions: Sequence[Fields] | Mapping[str, Fields], size_hw: tuple[int, int]
) -> Labels:
    listed = list(regions.values()) if isinstance(regions, Mapping) else list(regions)
    with understanding(f"a region of {str(path)!r}"):
        return layered([outline([_corners(region)], size_hw) for region in listed], size_hw)


def _corners(region: Fields) -> list[float]:
    shape = region["shape_attributes"]
    corners: list[float] = (
        np.stack([shape["all_points_x"], shape["all_points_y"]], 1).ravel().tolist()
    )
    return corners
