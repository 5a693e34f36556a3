"""Label maps in picture files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.errors import InputError

__all__ = ["IntMap", "check_size", "layer_of", "read_label_image"]

IntMap = npt.NDArray[np.int32]
"""One number per pixel, (h, w)."""

_GREYS = ("1", "L", "P", "I", "I;16", "I;16B")
_COLOURS = ("RGB", "RGBA")
_MOST = np.iinfo(np.uint16).max


def read_label_image(path: Path, size_hw: tuple[int, int]) -> IntMap:
    """Read one number per pixel: its grey value, its index, or 0xRRGGBB of its colour.

    Args:
        path: A picture of any lossless format.
        size_hw: Height and width of the image that it belongs to.

    Raises:
        InputError: The file is missing, damaged, of another size, or holds no such numbers.
    """
    try:
        with PIL.Image.open(path) as picture:
            mode, pixels = picture.mode, np.asarray(picture).astype(np.int32)
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise InputError(
            f"cannot read {str(path)!r} as a label map: {error}; check that the file is whole"
        ) from error
    if mode not in _GREYS + _COLOURS:
        raise InputError(
            f"expected a label map with one number or colour per pixel, got {str(path)!r} of mode "
            f"{mode}; save it as a PNG of 8 or 16 bits"
        )
    check_size(pixels.shape[:2], size_hw, path)
    if mode in _COLOURS:
        red, green, blue = (pixels[..., i] for i in range(3))
        return red << 16 | green << 8 | blue
    return pixels


def layer_of(numbers: IntMap) -> np.ndarray:
    """Make a layer of a sample: uint8 or uint16 (h, w); numbers of more bits are counted anew."""
    if numbers.max(initial=0) > _MOST:
        known, places = np.unique(numbers, return_inverse=True)
        ranks = np.cumsum(known != 0) * (known != 0)
        numbers = ranks[places].reshape(numbers.shape)
    return numbers.astype(np.uint8 if numbers.max(initial=0) <= 255 else np.uint16)


def check_size(found_hw: Sequence[int], size_hw: tuple[int, int], path: Path) -> None:
    """Refuse labels that were made for an image of another size.

    Args:
        found_hw: Height and width of the labels.
        size_hw: Height and width of the image.
        path: File of the labels.

    Raises:
        InputError: They were.
    """
    if tuple(found_hw) != size_hw:
        raise InputError(
            f"expected labels of shape {size_hw}, as their image, in {str(path)!r}, got "
            f"{tuple(found_hw)}; find the image that they belong to"
        )
