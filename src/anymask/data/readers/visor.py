"""EPIC-KITCHENS VISOR: one file of polygons for each video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from anymask.data.dataset import Entry, Labels, Listing
from anymask.data.readers.layout import Layout
from anymask.data.readers.overlaps import layered
from anymask.errors import InputError
from anymask.formats.annotation import read_json, understanding
from anymask.masks import polygon

__all__ = ["VISOR"]

Fields = Mapping[str, Any]


def _read(root: Path) -> Listing:
    """List the frames of all videos that have an annotation file."""
    frames = {path.stem: path for path in root.glob("rgb_frames/**/*.jpg")}
    entries = []
    for file in sorted(root.glob("annotations/**/*.json")):
        document = read_json(file)
        with understanding(f"{str(file)!r} as VISOR"):
            for frame in document["video_annotations"]:
                name = Path(frame["image"]["name"]).stem
                if name not in frames:
                    raise InputError(
                        f"expected the frame {name}.jpg below {str(root / 'rgb_frames')!r}, got "
                        "none; unzip the frames of this video, or remove its annotations"
                    )
                labels = partial(_labels, file, frame["annotations"])
                entries.append(Entry(name, frames[name], labels))
    return Listing(root.name, entries)


def _labels(file: Path, objects: Sequence[Fields], size_hw: tuple[int, int]) -> Labels:
    with understanding(f"an object of {str(file)!r}"):
        outlines = [[np.array(s) for s in each["segments"] if len(s) >= 3] for each in objects]
        masks = [polygon.fill(segments, size_hw) for segments in outlines]
        return layered(masks, size_hw, [each["name"] for each in objects])


VISOR = Layout("visor", ("rgb_frames/**/*.jpg", "annotations/**/*.json"), _read)
