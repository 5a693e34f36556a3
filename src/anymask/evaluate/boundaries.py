"""Boundaries against those that people drew: the benchmark of BSDS500.

Each pixel found as a boundary may be matched to one pixel of an annotator's boundary within a small
distance, and each of those to one found pixel only (Martin, Fowlkes, Malik, PAMI 2004). Recall
counts the matched pixels of every annotator, precision the found pixels that match anybody, at
99 thresholds (Arbelaez, Maire, Fowlkes, Malik, PAMI 2011). The benchmark charges far more for a
pixel left alone than for any distance, so the best assignment is one with the largest number of
pairs, and of those the one with the smallest total distance.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.optional import optional

__all__ = [
    "MAX_DISTANCE",
    "THRESHOLDS",
    "Annotation",
    "Counts",
    "Scores",
    "boundary_of",
    "compare",
    "score",
    "thin",
]

MAX_DISTANCE = 0.0075
"""How far a pair may be apart, as a share of the image's diagonal."""

THRESHOLDS = np.arange(1, 100) / 100
"""Where the strength of a boundary is cut: 0.01, 0.02 ... 0.99."""

BoolMap = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def boundary_of(labels: npt.NDArray[Any]) -> BoolMap:
    """Find the boundaries of a label map (h, w): thin lines of pixels, bool (h, w).

    A pixel is on one if its right, lower or lower right neighbour has another label.
    """
    edge = np.zeros(labels.shape, np.bool_)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    edge[:-1, :-1] |= labels[:-1, :-1] != labels[1:, 1:]
    return thin(edge)


def thin(boundary: BoolMap) -> BoolMap:
    """Thin lines to one pixel, bool (h, w) to bool (h, w) (Guo and Hall, 1989)."""
    thinned: BoolMap = optional("skimage.morphology", extra="eval").thin(boundary)
    return thinned


class Annotation:
    """One person's boundaries of one image, prepared to be matched many times."""

    def __init__(self, boundary: BoolMap, max_distance: float = MAX_DISTANCE) -> None:
        """Note which of its pixels can be matched from where.

        Args:
            boundary: bool (h, w), thin.
            max_distance: As a share of the diagonal.
        """
        self.size_hw = boundary.shape
        self.total = int(np.count_nonzero(boundary))
        self._near = _near(boundary, max_distance * float(np.hypot(*boundary.shape)))

    def match(self, found: BoolMap) -> BoolMap:
        """Match found boundary pixels: as many as possible, at the smallest total distance.

        Args:
            found: bool (h, w).

        Returns:
            For each pixel of ``found`` in reading order, whether it has a partner. As many pixels
            of the annotation have one.

        Raises:
            InputError: ``found`` has another size than the annotation.
        """
        if found.shape != self.size_hw:
            raise InputError(
                f"expected a boundary map of (h, w) = {self.size_hw} like the annotation, got "
                f"{found.shape}; resize it first"
            )
        near = self._near[np.flatnonzero(found)]
        return _assign(near.indptr, near.indices, near.data, self.total)


def _near(boundary: BoolMap, radius: float) -> Any:
    """Tell which boundary pixels lie within a radius of each pixel, and how far away.

    Returns:
        scipy.sparse.csr_array, one row per pixel and one column per boundary pixel; its entries are
        distances in thousandths of a pixel, int64, also where they are 0.
    """
    sparse = optional("scipy.sparse", extra="eval")
    h, w = boundary.shape
    y, x = np.nonzero(boundary)
    number = np.arange(len(y))
    steps = np.arange(-int(radius), int(radius) + 1)
    places: list[tuple[IntArray, IntArray, IntArray]] = []
    for dy, dx in itertools.product(steps, steps):
        distance = np.hypot(dy, dx)
        inside = (y + dy >= 0) & (y + dy < h) & (x + dx >= 0) & (x + dx < w)
        if distance <= radius:
            pixel = ((y + dy) * w + x + dx)[inside]
            places.append((pixel, number[inside], np.full_like(pixel, round(1000 * distance))))
    pixel, partner, cost = (np.concatenate(part) for part in zip(*places, strict=True))
    order = np.argsort(pixel, kind="stable")
    starts = np.concatenate([[0], np.bincount(pixel, minlength=h * w).cumsum()])
    return sparse.csr_array((cost[order], partner[order], starts), shape=(h * w, len(y)))


def _assign(starts: IntArray, partners: IntArray, costs: IntArray, total: int) -> BoolMap:
    """Pair n things with ``total`` others: most pairs first, then least cost.

    A flow of one unit per pair, from a source through both sides to a sink.

    Args:
        starts: Where the partners of each thing begin in ``partners``, (n + 1,).
        partners: Numbers of possible partners.
        costs: What each of those pairs costs, whole numbers.
        total: How many partners there are.

    Returns:
        Whether each thing has a partner, (n,).
    """
    flows = optional("ortools.graph.python.min_cost_flow", extra="eval")
    n = len(starts) - 1
    matched = np.zeros(n, np.bool_)
    some = np.flatnonzero(np.diff(starts))
    if not some.size:
        return matched
    source, sink = n + total, n + total + 1
    wanted = np.unique(partners)
    tails = np.concatenate(
        [np.full(len(some), source), np.repeat(np.arange(n), np.diff(starts)), n + wanted]
    )
    heads = np.concatenate([some, n + partners, np.full(len(wanted), sink)])
    prices = np.concatenate([np.zeros(len(some), np.int64), costs, np.zeros(len(wanted), np.int64)])
    problem = flows.SimpleMinCostFlow()
    arcs = problem.add_arcs_with_capacity_and_unit_cost(tails, heads, np.ones_like(tails), prices)
    problem.set_node_supply(source, len(some))
    problem.set_node_supply(sink, -len(some))
    problem.solve_max_flow_with_min_cost()
    matched[some] = problem.flows(arcs[: len(some)]) > 0
    return matched


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


def compare(
    strength: npt.NDArray[Any],
    annotations: Sequence[Annotation],
    thresholds: FloatArray = THRESHOLDS,
) -> Counts:
    """Compare a map of boundary strength with the annotations of its image.

    Args:
        strength: (h, w), 0 to 1, float or bool; best thinned by non-maximum suppression.
        annotations: One for each person.
        thresholds: Where to cut, rising.
    """
    rows: list[tuple[int, int, int, int]] = []
    truth = sum(annotation.total for annotation in annotations)
    before: BoolMap | None = None
    for threshold in thresholds:
        cut = strength >= threshold
        if before is None or not np.array_equal(cut, before):
            found = thin(cut)
            by_person = [annotation.match(found) for annotation in annotations]
            anybody = np.any(by_person, axis=0) if by_person else np.zeros(0, np.bool_)
            matched = sum(int(one.sum()) for one in by_person)
            row = (matched, truth, int(np.count_nonzero(anybody)), int(np.count_nonzero(found)))
        before = cut
        rows.append(row)
    return Counts(*np.array(rows, np.int64).reshape(-1, 4).T)


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
        InputError: There are no images.
    """
    listed = list(images)
    if not listed:
        raise InputError("expected the counts of at least one image, got none; measure some first")
    total = sum(listed[1:], listed[0])
    best = [_at(counts, int(_f(counts.recall(), counts.precision()).argmax())) for counts in listed]
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


def _at(counts: Counts, i: int) -> Counts:
    one = slice(i, i + 1)
    return Counts(
        counts.matched_truth[one], counts.truth[one], counts.matched_found[one], counts.found[one]
    )


def _f(recall: FloatArray, precision: FloatArray) -> FloatArray:
    f: FloatArray = 2 * recall * precision / np.maximum(recall + precision, 1e-12)
    return f


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
