"""Pairs of pixels, one found and one drawn: as many as can be, and as near.

The benchmark of BSDS500 charges the distance for every pair, and 100 times the largest distance for
every pixel that is left alone. The cheapest assignment therefore has the most pairs, and of those
the nearest. From one threshold to the next few pixels come and go, so the assignment is kept, with
prices that prove it the cheapest (the duals of the Hungarian method), and only what a pixel sets in
motion is worked out: partners are handed on along the shortest way until one more is found, or
another pixel is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError

__all__ = ["MAX_DISTANCE", "Matching"]

MAX_DISTANCE = 0.0075
"""How far a pair may be apart, as a share of the image's diagonal."""

BoolMap = npt.NDArray[np.bool_]
Pixel: TypeAlias = int  # its place in the map with a margin, in reading order

_UNITS = 1000  # of distance, to a pixel; whole numbers, so that sums are exact
_ALONE = 100  # largest distances that a pixel without a partner costs
_NOBODY = -1
_FEW = 0.2  # the share of found pixels that may go before it is quicker to begin anew


@dataclass
class _Side:
    """The pixels found, or those drawn.

    The prices of two pixels add up to their distance if they are partners, and never to more if
    they could be. A pixel that is left alone has the highest price there is.
    """

    near: Callable[[Pixel], list[tuple[Pixel, int]]]
    """Lists who is within reach of a pixel, and how far."""
    highest: int
    price: dict[Pixel, int] = field(default_factory=dict)
    partner: dict[Pixel, Pixel] = field(default_factory=dict)

    def leave_alone(self, pixel: Pixel) -> None:
        """Take the partner from a pixel, new or not."""
        self.price[pixel], self.partner[pixel] = self.highest, _NOBODY


class Matching:
    """The pixels of a boundary that one person drew, and their partners among those found."""

    def __init__(self, drawn: BoolMap, max_distance: float = MAX_DISTANCE) -> None:
        """Begin with nothing found.

        Args:
            drawn: bool (h, w), thin.
            max_distance: As a share of the diagonal.
        """
        self.size_hw = drawn.shape
        radius = max_distance * float(np.hypot(*drawn.shape))
        self._margin = int(radius)
        framed = np.pad(drawn, self._margin)
        steps = np.arange(-self._margin, self._margin + 1)
        distance = np.hypot(steps[:, None], steps)
        disc = distance <= radius
        self._steps = (steps[:, None] * framed.shape[1] + steps)[disc]
        self._distances = np.rint(_UNITS * distance[disc]).astype(np.int64)
        self._is_drawn = framed.reshape(-1)
        # What two pixels alone cost is all on one side, which changes no comparison.
        self._alone = 2 * round(_ALONE * _UNITS * max(radius, 1))
        self._begin()

    def _begin(self) -> None:
        """Leave every drawn pixel alone."""
        self._is_found = np.zeros_like(self._is_drawn)
        self._near: dict[Pixel, list[tuple[Pixel, int]]] = {}
        self._found = _Side(self._near.__getitem__, highest=0)
        self._drawn = _Side(self._near_drawn, highest=self._alone)
        for pixel in np.flatnonzero(self._is_drawn).tolist():
            self._drawn.leave_alone(pixel)

    def update(self, found: BoolMap) -> BoolMap:
        """Match another map of found pixels; quick if it is much like the one before.

        Args:
            found: bool (h, w).

        Returns:
            Which of its pixels have a partner, bool (h, w). As many drawn pixels have one.

        Raises:
            InputError: ``found`` has another size than what was drawn.
        """
        if found.shape != self.size_hw:
            raise InputError(
                f"expected a boundary map of (h, w) = {self.size_hw} like the one drawn, got "
                f"{found.shape}; resize it first"
            )
        framed = np.pad(found, self._margin)
        now = framed.reshape(-1)
        gone = np.flatnonzero(self._is_found & ~now)
        if len(gone) > _FEW * np.count_nonzero(self._is_found):
            self._begin()
        else:
            for pixel in gone.tolist():
                self._remove(pixel)
        new = np.flatnonzero(now & ~self._is_found)
        self._is_found = now
        self._add(new)
        partners = np.fromiter(self._drawn.partner.values(), np.int64)
        matched = np.zeros_like(framed)
        matched.reshape(-1)[partners[partners != _NOBODY]] = True
        y, x = (slice(self._margin, self._margin + side) for side in self.size_hw)
        return matched[y, x]

    def _add(self, pixels: npt.NDArray[np.int64]) -> None:
        """Take in found pixels; those that have nobody within reach never count."""
        around = pixels[:, None] + self._steps
        near = self._is_drawn[around]
        ends = near.sum(axis=1).cumsum().tolist()
        distances = np.broadcast_to(self._distances, near.shape)[near]
        pairs = list(zip(around[near].tolist(), distances.tolist(), strict=True))
        for pixel, (begin, end) in zip(pixels.tolist(), pairwise([0, *ends]), strict=True):
            if begin < end:
                self._near[pixel] = pairs[begin:end]
                self._found.leave_alone(pixel)
                _settle(pixel, self._found, self._drawn)

    def _remove(self, pixel: Pixel) -> None:
        """Forget a found pixel, and look for a new partner for the one it had."""
        if pixel in self._near:
            del self._near[pixel], self._found.price[pixel]
            left = self._found.partner.pop(pixel)
            if left != _NOBODY:
                self._drawn.leave_alone(left)
                _settle(left, self._drawn, self._found)

    def _near_drawn(self, pixel: Pixel) -> list[tuple[Pixel, int]]:
        """List the found pixels within reach of a drawn one."""
        around = zip((pixel + self._steps).tolist(), self._distances.tolist(), strict=True)
        return [(one, distance) for one, distance in around if one in self._near]


def _settle(pixel: Pixel, side: _Side, other: _Side) -> None:
    """Give a pixel that is alone the place that is cheapest for all."""
    prices = other.price
    price, nearest = side.highest, _NOBODY
    for one, distance in side.near(pixel):
        if distance - prices[one] < price:
            price, nearest = distance - prices[one], one
    side.price[pixel] = price
    if nearest == _NOBODY:
        return
    if other.partner[nearest] == _NOBODY:
        side.partner[pixel], other.partner[nearest] = nearest, pixel
    else:
        _hand_on(pixel, side, other)


def _hand_on(start: Pixel, side: _Side, other: _Side) -> None:
    """Hand partners on along the cheapest way, until one is free or a pixel is left alone.

    Dijkstra's search. A step to a new partner costs what the prices lack of the distance, a step
    from there to the pixel that now has it costs nothing, and to leave that one alone costs what
    its price lacks of the highest.
    """
    # Names of its own for whatever the loops read: most of the time of a benchmark is spent here.
    price, near, highest = side.price, side.near, side.highest
    prices, partner = other.price, other.partner
    reached, offers, giver = {start: 0}, dict[Pixel, int](), dict[Pixel, Pixel]()
    queue: list[tuple[int, Pixel]] = []
    taken = []
    pixel, spent = start, 0
    best, loser, last = highest - price[start], start, _NOBODY
    while True:
        base = spent - price[pixel]
        for one, distance in near(pixel):
            cost = base + distance - prices[one]
            if cost < best and cost < offers.get(one, best):
                offers[one], giver[one] = cost, pixel
                heappush(queue, (cost, one))
        while queue and queue[0][0] > offers[queue[0][1]]:
            heappop(queue)
        if not queue or queue[0][0] >= best:
            break
        spent, one = heappop(queue)
        pixel = partner[one]
        if pixel == _NOBODY:
            best, last = spent, one
            break
        reached[pixel] = spent
        taken.append(one)
        if spent + highest - price[pixel] < best:
            best, loser = spent + highest - price[pixel], pixel
    for pixel, cost in reached.items():
        price[pixel] += best - cost
    for one in taken:
        prices[one] -= best - offers[one]
    if last == _NOBODY:
        last, side.partner[loser] = side.partner[loser], _NOBODY
    while last != _NOBODY:
        pixel = giver[last]
        side.partner[pixel], partner[last], last = last, pixel, side.partner[pixel]
