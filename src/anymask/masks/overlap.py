"""How masks overlap: which are duplicates of better ones, and which lies inside which.

Everything is counted on run lengths, and only where the boxes of two masks leave room for an answer
that matters; no mask is decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from anymask.masks import rle
from anymask.masks.rle import Counts

__all__ = ["MaskOverlaps", "Overlap"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

Overlap = Literal["mask", "containment"]
"""What the shared pixels of two masks are divided by: their union, or the smaller of the two."""


@dataclass(frozen=True)
class MaskOverlaps:
    """What there is to know about n masks of one image to see how they overlap.

    Attributes:
        counts: Run lengths of each mask.
        boxes: int64 (n, 4), xyxy, first and last pixel inclusive.
        areas: int64 (n,).
    """

    counts: Sequence[Counts]
    boxes: IntArray
    areas: IntArray

    def duplicates(self, threshold: float, kind: Overlap) -> npt.NDArray[np.bool_]:
        """Find the masks that overlap an earlier one which stays: bool (n,).

        Args:
            threshold: A mask goes when it overlaps by more than this; equal is not more.
            kind: How the overlap is measured.
        """
        gone = np.zeros(len(self.counts), dtype=np.bool_)
        for i in range(len(gone)):
            if not gone[i]:
                later = i + 1 + np.flatnonzero(~gone[i + 1 :])
                later = later[self._ratio(self._room(i, later), i, later, kind) > threshold]
                shared = self._shared(i, later)
                gone[later[self._ratio(shared, i, later, kind) > threshold]] = True
        return gone

    def parents(self, threshold: float) -> IntArray:
        """Find the smallest mask around each mask: int64 (n,), -1 where there is none.

        Only a larger mask can be around another one, or an earlier one of the same size. So there
        are no circles.

        Args:
            threshold: The share of a mask that has to lie inside, greater than 0.
        """
        parents = np.full(len(self.counts), -1, dtype=np.int64)
        order = np.argsort(-self.areas, kind="stable")
        for place, i in enumerate(order[self.areas[order] > 0]):
            needed = threshold * self.areas[i]
            larger = order[:place][::-1]
            larger = larger[self._room(i, larger) >= needed]
            around = larger[self._shared(i, larger) >= needed]
            if len(around):
                parents[i] = around[0]
        return parents

    def _room(self, i: int, others: IntArray) -> IntArray:
        """Say how many pixels mask i can share with others at most, going by boxes and areas."""
        low = np.maximum(self.boxes[i, :2], self.boxes[others, :2])
        high = np.minimum(self.boxes[i, 2:], self.boxes[others, 2:])
        room: IntArray = (high - low + 1).clip(min=0).prod(axis=1)
        smaller: IntArray = np.minimum(self.areas[i], self.areas[others])
        return np.minimum(room, smaller)

    def _shared(self, i: int, others: IntArray) -> IntArray:
        """Count the pixels that mask i shares with others."""
        return rle.intersections(self.counts[i], [self.counts[j] for j in others])

    def _ratio(self, shared: IntArray, i: int, others: IntArray, kind: Overlap) -> FloatArray:
        """Divide shared pixels as the kind of overlap wants it; nothing shared is 0."""
        a, b = self.areas[i], self.areas[others]
        whole = np.minimum(a, b) if kind == "containment" else a + b - shared
        return shared / np.where(shared > 0, whole, 1)
