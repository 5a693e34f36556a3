"""Trees: depth, parts, order, and what is no tree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anymask.errors import InputError
from anymask.masks.tree import Tree

CAR = Tree(np.array([2, -1, 1, 2, -1]))  # 0 and 3 are parts of 2, which is part of 1


def test_roots_children_depth() -> None:
    assert CAR.roots.tolist() == [1, 4]
    assert [CAR.children(i).tolist() for i in range(len(CAR))] == [[], [2], [0, 3], [], []]
    assert CAR.depth.tolist() == [2, 0, 1, 2, 0]


def test_walk_goes_from_wholes_to_parts() -> None:
    assert list(CAR.walk()) == [1, 2, 0, 3, 4]
    assert list(Tree(np.array([], dtype=np.int64)).walk()) == []


def test_a_long_chain() -> None:
    chain = Tree(np.arange(-1, 4999))
    assert chain.depth[-1] == 4999
    assert list(chain.walk()) == list(range(5000))


def test_it_is_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        CAR.parents[0] = 1


@pytest.mark.parametrize("parents", [[0], [1, 0], [-2], [1], [[-1]], [1, 2, 0, -1]])
def test_what_is_no_tree_is_refused(parents: Any) -> None:
    with pytest.raises(InputError, match="that lead in no circle"):
        Tree(np.array(parents))


def test_a_mask_that_does_not_exist() -> None:
    with pytest.raises(IndexError, match="mask 5 does not exist; there are 5"):
        CAR.children(5)
