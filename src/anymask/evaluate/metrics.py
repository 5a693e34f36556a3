"""Numbers that several protocols share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from anymask.optional import optional

__all__ = [
    "FREQUENCIES",
    "mean",
    "rank_correlation",
]

FREQUENCIES = {"f": "frequent", "c": "common", "r": "rare"}
"""Of a category in the training images of LVIS, by the letter that LVIS writes."""


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
    """Average; None where there is nothing to average."""
    listed = list(values)
    return fmean(listed) if listed else None
