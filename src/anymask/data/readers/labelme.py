"""Folders of LabelMe's JSON files, each beside its image or with the path to it.

What encloses nothing (points and lines) is left out. Shapes of one label and ``group_id`` are one
mask. Files whose image is not there are left out, too, and a `DataWarning` names them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from anymask.data.dataset import Entry, Labels, Listing, key_of
from anymask.data.readers.label_image import check_size
from anymask.data.readers.layout import Layout
from anymask.data.readers.notes import Notes
from anymask.data.readers.overlaps import layered
from anymask.errors import InputError
from anymask.formats import labelme
from anymask.formats.annotation import read_iscrowd, read_json
from anymask.formats.images import named

__all__ = ["LABELME"]

_TRIED = 5  # files that are looked into to see whether a folder is LabelMe's


def _read(root: Path) -> Listing:
    """List the images of all files.

    Raises:
        InputError: None of them has its image.
    """
    notes, entries = Notes(root), []
    for path in _files(root):
        image = next(iter(named(path.with_suffix(""))), None)  # without reading the file
        if image is None:
            document = read_json(path)
            if not _is_labelme(document):
                notes.add("files that are none of LabelMe's are left out", repr(path.name))
                continue
            image = labelme.find_image(document, path)
        if image is None:
            notes.add("files whose image is not there are left out", repr(path.name))
            continue
        key = key_of(path.relative_to(root).with_suffix("").as_posix())
        entries.append(Entry(key, image, partial(_labels, path)))
    notes.warn()
    if not entries:
        raise InputError(
            f"expected LabelMe's JSON files with their images in {str(root)!r}, got none that has "
            "its image; put the images beside them"
        )
    return Listing(root.name, entries)


def _files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*.json")):
        if not any(part.startswith(".") for part in path.relative_to(root).parts):
            yield path


def _is_labelme(document: object) -> bool:
    return isinstance(document, dict) and {"shapes", "imagePath"} <= document.keys()


def _labels(path: Path, size_hw: tuple[int, int]) -> Labels:
    masks = labelme.read(path)
    check_size(masks.size_hw, size_hw, path)
    crowds = [i for i in range(len(masks)) if read_iscrowd(masks.meta[i])]
    single = [i for i in range(len(masks)) if i not in set(crowds)]
    return layered(
        [masks.counts[i] for i in single],
        size_hw,
        [masks.labels[i] or "" for i in single],
        [masks.counts[i] for i in crowds],
    )


def _looks_like(root: Path) -> bool:
    """Return whether one of the first files is LabelMe's."""
    for _, path in zip(range(_TRIED), _files(root), strict=False):
        try:
            if _is_labelme(read_json(path)):
                return True
        except InputError:
            continue
    return False


LABELME = Layout("labelme", ("**/*.*", "**/*.json"), _read, check=_looks_like)
