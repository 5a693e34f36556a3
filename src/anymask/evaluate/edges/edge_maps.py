"""Maps of how strong the edges of an image are, from masks and from classical filters.

All are float32 (h, w), 0 to 1, thinned to lines by non-maximum suppression.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from anymask import geometry
from anymask.arrays import floats, to_numpy
from anymask.image.resampling import matrix
from anymask.image.transform import Transform
from anymask.masks.enlarge import Enlarger
from anymask.optional import optional
from anymask.prompt import Prompt

if TYPE_CHECKING:
    from anymask.embedding import Embedding
    from anymask.predict.segmenter import Segmenter

__all__ = ["CLASSICAL", "boundary_map", "canny", "from_masks", "sobel", "suppress"]

FloatMap = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

_PROMPTS_AT_ONCE = 64
_BLUR = 4  # pixels over which the direction of an edge is taken
_SLACK = 1.01  # a neighbour must be stronger by 1 % to suppress
_CANNY_LEVELS = 30  # thresholds tried


def from_masks(
    model: Segmenter, embedding: Embedding, points_per_side: int = 16, nms_threshold: float = 0.7
) -> FloatMap:
    """Take the edges of everything that a model finds (SAM paper, section 7.2 and appendix).

    Each point of a grid prompts for three masks; duplicates go by the IoU of their boxes, nothing
    else is filtered. Each mask gives the Sobel gradient of its probabilities along the ring of
    pixels just outside its border; the strongest of all masks counts.

    Args:
        model: Takes points, and predicts three masks for each.
        embedding: What the model's `embed` returned.
        points_per_side: Of the grid.
        nms_threshold: Of the IoU of boxes.
    """
    h, w = embedding.size_hw
    grid = geometry.point_grid(points_per_side) * np.array([w, h])
    logits, scores = _predict(model, embedding, [Prompt(points_xy=xy) for xy in grid])
    low_hw = logits[0].shape
    boxes = _boxes(logits, embedding.transform)
    down, across = map(matrix, embedding.transform.taps(low_hw), low_hw)
    strongest = np.zeros((h, w), np.float32)
    for i in geometry.nms(
        torch.from_numpy(boxes), torch.from_numpy(scores), nms_threshold
    ).tolist():
        x, y = (
            slice(max(0, low - 2), high + 3) for low, high in boxes[i].astype(int).reshape(2, 2).T
        )
        enlarged = down[y] @ logits[i] @ across[x].T
        np.maximum(strongest[y, x], _ring_gradient(enlarged), out=strongest[y, x])
    return suppress(_normalised(strongest))


def boundary_map(embedding: Embedding) -> FloatMap | None:
    """Take the edges from a model's own map of where masks end; None if it makes none.

    Args:
        embedding: What the model's `embed` returned; that of the bundled model has such a map.
    """
    if "boundary" not in embedding.features:
        return None
    logits = floats(to_numpy(embedding.features["boundary"])[0, 0])
    down, across = map(matrix, embedding.transform.taps(logits.shape), logits.shape)
    return suppress(_probability(floats(down @ logits @ across.T)))


def _predict(
    model: Segmenter, embedding: Embedding, prompts: list[Prompt]
) -> tuple[list[FloatMap], FloatMap]:
    """Predict from all prompts: logits (h', w') of all masks, and their predicted IoU (n,)."""
    logits: list[FloatMap] = []
    scores = []
    for start in range(0, len(prompts), _PROMPTS_AT_ONCE):
        found, predicted_iou = model.decode(
            embedding, prompts[start : start + _PROMPTS_AT_ONCE], multimask=True
        )
        logits += [one for three in to_numpy(found) for one in three]
        scores.append(to_numpy(predicted_iou).reshape(-1))
    return logits, np.concatenate(scores)


def _boxes(logits: Sequence[FloatMap], transform: Transform) -> FloatMap:
    """Find the boxes of masks (h', w') in the image: (n, 4), xyxy, inclusive pixels."""
    enlarger = Enlarger(transform, logits[0].shape, offset=0)
    regions = (enlarger.measure(enlarger.cut(one)) for one in logits)
    return np.array([region.box() for region in regions if region is not None], np.float32)


def _ring_gradient(logits: FloatMap) -> FloatMap:
    """Keep the gradient of the probabilities where the mask's outer border runs."""
    cv2 = optional("cv2", extra="image")
    inside = (logits > 0).astype(np.uint8)
    ring = cv2.dilate(inside, np.ones((3, 3), np.uint8)) != inside
    gradient: FloatMap = np.where(ring, _gradient(_probability(logits)), np.float32(0))
    return gradient


def _probability(logits: FloatMap) -> FloatMap:
    probability: FloatMap = np.float32(1) / (np.float32(1) + np.exp(-logits))
    return probability


def sobel(image: Pixels) -> FloatMap:
    """Take the gradient by Sobel's filter, of the colour channel in which it is strongest."""
    return suppress(_normalised(_gradient(image).max(axis=2)))


def canny(image: Pixels, sigma: float = 2.0) -> FloatMap:
    """Run Canny's detector at rising thresholds; the last one that an edge survives counts.

    Args:
        image: uint8 (h, w, 3), RGB.
        sigma: Blur before it, in pixels. The lower threshold is 0.4 of the upper one.
    """
    cv2 = optional("cv2", extra="image")
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), sigma)
    top = float(_gradient(grey.astype(np.float32)).max())
    strength = np.zeros(grey.shape, np.float32)
    for level in np.arange(1, _CANNY_LEVELS + 1) / (_CANNY_LEVELS + 1):
        upper = top * level
        strength[cv2.Canny(grey, 0.4 * upper, upper, L2gradient=True) > 0] = level
    return strength


CLASSICAL: dict[str, Callable[[Pixels], FloatMap]] = {"canny": canny, "sobel": sobel}
"""Detectors to measure beside a model."""


def suppress(strength: FloatMap) -> FloatMap:
    """Thin edges to lines: keep what no neighbour across the edge exceeds (Canny, 1986).

    The direction across an edge comes from the second derivatives of the blurred map, and the
    neighbours are one pixel away in that direction, between the pixels.
    """
    cv2 = optional("cv2", extra="image")
    soft = cv2.GaussianBlur(strength, (0, 0), _BLUR)
    xx, yy, xy = (cv2.Sobel(soft, cv2.CV_32F, *order) for order in ((2, 0), (0, 2), (1, 1)))
    # Across an edge the map bends most: the eigenvector of the larger second derivative.
    across = 0.5 * np.arctan2(2 * xy, xx - yy) + np.where(xx + yy < 0, np.pi / 2, 0)
    h, w = strength.shape
    y, x = np.mgrid[:h, :w].astype(np.float32)
    thinned = strength.copy()
    for sign in (1, -1):
        neighbour = cv2.remap(
            strength,
            (x + sign * np.cos(across)).astype(np.float32),
            (y + sign * np.sin(across)).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        thinned[neighbour > _SLACK * strength] = 0
    return thinned


def _gradient(values: npt.NDArray[Any]) -> FloatMap:
    """Measure the length of Sobel's gradient, of each channel by itself if there are several."""
    cv2 = optional("cv2", extra="image")
    plain = values.astype(np.float32)
    length: FloatMap = np.hypot(
        cv2.Sobel(plain, cv2.CV_32F, 1, 0), cv2.Sobel(plain, cv2.CV_32F, 0, 1)
    )
    return length


def _normalised(strength: FloatMap) -> FloatMap:
    """Bring the strongest to 1."""
    scaled: FloatMap = strength / max(float(strength.max(initial=0)), 1e-12)
    return scaled
