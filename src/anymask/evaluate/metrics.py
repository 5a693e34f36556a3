"""Numbers that several protocols share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from anymask.optional import optional

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "FREQUENCIES",
    "SIZES",
    "SIZE_NOTE",
    "Size",
    "iou",
    "mean",
    "rank_correlation",
    "size_of",
]

Size = Literal["small", "medium", "large"]

SIZES: tuple[Size, ...] = ("small", "medium", "large")

SIZE_NOTE = "Small: fewer than 32² pixels. Medium: fewer than 96². Large: the others."
"""What readers of a table by size must know."""

FREQUENCIES = {"f": "frequent", "c": "common", "r": "rare"}
"""Of a category in the training images of LVIS, by the letter that LVIS writes."""

_MEDIUM, _LARGE = 32**2, 96**2


def iou(answer: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    """Measure the overlap of two masks, bool (h, w): intersection over union; two empty ones: 1."""
    union = int((answer | truth).sum())
    return int((answer & truth).sum()) / union if union else 1.0


def size_of(area: float) -> Size:
    """Sort a mask by its area in pixels, as COCO does: small < 32², medium < 96² <= large."""
    return "small" if area < _MEDIUM else "medium" if area < _LARGE else "large"


def rank_correlation(pairs: Iterable[Sequence[float]]) -> float | None:
    """Measure how alike two numbers rank things (Spearman): 1 the same order, -1 the opposite.

    Args:
        pairs: Of each thing its two numbers; equal ones share the mean of their ranks.

    Returns:
        None where there is nothing to rank: less than two things, or one number for all.
    """
    columns = list(zip(*pairs, strict=True))
    if any(len(set(column)) < 2 for column in columns) or not columns:
        return None
    stats = optional("scipy.stats", extra="eval")
    return float(stats.spearmanr(*columns).statistic)


def mean(values: Iterable[float]) -> float | None:
    """Average, or say that there is nothing to average."""
    listed = list(values)
    return fmean(listed) if listed else None
