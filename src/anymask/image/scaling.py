"""Values of every dtype to 8 bits: the one rule for files, bands of files, and arrays.

* Integers of more than 8 bits: the range is the smallest of 8, 10, 12, 14, 16, 24, 32 bits that
  holds the brightest value. So 16-bit photos are divided by 257, and the 12-bit data that
  microscopes store in 16-bit files do not come out black.
* Floating point: 0 to 1 if the values are in there (give or take the ringing of a resize), else as
  for integers, so that 0 to 255 stays what it is.
* Grey values below zero (heights, Hounsfield units) have no natural range: smallest to largest.
  Colours below zero are refused: they come from a network's normalisation; undo that first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.errors import InputError
from anymask.image.colour import Colour, Decoded, Pixels, lay_on, to_srgb

__all__ = ["Bounds", "check_dtype", "find_bounds", "from_values", "read_array", "value_range"]

Bounds = tuple[float, float]
"""The values that become 0 and 255."""

_FULL = tuple(2.0**bits - 1 for bits in (8, 10, 12, 14, 16, 24, 32, 64))
_RINGING = 0.125  # how far a sharpening resize overshoots at a hard edge, as a share of the range
_ROWS_AT_ONCE = 2**24  # values that are scaled at a time, because that takes a few copies


def read_array(array: npt.NDArray[Any], background: Colour) -> Decoded:
    """Convert an array to RGB of 8 bits.

    Args:
        array: Shape (h, w) or (h, w, c): grey, grey + alpha, RGB or RGBA for c = 1, 2, 3, 4; bool,
            integer or floating point.
        background: RGB, shows where alpha is below full.

    Raises:
        InputError: The shape, dtype or values are none of these.
    """
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4):
        raise InputError(
            f"expected an image array of shape (h, w) or (h, w, 1 to 4), got {array.shape}; "
            f"{_shape_hint(array.shape)}"
        )
    if array.size == 0:
        raise InputError(
            f"expected at least one pixel, got an array of shape {array.shape}; use another"
        )
    return from_values(array, background, find_bounds(array))


def _shape_hint(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return "move the channels last with array.transpose(1, 2, 0)"
    if len(shape) == 3 and shape[2] > 4:
        return "choose three of its bands, as in array[..., :3]"
    if len(shape) == 4:
        return "pass the images of a batch one by one"
    return "reshape it first"


def from_values(
    values: npt.NDArray[Any],
    background: Colour,
    bounds: Bounds | None,
    *,
    inverted: bool = False,
    premultiplied: bool = False,
    profile: bytes | None = None,
) -> Decoded:
    """Scale values to 8 bits, bring them to sRGB, and lay them on a background.

    Args:
        values: (h, w, c) of any dtype; c = 1, 2, 3, 4: grey, grey + alpha, RGB, RGBA.
        background: RGB, shows where alpha is below full.
        bounds: What `find_bounds` says of the whole image; None for 8 bits.
        inverted: Zero is white.
        premultiplied: The colours are multiplied by alpha.
        profile: ICC profile of the colours.
    """
    scaled = _to_uint8(values, bounds)
    channels = scaled.shape[2]
    colours = scaled[..., : channels - (channels in (2, 4))]
    alpha = scaled[..., -1] if channels in (2, 4) else None
    if premultiplied and alpha is not None:
        weight = np.maximum(alpha, 1)[..., None]
        colours = (colours * np.uint16(255) // weight).clip(0, 255).astype(np.uint8)
    if inverted:
        colours = 255 - colours
    if alpha is None and not profile:
        # A copy, for the values may be the caller's.
        return Decoded(np.array(np.broadcast_to(colours, (*scaled.shape[:2], 3)), order="C"))
    image = PIL.Image.fromarray(np.ascontiguousarray(colours[..., 0] if channels < 3 else colours))
    image = to_srgb(image, profile)
    if alpha is None:
        return Decoded(np.asarray(image))
    return lay_on(background, image, PIL.Image.fromarray(np.ascontiguousarray(alpha)))


def find_bounds(values: npt.NDArray[Any]) -> Bounds | None:
    """Find which of the values (h, w, c) become 0 and 255; None for 8 bits and bool, which stay.

    Raises:
        InputError: They are no real numbers, not finite, or colours below zero.
    """
    check_dtype(values.dtype)
    if values.dtype in (np.uint8, np.bool_):
        return None
    low, high = float(values.min()), float(values.max())
    return value_range(low, high, values.dtype.kind == "f", values.shape[2])


def check_dtype(dtype: npt.DTypeLike) -> None:
    """Check that values of a dtype can be shown.

    Raises:
        InputError: They cannot.
    """
    if np.dtype(dtype).kind not in "biuf":
        raise InputError(
            f"expected an image array of bool, integer or floating point, got {np.dtype(dtype)}; "
            f"convert it to uint8 first"
        )


def _to_uint8(values: npt.NDArray[Any], bounds: Bounds | None) -> Pixels:
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    assert bounds is not None
    whole = np.empty(values.shape, np.uint8)
    rows = max(1, _ROWS_AT_ONCE // max(1, values[0].size))
    for top in range(0, len(values), rows):
        whole[top : top + rows] = _scaled(values[top : top + rows], *bounds)
    return whole


def _scaled(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[Any]:
    # 32 bits of float hold 16-bit integers exactly.
    narrow = values.dtype.itemsize <= 2 or values.dtype == np.float32
    scaled: npt.NDArray[Any] = values.astype(np.float32 if narrow else np.float64)
    scaled = (scaled - low) * (255 / (high - low) if high > low else 0.0)
    rounded: npt.NDArray[Any] = np.rint(scaled.clip(0, 255))
    return rounded


def value_range(low: float, high: float, floating: bool, channels: int) -> Bounds:
    """Return which values of an image become 0 and 255, by the rules at the top of this module.

    Args:
        low: Its smallest value.
        high: Its largest value.
        floating: Whether it is of floating point.
        channels: How many it has.

    Raises:
        InputError: The values are not finite, or are colours below zero.

    Examples:
        >>> value_range(0, 3900, floating=False, channels=3)  # a camera of 12 bits
        (0.0, 4095.0)
    """
    if not np.isfinite(low) or not np.isfinite(high):
        raise InputError(
            "expected finite pixel values, got NaN or infinity; "
            "replace them first, for example by numpy.nan_to_num"
        )
    ranges, slack = ((1.0, *_FULL), _RINGING) if floating else (_FULL, 0.0)
    if low >= -slack * high:
        return 0.0, next((full for full in ranges if high <= full * (1 + slack)), high)
    if channels > 1:
        raise InputError(
            f"expected colours of 0 or more, got values down to {low:g}; "
            f"undo the normalisation first"
        )
    return low, high
