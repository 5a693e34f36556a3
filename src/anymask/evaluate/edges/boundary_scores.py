"""Scores of matched boundary pixels: recall, precision, and the benchmark's numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError

__all__ = ["Counts", "Scores", "score"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """What one image contributes at each threshold; int64 (t,) each."""

    matched_truth: IntArray
    """Annotated pixels that have a partner, summed over the annotators."""
    truth: IntArray
    """Annotated pixels, summed over the annotators."""
    matched_found: IntArray
    """Found pixels that have a partner with at least one annotator."""
    found: IntArray
    """Found pixels."""

    def __add__(self, other: Counts) -> Counts:
        """Put two images together."""
        return Counts(
            self.matched_truth + other.matched_truth,
            self.truth + other.truth,
            self.matched_found + other.matched_found,
            self.found + other.found,
        )

    def recall(self) -> FloatArray:
        """Share of what people drew that was found, (t,)."""
        return self.matched_truth / np.maximum(self.truth, 1)

    def precision(self) -> FloatArray:
        """Share of what was found that somebody drew, (t,)."""
        return self.matched_found / np.maximum(self.found, 1)

    def at(self, which: IntArray | slice) -> Counts:
        """Take some thresholds, as often and in the order in which they are named."""
        return Counts(
            self.matched_truth[which],
            self.truth[which],
            self.matched_found[which],
            self.found[which],
        )


@dataclass(frozen=True)
class Scores:
    """The benchmark's numbers over a set of images."""

    ods: float
    """F at the threshold that is best for the whole set (optimal dataset scale)."""
    ois: float
    """F when each image has its own best threshold (optimal image scale)."""
    ap: float
    """Average precision: area under the curve of precision over recall."""
    r50: float
    """Recall where the precision is 50 %."""
    recall: FloatArray
    """Recall at each threshold, (t,)."""
    precision: FloatArray
    """Precision at each threshold, (t,)."""


def score(images: Iterable[Counts]) -> Scores:
    """Score a set of images.

    Raises:
        InputError: There are no images, or they were measured at different thresholds.
    """
    listed = list(images)
    if not listed:
        raise InputError("expected the counts of at least one image, got none; measure some first")
    lengths = sorted({len(counts.found) for counts in listed})
    if len(lengths) > 1:
        raise InputError(
            f"expected as many thresholds or settings for every image, got from {lengths[0]} to "
            f"{lengths[-1]}; measure all images with the same"
        )
    total = sum(listed[1:], listed[0])
    best = [counts.at(_highest(_f(counts.recall(), counts.precision()))) for counts in listed]
    own = sum(best[1:], best[0])
    recall, precision = total.recall(), total.precision()
    return Scores(
        ods=_best_f(recall, precision),
        ois=float(_f(own.recall(), own.precision())[0]),
        ap=_average_precision(recall, precision),
        r50=_recall_at(recall, precision, 0.5),
        recall=recall,
        precision=precision,
    )


def _f(recall: FloatArray, precision: FloatArray) -> FloatArray:
    f: FloatArray = 2 * recall * precision / np.maximum(recall + precision, 1e-12)
    return f


def _highest(values: FloatArray) -> slice:
    first = int(values.argmax())
    return slice(first, first + 1)


def _best_f(recall: FloatArray, precision: FloatArray) -> float:
    """Find the highest F, also between two thresholds, where both are taken as linear."""
    share = np.linspace(0, 1, 100)[:, None]
    between = (a[None, :-1] * share + a[None, 1:] * (1 - share) for a in (recall, precision))
    inner = _f(*between)
    return float(max(_f(recall, precision).max(), inner.max(initial=0.0)))


def _average_precision(recall: FloatArray, precision: FloatArray) -> float:
    """Sum the precision at recalls of 0, 0.01 ... 1; it is 0 where no threshold leads."""
    known, first = np.unique(recall, return_index=True)
    wanted = np.arange(101) / 100
    return float(np.interp(wanted, known, precision[first], left=0.0, right=0.0).sum() * 0.01)


def _recall_at(recall: FloatArray, precision: FloatArray, level: float) -> float:
    """Find the highest recall at which the precision still reaches a level."""
    order = np.argsort(recall)
    r, p = recall[order], precision[order]
    wanted = np.linspace(0, r[-1], 1001)
    reaching = np.interp(wanted, r, p) >= level
    return float(wanted[reaching].max(initial=0.0))
