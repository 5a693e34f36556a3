"""Exports of annotation tools that hold all images in one file: CVAT and Label Studio.

The masks are read once, image by image, and kept as run lengths. What encloses nothing (points and
lines) is left out. Images whose file is not there are left out, too, and a `DataWarning` names
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from os.path import splitext
from pathlib import Path, PurePosixPath

from anymask.data.dataset import Entry, Labels, Listing, key_of
from anymask.data.readers.image_files import find_images
from anymask.data.readers.label_image import check_size
from anymask.data.readers.notes import Notes
from anymask.data.readers.overlaps import layered
from anymask.errors import InputError
from anymask.formats import cvat, labelstudio
from anymask.masks.masks import Masks

__all__ = ["list_cvat", "list_labelstudio"]


def list_cvat(path: Path, images: str | Path | None = None) -> Listing:
    """List the images of CVAT for images 1.1.

    Args:
        path: ``annotations.xml``.
        images: Folder of the images; None: looked for in and beside the file's folder.

    Raises:
        InputError: The file is damaged or in another layout, or none of the images is there.
    """
    if path.suffix.lower() == ".zip":
        raise InputError(
            f"expected annotations.xml beside its images, got {path.name!r}; unpack it and name "
            "the annotations.xml that is in it"
        )
    return _listing(path, cvat.read_all(path), images)


def list_labelstudio(path: Path, images: str | Path | None = None) -> Listing:
    """List the images of Label Studio's tasks; see `list_cvat`."""
    folders = [] if images is None else [Path(images)]
    return _listing(path, labelstudio.read_all(path, images=folders), images)


def _listing(path: Path, found: Iterable[Masks], images: str | Path | None) -> Listing:
    notes = Notes(path)
    each = [(masks.source or "", masks) for masks in found]
    names = [[name, PurePosixPath(name).name] for name, _ in each]
    files = find_images(path, names, notes, images)
    entries = [
        Entry(key_of(splitext(name)[0]), file, partial(_labels, path, masks))
        for (name, masks), file in zip(each, files, strict=True)
        if file is not None
    ]
    notes.warn()
    if not entries:
        raise InputError(f"expected images in {str(path)!r}, got none; export the task anew")
    return Listing(path.stem, entries)


def _labels(path: Path, masks: Masks, size_hw: tuple[int, int]) -> Labels:
    check_size(masks.size_hw, size_hw, path / (masks.source or ""))
    kept = [i for i in range(len(masks)) if masks.areas[i]]
    return layered([masks.counts[i] for i in kept], size_hw, [masks.labels[i] or "" for i in kept])
