"""The codes by which data sets number their objects in label maps.

A code takes the path of a label map and the size of its image, and says what the numbers mean.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image

from anymask.data.dataset import Labels
from anymask.data.readers.label_image import layer_of, read_label_image
from anymask.formats import voc_folder
from anymask.formats.voc_files import VOID, parse_annotation, read_png

__all__ = [
    "ade20k",
    "cityscapes_instances",
    "cityscapes_panoptic",
    "every_number",
    "foreground",
    "voc_objects",
    "void_255",
]

Size = tuple[int, int]


def every_number(path: Path, size_hw: Size) -> Labels:
    """Take every number but 0 for an object."""
    return Labels((layer_of(read_label_image(path, size_hw)),))


def foreground(path: Path, size_hw: Size) -> Labels:
    """Take all that is not 0 for one object."""
    return Labels(((read_label_image(path, size_hw) != 0).astype(np.uint8),))


def void_255(path: Path, size_hw: Size) -> Labels:
    """Take every number but 0 for an object, and 255 for pixels that nobody annotated."""
    numbers = read_label_image(path, size_hw)
    void = numbers == 255
    return Labels((layer_of(np.where(void, 0, numbers)),), void)


def voc_objects(path: Path, size_hw: Size) -> Labels:
    """Read ``SegmentationObject/<id>.png``.

    Names come from ``Annotations/<id>.xml``, which lists the objects in the order of their numbers,
    or else from ``SegmentationClass/<id>.png``: that of most of an object's pixels. Classes beyond
    VOC's own are listed in ``labelmap.txt``.
    """
    for folder in path.parents:
        if folder.name == "SegmentationObject":
            break
    name = path.relative_to(folder).with_suffix("").as_posix()
    files = voc_folder.find(folder.parent, name)
    found = void_255(path, size_hw)
    if files.objects is not None and _has_colours(path):
        numbers, _ = read_png(files.objects)
        void = numbers == VOID
        found = Labels((layer_of(np.where(void, 0, numbers)),), void)
    if files.classes is None and files.annotation is None:
        return found
    said = None if files.annotation is None else parse_annotation(files.annotation)
    layer = found.layers[0].astype(np.int32)
    kinds = [int(number) for number in np.unique(layer) if number]
    labels = voc_folder.labels_of(files, layer, kinds, said)
    return replace(found, names=tuple(label or "" for label, _ in labels))


def _has_colours(path: Path) -> bool:
    with PIL.Image.open(path) as image:
        return image.mode in ("RGB", "RGBA")


# Numbers below 1000 are classes: up to 6 there is nothing to segment, 24 and above come in
# instances, so that without a number of their own they are groups, like crowds of COCO.
_LAST_VOID, _FIRST_THING, _FIRST_INSTANCE = 6, 24, 1000


def cityscapes_instances(path: Path, size_hw: Size) -> Labels:
    """Read ``*_instanceIds.png``: objects have numbers from 1000 on; void and groups are void."""
    numbers = read_label_image(path, size_hw)
    objects = np.where(numbers >= _FIRST_INSTANCE, numbers, 0)
    return Labels((layer_of(objects),), _cityscapes_void(numbers))


def cityscapes_panoptic(path: Path, size_hw: Size) -> Labels:
    """Read ``*_instanceIds.png`` with one further mask for each class that has no instances."""
    numbers = read_label_image(path, size_hw)
    void = _cityscapes_void(numbers)
    return Labels((layer_of(np.where(void, 0, numbers)),), void)


def _cityscapes_void(numbers: np.ndarray) -> np.ndarray:
    group = (numbers >= _FIRST_THING) & (numbers < _FIRST_INSTANCE)
    void: np.ndarray = (numbers <= _LAST_VOID) | group
    return void


def ade20k(path: Path, size_hw: Size) -> Labels:
    """Read ``*_seg.png`` and, as further layers, the parts in ``*_parts_1.png`` and so on.

    Red (in steps of ten) and green are the class, blue is the number of the object.
    """
    stem = path.name.removesuffix("_seg.png")
    parts = sorted(path.parent.glob(f"{stem}_parts_*.png"))
    return Labels(tuple(_ade20k_objects(each, size_hw) for each in (path, *parts)))


def _ade20k_objects(path: Path, size_hw: Size) -> np.ndarray:
    colours = read_label_image(path, size_hw, colours=True)
    classes = (colours >> 16) // 10 << 8 | colours >> 8 & 0xFF
    return layer_of(np.where(classes > 0, classes << 8 | colours & 0xFF, 0))
