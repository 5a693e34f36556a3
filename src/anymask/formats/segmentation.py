"""The ``segmentation`` of an annotation: polygons and run lengths, however they are written."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from anymask.errors import InputError
from anymask.masks import polygon, rle
from anymask.masks.rle import Counts

__all__ = ["read_segmentation", "split_segmentation"]

_LONGEST_RUN = np.iinfo(np.uint32).max


def read_segmentation(segmentation: object, size_hw: tuple[int, int]) -> Counts:
    """Read a ``segmentation`` to run lengths, whichever kind it is.

    Args:
        segmentation: Any of the forms of `split_segmentation`; of several pieces all that any of
            them covers. None, [] and {} cover nothing.
        size_hw: Height and width of the image.

    Raises:
        InputError: It is none of these, or was made for an image of another size.

    Examples:
        >>> read_segmentation([0, 0, 2, 0, 2, 2, 0, 2], (2, 3)).tolist()
        [0, 4, 2]
    """
    if segmentation is None or segmentation in ([], {}):
        return np.array([size_hw[0] * size_hw[1]], dtype=np.uint32)
    polygons, runs = split_segmentation(segmentation)
    masks = [_run_lengths(piece, size_hw) for piece in runs]
    if polygons or not masks:
        masks.append(polygon.fill([np.reshape(one, (-1, 2)) for one in polygons], size_hw))
    return rle.merge(masks) if len(masks) > 1 else masks[0]


def split_segmentation(segmentation: Any) -> tuple[list[list[float]], list[Mapping[str, Any]]]:
    """Sort the pieces of a ``segmentation`` into polygons and run lengths.

    COCO has a list of polygons ``[x0, y0, x1, y1, ...]``, or one ``{"size", "counts"}``. Read as
    well, as other programs write them: a polygon that is not in a list of its own, corners as pairs
    ``[x, y]``, run lengths in a list, and polygons beside run lengths. Outlines of fewer than three
    corners enclose nothing and are left out.

    Returns:
        The polygons, each flat; and the run lengths.

    Raises:
        InputError: It is none of these.

    Examples:
        >>> split_segmentation([0, 0, 9, 0, 9, 9])
        ([[0.0, 0.0, 9.0, 0.0, 9.0, 9.0]], [])
        >>> split_segmentation([[[0, 0], [9, 0], [9, 9]], {"size": [1, 1], "counts": [0, 1]}])
        ([[0.0, 0.0, 9.0, 0.0, 9.0, 9.0]], [{'size': [1, 1], 'counts': [0, 1]}])
    """
    polygons, runs = [], []
    for piece in _pieces(segmentation):
        if isinstance(piece, Mapping):
            runs.append(_runs(piece))
            continue
        corners = _numbers(piece)
        if len(corners) % 2:
            raise _unreadable(piece)
        if len(corners) >= 6:
            polygons.append(corners)
    return polygons, runs


def _pieces(segmentation: Any) -> Iterator[Any]:
    if isinstance(segmentation, Mapping):
        yield segmentation
    elif not isinstance(segmentation, list | tuple):
        raise _unreadable(segmentation)
    elif segmentation and all(_is_number(each) for each in segmentation):
        yield segmentation  # one polygon, flat
    elif len(segmentation) >= 3 and all(_is_corner(each) for each in segmentation):
        yield segmentation  # one polygon of pairs
    else:
        yield from segmentation


def _numbers(piece: Any) -> list[float]:
    """Flatten a polygon, whether of numbers or of pairs."""
    if not isinstance(piece, list | tuple):
        raise _unreadable(piece)
    flat = [n for each in piece for n in each] if all(map(_is_corner, piece)) else piece
    try:
        return [float(number) for number in flat]
    except (TypeError, ValueError):
        raise _unreadable(piece) from None


def _runs(piece: Mapping[str, Any]) -> Mapping[str, Any]:
    """Bring run lengths into COCO's form where numbers came as floats or text."""
    size, counts = piece.get("size"), piece.get("counts")
    try:
        size = None if size is None else [int(side) for side in size]
        if isinstance(counts, Sequence) and not isinstance(counts, str | bytes):
            counts = [int(n) if float(n).is_integer() else n for n in counts]
    except (TypeError, ValueError, OverflowError):
        raise _unreadable(piece) from None
    return {"counts": counts} if size is None else {"size": size, "counts": counts}


def _is_number(value: object) -> bool:
    return isinstance(value, Real) or (isinstance(value, str) and not value.isalpha())


def _is_corner(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value))


def _unreadable(value: object) -> InputError:
    return InputError(
        "expected a segmentation as polygons or as run lengths with 'size' and 'counts', got "
        f"{reprlib.repr(value)}; draw it anew, or remove the annotation"
    )


def _run_lengths(segmentation: Mapping[str, Any], size_hw: tuple[int, int]) -> Counts:
    if segmentation.get("counts") is None:
        raise _unreadable(segmentation)
    given = segmentation["counts"]
    counts = rle.from_string(given) if isinstance(given, (str, bytes)) else _uncompressed(given)
    size = segmentation.get("size", size_hw)
    total = int(counts.sum(dtype=np.int64))
    if size not in (list(size_hw), tuple(size_hw)) or total != size_hw[0] * size_hw[1]:
        raise InputError(
            f"expected run lengths of an image of (h, w) = {tuple(size_hw)}, got size {size} and "
            f"{total} pixels; find the image that the annotation belongs to"
        )
    return counts


def _uncompressed(given: object) -> Counts:
    whole = isinstance(given, (list, tuple, np.ndarray)) and all(
        isinstance(length, (int, float, np.integer))
        and 0 <= length <= _LONGEST_RUN
        and length == int(length)
        for length in given
    )
    if not whole:
        raise InputError(
            "expected run lengths as whole numbers of 0 or more, got "
            f"{reprlib.repr(given)}; check that the file is whole"
        )
    return np.array(given, dtype=np.uint32)
