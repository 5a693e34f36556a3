"""Boundaries against those that people drew: the benchmark of BSDS500.

Each pixel found as a boundary may be matched to one pixel of an annotator's boundary within a small
distance, and each of those to one found pixel only (Martin, Fowlkes, Malik, PAMI 2004). Recall
counts the matched pixels of every annotator, precision the found pixels that match anybody, at
99 thresholds (Arbelaez, Maire, Fowlkes, Malik, PAMI 2011).

    from anymask.evaluate.edges.boundaries import benchmark

    scores = benchmark([sobel(image) for image in images], [read(path) for path in paths])
    scores.ods, scores.ois, scores.ap, scores.r50
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.evaluate.edges.boundary_scores import Counts, Scores, score
from anymask.evaluate.edges.matching import MAX_DISTANCE, Matching
from anymask.evaluate.edges.thinning import boundary_of, thin
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
            map. See `anymask.data.readers.bsds.read_boundaries` for files of BSDS500.
        max_distance: How far a match may be apart, as a share of the image's diagonal.
        processes: To share the images among. More than one needs a script that can be imported,
            with its work under ``if __name__ == "__main__":``.

    Raises:
        InputError: A map has another form, or another size than what was drawn; or there are no
            images, or not as many of both.

    Examples:
        >>> line = np.eye(100, dtype=bool)
        >>> benchmark([line], [[line]]).ods
        1.0
    """
    pairs = _pairs(found, drawn)
    jobs = ((one, people, THRESHOLDS, max_distance) for one, people in pairs)
    return score(in_processes(compare, jobs, processes))


def _pairs(found: Iterable[Found], drawn: Iterable[Drawn]) -> Iterator[tuple[Found, list[BoolMap]]]:
    """Give each image what was found in it, and the boundaries that people drew."""
    for one, people in zip_longest(found, drawn):
        if one is None or people is None:
            raise InputError(
                "expected one map for each image that was drawn upon, got more maps or more "
                "images; pair them"
            )
        yield one, [map_ if map_.dtype == np.bool_ else boundary_of(map_) for map_ in people]


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
    return counts.at(which)


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


def _cuts(found: npt.NDArray[Any], thresholds: FloatArray) -> tuple[Iterable[BoolMap], IntArray]:
    """Cut a map at every threshold; returns the cuts, and which one each threshold has.

    The cuts come in the order in which they grow, as is best for `Matching`. Thresholds that no
    strength lies between have one cut in common.
    """
    if found.dtype == np.bool_ and found.ndim == 3 and len(found):
        order = np.argsort(np.count_nonzero(found, axis=(1, 2)), kind="stable")
        return found[order], np.argsort(order)
    strength = _checked(found)
    passing = strength.size - np.searchsorted(np.sort(strength, axis=None), thresholds)
    _, first, which = np.unique(passing, return_index=True, return_inverse=True)
    return (strength >= thresholds[i] for i in first), which


def _checked(found: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Check that a map holds strengths, and bring bytes to 0 to 1."""
    values = found / 255 if found.dtype == np.uint8 else found
    known = values.dtype == np.bool_ or np.issubdtype(values.dtype, np.floating)
    if values.ndim != 2 or not known or not ((values >= 0) & (values <= 1)).all():
        span = f" from {found.min():g} to {found.max():g}" if found.size else ""
        raise InputError(
            "expected edges as float (h, w) from 0 to 1, uint8 (h, w) or bool (settings, h, w), "
            f"got {found.dtype} {found.shape}{span}; divide by the highest value there can be"
        )
    return values
