"""JSON of the VGG Image Annotator: polygons, rectangles, circles and ellipses.

Regions keep the order of their drawing. Points and lines enclose nothing: they are left out, and a
`DataWarning` names them. Both a file of annotations and a saved project can be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from os.path import splitext
from pathlib import Path
from typing import Any

import numpy as np

from anymask.data.dataset import Entry, Labels, Listing, key_of
from anymask.data.readers.image_files import find_images
from anymask.data.readers.notes import Notes
from anymask.data.readers.overlaps import layered
from anymask.formats.annotation import understanding
from anymask.formats.segmentation import read_segmentation

__all__ = ["list_images"]

Fields = Mapping[str, Any]

_PROJECT = "_via_img_metadata"
_CORNERS = 64  # of a circle
_OPEN = "regions that enclose nothing are left out"
_TWICE = "images that are listed twice are taken together"


def list_images(document: Fields, path: Path, images: str | Path | None = None) -> Listing:
    """List the images of an annotation file.

    Args:
        document: Its content.
        path: Where it is.
        images: Folder of the images; None: looked for in and beside the file's folder.

    Raises:
        InputError: The content is not in this layout, or none of the images is there.
    """
    notes = Notes(path)
    with understanding(f"{str(path)!r} as VIA"):
        regions = _regions(document.get(_PROJECT, document), notes)
        files = find_images(path, [[name] for name in regions], notes, images)
        entries = [
            Entry(key_of(splitext(name)[0]), file, partial(_labels, path, shapes))
            for (name, shapes), file in zip(regions.items(), files, strict=True)
            if file is not None
        ]
    notes.warn()
    return Listing(path.stem, entries)


def _regions(images: Fields, notes: Notes) -> dict[str, list[Fields]]:
    """Sort the regions that enclose something by the name of their image."""
    found: dict[str, list[Fields]] = {}
    for about in images.values():
        name, regions = about["filename"], about["regions"]
        if name in found:
            notes.add(_TWICE, repr(name))
        shapes = found.setdefault(name, [])
        for region in regions.values() if isinstance(regions, Mapping) else regions:
            shape = region["shape_attributes"]
            if len(_corners(shape)) >= 3:
                shapes.append(shape)
            else:
                notes.add(_OPEN, f"a {shape.get('name')} of {name!r}")
    return found


def _labels(path: Path, shapes: Sequence[Fields], size_hw: tuple[int, int]) -> Labels:
    with understanding(f"a region of {str(path)!r}"):
        polygons = [_corners(shape).ravel().tolist() for shape in shapes]
        return layered([read_segmentation(polygon, size_hw) for polygon in polygons], size_hw)


def _corners(shape: Fields) -> np.ndarray:
    """Walk round a shape: (k, 2), x before y; of what encloses nothing no corners."""
    kind = shape.get("name", "polygon")
    if kind == "polygon":
        return np.stack([shape["all_points_x"], shape["all_points_y"]], 1).astype(np.float64)
    if kind == "rect":
        x, y, width, height = (float(shape[side]) for side in ("x", "y", "width", "height"))
        return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
    if kind in ("circle", "ellipse"):
        turn = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
        along, across = (float(shape.get(side, shape.get("r", 0))) for side in ("rx", "ry"))
        tilt = float(shape.get("theta", 0))
        right, down = along * np.cos(turn), across * np.sin(turn)
        cos, sin = np.cos(tilt), np.sin(tilt)
        turned = right * cos - down * sin, right * sin + down * cos
        return np.stack(turned, 1) + np.array([shape["cx"], shape["cy"]], np.float64)
    return np.zeros((0, 2))
