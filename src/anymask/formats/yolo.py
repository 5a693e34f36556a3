"""YOLO's labels for segmentation: a text file for each image, a row for each object.

A row has the number of a class, and an outline whose corners are shares of the image's width and
height: ``0 0.25 0.5 0.75 0.5 0.5 1``. Names of classes are in ``data.yaml`` (see `yolo_names`), and
the size of the image is that of the image; `yolo_folder` has whole data sets.

An object is one row with one outline, so that its pieces, and holes in it, are joined by bridges:
lines that are walked there and back. Filled as COCO does it, they give the same mask again;
programs that paint outlines paint the bridges a pixel wide.

What the format can't hold is said by a `DataWarning`: scores, prompts, ids and meta are left out,
and so are empty masks and crowds (``iscrowd``), which an outline of an object would make one of.
Masks without a label are of the class "object", which ``unlabelled`` in ``data.yaml`` names, so
that they come back without.

Rows of five numbers are boxes, as for detection. As in COCO they become empty masks that keep their
``bbox``, with a warning.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from anymask.atomic import Target, output
from anymask.data.readers.notes import Notes
from anymask.errors import InputError
from anymask.folder import ResumableFolder
from anymask.formats import Format, files
from anymask.formats.classes import Classes, SharedClasses
from anymask.formats.files import Source
from anymask.formats.images import find_image
from anymask.formats.losses import Losses
from anymask.formats.yolo_folder import collect, read_all, writer
from anymask.formats.yolo_names import (
    SET_FILE,
    SetFile,
    find_set_file,
    read_names,
    read_set_file,
    write_names,
)
from anymask.formats.yolo_rows import labels_written, parse, recognises, rows_of, to_masks
from anymask.image.pixels import read_size
from anymask.masks.masks import Masks

__all__ = ["FORMAT", "read", "read_all", "write", "writer"]

# ----------------------------------------------------------------------------- writing


def write(
    target: Target, masks: Masks, *, names: Sequence[str] | None = None, tolerance: float = 0
) -> None:
    r"""Write the masks of one image.

    Args:
        target: A path, or a file opened for writing bytes.
        masks: Any number of masks.
        names: The classes, in the order of their numbers. None: those that the ``data.yaml`` in the
            folder of the file or above it lists, to which new labels are added; if there is none it
            is made, beside the file or above ``labels/``. A file without a name has none beside it,
            so that labels are lost.
        tolerance: How far, in pixels, outlines may be from the true ones to have fewer corners.

    Raises:
        InputError: A label is not among the names.
        OutputError: The file cannot be written; what was there before is untouched.

    Examples:
        >>> import io
        >>> import numpy as np
        >>> file = io.BytesIO()
        >>> mask = Masks.from_dense(np.ones((2, 4), bool), labels=["sky"])
        >>> write(file, mask, names=["sea", "sky"])
        >>> file.getvalue()
        b'1 0 0 1 0 1 1 0 1\n'
        >>> read(file.getvalue(), size_hw=(2, 4), names=["sea", "sky"]).labels
        ('sky',)
    """
    losses = Losses("YOLO")
    path = Path(target) if isinstance(target, str | os.PathLike) else None
    if names is not None:
        _check_listed(masks, names)
        text = rows_of(masks, Classes(names), losses, tolerance)
    elif path is not None:
        text = _with_names_beside(path, masks, losses, tolerance)
    else:
        text = rows_of(masks, Classes(), losses, tolerance)
        losses.add("label", len({label for label in masks.labels if label is not None}))
    with output(target) as file:
        file.write(text)
    losses.warn("the file" if path is None else repr(str(path)))


def _check_listed(masks: Masks, names: Sequence[str]) -> None:
    lost = [label for label in dict.fromkeys(masks.labels) if label not in names]
    if lost:
        raise InputError(
            f"expected masks of the classes {', '.join(map(repr, names)) or '(none)'}, got "
            f"{', '.join(map(repr, lost[:5]))}; add it to the names, or leave the names out"
        )


def _with_names_beside(path: Path, masks: Masks, losses: Losses, tolerance: float) -> bytes:
    """Number the labels as the data set does to which the file belongs."""
    found = find_set_file(path)
    home = found.parent if found is not None else _home(path)
    if not home.is_dir():  # writing the file says so
        return rows_of(masks, Classes(), losses, tolerance)
    folder = ResumableFolder(home)
    with folder.at_work(alone=False):
        name = found.name if found is not None and found.suffix in (".yaml", ".yml") else SET_FILE
        first = read_names(found) if found is not None else ()
        classes = SharedClasses(folder, name, read_names, write_names, first)
        classes.add(labels_written(masks))
        return rows_of(masks, classes, losses, tolerance)


def _home(path: Path) -> Path:
    """Choose the folder of a new list of names: above ``labels/`` if the file lies in one."""
    above = list(Path(os.path.abspath(path)).parents)
    return next((folder.parent for folder in above[:3] if folder.name == "labels"), path.parent)


# ----------------------------------------------------------------------------- reading


def read(
    source: Source,
    *,
    size_hw: tuple[int, int] | None = None,
    names: Sequence[str] | None = None,
    image: str | os.PathLike[str] | None = None,
) -> Masks:
    """Read the masks of one image.

    Args:
        source: A path, the bytes of a file, or a file opened for reading bytes.
        size_hw: Height and width of the image; None: those of ``image``.
        names: The classes, in the order of their numbers; None: those that the ``data.yaml`` in the
            folder of the file or above it lists. A class that has no name has its number as label.
        image: The image's file; None: looked for beside the file, and in ``images/`` for a file in
            ``labels/``.

    Raises:
        InputError: The file is missing, damaged or of other numbers, or the size is not known.
    """
    content = files.load(source)
    path = content.path
    if image is None and path is not None:
        image = find_image(path)
    if size_hw is None:
        if image is None:
            raise InputError(
                f"expected the image of {content.name} beside it, or in images/ for labels/, to "
                "know its size, got none; name it (image=...), or give size_hw=(height, width)"
            )
        size_hw = read_size(image, upright=True)
    known = SetFile(Path(), tuple(names)) if names is not None else _names_of(path)
    notes = Notes(path or Path(content.name))
    found = []
    for row in parse(content):
        if isinstance(row, InputError):
            raise row
        found.append(row)
    masks = to_masks(found, size_hw, known, notes, None if image is None else Path(image).name)
    notes.warn()
    return masks


def _names_of(path: Path | None) -> SetFile:
    found = None if path is None else find_set_file(path)
    return SetFile(Path()) if found is None else read_set_file(found)


FORMAT = Format(
    ".txt",
    write,
    read,
    recognises=recognises,
    place=SET_FILE,
    names_place=True,
    copies_images=True,
    collect=collect,
)
