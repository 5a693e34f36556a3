"""Things before splinters: what tells one from the other, and where a detector sees things."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from anymask import geometry
from anymask.image.image import Image
from anymask.parallel import threads_work

if TYPE_CHECKING:
    from anymask.models.detector import Detector

__all__ = ["outline_strength", "thing_boxes"]

_LEAST_SCORE = 0.02  # what is asked is judged by its mask, not by its name
_NMS = 0.6  # among boxes of one name; across names a little more
_NMS_ACROSS = 0.7
_LEAST_SIDE = 2.0  # pixels


def outline_strength(logits: Tensor, boundary: Tensor) -> Tensor:
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
        >>> logits = torch.full((1, 8, 8), -1.0)
        >>> logits[0, 2:6, 2:6] = 1
        >>> outline_strength(logits, torch.full((8, 8), 0.5)).tolist()
        [0.5]
    """
    near = F.max_pool2d(boundary[None, None].float(), 3, 1, 1)[0, 0]
    inside = _half_inside(logits, boundary.shape[-2:])
    # Padding is no outside: the edge of the frame is not an outline.
    padded = F.pad(inside, (1, 1, 1, 1), value=True)
    rows = padded[:, :-2] & padded[:, 1:-1] & padded[:, 2:]
    rim = inside & ~(rows[:, :, :-2] & rows[:, :, 1:-1] & rows[:, :, 2:])
    strength: Tensor = (rim * near).sum(dim=(1, 2)) / rim.sum(dim=(1, 2)).clamp(min=1)
    return strength


def _half_inside(logits: Tensor, size_hw: tuple[int, ...]) -> Tensor:
    """Return of which cells of a coarser map at least half is inside: bool (n, *size_hw)."""
    inside = logits > 0
    if inside.shape[1:] == (2 * size_hw[0], 2 * size_hw[1]):  # counting takes a third of the time
        ones = inside.view(torch.uint8)
        rows = ones[:, ::2] + ones[:, 1::2]
        return rows[:, :, ::2] + rows[:, :, 1::2] >= 2
    shares: Tensor = F.interpolate(inside.float()[:, None], size=size_hw, mode="area")[:, 0]
    return shares >= 0.5


@cache
def _detector() -> Detector:
    from anymask.models.detector import load_detector

    return load_detector()


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
    from anymask.models.detector import detect

    found = detect(
        _detector(), image, min_score=_LEAST_SCORE, nms_thresh=_NMS, max_detections=5 * limit
    )
    boxes: npt.NDArray[np.float32] = found.boxes[geometry.nms_ranked(found.boxes, _NMS_ACROSS)]
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2] > _LEAST_SIDE).all(axis=1)]
    return boxes[:limit]
