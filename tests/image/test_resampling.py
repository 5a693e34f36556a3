"""Resizing as weighted sums, beside PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from anymask.image import resampling
from anymask.image.resampling import Taps

LENGTHS = [(64, 256), (1024, 600), (600, 1024), (37, 1), (1, 37), (5, 7), (768, 1023), (3, 500)]
ATOL = 4 * np.finfo(np.float32).eps  # weights are at most 1


def torch_weights(inputs: int, outputs: int, how: str) -> np.ndarray:
    unit = torch.eye(inputs)[None, None]
    return functional.interpolate(unit, (outputs, inputs), mode=how)[0, 0].numpy()


@pytest.mark.parametrize(("inputs", "outputs"), LENGTHS)
def test_weights_are_those_of_pytorch(inputs: int, outputs: int) -> None:
    for how, make in (("bilinear", resampling.linear), ("bicubic", resampling.cubic)):
        found = resampling.matrix(make(inputs, outputs), inputs)
        # Places are rounded once or twice, as the processor multiplies and adds in one step or two.
        atol = ATOL + np.finfo(np.float32).eps * inputs
        np.testing.assert_allclose(found, torch_weights(inputs, outputs, how), rtol=0, atol=atol)


def test_equal_lengths_change_no_bit() -> None:
    for make in (resampling.linear, resampling.cubic):
        taps = make(9, 9)
        assert taps.first.tolist() == list(range(9))
        assert (taps.weights == 1).all() and taps.weights.shape == (9, 1)


@pytest.mark.parametrize(("low", "frame", "last"), [(16, 64, 50), (64, 256, 1000), (9, 5, 7)])
def test_two_resizes_are_chained(low: int, frame: int, last: int) -> None:
    first, weights = resampling.linear(low, frame)
    shown = Taps(first[1 : frame - 1], weights[1 : frame - 1])  # a part of what lies between
    chained = resampling.chained(shown, resampling.linear(frame - 2, last))
    found = resampling.matrix(chained, low)
    wanted = (
        torch_weights(frame - 2, last, "bilinear") @ torch_weights(low, frame, "bilinear")[1:-1]
    )
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size_hw", [(64, 64), (9, 130), (1, 1), (60, 40), (40, 60), (17, 33)])
def test_images_are_resized_smoothly_as_by_pytorch(size_hw: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    planes = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    wanted = functional.interpolate(planes, size_hw, mode="bilinear", antialias=True)
    found = resampling.smoothed(pixels, size_hw)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted[0].permute(1, 2, 0), rtol=0, atol=2e-4)  # of 255
    if size_hw == (40, 60):
        assert (found == pixels).all()


@pytest.mark.parametrize("size_hw", [(64, 64), (9, 130), (1, 1), (60, 40)])
def test_images_are_resized_as_by_pytorch(size_hw: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    planes = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    wanted = functional.interpolate(planes, size_hw, mode="bilinear")[0].permute(1, 2, 0)
    found = resampling.resized(pixels, size_hw)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)  # of 255


@pytest.mark.parametrize("size_hw", [(16, 16), (64, 32), (50, 9), (1, 1), (30, 64)])
def test_means_are_those_of_pytorch(size_hw: tuple[int, int]) -> None:
    values = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    wanted = functional.adaptive_avg_pool2d(torch.from_numpy(values)[None], size_hw)[0]
    np.testing.assert_allclose(resampling.means(values, size_hw), wanted, rtol=0, atol=1e-6)
