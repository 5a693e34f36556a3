"""How well masks of a clip agree with the truth: J and F of DAVIS.

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation",
CVPR 2016, section 4: region similarity J is intersection over union; contour accuracy F is the
F-measure of boundary pixels that have one of the other's boundary near them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.optional import optional

__all__ = ["contour_accuracy", "region_similarity"]

BoolMap = npt.NDArray[np.bool_]

_NEAR = 0.008  # of the diagonal: so far apart boundaries may be


def region_similarity(found: BoolMap, truth: BoolMap) -> float:
    """Measure J of two masks, bool (h, w): 0 to 1, and 1 if both are empty.

    Examples:
        >>> region_similarity(np.eye(2, dtype=bool), np.ones((2, 2), bool))
        0.5
    """
    union = int((found | truth).sum())
    return int((found & truth).sum()) / union if union else 1.0


def contour_accuracy(found: BoolMap, truth: BoolMap) -> float:
    """Measure F of two masks, bool (h, w): 0 to 1, and 1 if both are empty.

    Raises:
        MissingExtraError: SciPy is not installed.
    """
    ours, theirs = _boundary(found), _boundary(truth)
    if not ours.any() or not theirs.any():
        return float(ours.any() == theirs.any())
    reach = math.ceil(_NEAR * math.hypot(*found.shape))
    precision = float(_near(theirs, reach)[ours].mean())
    recall = float(_near(ours, reach)[theirs].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _boundary(mask: BoolMap) -> BoolMap:
    """Mark pixels whose right, lower or lower right neighbour is on the other side."""
    edge = np.zeros(mask.shape, np.bool_)
    edge[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    edge[:-1] |= mask[:-1] ^ mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edge


def _near(boundary: BoolMap, reach: int) -> BoolMap:
    """Mark what lies within a disc of this radius around a boundary."""
    distance: Any = optional("scipy.ndimage", extra="eval").distance_transform_edt(~boundary)
    near: BoolMap = distance <= reach
    return near
