"""Colours for inverse depth, as arrays: light where it is near."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["colour", "limits", "ramp"]

# From far to near: night blue, violet, red, orange, pale yellow. The lightness rises evenly, so
# that the order of two depths can be seen without colours, too.
_STOPS = np.array(
    [(14, 12, 52), (74, 24, 122), (146, 38, 129), (212, 68, 92), (250, 133, 52), (252, 246, 178)]
)
_UNKNOWN = 128


def colour(inverse: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Colour inverse depth, from its 1st to its 99th percentile: uint8 (h, w, 3); NaN is grey.

    Near things, of which most is known, have most of the colours.
    """
    low, high = limits(inverse)
    return ramp((inverse - low) / (high - low))


def limits(inverse: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Find which inverse depths have the first and the last colour."""
    known = inverse[~np.isnan(inverse)]
    low, high = (float(one) for one in np.percentile(known, (1, 99)))
    if low == high:
        low, high = float(known.min()), float(known.max())
    return low, high


def ramp(share: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Give numbers of 0 (far) to 1 (near) their colour: uint8 (..., 3); NaN is grey.

    Examples:
        >>> ramp(np.array([0.0, 1.0, np.nan])).tolist()
        [[14, 12, 52], [252, 246, 178], [128, 128, 128]]
    """
    places = np.clip(np.nan_to_num(share), 0, 1) * (len(_STOPS) - 1)
    stops = np.arange(len(_STOPS))
    colours = np.stack([np.interp(places, stops, _STOPS[:, i]) for i in range(3)], axis=-1)
    colours[np.isnan(share)] = _UNKNOWN
    return np.round(colours).astype(np.uint8)
