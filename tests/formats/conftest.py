from __future__ import annotations

import numpy as np
import pytest

from anymask.masks.masks import Masks
from anymask.prompt import Prompt

SIZE_HW = (40, 60)


@pytest.fixture
def masks() -> Masks:
    """A large disc, a small one on it, one apart, and an empty mask; every kind of prompt."""
    y, x = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    discs = [(20, 20, 15), (24, 18, 5), (50, 30, 6.5), (0, 0, 0)]
    return Masks.from_dense(
        np.stack([np.hypot(x - cx, y - cy) < r for cx, cy, r in discs]),
        scores=np.float32([0.9, np.nan, 0.125, 0.3]),
        stability=np.float32([0.97, 0.5, np.nan, 0.1]),
        prompts=(
            Prompt(points_xy=[(20.25, 20), (1, 1)], labels=[1, 0]),
            Prompt(points_xy=[(24, 18)], box=(18, 12, 30.5, 24)),
            Prompt(box=(43, 23, 57, 37)),
            None,
        ),
        crop_boxes=np.float32([[0, 0, 60, 40], [0, 0, 40, 40], [20, 0, 60, 40], [0, 0, 60, 40]]),
        source="truck_0042.jpg",
        model="a-model",
    )
