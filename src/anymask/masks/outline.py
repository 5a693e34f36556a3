"""Outlines of masks, traced along the edges of their pixels.

Everything is worked out on run lengths, so that the size of the image does not matter. At each
corner of an outline one horizontal and one vertical edge meet. In the order of a row, the corners
pair up to the row's horizontal edges, in the order of a column to its vertical ones; following the
two kinds in turns gives the rings.

Polygons have no holes, so a hole is joined to the ring left of it by a bridge, a horizontal line
that is walked there and back and covers nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.masks import rle
from anymask.masks.rle import Counts

__all__ = ["trace"]

IntArray = npt.NDArray[np.int64]
Corner = tuple[int, int]


@dataclass
class _Ring:
    """A closed outline, in the order in which the mask lies to the right of it."""

    corners: list[Corner]
    bridges: dict[Corner, list[_Ring]] = field(default_factory=dict)
    """Holes by the corner from which a bridge leads to them."""

    def insert(self, bridges: list[tuple[int, Corner, _Ring]]) -> None:
        """Let bridges begin here: for each the edge (by its first corner), the place and the hole.

        The place becomes a corner.
        """
        corners: list[Corner] = []
        of_edge: dict[int, list[Corner]] = {}
        for edge, place, hole in bridges:
            of_edge.setdefault(edge, []).append(place)
            self.bridges.setdefault(place, []).append(hole)
        for edge, (start, stop) in enumerate(zip(self.corners, _turned(self.corners), strict=True)):
            places = set(of_edge.get(edge, ())) - {start, stop}
            corners += [start, *sorted(places, reverse=stop[1] < start[1])]
        self.corners = corners

    def simplify(self, tolerance: float) -> None:
        """Leave out corners, but not the ends of bridges."""
        fixed = [i for i, c in enumerate(self.corners) if i == 0 or c in self.bridges]
        kept: list[Corner] = []
        for start, stop in zip(fixed, [*fixed[1:], len(self.corners)], strict=True):
            part = [*self.corners[start:stop], self.corners[stop % len(self.corners)]]
            kept += _simplified(part, tolerance)[:-1]
        if len(set(kept)) >= 3:
            self.corners = kept


def trace(
    counts: Counts, size_hw: tuple[int, int], tolerance: float = 0
) -> list[npt.NDArray[np.float32]]:
    """Trace the outlines of a mask along the edges of its pixels.

    Args:
        counts: Run lengths of the mask.
        size_hw: Height and width of the image.
        tolerance: How far, in pixels, a simpler outline may be from the true one; 0: not at all.

    Returns:
        For each piece of the mask (pixels that touch at a corner are connected) float32 (k, 2),
        from its leftmost corner on clockwise as seen, x before y; its holes are joined to it.

    Raises:
        InputError: The tolerance is below 0 or not finite.

    Examples:
        >>> trace(np.array([0, 3], dtype=np.uint32), (1, 3))[0].tolist()
        [[0.0, 0.0], [3.0, 0.0], [3.0, 1.0], [0.0, 1.0]]
    """
    if not 0 <= tolerance < np.inf:
        raise InputError(f"expected a tolerance of 0 pixels or more, got {tolerance}; 1 is usual")
    outer, holes, rings = _rings(*_edges(*_corners(counts, size_hw)))
    if holes:
        _bridge(rings, holes)
    if tolerance:
        for ring in rings:
            ring.simplify(tolerance)
    return [np.array(list(_walk(ring)), dtype=np.float32) for ring in outer]


# ------------------------------------------------------------------------------ rings


def _corners(counts: Counts, size_hw: tuple[int, int]) -> tuple[IntArray, IntArray, IntArray]:
    """Find the corners: x, y and turn, in the order of the columns.

    Where two pixels touch only at a corner, this is two corners. The turn is what changes in the
    horizontal edges from the left of the corner to its right, where an edge above the mask is 1 and
    one below it -1.
    """
    h = size_hw[0]
    x, top, bottom = rle.columns(counts, h)
    edges = np.concatenate([x * (h + 1) + top, x * (h + 1) + bottom])
    sides = np.repeat([1, -1], len(x))
    places = np.concatenate([edges, edges + h + 1])  # each edge begins here and ends one further
    found, which = np.unique(places, return_inverse=True)
    turns = np.bincount(which, np.concatenate([sides, -sides]), len(found)).astype(np.int64)
    number = np.abs(turns)
    x, y = np.divmod(np.repeat(found, number), h + 1)
    return x, y, np.repeat(turns, number)


def _edges(x: IntArray, y: IntArray, turns: IntArray) -> tuple[list[Corner], list[int], list[int]]:
    """Connect corners: the corners, and for each the one at the end of its edges.

    Returns:
        The corners, the other end of the vertical edge of each, and that of the horizontal edge if
        the outline leaves the corner on it, else -1.
    """
    n = len(x)
    vertical = np.arange(n) ^ 1  # in the order of columns, neighbours pair up
    # Where pixels touch at a corner, of its two corners in this order the first ends the edge from
    # above, the second begins the one downwards. Pixels are connected there, so the upper edge goes
    # on to the right when it comes from above (turn 2), or comes from the left (turn -2).
    double = np.abs(turns) == 2
    second = np.zeros(n, dtype=np.bool_)
    second[1:] = double[1:] & (x[1:] == x[:-1]) & (y[1:] == y[:-1])
    right = (double & ((turns == 2) != second)).astype(np.int64)
    rows = np.lexsort((right, x, y))
    left_end, right_end = rows[::2], rows[1::2]
    horizontal = np.full(n, -1, dtype=np.int64)
    above = turns[left_end] > 0
    horizontal[left_end[above]] = right_end[above]
    horizontal[right_end[~above]] = left_end[~above]
    return list(zip(x.tolist(), y.tolist(), strict=True)), vertical.tolist(), horizontal.tolist()


def _rings(
    corners: list[Corner], vertical: list[int], horizontal: list[int]
) -> tuple[list[_Ring], list[_Ring], list[_Ring]]:
    """Follow the edges round: the rings around pieces, those around holes, and all."""
    outer: list[_Ring] = []
    holes: list[_Ring] = []
    rings: list[_Ring] = []
    waiting = [end >= 0 for end in horizontal]
    for first, begins in enumerate(waiting):
        if not begins or not waiting[first]:
            continue
        ring: list[Corner] = []
        area, start = 0, first
        while waiting[start]:
            waiting[start] = False
            end = horizontal[start]
            ring += [corners[start], corners[end]]
            area -= (corners[end][0] - corners[start][0]) * corners[start][1]
            start = vertical[end]
        lowest = min(range(len(ring)), key=ring.__getitem__)
        rings.append(_Ring(ring[lowest:] + ring[:lowest]))
        (outer if area > 0 else holes).append(rings[-1])
    return outer, holes, rings


# ---------------------------------------------------------------------------- bridges


def _bridge(rings: list[_Ring], holes: list[_Ring]) -> None:
    """Lead a bridge to each hole from the ring at the left of its first corner.

    Left of that corner, which is the upper one of a hole's leftmost edge, is the mask; where it
    begins is the ring. A ring further left is never reached from its own holes, so all bridges lead
    to the outside in the end.
    """
    edges = [
        (a[0], min(a[1], b[1]), max(a[1], b[1]), ring, i)
        for ring in rings
        for i, (a, b) in enumerate(zip(ring.corners, _turned(ring.corners), strict=True))
        if a[0] == b[0]
    ]
    asked = [(*hole.corners[0], hole) for hole in holes]
    last: dict[int, tuple[int, _Ring, int]] = {}  # of each row, the last edge that was passed
    rows = sorted({y for _, y, _ in asked})
    found: dict[int, list[tuple[int, Corner, _Ring]]] = {}
    edges.sort(key=lambda edge: edge[0])
    place = 0
    for x, y, hole in sorted(asked, key=lambda one: one[:2]):
        while edges[place][0] < x:
            left, top, bottom, ring, i = edges[place]
            for row in rows[bisect_left(rows, top) : bisect_left(rows, bottom)]:
                last[row] = left, ring, i
            place += 1
        left, ring, i = last[y]
        found.setdefault(id(ring), []).append((i, (left, y), hole))
    for ring in rings:
        if id(ring) in found:
            ring.insert(found[id(ring)])


def _turned(corners: list[Corner]) -> list[Corner]:
    return [*corners[1:], corners[0]]


def _walk(outer: _Ring) -> Iterator[Corner]:
    """Go round a ring, and over its bridges round its holes and theirs.

    Without calling itself, because a grid makes long chains of holes.
    """
    waiting: list[Corner | _Ring] = [outer]
    while waiting:
        step = waiting.pop()
        if not isinstance(step, _Ring):
            yield step
            continue
        steps: list[Corner | _Ring] = []
        for corner in step.corners:
            steps.append(corner)
            # Once, for a ring of pixels that touch at corners passes a corner twice.
            for hole in step.bridges.pop(corner, ()):
                steps += [hole, corner]
        if step is not outer:
            steps.append(step.corners[0])
        waiting += reversed(steps)


# --------------------------------------------------------------------- simpler outlines


def _simplified(line: list[Corner], tolerance: float) -> list[Corner]:
    """Leave out corners of a line that are near its shorter version (Douglas and Peucker, 1973)."""
    points = np.array(line, dtype=np.float64)
    keep = np.zeros(len(line), dtype=np.bool_)
    keep[[0, -1]] = True
    waiting = [(0, len(line) - 1)]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        distance = _distances(points[first + 1 : last], points[first], points[last])
        furthest = int(distance.argmax())
        if distance[furthest] > tolerance:
            middle = first + 1 + furthest
            keep[middle] = True
            waiting += [(first, middle), (middle, last)]
    return [corner for corner, kept in zip(line, keep, strict=True) if kept]


def _distances(
    points: npt.NDArray[np.float64], start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Measure how far points (n, 2) are from the line between two others: (n,)."""
    along = end - start
    length = float(along @ along)
    share = ((points - start) @ along / length).clip(0, 1) if length else np.zeros(len(points))
    distances: npt.NDArray[np.float64] = np.hypot(*(points - start - share[:, None] * along).T)
    return distances
