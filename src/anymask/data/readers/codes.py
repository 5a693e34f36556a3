"""The codes by which data sets number their objects in label maps.

A code takes the path of a label map and the size of its image, and says what the numbers mean.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from anymask.data.dataset import Labels
from anymask.data.readers.label_image import layer_of, read_label_image

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


_VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)  # from 1 on


def voc_objects(path: Path, size_hw: Size) -> Labels:
    """Read ``SegmentationObject/<id>.png``; names come from ``SegmentationClass/``, if it is there.

    A name is that of the class of most of an object's pixels.
    """
    found = void_255(path, size_hw)
    classes = path.parents[1] / "SegmentationClass" / path.name
    if not classes.is_file():
        return found
    (layer,), numbers = found.layers, read_label_image(classes, size_hw)
    each = [np.bincount(numbers[layer == label]) for label in np.unique(layer) if label]
    return replace(found, names=tuple(_voc_class(counts) for counts in each))


def _voc_class(counts: np.ndarray) -> str:
    """Name the class that counts most among 1 to 20, by the number of pixels of each."""
    known = counts[1 : 1 + len(_VOC_CLASSES)]
    return _VOC_CLASSES[int(known.argmax())] if known.any() else ""


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
