"""Label maps: one number for each pixel, the number of its mask, or 0."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from anymask.masks.rle import Counts
from anymask.optional import optional

__all__ = ["fill_gaps", "paint"]

Labels = npt.NDArray[np.int32]


def paint(counts: Iterable[tuple[int, Counts]], size_hw: tuple[int, int]) -> Labels:
    """Paint masks over each other.

    Args:
        counts: The label and the run lengths of each mask; later ones cover earlier ones.
        size_hw: Height and width of the image.

    Returns:
        int32 (h, w), column-major in memory as run lengths are; 0 where no mask is.
    """
    h, w = size_hw
    labels = np.zeros(h * w, dtype=np.int32)
    for label, runs in counts:
        # Only from the first run of ones to the last, so that small masks cost little.
        lengths = runs[1 : len(runs) // 2 * 2]
        inside = np.repeat(np.arange(len(lengths)) % 2 == 0, lengths)
        labels[int(runs[0]) :][: len(inside)][inside] = label
    return labels.reshape(w, h).T


def fill_gaps(labels: Labels) -> Labels:
    """Give every pixel without a label that of the nearest pixel with one.

    Args:
        labels: int32 (h, w); if it has no label at all, it stays as it is.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    gaps = labels == 0
    if gaps.all() or not gaps.any():
        return labels
    cv2 = optional("cv2", extra="image")
    _, nearest = cv2.distanceTransformWithLabels(
        gaps.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    label_of = np.zeros(int(nearest.max()) + 1, dtype=np.int32)
    label_of[nearest[~gaps]] = labels[~gaps]
    filled: Labels = label_of[nearest]
    return filled
