"""Masks must stay with their pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anymask.data.augment import (
    change_light,
    cropped,
    mirrored,
    paste_object,
    paste_shapes,
    warped_crop,
)
from anymask.data.dataset import Sample


def two_tone(h: int = 120, w: int = 160) -> Sample:
    """A bright disc on a dark ground, and its label map."""
    y, x = np.mgrid[:h, :w]
    disc = (x - 70) ** 2 + (y - 60) ** 2 < 45**2
    image = np.where(disc[..., None], 250, 10).astype(np.uint8).repeat(3, axis=2)
    return Sample(image, (np.where(disc, 1, 2).astype(np.uint8), disc.astype(np.uint8)))


@pytest.mark.parametrize("seed", range(20))
def test_crops_move_masks_with_pixels(seed: int) -> None:
    image, layers = warped_crop(two_tone(), 96, np.random.default_rng(seed))
    assert image.shape == (96, 96, 3)
    assert layers.shape == (2, 96, 96)
    inside, outside = image[layers[0] == 1], image[layers[0] == 2]
    wrong = (inside < 130).sum() + (outside > 130).sum()
    assert wrong <= 0.02 * image.size  # only the blurred border
    assert ((layers[0] == 1) == (layers[1] == 1)).all()


def test_crops_differ_and_repeat_with_their_seed() -> None:
    first, again, other = (
        warped_crop(two_tone(), 64, np.random.default_rng(seed))[0] for seed in (3, 3, 4)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_beyond_the_image_nothing_is_known() -> None:
    small = Sample(np.full((20, 60, 3), 200, np.uint8), (np.ones((20, 60), np.uint8),))
    _, layers = warped_crop(small, 64, np.random.default_rng(0))
    assert (layers == 0).any()


def test_whole_samples_are_cropped_with_their_void() -> None:
    sample = two_tone(60, 60)
    void = np.zeros((60, 60), bool)
    void[:, 30:] = True
    changed = cropped(replace(sample, void=void, names=("disc",)), np.random.default_rng(0), 96)
    assert changed.image.shape == (96, 96, 3)
    assert changed.void is not None
    wide, _ = warped_crop(replace(sample, layers=(void,)), 96, np.random.default_rng(0))
    assert np.array_equal(changed.image, wide)
    beyond = (changed.image == (124, 116, 104)).all(axis=2)
    assert beyond.any()
    assert changed.void[beyond].all()
    assert not changed.void.all()
    assert changed.names == ()  # a mask may have left the crop, and its name with it


def test_every_other_sample_is_mirrored() -> None:
    sample = replace(two_tone(), void=two_tone().layers[1] > 0)
    rng = np.random.default_rng(0)
    changed = [mirrored(sample, rng) for _ in range(40)]
    turned = [not np.array_equal(one.image, sample.image) for one in changed]
    assert 10 < sum(turned) < 30
    for one, was in zip(changed, turned, strict=True):
        step = -1 if was else 1
        assert one.void is not None and sample.void is not None
        assert np.array_equal(one.image, sample.image[:, ::step])
        assert np.array_equal(one.layers[0], sample.layers[0][:, ::step])
        assert np.array_equal(one.void, sample.void[:, ::step])


def test_a_pasted_object_is_a_new_mask_of_every_layer() -> None:
    image = np.zeros((90, 90, 3), np.uint8)
    layers = np.ones((2, 90, 90), np.int32)
    donor = np.full((90, 90, 3), 255, np.uint8)
    mask = np.zeros((90, 90), bool)
    mask[40:60, 40:60] = True
    pasted, after = paste_object(image, layers, donor, mask, np.random.default_rng(0))
    new = after == 2
    assert new.sum() == 2 * 400
    assert (pasted[new[0]] > 100).all()
    assert (layers == 1).all()  # the input is left alone


@pytest.mark.parametrize("seed", range(5))
def test_shapes_are_new_masks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = np.zeros((90, 90, 3), np.uint8)
    layers = np.ones((1, 90, 90), np.int32)
    texture = np.full((90, 90, 3), 255, np.uint8)
    _, after = paste_shapes(image, layers, texture, rng)
    assert set(np.unique(after)) <= {1, 2, 3, 4}
    assert after.max() > 1


@pytest.mark.parametrize("seed", range(12))
def test_light_changes_values_only(seed: int) -> None:
    image = two_tone().image
    changed = change_light(image, np.random.default_rng(seed))
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
    assert changed.flags.c_contiguous
    # The disc is still the brighter part: nothing was turned, mirrored or inverted.
    assert changed[50:70, 60:80].mean() > changed[:10, -20:].mean() + 50
