"""Labels of one image in a JSON file of its own."""

from __future__ import annotations

from pathlib import Path

from anymask.data.dataset import Labels
from anymask.data.readers.label_image import check_size
from anymask.data.readers.overlaps import layered
from anymask.formats import sa1b as sa1b_format
from anymask.formats.annotation import read_json, understanding
from anymask.formats.segmentation import read_segmentation

__all__ = ["sa1b", "woodscape"]


def sa1b(path: Path, size_hw: tuple[int, int]) -> Labels:
    """Read a file of SA-1B."""
    masks = sa1b_format.read(path)
    check_size(masks.size_hw, size_hw, path)
    return layered(masks.counts, size_hw)


def woodscape(path: Path, size_hw: tuple[int, int]) -> Labels:
    """Read a file of WoodScape's ``instance_annotations``."""
    document = read_json(path)
    with understanding(f"{str(path)!r} as WoodScape"):
        about = document[path.name]
        check_size((about["image_height"], about["image_width"]), size_hw, path)
        objects = about["annotation"]
        masks = [read_segmentation(entry["segmentation"], size_hw) for entry in objects]
        return layered(masks, size_hw, [entry["tags"][0] for entry in objects])
