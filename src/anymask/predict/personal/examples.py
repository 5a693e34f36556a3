"""What is shown of things: images, where the things are in them, and what they are called."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.errors import InputError
from anymask.image.image import Image, ImageLike
from anymask.masks.masks import Masks

__all__ = ["Example", "MaskLike", "read_examples"]

BoolArray = npt.NDArray[np.bool_]

MaskLike: TypeAlias = "npt.ArrayLike | str | os.PathLike[str] | PIL.Image.Image | Masks"
"""An array, an image file or a Pillow image that is a mask or a label map; or `Masks`."""

_LIGHT = 128  # of 8 bits: what is lighter is the thing
_THING = "thing"


@dataclass(frozen=True, eq=False)
class Example:
    """One thing in one image.

    Attributes:
        name: What it is called; examples of one name are views of one thing.
        image: The image.
        mask: The thing in it, bool (h, w): neither empty nor all of the image.
    """

    name: str
    image: Image
    mask: BoolArray

    def __post_init__(self) -> None:
        """Check that the mask shows a thing in this image."""
        where = self.image.source or "the reference"
        if self.mask.shape != self.image.size_hw:
            (h, w), (height, width) = self.mask.shape, self.image.size_hw
            raise InputError(
                f"expected a mask of {width} x {height} pixels like {where!r}, got one of {w} x "
                f"{h}; give the mask of this image"
            )
        if not self.mask.any() or self.mask.all():
            got = "an empty one" if not self.mask.any() else "one that covers all of it"
            raise InputError(
                f"expected a mask of {self.name!r} in {where!r}, got {got}; it must be light "
                "where the thing is, and dark elsewhere"
            )


def read_examples(
    reference: ImageLike | Sequence[ImageLike],
    mask: MaskLike | Sequence[MaskLike],
    names: str | Sequence[str] | None = None,
) -> list[Example]:
    """Read images and what they are an example of.

    Args:
        reference: An image, or a list of them.
        mask: For each image where the thing is, see `things_of`.
        names: What the things are called. One name: all masks show that one thing. As many as
            images, whose masks show one thing each: the thing in each image, and images of one name
            are views of one thing. As many as labels: those of the label maps, in rising order.
            None: what `Masks` say, or else "thing", and "thing 1", "thing 2", ... of label maps.

    Raises:
        InputError: There is no reference, a mask does not fit its image or shows nothing, or there
            are too many or too few masks or names.
    """
    images = _listed(reference)
    masks = _listed(mask)
    if not images or len(images) != len(masks):
        raise InputError(
            f"expected a mask for each reference, at least one, got {_count(images, 'reference')} "
            f"and {_count(masks, 'mask')}; give as many masks as references, in their order"
        )
    shown = [things_of(one) for one in masks]
    called = _names(shown, [names] if isinstance(names, str) else names)
    return [
        Example(name, image, area)
        for image, things, own in zip(map(Image.open, images), shown, called, strict=True)
        for name, area in zip(own, things.values(), strict=True)
    ]


def things_of(mask: MaskLike) -> dict[int | str, BoolArray]:
    """Take the things that a mask shows apart: bool (h, w) each, by label.

    A mask shows one thing, in one or several pieces, if it is boolean, has but one value beside 0,
    or is lightest where the thing is (128 of 255 and more; files of drawing programs have soft
    edges). It is a label map, each of whose values but 0 is a thing of its own, if it has several
    and none of them is light, or is an image with a palette or of more than 8 bits. `Masks` show a
    thing each; those of one label, one.

    Raises:
        InputError: It cannot be read, or has no pixels in two dimensions.
    """
    if isinstance(mask, Masks):
        return _of_masks(mask)
    values, is_labels = _values(mask)
    present = [int(value) for value in np.unique(values) if value]
    if len(present) > 1 and not is_labels and present[-1] >= _LIGHT:
        return {1: values >= _LIGHT}
    if len(present) < 2:
        return {1: values > 0}
    return {label: values == label for label in present}


def _of_masks(masks: Masks) -> dict[int | str, BoolArray]:
    if not len(masks):
        raise InputError("expected masks of a thing, got none; give at least one")
    things: dict[int | str, BoolArray] = {}
    for i, (label, area) in enumerate(zip(masks.labels, masks.dense(), strict=True), start=1):
        key = i if label is None else label
        things[key] = things[key] | area if key in things else area
    return things


def _values(mask: Any) -> tuple[npt.NDArray[Any], bool]:
    """Read a mask as numbers (h, w), and tell whether they can only be labels."""
    if isinstance(mask, str | os.PathLike):
        mask = _opened(Path(mask))
    if isinstance(mask, PIL.Image.Image):
        if mask.mode in ("RGB", "RGBA", "LA", "CMYK", "YCbCr", "PA"):
            grey = Image.open(mask, background=(0, 0, 0)).pixels.max(axis=2)
            return grey, False
        return np.asarray(mask), mask.mode == "P" or mask.mode.startswith("I")
    values = np.asarray(mask)
    if values.ndim == 3 and values.shape[2] in (3, 4):
        values = values[..., :3].max(axis=2)
    if values.ndim != 2 or values.dtype.kind not in "bui":
        raise InputError(
            f"expected a mask of bool (h, w), or whole numbers (h, w) of labels, got "
            f"{values.dtype} {values.shape}; compare with a threshold first, as in mask > 0"
        )
    if values.size and values.min() < 0:
        raise InputError(
            f"expected labels from 0 on, got {values.min()}; 0 is what belongs to no thing"
        )
    return values, values.dtype.itemsize > 1


def _opened(path: Path) -> PIL.Image.Image:
    try:
        with PIL.Image.open(path) as image:
            image.load()
            return image
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        reason = "it does not exist" if not path.exists() else "it is damaged or no image"
        raise InputError(
            f"expected a mask in {str(path)!r}, but {reason}; give an image that is light where "
            "the thing is"
        ) from error


def _names(
    shown: Sequence[Mapping[int | str, BoolArray]], names: Sequence[str] | None
) -> list[list[str]]:
    """Name the things of each image."""
    labels = list(dict.fromkeys(label for things in shown for label in things))
    if names is None:
        several = len(labels) > 1
        known = {
            label: label if isinstance(label, str) else f"{_THING} {label}" if several else _THING
            for label in labels
        }
        return [[known[label] for label in things] for things in shown]
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise InputError(f"expected names that are words, got {list(names)!r}; write e.g. 'mug'")
    numbered = sorted(labels, key=lambda label: (isinstance(label, str), label))
    if len(labels) == 1 and len(names) in (1, len(shown)):
        own = list(names) * len(shown) if len(names) == 1 else list(names)
        return [[name] for name in own]
    if len(labels) == len(names):
        given = dict(zip(numbered, names, strict=True))
        return [[given[label] for label in things] for things in shown]
    raise InputError(
        f"expected a name for each thing, {len(labels)} in {_count(shown, 'image')}, got "
        f"{len(names)}; name each reference, or each label of a label map"
    )


def _listed(given: Any) -> list[Any]:
    """Make a list of what may be one, without taking an array apart."""
    return list(given) if isinstance(given, list | tuple) else [given]


def _count(things: Sequence[Any], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"
