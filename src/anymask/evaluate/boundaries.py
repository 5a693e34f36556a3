"""Boundaries against those that people drew: the benchmark of BSDS500.

Each pixel found as a boundary may be matched to one pixel of an annotator's boundary within a small
distance, and each of those to one found pixel only (Martin, Fowlkes, Malik, PAMI 2004). Recall
counts the matched pixels of every annotator, precision the found pixels that match anybody, at
99 thresholds (Arbelaez, Maire, Fowlkes, Malik, PAMI 2011).

    from anymask.evaluate.boundaries import benchmark

    scores = benchmark([sobel(image) for image in images], [read(path) for path in paths])
    scores.ods, scores.ois, scores.ap, scores.r50
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.evaluate.matching import MAX_DISTANCE, Matching
from anymask.evaluate.thinning import boundary_of, thin
from anymask.parallel import in_processes

__all__ = [
    "MAX_DISTANCE",
    "THRESHOLDS",
    "Counts",
    "Scores",
    "benchmark",
    "boundary_of",
    "compare",
    "score",
    "thin",
]

THRESHOLDS = np.arange(1, 100) / 100
"""Where the strength of a boundary is cut: 0.01, 0.02 ... 0.99."""

BoolMap = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Bits: TypeAlias = npt.NDArray[np.uint8]  # eight pixels to a byte
Found: TypeAlias = npt.NDArray[Any]
Drawn: TypeAlias = Sequence[npt.NDArray[Any]]


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


def benchmark(
    found: Iterable[Found],
    drawn: Iterable[Drawn],
    max_distance: float = MAX_DISTANCE,
    processes: int = 1,
) -> Scores:
    """Score what a detector found in a set of images.

    Args:
        found: For each image either how strong its edges are, (h, w): float from 0 to 1, or uint8
            up to 255, best thinned by non-maximum suppression; or bool (t, h, w), what the detector
            found at each of t settings that are the same for all images.
        drawn: For each image what each person drew, (h, w): boundaries if bool, otherwise a label
            map. See `anymask.data.bsds.read_boundaries` for files of BSDS500.
        max_distance: How far a match may be apart, as a share of the image's diagonal.
        processes: To share the images among. More than one needs a script that can be imported,
            with its work under ``if __name__ == "__main__":``.

    Raises:
        InputError: A map has another form, or another size than what was drawn; or there are no
            images, or not as many of both.

    Example:
        >>> line = np.eye(100, dtype=bool)
        >>> benchmark([line], [[line]]).ods
        1.0
    """
    images = (
        (
            one,
            [drawing if drawing.dtype == np.bool_ else boundary_of(drawing) for drawing in people],
        )
        for one, people in _pairs(found, drawn)
    )
    jobs = ((*image, THRESHOLDS, max_distance) for image in images)
    return score(in_processes(compare, jobs, processes))


def _pairs(found: Iterable[Found], drawn: Iterable[Drawn]) -> Iterator[tuple[Found, Drawn]]:
    for one, people in zip_longest(found, drawn):
        if one is None or people is None:
            raise InputError(
                "expected one map for each image that was drawn upon, got more maps or more "
                "images; pair them"
            )
        yield one, people


def compare(
    found: Found,
    drawn: Sequence[BoolMap],
    thresholds: FloatArray = THRESHOLDS,
    max_distance: float = MAX_DISTANCE,
    processes: int = 1,
) -> Counts:
    """Compare what was found in one image with what people drew.

    Args:
        found: As `benchmark` has it.
        drawn: Thin boundaries, bool (h, w), one for each person.
        thresholds: Where to cut a strength, rising.
        max_distance: As a share of the diagonal.
        processes: To share the people among; see `benchmark`.
    """
    cuts, which = _cuts(found, thresholds)
    thinned = np.array([np.packbits(thin(cut)) for cut in cuts])
    size_hw = found.shape[-2:]
    jobs = [(thinned, size_hw, one, max_distance) for one in drawn]
    by_person = in_processes(_match, jobs, processes)
    matched = np.array(by_person, np.uint8).reshape(-1, *thinned.shape)
    counts = Counts(
        matched_truth=_pixels(matched).sum(axis=0),
        truth=np.full(len(thinned), sum(int(np.count_nonzero(one)) for one in drawn)),
        matched_found=_pixels(np.bitwise_or.reduce(matched, axis=0)),
        found=_pixels(thinned),
    )
    return _at(counts, which)


def _match(cuts: Bits, size_hw: tuple[int, int], drawn: BoolMap, max_distance: float) -> Bits:
    """Match thin maps (t, bits), the one after the other, with what one person drew: (t, bits)."""
    matching = Matching(drawn, max_distance)
    pixels = size_hw[0] * size_hw[1]
    maps = (np.unpackbits(cut, count=pixels).reshape(size_hw).astype(np.bool_) for cut in cuts)
    return np.array([np.packbits(matching.update(one)) for one in maps])


def _pixels(maps: Bits) -> IntArray:
    """Count the pixels of maps (..., bits)."""
    counted: IntArray = np.bitwise_count(maps).sum(axis=-1, dtype=np.int64)
    return counted


def _cuts(
    found: npt.NDArray[Any], thresholds: FloatArray
) -> tuple[Iterable[BoolMap], IntArray | slice]:
    """Cut a map at every threshold, the highest first; returns the cuts, and which one each has.

    Thresholds that no strength lies between have one cut in common.
    """
    if found.dtype == np.bool_ and found.ndim == 3 and len(found):
        return found, slice(None)
    strength = _checked(found)
    passing = strength.size - np.searchsorted(np.sort(strength, axis=None), thresholds)
    _, first, which = np.unique(passing, return_index=True, return_inverse=True)
    return (strength >= thresholds[i] for i in first), which


def _checked(found: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Check that a map tells strengths, and bring bytes to 0 to 1."""
    values = found / 255 if found.dtype == np.uint8 else found
    known = values.dtype == np.bool_ or np.issubdtype(values.dtype, np.floating)
    if values.ndim != 2 or not known or not ((values >= 0) & (values <= 1)).all():
        span = f" from {found.min():g} to {found.max():g}" if found.size else ""
        raise InputError(
            "expected edges as float (h, w) from 0 to 1, uint8 (h, w) or bool (settings, h, w), "
            f"got {found.dtype} {found.shape}{span}; divide by the highest value there can be"
        )
    return values


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
    best = [_at(counts, _highest(_f(counts.recall(), counts.precision()))) for counts in listed]
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


def _at(counts: Counts, which: IntArray | slice) -> Counts:
    """Take the counts of some thresholds."""
    return Counts(
        counts.matched_truth[which],
        counts.truth[which],
        counts.matched_found[which],
        counts.found[which],
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
