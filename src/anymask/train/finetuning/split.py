"""Which images a fine-tune learns from, and which it is validated on."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from anymask.data.dataset import Dataset
from anymask.data.item import Items
from anymask.data.joined import Joined
from anymask.data.mask_filter import TRAINING_FILTER
from anymask.data.open import open_dataset
from anymask.data.subset import Subset, SubsetSpec
from anymask.errors import InputError
from anymask.models.variants import Preprocessing
from anymask.train.finetuning.config import FineTuneConfig
from anymask.train.launch import MAX_VAL_IMAGES, Split
from anymask.train.segmentation.promptless import OneKind

__all__ = ["VALIDATED", "split_images"]

VALIDATED = replace(TRAINING_FILTER, per_image=16)
"""Which masks are prompted for in a validation."""


def split_images(config: FineTuneConfig, preprocessing: Preprocessing) -> Split:
    """Open the data sets: images to learn from, and others to validate on, which may be none.

    Images without a mask that could be learned stay among those to learn from, which pass over
    them. What is validated on has masks, and at least one image with masks is left to learn from.
    For a model that takes no prompts, the masks of an image become one.

    Args:
        config: Names the data sets.
        preprocessing: How the model wants its images, which decides how small masks are there.

    Raises:
        InputError: There is no image with masks to learn from, or to validate on.
    """
    if not config.data:
        raise InputError("expected at least one data set to learn from, got none; name it (--data)")
    seed = config.loop.seed
    data = SubsetSpec(images=config.images, draw=seed).take(_open(config.data, config))
    order = np.random.default_rng([seed, zlib.crc32(b"held back")]).permutation(len(data))
    wanted = min(round(config.val_fraction * len(data)), MAX_VAL_IMAGES)
    wanted = 0 if config.val or not config.val_fraction else max(1, wanted)
    learnable, val = 0, list[int]()
    for index, measurable in _learnable(data, order.tolist(), config, preprocessing):
        learnable += 1
        if measurable and len(val) < wanted:
            val.append(index)
        if learnable > wanted == len(val):
            break
    if not learnable:
        raise _no_masks(config.data, len(data), config, "to learn from (--data)")
    if config.val:
        return Split(data, _validated(config, preprocessing))
    val = val[: learnable - 1]  # one of them is left to learn from
    train = sorted({*range(len(data))} - {*val})
    return Split(Subset(data, train), Subset(data, sorted(val)))


def _validated(config: FineTuneConfig, preprocessing: Preprocessing) -> Dataset:
    """Open the images that --val names: as many as a validation takes, with masks."""
    data = _open(config.val, config)
    order = np.random.default_rng(0).permutation(len(data)).tolist()
    found = _learnable(data, order, config, preprocessing)
    some = list(islice((index for index, measurable in found if measurable), MAX_VAL_IMAGES))
    if not some:
        raise _no_masks(config.val, len(data), config, "to validate on (--val)")
    return Subset(data, sorted(some))


def _open(paths: Sequence[Path], config: FineTuneConfig) -> Dataset:
    """Open data sets, each once: an image that is there twice could be learned and validated on."""
    places = {path.resolve(): path for path in paths}
    data = Joined([open_dataset(path, config.layout) for path in places.values()])
    if not len(data):
        raise InputError(
            f"expected images with masks in {_named(paths)}, got none; check the paths"
        )
    return OneKind(data, config.names) if config.learn == "adapter" else data


def _learnable(
    data: Dataset, order: Sequence[int], config: FineTuneConfig, preprocessing: Preprocessing
) -> Iterator[tuple[int, bool]]:
    """Go through the images of which the model can learn a mask; can it be measured there, too?"""
    items = Items(data, preprocessing, replace(TRAINING_FILTER, per_image=1))
    for index in order:
        if items.fits(index):
            measurable = config.learn == "adapter" or any(
                truth.counted(truth.mask).any() for truth in VALIDATED.select(data[index])
            )
            yield index, measurable


def _no_masks(
    paths: Sequence[Path], count: int, config: FineTuneConfig, purpose: str
) -> InputError:
    what = f"masks named {' or '.join(config.names)}" if config.names else "masks"
    return InputError(
        f"expected {what} of at least {VALIDATED.min_area} pixels, as the model sees them, and at "
        f"most {VALIDATED.max_share:.0%} of their image {purpose}, got none in {count} images of "
        f"{_named(paths)}; check the labels"
    )


def _named(paths: Sequence[Path]) -> str:
    return " and ".join(map(str, paths))
