"""Data sets of images with masks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from anymask.data.readers.label_image import layer_of, read_label_image
from anymask.data.readers.notes import Notes
from anymask.errors import InputError
from anymask.image.image import Image

__all__ = ["Dataset", "Entry", "LabelMapFolder", "Labels", "Listing", "Sample", "key_of"]


@dataclass(frozen=True, eq=False)
class Labels:
    """What a data set says of one image."""

    layers: tuple[np.ndarray, ...]
    """See `Sample.layers`."""
    void: np.ndarray | None = None
    """See `Sample.void`."""
    names: tuple[str, ...] = ()
    """See `Sample.names`."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What is peculiar to the layout, as plain JSON values."""
    boundaries: tuple[np.ndarray, ...] = ()
    """See `Sample.boundaries`."""


@dataclass(frozen=True)
class Sample:
    """One image with its masks, as layers of label maps."""

    image: np.ndarray
    """uint8 (h, w, 3), RGB."""
    layers: tuple[np.ndarray, ...]
    """Label maps, uint8 or uint16 (h, w). 0 is unknown (not background); 1..n are masks that do not
    overlap within a layer. Layers are other annotators' opinions, coarser levels, or objects that
    overlap those of the layers before."""
    meta: dict[str, Any] = field(default_factory=dict)
    """``set`` and ``id`` of the image, and what is peculiar to the layout."""
    void: np.ndarray | None = None
    """bool (h, w): pixels that nobody annotated, such as the seams between the objects of VOC or a
    crowd of COCO; they count neither for nor against a prediction. None: no such pixels."""
    names: tuple[str, ...] = ()
    """What each of `masks` shows, such as its category; empty where the data set does not say."""
    boundaries: tuple[np.ndarray, ...] = ()
    """bool (h, w): the lines between the masks of each layer, where the data set has its own."""

    def masks(self) -> list[np.ndarray]:
        """List every mask of every layer, each bool (h, w)."""
        return [layer == label for layer in self.layers for label in np.unique(layer) if label != 0]


class Dataset(Protocol):
    """Anything with a length whose items are samples."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def key(self, index: int) -> str:
        """Name a sample without reading it; unlike any other of the set, fit for a file name."""
        ...


@dataclass(frozen=True)
class Entry:
    """Where a sample is to be found."""

    key: str
    """Unlike any other of the set, fit for a file name."""
    image: Path
    """The image's file."""
    read: Callable[[tuple[int, int]], Labels]
    """Reads what is said of the image, given its height and width."""


class Listing:
    """A data set whose samples were found beforehand, and are read one by one."""

    def __init__(self, name: str, entries: Sequence[Entry]) -> None:
        """Keep a list.

        Args:
            name: What the data set is called.
            entries: Its samples, in their order.

        Raises:
            InputError: Two samples have one key.
        """
        self.name = name
        self.entries = tuple(entries)
        twice = [key for key, n in Counter(e.key for e in self.entries).items() if n > 1]
        if twice:
            raise InputError(
                f"expected images of different names in {name!r}, got {twice[0]!r} twice; rename "
                "one, or open the folders one by one"
            )

    def __len__(self) -> int:
        return len(self.entries)

    def key(self, index: int) -> str:
        """Name a sample."""
        return self.entries[index].key

    def __getitem__(self, index: int) -> Sample:
        entry = self.entries[index]
        image = Image.open(entry.image)
        labels = entry.read(image.size_hw)
        meta = {"set": self.name, "id": entry.key, **labels.meta}
        about = (labels.void, labels.names, labels.boundaries)
        return Sample(image.pixels, labels.layers, meta, *about)


def key_of(name: str) -> str:
    """Make a key of the path of an image below its data set's folder, without suffix.

    Examples:
        >>> key_of("val/frankfurt/000294")
        'val-frankfurt-000294'
    """
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")


class LabelMapFolder(Listing):
    """A folder with ``images/<id>.jpg`` and ``masks/<id>.<layer>.png``, or ``masks/<id>.png``.

    Images may be in any format, masks in any without loss. Images without masks are left out, and
    so are other files in ``masks/``; a `DataWarning` names them.

    Examples:
        >>> data = LabelMapFolder("photos-val")  # doctest: +SKIP
        >>> len(data), data[0].image.shape  # doctest: +SKIP
        (100, (321, 481, 3))
    """

    def __init__(self, root: str | Path) -> None:
        """Find the images and their mask layers.

        Raises:
            InputError: ``images/`` or ``masks/`` is missing, a mask has no image, two images have
                one name, or no image has a mask.
        """
        self.root = Path(root)
        for part in ("images", "masks"):
            if not (self.root / part).is_dir():
                raise InputError(
                    f"expected the folders images/ and masks/ in {self.root}, but {part}/ is not "
                    "there; point to a folder with images/<id>.jpg and masks/<id>.<layer>.png"
                )
        images, notes = _by_stem(self.root / "images"), Notes(self.root)
        layers: dict[str, list[Path]] = {}
        for path in _files(self.root / "masks"):
            if path.suffix.lower() in _LABEL_SUFFIXES:
                layers.setdefault(_image_of(path, images), []).append(path)
            else:
                notes.add("files that are no label maps are left out", repr(path.name))
        if not layers:
            raise InputError(
                f"expected masks/<id>.<layer>.png for the images in {self.root}, got none that "
                "match; name each mask file after its image"
            )
        for name in sorted(images.keys() - layers.keys()):
            notes.add("images without a label map are left out", repr(name))
        notes.warn()
        entries = [Entry(i, images[i], partial(_labels, layers[i])) for i in sorted(layers)]
        super().__init__(self.root.name, entries)


_LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")


def _files(folder: Path) -> list[Path]:
    """List the files of a folder, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")


def _by_stem(folder: Path) -> dict[str, Path]:
    images: dict[str, Path] = {}
    for path in _files(folder):
        other = images.setdefault(path.stem, path)
        if other != path:
            raise InputError(
                f"expected images of different names in {folder}, got {other.name} and "
                f"{path.name}; rename or remove one"
            )
    return images


def _image_of(mask: Path, images: Mapping[str, Path]) -> str:
    """Find the image that a label map is named after: as a whole, or up to the layer's number."""
    stem, _, layer = mask.stem.rpartition(".")
    if stem in images and layer.isdecimal():
        return stem
    if mask.stem in images:
        return mask.stem
    raise InputError(
        f"expected an image for every mask, got none for {str(mask)!r}, which would be called "
        f"images/{stem if layer.isdecimal() and stem else mask.stem}.*; add it or remove the mask"
    )


def _labels(paths: Sequence[Path], size_hw: tuple[int, int]) -> Labels:
    return Labels(tuple(layer_of(read_label_image(path, size_hw)) for path in paths))
