"""Which true masks are found among ranked ones, as COCO counts it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["THRESHOLDS", "finders"]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""IoU from which on a mask counts as found; recall is averaged over them."""


def finders(overlaps: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return which prediction finds each true mask at each of `THRESHOLDS`.

    The best prediction chooses first: the true mask of the highest IoU that is still free. What it
    does not find is left for the next one, so none finds two. Since later predictions change
    nothing for earlier ones, the numbers that are less than k are what the best k find.

    Args:
        overlaps: IoU of n predictions, best first, with m true masks, (n, m).

    Returns:
        Numbers of the predictions, (10, m); n for what none finds.
    """
    n, m = overlaps.shape
    found_by = np.full((len(THRESHOLDS), m), n)
    if not m:
        return found_by
    rows = np.arange(len(THRESHOLDS))
    for i in np.flatnonzero(overlaps.max(axis=1) >= THRESHOLDS[0]):
        free = np.where(found_by == n, overlaps[i], -1)
        chosen = m - 1 - free[:, ::-1].argmax(axis=1)  # of equal ones the last, as COCO has it
        finds = free[rows, chosen] >= THRESHOLDS
        found_by[rows[finds], chosen[finds]] = i
    return found_by
