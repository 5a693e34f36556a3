"""Which of the regions of an image is meant: by its number, its name or a place in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from anymask.errors import InputError
from anymask.masks.masks import Masks

__all__ = ["Region", "choose_region"]

Region: TypeAlias = "int | str | Sequence[float]"
"""The number of a mask, a name, or a place (x, y)."""


def choose_region(masks: Masks, region: Region) -> Masks:
    """Choose the mask of a number, all masks of a name, or the smallest mask at a place.

    Raises:
        InputError: There is none.

    Examples:
        >>> masks = Masks.from_dense(np.ones((2, 3), bool), labels=["wall"])
        >>> len(choose_region(masks, 0)), len(choose_region(masks, "wall"))
        (1, 1)
        >>> choose_region(masks, (2, 1)).areas.tolist()
        [6]
    """
    if isinstance(region, str):
        return _named(masks, region)
    if isinstance(region, int) and not isinstance(region, bool):
        if 0 <= region < len(masks):
            return masks[region]
    elif isinstance(region, Sequence | np.ndarray) and len(region) == 2:
        return _at(masks, float(region[0]), float(region[1]))
    raise InputError(
        f"expected a region by its number from 0 to {len(masks) - 1}, its name or a place (x, y), "
        f"got {region!r}; choose one of the masks"
    )


def _named(masks: Masks, name: str) -> Masks:
    found = masks.filter(label=name)
    if not len(found):
        known = sorted({label for label in masks.labels if label is not None})
        raise InputError(
            f"expected a region named {name!r}, got {', '.join(known[:8]) or 'no names'}; choose "
            "one of these, or say it by a number or a place"
        )
    return found


def _at(masks: Masks, x: float, y: float) -> Masks:
    height, width = masks.size_hw
    if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
        raise InputError(
            f"expected a place in the image of {width} x {height} pixels, got {x:g},{y:g}; "
            "correct it"
        )
    column, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
    there = [i for i, mask in enumerate(masks) if mask.dense()[0, row, column]]
    if not there:
        raise InputError(
            f"expected a region at {x:g},{y:g}, got none among {len(masks)} masks; choose a place "
            "inside one"
        )
    return masks[min(there, key=lambda i: int(masks.areas[i]))]
