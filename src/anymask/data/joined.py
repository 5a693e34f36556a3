"""Several data sets as one."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

from anymask.data.dataset import Dataset, Sample

__all__ = ["Joined"]


class Joined:
    """The samples of several data sets, one set after the other."""

    def __init__(self, sets: Sequence[Dataset]) -> None:
        """Join.

        Args:
            sets: Where two have a key in common, the number of its set is put before each.
        """
        self.sets = tuple(sets)
        self._ends = list(accumulate(len(data) for data in self.sets))
        keys = Counter(data.key(i) for data in self.sets for i in range(len(data)))
        self._shared = {key for key, count in keys.items() if count > 1}

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def key(self, index: int) -> str:
        """Name a sample; unlike any other of all sets."""
        number, place = self._place(index)
        key = self.sets[number].key(place)
        return f"{number + 1}-{key}" if key in self._shared else key

    def __getitem__(self, index: int) -> Sample:
        number, place = self._place(index)
        return self.sets[number][place]

    def _place(self, index: int) -> tuple[int, int]:
        """Find the set of a sample, and its number there."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = bisect_right(self._ends, index)
        return number, index - (self._ends[number - 1] if number else 0)
