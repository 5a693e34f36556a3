"""Selecting among the masks of an image: which of them does a prompt mean?

For models that find everything at once and are asked afterwards.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.prompt import Numbers, Prompt

__all__ = ["merge", "select"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def select(
    masks: Masks,
    prompt: Prompt,
    similarity: npt.ArrayLike | None = None,
    least_similarity: float = -1.0,
) -> Masks:
    """Find the masks that a prompt can mean, the likeliest first.

    A mask is out of the question if it holds none of the points on the object, does not touch the
    box, or is too unlike the text. Of the others, those come first that are right about the most
    points (they hold the points on the object, and no background point), then those that fit the
    box best by their intersection over union with it, then those most like the text; among equals
    the smallest, and of one size the one with the best score.

    Args:
        masks: All that there are.
        prompt: Points, a box, a text, or several of these.
        similarity: (n,), how like the text each mask looks; needed for a text.
        least_similarity: A mask that is less like the text is out of the question.

    Returns:
        Some of the masks in another order; none where nothing fits.
    """
    prompt.check_inside(masks.size_hw)
    possible = np.ones(len(masks), dtype=np.bool_)
    order = [-masks.scores.astype(np.float64), masks.areas]  # the last is the most important
    if prompt.text is not None:
        alike = np.asarray(similarity, dtype=np.float64)
        if alike.shape != (len(masks),):
            raise InputError(
                f"expected similarity to the text as {len(masks)} numbers, one for each mask, got "
                f"shape {alike.shape}; compare each mask with the text"
            )
        possible &= alike >= least_similarity
        order.append(-alike)
    if prompt.box is not None:
        overlap = _box_iou(masks, prompt.box)
        possible &= overlap > 0
        order.append(-overlap)
    if len(prompt.points_xy):
        held = _holds(masks, prompt.points_xy)
        wanted = prompt.labels == 1
        if wanted.any() or (prompt.box is None and prompt.text is None):
            possible &= held[:, wanted].any(axis=1)
        order.append(-(held == wanted).sum(axis=1))
    ranked = np.lexsort(order)
    return masks[ranked[possible[ranked]]]


def merge(masks: Masks, points_xy: Numbers, labels: Numbers | None = None) -> Masks:
    """Unite the masks under points on the object, without those under background points.

    How the original FastSAM answers points: from the largest mask to the smallest, one is added if
    the last point that it holds is on the object, and cut out if that is a background point.

    Args:
        masks: All that there are.
        points_xy: (n, 2), x before y, pixels of the image.
        labels: (n,), 1 object, 0 background; None: all 1.

    Returns:
        One mask, whose score is that of the largest that was added; none where nothing was.
    """
    prompt = Prompt(points_xy, labels)
    prompt.check_inside(masks.size_hw)
    held = _holds(masks, prompt.points_xy)
    united = np.zeros(masks.size_hw, dtype=np.bool_)
    score = None
    for i in np.argsort(-masks.areas, kind="stable"):
        if held[i].any():
            adds = bool(prompt.labels[held[i]][-1])
            united[rle.decode(masks.counts[i], masks.size_hw)] = adds
            if adds and score is None:
                score = masks.scores[i]
    if score is None or not united.any():
        return masks[:0]
    return Masks.from_dense(united, scores=[score], source=masks.source, model=masks.model)


def _holds(masks: Masks, points_xy: FloatArray) -> BoolArray:
    """Return which masks hold which points: bool (masks, points)."""
    h, w = masks.size_hw
    # A point names the pixel whose centre is nearest; the border belongs to the last one.
    x, y = np.minimum(np.rint(points_xy), (w - 1, h - 1)).astype(np.int64).T
    pixels = x * h + y
    ends = (np.cumsum(counts, dtype=np.int64) for counts in masks.counts)
    # Every second run is of ones.
    runs = [np.searchsorted(end, pixels, side="right") % 2 == 1 for end in ends]
    return np.array(runs, dtype=np.bool_).reshape(len(masks), len(pixels))


def _box_iou(masks: Masks, box: FloatArray) -> FloatArray:
    """Measure intersection over union of each mask with the pixels that a box touches: (n,)."""
    h, w = masks.size_hw
    x0, y0 = np.floor(np.maximum(box[:2], 0)).astype(np.int64)
    x1, y1 = np.ceil(np.minimum(box[2:], (w, h))).astype(np.int64)
    inside = np.zeros((h, w), dtype=np.bool_)
    inside[y0:y1, x0:x1] = True
    return rle.iou(masks.counts, [rle.encode(inside)])[:, 0]
