"""Painting at another size than that of the image, for engines that would need too much memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import PIL.Image

__all__ = ["paint_scaled", "scaled_mask"]

Pixels = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]


def paint_scaled(
    paint: Callable[[Pixels, BoolArray], Pixels], pixels: Pixels, hole: BoolArray, side: int
) -> Pixels:
    """Paint at a size whose longer side is at most so long, and enlarge what was painted.

    Args:
        paint: Takes pixels uint8 (h, w, 3) and a hole bool (h, w), and gives pixels.
        pixels: uint8 (h, w, 3).
        hole: bool (h, w).
        side: Longest side in pixels.

    Examples:
        >>> seen = []
        >>> painted = paint_scaled(
        ...     lambda pixels, hole: seen.append(hole.shape) or pixels,
        ...     np.zeros((30, 60, 3), np.uint8), np.eye(30, 60, dtype=bool), side=20
        ... )
        >>> seen, painted.shape
        ([(10, 20)], (30, 60, 3))
    """
    height, width = hole.shape
    scale = side / max(height, width)
    if scale >= 1:
        return paint(pixels, hole)
    small_hw = max(1, round(height * scale)), max(1, round(width * scale))
    fewer = PIL.Image.fromarray(pixels).resize(small_hw[::-1], PIL.Image.Resampling.BOX)
    painted = PIL.Image.fromarray(paint(np.asarray(fewer), scaled_mask(hole, small_hw)))
    return np.asarray(painted.resize((width, height), PIL.Image.Resampling.BICUBIC))


def scaled_mask(hole: BoolArray, size_hw: tuple[int, int]) -> BoolArray:
    """Scale a mask; a pixel of which any part is to be painted is painted.

    Examples:
        >>> scaled_mask(np.eye(4, dtype=bool), (2, 2)).tolist()
        [[True, False], [False, True]]
    """
    shares = PIL.Image.fromarray(hole.astype(np.float32))
    found: BoolArray = np.asarray(shares.resize(size_hw[::-1], PIL.Image.Resampling.BOX)) > 0
    return found
