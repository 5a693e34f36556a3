"""EPIC-KITCHENS VISOR: one file of polygons for each video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from anymask.data.dataset import Entry, Labels, Listing
from anymask.data.readers.layout import Layout
from anymask.data.readers.notes import Notes
from anymask.data.readers.overlaps import layered
from anymask.errors import InputError
from anymask.formats.annotation import read_json, understanding
from anymask.masks import polygon

__all__ = ["VISOR"]

Fields = Mapping[str, Any]


def _read(root: Path) -> Listing:
    """List the frames of all videos that have an annotation file."""
    frames = {path.stem: path for path in root.glob("rgb_frames/**/*.jpg")}
    entries, notes = [], Notes(root)
    for file in sorted(root.glob("annotations/**/*.json")):
        document = read_json(file)
        with understanding(f"{str(file)!r} as VISOR"):
            for frame in document["video_annotations"]:
                name = Path(frame["image"]["name"]).stem
                if name not in frames:
                    notes.add("frames that are not below rgb_frames are left out", repr(name))
                    continue
                for each in frame["annotations"]:
                    if not _closed(each):
                        example = f"{each.get('name')!r} of {name!r}"
                        notes.add("objects without an outline are left out", example)
                labels = partial(_labels, file, frame["annotations"])
                entries.append(Entry(name, frames[name], labels))
    if not entries:
        raise InputError(
            f"expected the frames of the annotations in {str(root / 'rgb_frames')!r}, got none of "
            "them; unzip the frames of these videos"
        )
    notes.warn()
    return Listing(root.name, entries)


def _closed(each: Fields) -> list[np.ndarray]:
    """List the outlines of an object that enclose something."""
    return [np.array(outline) for outline in each["segments"] if len(outline) >= 3]


def _labels(file: Path, objects: Sequence[Fields], size_hw: tuple[int, int]) -> Labels:
    with understanding(f"an object of {str(file)!r}"):
        masks = [polygon.fill(_closed(each), size_hw) for each in objects]
        return layered(masks, size_hw, [each["name"] for each in objects])


VISOR = Layout("visor", ("rgb_frames/**/*.jpg", "annotations/**/*.json"), _read)
