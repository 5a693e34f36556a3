"""Things before splinters: what tells one from the other, and where a detector sees things."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anymask import geometry
from anymask.arrays import floats
from anymask.everything.neighbours import around
from anymask.image.image import Image
from anymask.image.resampling import means
from anymask.models import companions
from anymask.models.ssd import detect
from anymask.parallel import threads_work

__all__ = ["outline_strength", "thing_boxes"]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

_LEAST_SCORE = 0.02  # what is asked is judged by its mask, not by its name
_NMS = 0.6  # among boxes of one name; across names a little more
_NMS_ACROSS = 0.7
_LEAST_SIDE = 2.0  # pixels


def outline_strength(logits: FloatArray, boundary: FloatArray) -> FloatArray:
    """Measure how much of the outline of each mask lies on boundaries.

    A whole ends where the image shows that something ends, all the way round; a splinter ends
    somewhere inside of a thing for a part of its outline. Where the image ends there is no outline.

    Args:
        logits: Of n masks over the model frame, float (n, h, w).
        boundary: Probabilities that a mask ends, over the same frame, float (h', w').

    Returns:
        float32 (n,), 0 to 1: the mean over the innermost cells of each mask of the strongest
        boundary within one cell of them; 0 for a mask that has no outline.

    Examples:
        >>> logits = np.full((1, 8, 8), -1, np.float32)
        >>> logits[0, 2:6, 2:6] = 1
        >>> outline_strength(logits, np.full((8, 8), 0.5, np.float32)).tolist()
        [0.5]
    """
    near = around(boundary, 1, np.maximum)
    inside = _half_inside(logits, (boundary.shape[0], boundary.shape[1]))
    # What lies beyond a map does not count: the edge of the frame is not an outline.
    rim = inside & ~around(inside, 1, np.logical_and)
    sums = (rim * near).sum(axis=(1, 2), dtype=np.float32)
    return floats(sums / rim.sum(axis=(1, 2)).clip(min=1))


def _half_inside(logits: FloatArray, size_hw: tuple[int, int]) -> BoolArray:
    """Return of which cells of a coarser map at least half is inside: bool (n, *size_hw)."""
    inside = logits > 0
    if inside.shape[1:] == (2 * size_hw[0], 2 * size_hw[1]):  # counting takes a third of the time
        ones = inside.view(np.uint8)
        rows = ones[:, ::2] + ones[:, 1::2]
        half: BoolArray = rows[:, :, ::2] + rows[:, :, 1::2] >= 2
        return half
    return means(inside.astype(np.float32), size_hw) >= 0.5


@threads_work()
def thing_boxes(image: Image, limit: int) -> npt.NDArray[np.float32]:
    """Propose boxes around everyday things, whatever they are called.

    Args:
        image: To look at.
        limit: At most so many.

    Returns:
        float32 (n, 4), xyxy in pixels of the image, the surest first.

    Raises:
        WeightsError: The package was installed without the detector's weights.
    """
    found = detect(
        companions.detector("cpu"),
        image,
        min_score=_LEAST_SCORE,
        nms_thresh=_NMS,
        max_detections=5 * limit,
    )
    boxes: npt.NDArray[np.float32] = found.boxes[geometry.nms_ranked(found.boxes, _NMS_ACROSS)]
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2] > _LEAST_SIDE).all(axis=1)]
    return boxes[:limit]
