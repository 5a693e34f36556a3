"""Masks that are there already, for one image or for many: an array, a value or a file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask import formats
from anymask.errors import InputError
from anymask.formats import coco, files
from anymask.image.image import Image
from anymask.masks.masks import Masks

__all__ = ["GivenMasks"]


@dataclass(frozen=True)
class GivenMasks:
    """Masks for all images, or of each image by its name.

    Attributes:
        masks: `Masks` or bool (h, w) or (n, h, w), for every image; or the path of a file of masks,
            of one image, for every one, or (COCO) of each image by its name.
        label: Only those with this name, or one of several names.

    Examples:
        >>> given = GivenMasks(Masks.from_dense(np.ones((2, 3), bool), labels=["sky"]), "sky")
        >>> len(given.of(Image.open(np.zeros((2, 3), np.uint8))))
        1
    """

    masks: Masks | npt.NDArray[Any] | str | os.PathLike[str]
    label: str | Sequence[str] | None = None

    def of(self, image: Image) -> Masks:
        """Give the masks of an image.

        Raises:
            InputError: There are none for it, or they are of another size.
        """
        masks = self._named(image)
        if masks.size_hw != image.size_hw:
            (h, w), (own_h, own_w) = image.size_hw, masks.size_hw
            raise InputError(
                f"expected masks of the image's size, {w} x {h}, got {own_w} x {own_h}; give the "
                "masks of this image"
            )
        return masks

    def settings(self) -> dict[str, Any]:
        """Tell them from others: plain JSON values."""
        found = hashlib.sha256()
        for masks in self._sets:
            # A model's masks are grown before something is painted over them, drawn ones are not.
            drawn = masks.model is None
            found.update(repr((masks.source, masks.size_hw, masks.labels, drawn)).encode())
            for counts in masks.counts:
                found.update(np.ascontiguousarray(counts).tobytes() + b";")
        label = self.label
        names = label if label is None or isinstance(label, str) else list(label)
        return {"masks": found.hexdigest()[:16], "label": names}

    def _named(self, image: Image) -> Masks:
        if len(self._sets) == 1:
            return self._sets[0]
        place = Path(image.source or "")
        names = [Path(masks.source or "") for masks in self._sets]
        same = [i for i, name in enumerate(names) if place.parts[-len(name.parts) :] == name.parts]
        same = same or [i for i, name in enumerate(names) if place.name == name.name]
        if len(same) != 1:
            raise InputError(
                f"expected masks of one image named {place.name!r}, got {len(same)} such among "
                f"{len(names)} images; correct file_name in the file of masks"
            )
        return self._sets[same[0]]

    @cached_property
    def _sets(self) -> list[Masks]:
        if isinstance(self.masks, Masks):
            sets = [self.masks]
        elif isinstance(self.masks, str | os.PathLike):
            sets = _read(self.masks)
        else:
            sets = [Masks.from_dense(np.asarray(self.masks))]
        if self.label is None:
            return sets
        chosen = [masks.filter(label=self.label) for masks in sets]
        if not any(len(masks) for masks in chosen):
            known = sorted({name for masks in sets for name in masks.labels if name is not None})
            raise InputError(
                f"expected masks named {self.label!r}, got {', '.join(known[:8]) or 'no names'}; "
                "choose one of these, or leave the label out"
            )
        return chosen


def _read(path: str | os.PathLike[str]) -> list[Masks]:
    content = files.load(path)
    if content.data.lstrip()[:1] == b"{" and coco.FORMAT.keys <= content.document.keys():
        return coco.read_all(content)
    return [formats.read(content)]
