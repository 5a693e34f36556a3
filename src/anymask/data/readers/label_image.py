"""Label maps in image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.errors import InputError

__all__ = ["IntMap", "check_size", "layer_of", "read_label_image"]

IntMap = npt.NDArray[np.int32]
"""One number per pixel, (h, w)."""

_NUMBERS = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_WITH_ALPHA = ("LA", "PA")
_COLOURS = ("RGB", "RGBA", "RGBX")
_MOST = np.iinfo(np.uint16).max


def read_label_image(path: Path, size_hw: tuple[int, int], *, colours: bool = False) -> IntMap:
    """Read one number per pixel: its grey value, its index, or 0xRRGGBB of its colour.

    An alpha channel is left aside, and so is -1 and less, which become 0 (unknown).

    Args:
        path: An image file of any lossless format.
        size_hw: Height and width of the image that it belongs to.
        colours: Whether greys that are saved as colours are colours all the same.

    Raises:
        InputError: The file is missing, damaged, of another size, or holds no such numbers.
    """
    mode, pixels = _read(path)
    check_size(pixels.shape[:2], size_hw, path)
    if mode in _COLOURS:
        red, green, blue = (pixels[..., i].astype(np.int32) for i in range(3))
        if not colours and np.array_equal(red, green) and np.array_equal(red, blue):
            return red
        return red << 16 | green << 8 | blue
    numbers = pixels[..., 0] if mode in _WITH_ALPHA else pixels
    if mode == "F" and not (np.isfinite(numbers).all() and (numbers == np.rint(numbers)).all()):
        raise InputError(
            f"expected a label map of whole numbers, got fractions in {str(path)!r}; number its "
            "masks 1, 2, 3 and so on"
        )
    return np.maximum(numbers.astype(np.int32), 0)


def _read(path: Path) -> tuple[str, npt.NDArray[Any]]:
    """Read the only page of an image file: its mode and its pixels as they are stored."""
    try:
        with PIL.Image.open(path) as file:
            kind, mode, pages = file.format, file.mode, getattr(file, "n_frames", 1)
            pixels = np.asarray(file)
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise InputError(
            f"cannot read {str(path)!r} as a label map: {error}; check that the file is whole"
        ) from error
    if mode not in _NUMBERS + _WITH_ALPHA + _COLOURS or kind == "JPEG" or pages > 1:
        raise InputError(
            f"expected a label map with one number or colour per pixel, got {str(path)!r} of mode "
            f"{mode}, {kind} with {pages} page{'s' * (pages > 1)}; save it as a PNG of 8 or 16 bits"
        )
    return mode, pixels


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
