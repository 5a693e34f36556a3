"""Shapes of drawing programs as outlines: rectangles and ellipses, turned if need be.

Outlines are float64 (k, 2) corners, x before y, in pixels of the image; whole numbers lie between
pixels. Angles are degrees, clockwise as seen.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.masks import polygon
from anymask.masks.rle import Counts

__all__ = ["Outline", "ellipse", "has_holes", "image_size", "rectangle"]

Outline = npt.NDArray[np.float64]

_NEAR = 0.01  # pixels that an outline of an ellipse may be off
_MOST = 2**32 - 1  # pixels of an image, which run lengths count in 32 bits


def image_size(width: object, height: object) -> tuple[int, int]:
    """Check what a file says of the size of an image, and give it as (height, width).

    Raises:
        InputError: It is not the size of an image.

    Examples:
        >>> image_size("640", 480.0)
        (480, 640)
    """
    try:
        w, h = float(width), float(height)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        w = h = math.nan
    if not (w >= 1 and h >= 1 and w.is_integer() and h.is_integer() and w * h <= _MOST):
        raise InputError(
            f"expected the width and height of an image, whole numbers with a product up to "
            f"{_MOST:,}, got {width!r} and {height!r}; correct the file"
        )
    return int(h), int(w)


def rectangle(
    x0: float, y0: float, x1: float, y1: float, degrees: float = 0, corner: bool = False
) -> Outline:
    """Walk round a rectangle.

    Args:
        x0: Its left side before it was turned.
        y0: Its upper side.
        x1: Its right side.
        y1: Its lower side.
        degrees: How far it is turned.
        corner: Turned about its upper left corner; else about its middle.

    Examples:
        >>> rectangle(0, 0, 2, 1, 90, corner=True).round(6).tolist()
        [[0.0, 0.0], [0.0, 2.0], [-1.0, 2.0], [-1.0, 0.0]]
    """
    outline = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=np.float64)
    about = (x0, y0) if corner else ((x0 + x1) / 2, (y0 + y1) / 2)
    return _turned(_checked(outline, degrees), degrees, about)


def ellipse(cx: float, cy: float, rx: float, ry: float, degrees: float = 0) -> Outline:
    """Walk round an ellipse.

    Args:
        cx: x of its middle.
        cy: y of its middle.
        rx: Half of its width before it was turned.
        ry: Half of its height.
        degrees: How far it is turned about its middle.
    """
    _checked(np.array([(cx, cy), (rx, ry)], dtype=np.float64), degrees)
    n = max(16, math.ceil(math.pi * math.sqrt(max(abs(rx), abs(ry)) / (2 * _NEAR))))
    turn = np.arange(n) * (2 * np.pi / n)
    outline = np.stack([cx + rx * np.cos(turn), cy + ry * np.sin(turn)], axis=1)
    return _turned(outline, degrees, (cx, cy))


def _checked(numbers: Outline, degrees: float) -> Outline:
    if not (np.isfinite(numbers).all() and math.isfinite(degrees)):
        raise InputError("expected finite coordinates, got others; draw the shape anew")
    return numbers


def _turned(outline: Outline, degrees: float, about: tuple[float, float]) -> Outline:
    if not degrees % 360:
        return outline
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turned: Outline = (outline - about) @ np.array([[cos, sin], [-sin, cos]]) + about
    return turned


def has_holes(counts: Counts, size_hw: tuple[int, int]) -> bool:
    """Return whether an outline of the mask has bridges: lines that are walked there and back."""
    for outline in polygon.trace(counts, size_hw):
        lines = np.concatenate([outline, np.roll(outline, -1, axis=0)], axis=1)
        back = np.concatenate([lines[:, 2:], lines[:, :2]], axis=1)
        if set(map(tuple, lines.tolist())) & set(map(tuple, back.tolist())):
            return True
    return False
