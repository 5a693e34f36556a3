"""How well masks of a clip agree with the truth: J and F of DAVIS.

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation",
CVPR 2016, section 4: region similarity J is intersection over union, `data.truths.iou`; contour
accuracy F is the F-measure of boundary pixels that have one of the other's boundary near them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.evaluate.edges.thinning import borders
from anymask.optional import optional

__all__ = ["contour_accuracy"]

BoolMap = npt.NDArray[np.bool_]

_NEAR = 0.008  # of the diagonal: so far apart boundaries may be


def contour_accuracy(found: BoolMap, truth: BoolMap) -> float:
    """Measure F of two masks, bool (h, w): 0 to 1, and 1 if both are empty.

    Raises:
        MissingExtraError: SciPy is not installed.
    """
    ours, theirs = borders(found), borders(truth)
    if not ours.any() or not theirs.any():
        return float(ours.any() == theirs.any())
    reach = math.ceil(_NEAR * math.hypot(*found.shape))
    precision = float(_near(theirs, reach)[ours].mean())
    recall = float(_near(ours, reach)[theirs].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _near(boundary: BoolMap, reach: int) -> BoolMap:
    """Mark what lies within a disc of this radius around a boundary."""
    distance: Any = optional("scipy.ndimage", extra="eval").distance_transform_edt(~boundary)
    near: BoolMap = distance <= reach
    return near
