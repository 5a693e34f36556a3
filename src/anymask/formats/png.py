"""PNG label map: one number per pixel, 0 where there is no mask, k for mask number k.

8 bits for up to 255 masks, else 16. A pixel has one number, so overlaps cannot be said: the smaller
mask is on top, a larger one comes back without the pixels that smaller ones cover, and a mask that
smaller ones cover entirely does not come back. Nor do scores and prompts; JSON keeps everything.
"""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.atomic import atomic_write
from anymask.errors import InputError
from anymask.masks import rle
from anymask.masks.masks import Masks

__all__ = ["read", "write"]

_MODES = ("1", "L", "P", "I", "I;16", "I;16B")  # one whole number per pixel


def write(path: str | os.PathLike[str], masks: Masks) -> None:
    """Write the masks of one image.

    Raises:
        InputError: There are more masks than 16 bits can count.
        OutputError: The file cannot be written; what was there before is untouched.
    """
    if len(masks) > np.iinfo(np.uint16).max:
        raise InputError(
            f"expected at most 65535 masks for a PNG label map, got {len(masks)}; save as JSON"
        )
    depth = np.uint8 if len(masks) <= np.iinfo(np.uint8).max else np.uint16
    picture = PIL.Image.fromarray(masks.label_map("smallest_on_top").astype(depth))
    with atomic_write(path) as draft:
        picture.save(draft, format="PNG")


def read(path: str | os.PathLike[str]) -> Masks:
    """Read a label map from any PNG with one whole number per pixel, palettes included.

    Returns:
        One mask for each number that occurs, in rising order, 0 left out.

    Raises:
        InputError: The file is missing, damaged, or not a label map.
    """
    labels = _labels(path)
    numbers = np.unique(labels)
    masks = (rle.encode(labels == number) for number in numbers[numbers > 0])
    return Masks((labels.shape[0], labels.shape[1]), tuple(masks))


def _labels(path: str | os.PathLike[str]) -> npt.NDArray[np.integer]:
    """Read the numbers of a label map, (h, w)."""
    try:
        with PIL.Image.open(path, formats=["PNG"]) as picture:
            if picture.mode in _MODES:
                return np.asarray(picture).astype(np.int32)
            mode = picture.mode
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise InputError(
            f"cannot read {str(path)!r} as a PNG label map: {error}; check that the file is whole"
        ) from error
    raise InputError(
        f"expected a label map with one number per pixel, got {str(path)!r} with {mode} colours; "
        "give the label map, not a picture of it"
    )
