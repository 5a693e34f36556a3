"""Cells and their neighbours, beside PyTorch's pooling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from anymask.everything.neighbours import around

MAPS = np.random.default_rng(0).standard_normal((3, 9, 14), dtype=np.float32)


@pytest.mark.parametrize("reach", [0, 1, 2, 20])
def test_the_largest_around(reach: int) -> None:
    window = 2 * reach + 1
    padded = functional.pad(torch.from_numpy(MAPS), (reach,) * 4, value=-torch.inf)
    wanted = functional.max_pool2d(padded, window, 1)
    np.testing.assert_array_equal(around(MAPS, reach, np.maximum), wanted)


def test_the_sum_around() -> None:
    wanted = 9 * functional.avg_pool2d(torch.from_numpy(MAPS)[None], 3, 1, 1)[0]
    np.testing.assert_allclose(around(MAPS, 1, np.add), wanted, rtol=0, atol=1e-5)


def test_what_lies_beyond_does_not_count() -> None:
    assert around(np.ones((1, 4, 5), bool), 1, np.logical_and).all()
    hole = np.ones((4, 5), bool)
    hole[1, 1] = False
    assert around(hole, 1, np.logical_and).tolist() == [[False] * 3 + [True] * 2] * 3 + [[True] * 5]
