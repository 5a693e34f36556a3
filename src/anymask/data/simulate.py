"""The simulated user: clicks and boxes derived from a mask, for training and for evaluation alike.

`SimulatedUser` is the one that evaluations, validations and training prompt with. The functions are
what it does: evaluations click on the deepest wrong pixel (`farthest_error`), people in the middle
of the largest wrong region (`next_click`), and training, as in SAM's paper, on any wrong pixel
(`random_error`).

Points are (x, y) in pixels with the centre of the top left pixel at (0, 0), as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np

from anymask.optional import optional

__all__ = [
    "Click",
    "SimulatedUser",
    "farthest_error",
    "farthest_inside",
    "next_click",
    "noisy_box",
    "random_error",
    "random_inside",
    "tight_box",
]

Click: TypeAlias = tuple[tuple[float, float], int]
"""A point (x, y) in pixels of the mask, and its label: 1 for what is missing, 0 for background."""


@dataclass(frozen=True)
class SimulatedUser:
    """Someone who wants a mask and knows it: prompts for it, then corrects predictions of it.

    Without a random generator the prompts are those of evaluations (SAM paper, section 7.1), the
    same each time: the pixel farthest from the mask's border, then the deepest wrong pixel, and
    boxes that fit exactly. With one they are those of training (appendix A): any pixel of the mask,
    any wrong pixel, and noisy boxes, or as often as wanted what people do.

    Examples:
        >>> mask = np.zeros((9, 9), bool)
        >>> mask[2:7, 1:6] = True
        >>> user = SimulatedUser()
        >>> user.first_click(mask)
        (3.0, 4.0)
        >>> user.correction(mask, np.zeros((9, 9), bool))
        ((3.0, 4.0), 1)
        >>> user.correction(mask, mask) is None
        True
    """

    rng: np.random.Generator | None = None
    """Random generator of its own; None: nothing is random."""
    center_prob: float = 0.0
    """With a random generator: probability of a click in the middle of the mask or of the largest
    wrong region, where people click."""
    tight_box_prob: float = 0.0
    """With a random generator: probability of a box that fits exactly."""
    negative: bool = True
    """Whether background may be clicked, which not every model understands."""

    def first_click(self, mask: np.ndarray) -> tuple[float, float]:
        """Click on a mask, bool (h, w), not empty: (x, y)."""
        if self.rng is None or self.rng.random() < self.center_prob:
            return farthest_inside(mask)
        return random_inside(mask, self.rng, power=0)

    def first_box(self, mask: np.ndarray) -> np.ndarray:
        """Draw a box around a mask, bool (h, w), not empty: float32 (4,) xyxy inside (h, w)."""
        box = tight_box(mask)
        if self.rng is None or self.rng.random() < self.tight_box_prob:
            return box
        return noisy_box(box, (mask.shape[0], mask.shape[1]), self.rng)

    def correction(self, truth: np.ndarray, prediction: np.ndarray) -> Click | None:
        """Click on what is wrong with a prediction; None when nothing is.

        Args:
            truth: The mask wanted, bool (h, w).
            prediction: The mask predicted, bool (h, w).
        """
        if self.rng is None:
            return farthest_error(truth, prediction, negative=self.negative)
        if self.rng.random() < self.center_prob:
            return next_click(truth, prediction, negative=self.negative)
        return random_error(truth, prediction, self.rng, negative=self.negative)


def farthest_inside(mask: np.ndarray) -> tuple[float, float]:
    """Find the pixel of a mask (bool (h, w), not empty) that is farthest from its border.

    The image's edge counts as a border. Ties go to the first pixel in reading order.
    """
    y, x = np.unravel_index(int(np.argmax(_depth(mask))), mask.shape)
    return float(x), float(y)


def random_inside(
    mask: np.ndarray, rng: np.random.Generator, power: float = 1.0
) -> tuple[float, float]:
    """Draw a pixel of a mask, deeper ones more often: with weight depth**power (0 = uniform)."""
    if power == 0:  # as below, without measuring depths
        inside = np.flatnonzero(mask)
        index = int(inside[min(int(rng.uniform(0, len(inside))), len(inside) - 1)])
        return float(index % mask.shape[1]), float(index // mask.shape[1])
    depth = _depth(mask)
    weights = np.where(depth > 0, depth**power, 0.0).ravel().cumsum()
    index = int(np.searchsorted(weights, rng.uniform(0, weights[-1]), side="right"))
    y, x = divmod(min(index, mask.size - 1), mask.shape[1])
    return float(x), float(y)


def next_click(truth: np.ndarray, prediction: np.ndarray, *, negative: bool = True) -> Click | None:
    """Click where a user would correct: the middle of the largest connected error.

    Args:
        truth: The mask wanted, bool (h, w).
        prediction: The mask predicted, bool (h, w).
        negative: Whether superfluous pixels may be clicked, too.

    Returns:
        The point and its label (1: missing here, add it; 0: too much here, remove it), or ``None``
        when nothing is wrong.
    """
    cv2 = optional("cv2", extra="image")
    best_area, best = 0, None
    for label, wrong in _errors(truth, prediction, negative):
        count, parts, stats, _ = cv2.connectedComponentsWithStats(
            wrong.astype(np.uint8), connectivity=8
        )
        if count < 2:
            continue
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        area = int(stats[largest, cv2.CC_STAT_AREA])
        if area > best_area:
            left, top, width, height = (int(v) for v in stats[largest, :4])
            part = parts[top : top + height, left : left + width] == largest
            x, y = farthest_inside(part)
            best_area, best = area, ((x + left, y + top), label)
    return best


def random_error(
    truth: np.ndarray, prediction: np.ndarray, rng: np.random.Generator, *, negative: bool = True
) -> Click | None:
    """Click on any of the wrong pixels, all alike, as SAM's training does (paper, appendix A).

    Args:
        truth: The mask wanted, bool (h, w).
        prediction: The mask predicted, bool (h, w).
        rng: Random generator.
        negative: Whether superfluous pixels may be clicked, too.

    Returns:
        The point and its label (1: missing here, 0: too much here), or ``None`` when nothing is
        wrong.
    """
    wrong = truth ^ prediction if negative else truth & ~prediction
    if not wrong.any():
        return None
    x, y = random_inside(wrong, rng, power=0)
    return (x, y), int(truth[int(y), int(x)])


def farthest_error(
    truth: np.ndarray, prediction: np.ndarray, *, negative: bool = True
) -> Click | None:
    """Find the wrong pixel that is farthest from the border of its error region.

    Missing and superfluous pixels are regions of their own, because a click says one of the two;
    the image's edge counts as a border. This is how clicks are simulated in evaluations (SAM paper,
    section 7.1); `next_click` prefers the largest region, as people do.

    Args:
        truth: The mask wanted, bool (h, w).
        prediction: The mask predicted, bool (h, w).
        negative: Whether superfluous pixels may be clicked, too.

    Returns:
        The point and its label (1: missing here, 0: too much here), or ``None`` when nothing is
        wrong. A tie goes to what is missing, then to the first pixel in reading order.
    """
    depths = [(label, _depth(wrong)) for label, wrong in _errors(truth, prediction, negative)]
    label, depth = max(depths, key=lambda kind: float(kind[1].max()))
    if depth.max() == 0:
        return None
    y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return (float(x), float(y)), label


def tight_box(mask: np.ndarray) -> np.ndarray:
    """Bound a mask (bool (h, w), not empty): float32 (4,) xyxy around its pixels' areas."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)


def noisy_box(
    box: np.ndarray,
    size_hw: tuple[int, int],
    rng: np.random.Generator,
    spread: float = 0.1,
    max_shift: float = 20.0,
) -> np.ndarray:
    """Move a box's sides by Gaussian noise, as SAM's training does (paper, appendix A).

    Args:
        box: xyxy, float32 (4,).
        size_hw: Size of the image, which bounds the box.
        rng: Random generator.
        spread: Standard deviation as a share of the box's side.
        max_shift: Largest move in pixels.
    """
    sides = np.array([box[2] - box[0], box[3] - box[1]] * 2)
    noise = np.clip(rng.normal(0.0, spread, 4) * sides, -max_shift, max_shift)
    h, w = size_hw
    moved: np.ndarray = np.clip(box + noise, 0, [w, h, w, h]).astype(np.float32)
    if moved[2] - moved[0] < 1 or moved[3] - moved[1] < 1:
        return box
    return moved


def _errors(
    truth: np.ndarray, prediction: np.ndarray, negative: bool
) -> list[tuple[int, np.ndarray]]:
    """What is missing, and what is too much if that may be said: each with its clicks' label."""
    return [(1, truth & ~prediction)] + [(0, prediction & ~truth)] * negative


def _depth(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel inside to the nearest one outside or beyond the edge: (h, w)."""
    cv2 = optional("cv2", extra="image")
    padded = np.pad(mask.astype(np.uint8), 1)
    return cast(
        np.ndarray, cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    )
