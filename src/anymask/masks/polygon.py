"""Polygons: masks written as the outlines of their pieces, and outlines filled as COCO does it.

An outline is an array (k, 2) of corners, x before y, in pixels of the image; whole numbers lie
between pixels, so that (0, 0) is the corner of the image. What `trace` gives, `fill` turns into the
same mask again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.masks import rle
from anymask.masks.outline import trace
from anymask.masks.rle import Counts

__all__ = ["fill", "join", "trace"]

_FINE = 5  # outlines are drawn on a grid this much finer than the pixels
_FAR = 1e6  # pixels; walking along an outline to anywhere further away would fill the memory
_NEAR = 2000  # corners among which the nearest is looked for when outlines are joined


def fill(polygons: Sequence[npt.ArrayLike], size_hw: tuple[int, int]) -> Counts:
    """Fill outlines as COCO does, equal to pycocotools, and unite what they cover.

    Args:
        polygons: Outlines of at least three corners, which may lie outside the image; whole numbers
            lie between pixels.
        size_hw: Height and width of the image.

    Returns:
        Run lengths.

    Raises:
        InputError: An outline has fewer than three corners, or one far away or not a number.

    Examples:
        >>> fill([[(0, 0), (2, 0), (2, 2), (0, 2)]], (2, 3)).tolist()
        [0, 4, 2]
    """
    outlines = [np.asarray(polygon, dtype=np.float64) for polygon in polygons]
    for outline in outlines:
        if outline.ndim != 2 or outline.shape[1] != 2 or len(outline) < 3:
            raise InputError(
                f"expected polygons of shape (k, 2) with at least 3 corners, got {outline.shape}; "
                "leave out points and lines"
            )
        if not np.abs(outline).max() < _FAR:
            raise InputError(
                f"expected polygon corners in or near the image, got one at {_farthest(outline)}; "
                "check the polygon"
            )
    if not outlines:
        return np.array([size_hw[0] * size_hw[1]], dtype=np.uint32)
    return rle.merge([_fill(outline, size_hw) for outline in outlines])


def join(outlines: Sequence[npt.ArrayLike]) -> npt.NDArray[np.float64]:
    """Join outlines to one, for formats in which a mask is a single outline.

    A bridge leads to each outline from a near corner of those before it: a line that is walked
    there and back, which covers nothing when the outline is filled.

    Args:
        outlines: Arrays (k, 2) of corners, of a piece of a mask each, at least one.

    Returns:
        float64 (k, 2); the corners at the ends of bridges come several times.

    Examples:
        >>> squares = [[(x, 0), (x + 1, 0), (x + 1, 1), (x, 1)] for x in (0, 2)]
        >>> outline = join(squares)
        >>> outline.shape, fill([outline], (1, 4)).tolist()
        ((10, 2), [0, 1, 1, 1, 1])
    """
    pieces = [np.asarray(outline, dtype=np.float64) for outline in outlines]
    corners = np.concatenate(pieces)
    stops = np.cumsum([len(piece) for piece in pieces])
    starts = stops - [len(piece) for piece in pieces]
    bridges: dict[int, list[int]] = {}
    for number, start in enumerate(starts[1:].tolist(), 1):
        first = max(0, start - _NEAR)
        away = np.abs(corners[first:start] - corners[start]).sum(axis=1)
        bridges.setdefault(first + int(away.argmin()), []).append(number)
    order: list[int] = []
    # Corners and outlines that are still to be walked, the next one last; not by calls within
    # calls, for outlines may hang on each other by the thousand.
    waiting: list[tuple[int, bool]] = [(0, True)]
    while waiting:
        number, is_outline = waiting.pop()
        if not is_outline:
            order.append(number)
            continue
        start, stop = int(starts[number]), int(stops[number])
        steps: list[tuple[int, bool]] = []
        for corner in range(start, stop):
            steps.append((corner, False))
            for other in bridges.get(corner, ()):
                steps += [(other, True), (corner, False)]
        if number:
            steps.append((start, False))
        waiting += reversed(steps)
    return corners[order]


def _farthest(outline: npt.NDArray[np.float64]) -> tuple[float, ...]:
    x, y = outline[np.argmax(np.abs(outline).max(axis=1))]  # argmax takes NaN for the largest
    return float(x), float(y)


def _fill(outline: npt.NDArray[np.float64], size_hw: tuple[int, int]) -> Counts:
    """Fill one polygon by flipping everything after each crossing of its outline."""
    h, w = size_hw
    x, y = _walk(np.trunc(_FINE * outline + 0.5).astype(np.int64)).T
    step = np.flatnonzero(np.diff(x))
    # Where the outline goes from one fine column to the next; those amid a pixel count.
    left = np.minimum(x[step], x[step + 1])
    column, off_middle = np.divmod(left - _FINE // 2, _FINE)
    top = np.minimum(y[step], y[step + 1])
    row = np.ceil(np.clip((top + 0.5) / _FINE - 0.5, 0, h)).astype(np.int64)
    crossing = (off_middle == 0) & (column >= 0) & (column < w)
    places, times = np.unique(column[crossing] * h + row[crossing], return_counts=True)
    return rle.from_changes(places[(times % 2 == 1) & (places < h * w)], h * w)


def _walk(corners: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Walk round an outline of whole-numbered corners, one step at a time along the longer axis."""
    starts, stops = corners, np.roll(corners, -1, axis=0)
    steps = np.abs(stops - starts).max(axis=1)
    edge = np.repeat(np.arange(len(corners)), steps + 1)
    walked = np.arange(len(edge)) - np.repeat(np.cumsum(steps + 1) - (steps + 1), steps + 1)
    # Walk every edge in the direction in which its longer axis grows, so that both directions give
    # the same points.
    dx, dy = np.abs(stops - starts).T
    longer = np.where(dx >= dy, 0, 1)
    each = np.arange(len(corners))
    backwards = starts[each, longer] > stops[each, longer]
    low = np.where(backwards[:, None], stops, starts)
    high = np.where(backwards[:, None], starts, stops)
    slope = (high - low) / np.maximum(steps, 1)[:, None]
    along = np.where(backwards[edge], steps[edge] - walked, walked)
    points: npt.NDArray[np.float64] = low[edge] + slope[edge] * along[:, None]
    return np.trunc(points + 0.5).astype(np.int64)
