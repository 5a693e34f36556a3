from __future__ import annotations

import numpy as np
import pytest
import torch

import anymask
from anymask.predict.implied import is_alone, weighed
from anymask.prompt import Prompt

DISC = np.hypot(*(np.mgrid[:96, :128] - np.array([48, 64])[:, None, None])) < 30


def test_what_the_model_does_not_know_the_mask_says() -> None:
    given = DISC.astype(np.float32)
    known = weighed(torch.zeros(3, 96, 128), given)
    found = (known > 0).numpy()
    assert found.shape == (3, 96, 128)
    found = found[1]
    assert (found & DISC).sum() / (found | DISC).sum() > 0.97  # a blur smooths the outline
    assert known[0, 48, 64] == 4 and known[0, 0, 0] == -4
    assert known[0, 48, 64 + 30].abs() < 1  # at the edge nobody knows


def test_a_sure_answer_wins_against_the_mask_but_not_without_limit() -> None:
    given = DISC.astype(np.float32)
    sure = weighed(torch.full((1, 96, 128), 40.0), given)
    assert (sure > 0).all() and sure.max() == 10


@pytest.mark.parametrize("seed", range(3))
def test_a_mask_alone_comes_out_where_the_image_shows_nothing_of_it(seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (96, 128, 3), np.uint8)
    found = anymask.load().predict(image, mask=DISC).dense()[0]
    assert (found & DISC).sum() / (found | DISC).sum() > 0.85


def test_only_a_mask_without_a_box_and_a_point_on_the_object_is_alone() -> None:
    assert is_alone(Prompt(mask=DISC))
    assert is_alone(Prompt([(1, 1)], [0], mask=DISC))
    assert not is_alone(Prompt([(1, 1)], [1], mask=DISC))
    assert not is_alone(Prompt(box=(1, 1, 9, 9), mask=DISC))
    assert not is_alone(Prompt(box=(1, 1, 9, 9)))
