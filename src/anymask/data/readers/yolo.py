"""YOLO's data sets for segmentation: ``data.yaml``, ``images/<split>/``, ``labels/<split>/``.

A folder stands for all of its splits, ``images/val`` below it for one. Images without a file of
labels have no masks. Rows that cannot be read are left out, and a `DataWarning` names the first of
each kind.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

from anymask.data.dataset import Entry, Labels, Listing, key_of
from anymask.data.readers.layout import Layout
from anymask.data.readers.notes import Notes
from anymask.data.readers.overlaps import layered
from anymask.formats.yolo_folder import Listed, list_images, read_rows
from anymask.formats.yolo_names import SetFile

__all__ = ["YOLO", "is_split", "read"]


class _Once(Notes):
    """Warns of each kind when it first shows, because rows are read when their image is."""

    def add(self, kind: str, example: object) -> None:
        self.once(kind, example)


def read(path: Path) -> Listing:
    """List the images of a data set.

    Args:
        path: Its folder, its ``data.yaml``, or the folder of one split, such as ``images/val``.

    Raises:
        InputError: There are no images, or a place that ``data.yaml`` names is not there.
    """
    about, listed = list_images(path)
    notes = _Once(path)
    twice = Counter(one.name for one in listed)
    entries = []
    for one in listed:
        name = f"{one.split}/{one.name}" if twice[one.name] > 1 else one.name
        entries.append(Entry(key_of(name), one.image, partial(_labels, one, about, notes)))
    return Listing(path.resolve().parent.name if path.is_file() else path.name, entries)


def _labels(one: Listed, about: SetFile, notes: Notes, size_hw: tuple[int, int]) -> Labels:
    masks = read_rows(one.labels, size_hw, about, notes, strict=False)
    return layered(masks.counts, size_hw, [label or "" for label in masks.labels])


def is_split(path: Path) -> bool:
    """Return whether a folder is that of the images of one split."""
    parts = path.absolute().parts
    if "images" not in parts:
        return False
    last = len(parts) - 1 - parts[::-1].index("images")
    labels = Path(*parts[:last], "labels", *parts[last + 1 :])
    return next(labels.rglob("*.txt"), None) is not None


YOLO = Layout("yolo", ("**/images/**/*", "**/labels/**/*.txt"), read)
