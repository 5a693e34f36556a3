"""The Data Science Bowl 2018, also known as BBBC038v1: cell nuclei, one file for each of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from anymask.data.dataset import Entry, Labels, Listing
from anymask.data.readers.label_image import read_label_image
from anymask.data.readers.layout import Layout
from anymask.data.readers.overlaps import layered
from anymask.errors import InputError
from anymask.masks import rle

__all__ = ["DSB2018"]


def _read(root: Path) -> Listing:
    """List ``stage1_train``; images of the test stages, which come without masks, are left out."""
    entries = []
    for masks in sorted(root.glob("*/masks")):
        images = sorted((masks.parent / "images").glob("*.png"))
        if len(images) != 1:
            raise InputError(
                f"expected one image for the masks in {str(masks)!r}, got {len(images)} in "
                f"{str(masks.parent / 'images')!r}; complete the folder, or remove it"
            )
        entries.append(Entry(masks.parent.name, images[0], partial(_labels, masks)))
    return Listing(root.name, entries)


def _labels(folder: Path, size_hw: tuple[int, int]) -> Labels:
    files = sorted(folder.glob("*.png"))
    return layered([rle.encode(read_label_image(f, size_hw) != 0) for f in files], size_hw)


DSB2018 = Layout("dsb2018", ("*/images/*.png", "*/masks/*.png"), _read)
