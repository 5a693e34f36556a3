"""How sure the models of the recipe `data_engine` must be of masks that nobody looks at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from recipes.data_engine_report import SAME

from anymask import Masks
from anymask.masks import rle


@dataclass(frozen=True)
class Thresholds:
    """How sure a model must be of a mask, how stable it must be, and what that is known from."""

    predicted_iou: float
    stability: float
    tried: int
    """Masks of finished photos that could be told right or wrong."""
    tried_right: float
    passed: int
    """Those of them that are above both."""
    passed_right: float

    def keep(self, scores: npt.NDArray[Any], stability: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Say which masks are above both; what was not measured cannot fail."""
        stable = np.nan_to_num(stability, nan=1.0) >= self.stability
        return np.asarray((scores >= self.predicted_iou) & stable)


def calibrate(
    seen: npt.NDArray[np.float64], accepted: float, precision: float, least: int = 12
) -> Thresholds:
    """Find the thresholds that most masks pass of which a share is right.

    If none are so good, those whose masks are right most often, of `least` masks or more.

    Args:
        seen: Predicted IoU, stability and IoU with what people made of n masks, float64, (n, 3).
        accepted: IoU from which on a mask is right.
        precision: The share.
        least: Masks from which a share is told.
    """
    right = seen[:, 2] >= accepted
    found = [Thresholds(1.01, 1.01, len(seen), float(right.mean()) if len(seen) else 0.0, 0, 0.0)]
    for iou in np.unique(np.floor(seen[:, 0] * 50) / 50):
        for stable in (0.0, 0.8, 0.85, 0.9, 0.95):
            one = replace(found[0], predicted_iou=float(iou), stability=stable)
            passed = one.keep(seen[:, 0], seen[:, 1])
            if passed.sum() >= least:
                share = float(right[passed].mean())
                found.append(replace(one, passed=int(passed.sum()), passed_right=share))
    return max(found, key=lambda one: (min(one.passed_right, precision), one.passed))


def distinct(masks: Masks) -> Masks:
    """Keep the surest of masks that are one thing."""
    order = np.argsort(-masks.scores, kind="stable")
    kept: list[int] = []
    overlaps = rle.iou(masks.counts, masks.counts) if len(masks) else np.zeros((0, 0))
    for i in order.tolist():
        if not any(overlaps[i, j] > SAME for j in kept):
            kept.append(i)
    return masks[kept]
