"""The saliency network: its parts, and its answers to a photo against recorded ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from anymask.models.saliency import ResidualU, Saliency, load_saliency
from anymask.models.salient import PREPROCESSING, main_subject

COFFEE = Path(__file__).parents[2] / "docs/pictures/coffee.jpg"


@pytest.fixture(scope="module")
def packaged() -> Saliency:
    return load_saliency()


def test_it_has_the_values_of_the_original() -> None:
    assert sum(p.numel() for p in Saliency().parameters()) == 1_125_485


@pytest.mark.parametrize(("depth", "dilated"), [(7, False), (4, False), (4, True)])
def test_a_block_keeps_the_size_of_a_map(depth: int, dilated: bool) -> None:
    block = ResidualU(3, depth, dilated=dilated)
    convolutions = [m for m in block.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 2 * depth
    assert block(torch.randn(1, 3, 37, 50)).shape == (1, 64, 37, 50)
    reach = {m.dilation[0] for m in convolutions}
    assert reach == ({1, 2, 4, 8} if dilated else {1, 2})


@torch.inference_mode()
def test_it_sees_a_photo_as_the_original_does(packaged: Saliency) -> None:
    """Recorded with the weights before they were rounded to float16."""
    from anymask.image.image import Image

    photo = Image.open(COFFEE)
    transform = PREPROCESSING.fit(photo.size_hw)
    resized = transform.resize(photo, PREPROCESSING.resize)
    frames = PREPROCESSING.frames(resized[None], transform, torch.device("cpu"))
    soft = torch.sigmoid(packaged(frames))
    assert soft.shape == (1, 1, 320, 320)
    assert soft.mean().item() == pytest.approx(0.476152, abs=1e-3)
    assert soft.std().item() == pytest.approx(0.495778, abs=1e-3)
    assert soft[0, 0, 160, 160].item() == pytest.approx(0.999993, abs=1e-4)


def test_the_main_subject_comes_at_the_size_of_the_photo(packaged: Saliency) -> None:
    alpha = main_subject(packaged, COFFEE)
    assert alpha.shape == (400, 600)
    assert alpha.dtype == np.float32
    assert alpha.min() >= 0 and alpha.max() <= 1
    cup = alpha[60:260, 220:380]
    assert cup.mean() > 0.95
    assert alpha[:40, :60].mean() < 0.05  # a corner of the table


@pytest.mark.parametrize("size_hw", [(1, 1), (8, 8), (4, 900)])
def test_any_size_will_do(packaged: Saliency, size_hw: tuple[int, int]) -> None:
    assert main_subject(packaged, np.zeros((*size_hw, 3), np.uint8)).shape == size_hw
