"""How well two annotations of one image agree, and how good annotators are.

Masks are paired one to one so that the sum of their IoUs is greatest (the Hungarian method); below
IoU 0.5 they do not count as the same thing. Shares have Wilson's intervals, which stay right for
few masks and for shares near 0 and 1 (Wilson, JASA 1927).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from anymask.errors import InputError
from anymask.evaluate.video_metrics import contour_accuracy
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.optional import optional

__all__ = [
    "Agreement",
    "Audit",
    "Pair",
    "Share",
    "agreement",
    "audit",
    "honeypots",
    "pair",
    "share",
]

LEVELS = (0.9, 0.75)
"""IoUs of the paper's audit: 94 % of its masks were above the first, 97 % above the second."""


class Pair(NamedTuple):
    """Two masks that are the same thing."""

    first: int
    """Number of the mask in the first annotation."""
    second: int
    """Number in the second one."""
    iou: float
    """How much they share."""


class Share(NamedTuple):
    """A share of a number of cases, with its interval."""

    value: float
    """From 0 to 1; NaN of no cases."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end."""
    number: int
    """Of cases."""


def share(hits: int, number: int, confidence: float = 0.95) -> Share:
    """Estimate a share, with Wilson's score interval.

    Args:
        hits: How many cases hold.
        number: Of how many.
        confidence: Of the interval.

    Raises:
        InputError: There are more hits than cases, or the confidence is none.

    Examples:
        >>> [round(float(value), 4) for value in share(8, 10)[:3]]
        [0.8, 0.4902, 0.9433]
    """
    if not (0 <= hits <= number and 0 < confidence < 1):
        raise InputError(
            f"expected 0 to {number} hits and a confidence between 0 and 1, got {hits} and "
            f"{confidence}; check the counts"
        )
    if not number:
        return Share(math.nan, math.nan, math.nan, 0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p, spread = hits / number, z * z / number
    middle = (p + spread / 2) / (1 + spread)
    reach = z / (1 + spread) * math.sqrt(p * (1 - p) / number + spread / (4 * number))
    low = 0.0 if hits == 0 else middle - reach
    high = 1.0 if hits == number else middle + reach
    return Share(p, low, high, number)


def pair(first: Masks, second: Masks, threshold: float = 0.5) -> list[Pair]:
    """Pair the masks of two annotations of one image.

    Empty masks are no things and are never paired.

    Args:
        first: One annotation.
        second: The other one, of the same size.
        threshold: Least IoU of a pair.

    Raises:
        InputError: They have two sizes.
        MissingExtraError: SciPy is not installed.

    Examples:
        >>> dense = np.eye(2, dtype=bool)[:, None]
        >>> pair(Masks.from_dense(dense), Masks.from_dense(dense[::-1]))
        [Pair(first=0, second=1, iou=1.0), Pair(first=1, second=0, iou=1.0)]
    """
    if first.size_hw != second.size_hw:
        raise InputError(
            f"expected two annotations of one size, got (h, w) = {first.size_hw} and "
            f"{second.size_hw}; make both at the size of the image"
        )
    optimize = optional("scipy.optimize", extra="eval")
    overlaps = rle.iou(first.counts, second.counts)
    # What cannot be a pair counts for nothing, or a good pair might be given up for two bad ones.
    overlaps[overlaps < threshold] = 0
    rows, columns = optimize.linear_sum_assignment(overlaps, maximize=True)
    found = zip(rows.tolist(), columns.tolist(), strict=True)
    return [Pair(i, j, float(overlaps[i, j])) for i, j in found if overlaps[i, j] > 0]


@dataclass(frozen=True)
class Agreement:
    """How two annotations of one image, or of several, agree."""

    ious: tuple[float, ...]
    """IoU of each pair."""
    boundary_f: tuple[float, ...]
    """F of the boundaries of each pair, as DAVIS measures it; empty if it was not measured."""
    only_first: int
    """Masks of the first annotation that have no partner."""
    only_second: int
    """Masks of the second one."""

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the pairs; NaN without any."""
        return _mean(self.ious)

    @property
    def mean_boundary_f(self) -> float:
        """Mean F of the pairs; NaN without any."""
        return _mean(self.boundary_f)

    def above(self, level: float, confidence: float = 0.95) -> Share:
        """Estimate the share of pairs whose IoU is above a level."""
        return share(sum(iou > level for iou in self.ious), len(self.ious), confidence)

    @classmethod
    def joined(cls, parts: Iterable[Agreement]) -> Agreement:
        """Join the agreements of several images."""
        parts = list(parts)
        return cls(
            tuple(iou for part in parts for iou in part.ious),
            tuple(f for part in parts for f in part.boundary_f),
            sum(part.only_first for part in parts),
            sum(part.only_second for part in parts),
        )


def agreement(
    first: Masks, second: Masks, *, threshold: float = 0.5, boundary: bool = True
) -> Agreement:
    """Compare two annotations of one image.

    Args:
        first: One annotation.
        second: The other one.
        threshold: Least IoU of masks that are the same thing.
        boundary: Measure the boundaries of pairs, too.

    Raises:
        InputError: They have two sizes.
        MissingExtraError: SciPy is not installed.

    Examples:
        >>> dense = np.zeros((2, 4, 6), bool)
        >>> dense[0, :2] = dense[1, 3] = True
        >>> both = agreement(Masks.from_dense(dense), Masks.from_dense(dense[:1]))
        >>> both.mean_iou, both.only_first, both.only_second
        (1.0, 1, 0)
    """
    pairs = pair(first, second, threshold)
    f = [_boundary_f(first, second, one) for one in pairs] if boundary else []
    left = [int((masks.areas > 0).sum()) - len(pairs) for masks in (first, second)]
    return Agreement(tuple(one.iou for one in pairs), tuple(f), left[0], left[1])


def _boundary_f(first: Masks, second: Masks, one: Pair) -> float:
    a = rle.decode(first.counts[one.first], first.size_hw)
    b = rle.decode(second.counts[one.second], second.size_hw)
    return contour_accuracy(a, b)


# ------------------------------------------------------------------------ annotators


def honeypots(
    answers: Iterable[tuple[str, Masks, Masks]], *, threshold: float = 0.5
) -> dict[str, Agreement]:
    """Score annotators against masks that are known.

    Args:
        answers: For each image that hides known masks: the annotator, what is known, and what the
            annotator made. Only known masks count: what else the annotator found may be right.
        threshold: Least IoU of masks that are the same thing.

    Returns:
        By annotator: pairs of known masks and answers; ``only_first`` are known masks that were
        missed, and ``only_second`` is 0.

    Raises:
        InputError: The masks of an image have two sizes.
    """
    found: dict[str, list[Agreement]] = {}
    for annotator, known, made in answers:
        one = agreement(known, made, threshold=threshold, boundary=False)
        found.setdefault(annotator, []).append(
            Agreement(one.ious, one.boundary_f, one.only_first, 0)
        )
    return {annotator: Agreement.joined(parts) for annotator, parts in found.items()}


@dataclass(frozen=True)
class Audit:
    """How many masks of somebody people hardly had to correct."""

    by: str
    """Annotator or model."""
    number: int
    """Masks that were audited."""
    mean_iou: float
    """Of a mask and its corrected one."""
    above: Mapping[float, Share]
    """Share above each IoU of `LEVELS`."""


def audit(rows: Iterable[tuple[str, float]], confidence: float = 0.95) -> list[Audit]:
    """Sum up an audit, by annotator or by model.

    Args:
        rows: For each audited mask: who or what made it, and its IoU with the corrected one; 0 if
            it was thrown away.
        confidence: Of the intervals.

    Raises:
        InputError: An IoU is none.

    Examples:
        >>> (one,) = audit([("ann", 0.95), ("ann", 0.8)])
        >>> one.number, one.mean_iou, one.above[0.9].value, one.above[0.75].value
        (2, 0.875, 0.5, 1.0)
    """
    of: dict[str, list[float]] = {}
    for by, iou in rows:
        if not 0 <= iou <= 1:
            raise InputError(
                f"expected an IoU from 0 to 1 of a mask of {by!r}, got {iou}; measure it anew"
            )
        of.setdefault(by, []).append(iou)
    return [
        Audit(
            by,
            len(ious),
            _mean(ious),
            {level: share(sum(v > level for v in ious), len(ious), confidence) for level in LEVELS},
        )
        for by, ious in sorted(of.items())
    ]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan
