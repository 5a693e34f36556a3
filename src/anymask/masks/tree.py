"""Trees: which mask is a part of which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError

__all__ = ["Tree"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tree:
    """The parts and wholes among n masks, by their numbers; what `Masks.tree` returns.

    Attributes:
        parents: int64 (n,), read-only: the smallest mask around each mask, -1 if there is none.

    Examples:
        >>> tree = Tree(np.array([-1, 0, 1, -1]))
        >>> [("  " * tree.depth[i]) + str(i) for i in tree.walk()]
        ['0', '  1', '    2', '3']
    """

    parents: IntArray

    def __post_init__(self) -> None:
        """Check that it is a tree, and lock it."""
        parents = np.array(self.parents, dtype=np.int64)
        n = len(parents)
        if parents.ndim != 1 or ((parents < -1) | (parents >= n)).any() or _depth(parents) is None:
            raise InputError(
                f"expected parents as numbers of {n} masks, or -1, that lead in no circle, got "
                f"{self.parents!r}; make the tree with Masks.tree"
            )
        parents.flags.writeable = False
        object.__setattr__(self, "parents", parents)

    def __len__(self) -> int:
        """Count the masks."""
        return len(self.parents)

    @property
    def roots(self) -> IntArray:
        """Masks that are part of no other: int64, rising."""
        return np.flatnonzero(self.parents == -1)

    @property
    def depth(self) -> IntArray:
        """How many masks are around each mask: int64 (n,), 0 for a root."""
        depth = _depth(self.parents)
        assert depth is not None  # checked when it was made
        return depth

    def children(self, i: int) -> IntArray:
        """List the masks of which mask i is the smallest one around: int64, rising."""
        if not 0 <= i < len(self):
            raise IndexError(f"mask {i} does not exist; there are {len(self)}")
        return np.flatnonzero(self.parents == i)

    def walk(self) -> Iterator[int]:
        """Go through all masks, each before its parts and these before the next whole."""
        parts: dict[int, list[int]] = {}
        for i, parent in enumerate(self.parents.tolist()):
            parts.setdefault(parent, []).append(i)
        waiting = parts.get(-1, [])[::-1]
        while waiting:
            i = waiting.pop()
            yield i
            waiting += parts.get(i, [])[::-1]


def _depth(parents: IntArray) -> IntArray | None:
    """Count the steps from each mask to its root; None if there is a circle."""
    depth = np.zeros(len(parents), dtype=np.int64)
    above = parents
    for _ in range(len(parents) + 1):
        if (above == -1).all():
            return depth
        depth += above != -1
        above = np.where(above == -1, -1, parents[above])
    return None
