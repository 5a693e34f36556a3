"""Layouts of images with one file of labels each, found by their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anymask.data.dataset import Entry, Labels, Listing, key_of
from anymask.data.readers import codes, documents
from anymask.data.readers.bsds import read_ground_truth
from anymask.data.readers.layout import Layout
from anymask.errors import InputError

__all__ = ["PAIRS", "VOC", "Pairs"]


@dataclass(frozen=True)
class Pairs:
    """How images and their labels are named.

    In both patterns ``{}`` stands for the same path, folders included.
    """

    image: str
    """Pattern of the images, below the data set's folder."""
    labels: str
    """Pattern of the labels. Images without labels are left out."""
    read: Callable[[Path, tuple[int, int]], Labels]
    """Reads the labels of an image of the height and width given."""

    def layout(self, name: str, signs: tuple[str, ...] = ()) -> Layout:
        """Give it a name, and signs by which it is known."""
        parts = (_any(self.image), _any(self.labels))
        return Layout(name, parts, partial(self.open, name=name), signs)

    def open(self, root: Path, name: str) -> Listing:
        """List the pairs of a folder.

        Raises:
            InputError: Labels have no image.
        """
        entries = []
        before, after = self.labels.split("{}")
        for labels in sorted(root.glob(_any(self.labels))):
            path = labels.relative_to(root).as_posix()
            stem = path[len(before) : len(path) - len(after)]
            image = root / self.image.replace("{}", stem)
            if not image.is_file():
                raise InputError(
                    f"expected an image for all labels of the layout {name!r}, got no "
                    f"{str(image)!r} for {str(labels)!r}; add it or remove its labels"
                )
            entries.append(Entry(key_of(stem), image, partial(self.read, labels)))
        return Listing(root.name, entries)


def _any(pattern: str) -> str:
    """Turn a pattern into one for `Path.glob` that matches whatever stands for ``{}``."""
    return pattern.replace("{}", "**/*")


VOC = Pairs("JPEGImages/{}.jpg", "SegmentationObject/{}.png", codes.voc_objects)
"""The folder of one year; 255, the seams between objects, is void."""

_CITYSCAPES = ("leftImg8bit/{}_leftImg8bit.png", "gtFine/{}_gtFine_instanceIds.png")

PAIRS = (
    Pairs(*_CITYSCAPES, codes.cityscapes_instances).layout("cityscapes"),
    Pairs(*_CITYSCAPES, codes.cityscapes_panoptic).layout("cityscapes-panoptic"),
    VOC.layout("voc"),
    Pairs("images/{}.jpg", "annotations/{}.png", codes.every_number).layout("ade20k-scenes"),
    Pairs("images/{}.jpg", "groundTruth/{}.mat", read_ground_truth).layout("bsds500"),
    Pairs("img/{}.png", "Rock_all/{}.png", codes.foreground).layout("doors"),
    Pairs("test/{}.jpg", "labels/{}.png", codes.void_255).layout("dram"),
    Pairs("image/{}.jpg", "label/{}.png", codes.every_number).layout("egohos"),
    Pairs("Images/{}.jpg", "Masks/{}.png", codes.foreground).layout("gtea"),
    Pairs("image/{}.jpg", "instance_map/{}.png", codes.every_number).layout("ishape"),
    Pairs("rgb_images/{}.png", "instance_annotations/{}.json", documents.woodscape).layout(
        "woodscape"
    ),
    Pairs("{}_rgb.png", "{}_label.png", codes.every_number).layout("ppdls"),
    Pairs("{}.jpg", "{}_seg.png", codes.ade20k).layout("ade20k"),
    Pairs("{}.jpg", "{}.json", documents.sa1b).layout("sa1b", signs=("**/sa_*.json",)),
)
"""Those that we know, the ones in folders of known names first."""
