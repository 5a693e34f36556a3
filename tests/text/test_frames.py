"""Frames are those of transformers' own image processors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anymask.errors import WeightsError
from anymask.image.image import Image
from anymask.text.frames import Scaled, Squared

transformers = pytest.importorskip("transformers")

SCALED = {
    "size": {"shortest_edge": 40, "longest_edge": 66},
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
SQUARED = {
    "size": {"height": 32, "width": 32},
    "image_mean": [0.48, 0.46, 0.41],
    "image_std": [0.27, 0.26, 0.28],
}


def noise(h: int, w: int) -> Image:
    return Image.open(np.random.default_rng(h * w).integers(0, 256, (h, w, 3), dtype=np.uint8))


@given(h=st.integers(1, 150), w=st.integers(1, 150))
@settings(max_examples=40, deadline=None)
def test_scaled_images_are_those_of_transformers(h: int, w: int) -> None:
    if max(h, w) > 60 * min(h, w):
        return  # one side would have no pixel, which ours always has
    image = noise(h, w)
    theirs = transformers.GroundingDinoImageProcessorPil(**SCALED)
    expected = theirs(images=image.pixels, input_data_format="channels_last", return_tensors="np")[
        "pixel_values"
    ][0]
    frame = Scaled.read(SCALED)(image).numpy()
    assert frame.shape == expected.shape
    np.testing.assert_allclose(frame, expected, atol=2e-6)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 90), (90, 1), (1, 5000)])
def test_thin_images_have_a_pixel_left(size_hw: tuple[int, int]) -> None:
    assert min(Scaled.read(SCALED)(noise(*size_hw)).shape) >= 1


@pytest.mark.parametrize(
    "size_hw", [(32, 32), (20, 20), (1, 1), (2, 1), (31, 90), (90, 31), (64, 64), (200, 150)]
)
def test_squared_images_are_those_of_transformers(size_hw: tuple[int, int]) -> None:
    pytest.importorskip("scipy")
    image = noise(*size_hw)
    theirs = transformers.Owlv2ImageProcessorPil(**SQUARED)
    expected = theirs(images=image.pixels, input_data_format="channels_last", return_tensors="np")[
        "pixel_values"
    ][0]
    np.testing.assert_allclose(Squared.read(SQUARED)(image).numpy(), expected, atol=3e-5)


def test_older_settings_are_read() -> None:
    old = {**SCALED, "size": 40, "max_size": 66, "resample": 2, "feature_extractor_type": "x"}
    assert Scaled.read(old) == Scaled.read(SCALED)
    raw = Scaled.read({**SCALED, "do_normalize": False, "do_rescale": False})
    assert raw(noise(50, 50)).max() > 200


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"size": {"height": 3, "width": 4}},
        {"size": "large"},
        {**SQUARED, **SCALED, "image_mean": [0.5]},
        {**SCALED, "size": {"shortest_edge": None, "longest_edge": 66}},
    ],
)
def test_foreign_settings_are_one_sentence(settings: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match="expected the settings of an image processor"):
        Scaled.read(settings)
    with pytest.raises(WeightsError, match="expected the settings of an image processor"):
        Squared.read({key: value for key, value in settings.items() if key != "image_std"})
