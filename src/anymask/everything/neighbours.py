"""What is known of the cells around each cell of maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["around"]


def around(maps: npt.NDArray[Any], reach: int, combine: np.ufunc) -> npt.NDArray[Any]:
    """Combine each cell with all that are at most ``reach`` rows and columns away.

    Args:
        maps: (..., h, w). What lies beyond them does not count.
        reach: In cells.
        combine: Such as ``np.maximum`` or ``np.add``.

    Examples:
        >>> around(np.array([[1, 0, 0, 5]]), 1, np.maximum).tolist()
        [[1, 1, 5, 5]]
    """
    for axis in (-2, -1):
        lines = np.moveaxis(maps, axis, 0)
        found = lines.copy()
        for step in range(1, reach + 1):
            combine(found[step:], lines[:-step], out=found[step:])
            combine(found[:-step], lines[step:], out=found[:-step])
        maps = np.moveaxis(found, 0, axis)
    return maps
