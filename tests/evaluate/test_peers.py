"""The classical tools, on a picture that they can take apart."""

from __future__ import annotations

import numpy as np
import pytest

from anymask.data.truths import iou
from anymask.evaluate.peers import felzenszwalb, grabcut

DISC = np.hypot(*np.mgrid[-40:40, -60:60]) < 25
NOISE = np.random.default_rng(0).integers(0, 20, (80, 120, 3), np.uint8)
PICTURE = np.where(DISC[..., None], 200, 40).astype(np.uint8) + NOISE


def test_felzenszwalb_answers_with_the_region_under_the_click() -> None:
    disc, ground = felzenszwalb(PICTURE, [(60, 40), (3, 3)])
    assert disc.shape == (3, 80, 120)
    assert max(iou(mask, DISC) for mask in disc) > 0.95
    assert max(iou(mask, ~DISC) for mask in ground) > 0.95


def test_grabcut_finds_what_is_in_the_box() -> None:
    assert iou(grabcut(PICTURE, [30, 10, 90, 70]), DISC) > 0.95


@pytest.mark.parametrize("box", [(0, 0, 120, 80), (5, 5, 6, 6), (0, 0, 120, 79)])
def test_grabcut_answers_boxes_that_teach_it_little(box: tuple[int, int, int, int]) -> None:
    x0, y0, x1, y1 = box
    found = grabcut(PICTURE, box)
    assert found.sum() == found[y0:y1, x0:x1].sum()


def test_a_box_without_surroundings_is_its_own_answer() -> None:
    assert grabcut(PICTURE, (0, 0, 120, 80)).all()
