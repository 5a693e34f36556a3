"""How well the regions of an image cover those that people drew (Arbelaez et al., 2011)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anymask.masks.masks import Masks
from anymask.optional import optional

__all__ = ["covering", "partition"]

IntArray = npt.NDArray[np.integer]


def covering(
    regions: IntArray, found: IntArray, void: npt.NDArray[np.bool_] | None = None
) -> float | None:
    """Measure how well each region is covered by the best of those that were found.

    Arbelaez, Maire, Fowlkes and Malik, "Contour Detection and Hierarchical Image Segmentation",
    TPAMI 2011, section 3.1: the IoU of each region with the found region that fits best, weighted
    by the region's number of pixels.

    Args:
        regions: One annotator's label map, (h, w); 0 is no region, and needs no cover.
        found: A label map, (h, w), of which every number is a region, 0 too.
        void: bool (h, w), pixels that count neither for nor against; None: no such pixels.

    Returns:
        0 to 1; None if there is no region.

    Examples:
        >>> halves = np.repeat([[1, 1, 2, 2]], 4, axis=0)
        >>> covering(halves, halves), covering(halves, np.zeros((4, 4), int))
        (1.0, 0.5)
    """
    known = np.ones(regions.shape, np.bool_) if void is None else ~void
    labels, there = np.unique(regions[known], return_inverse=True)
    numbers, here = np.unique(found[known], return_inverse=True)
    places = there.ravel() * len(numbers) + here.ravel()
    shared = np.bincount(places, minlength=len(labels) * len(numbers))
    shared = shared.reshape(len(labels), len(numbers))
    sizes, real = shared.sum(axis=1), labels != 0
    if not real.any():
        return None
    overlaps = shared / (sizes[:, None] + shared.sum(axis=0) - shared)
    return float((sizes * overlaps.max(axis=1))[real].sum() / sizes[real].sum())


def partition(masks: Masks) -> npt.NDArray[np.int32]:
    """Make regions of masks: each pixel belongs to one.

    What no mask covers falls into connected regions (by sides, not corners), each one of its own.

    Args:
        masks: The first wins where several overlap.

    Returns:
        int32 (h, w), numbers from 1.

    Raises:
        MissingExtraError: SciPy is not installed.

    Examples:
        >>> partition(Masks.from_dense(np.array([[[False, True, False]]]))).tolist()
        [[2, 1, 3]]
    """
    ndimage = optional("scipy.ndimage", extra="eval")
    labels = masks.label_map("first_on_top")
    gaps, _ = ndimage.label(labels == 0)
    return np.where(labels == 0, gaps + len(masks), labels).astype(np.int32)
