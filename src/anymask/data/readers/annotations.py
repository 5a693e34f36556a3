"""Fields of annotations that files write in several ways, and what each of them means."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

from anymask.errors import InputError
from anymask.formats.annotation import read_segmentation
from anymask.masks.rle import Counts

__all__ = ["outline", "plain_id", "split_segmentation"]


def plain_id(value: Any) -> Any:
    """Return the one form of an id in which 1, 1.0 and "1" are the same.

    Example:
        >>> plain_id("12"), plain_id(12.0), plain_id("a12"), plain_id("012")
        (12, 12, 'a12', '012')
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isdecimal() and str(int(value)) == value:
        return int(value)
    return value


def outline(segmentation: Any, size_hw: tuple[int, int]) -> Counts:
    """Read a ``segmentation``, in any of the forms of `split_segmentation`, to run lengths.

    Args:
        segmentation: What the annotation says.
        size_hw: Height and width of its image.

    Returns:
        Run lengths of the image; of several pieces all that any of them covers.

    Raises:
        InputError: It cannot be read, or is of an image of another size.
    """
    polygons, runs = split_segmentation(segmentation)
    return read_segmentation([*polygons, *runs], size_hw)


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

    Example:
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
