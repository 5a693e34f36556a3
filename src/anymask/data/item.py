"""What a batch is made of: images as a model sees them, each with some of its masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.data.dataset import Dataset, Sample
from anymask.data.mask_filter import TRAINING_FILTER, MaskFilter
from anymask.errors import InputError
from anymask.image.image import Image
from anymask.image.transform import Transform
from anymask.models.variants import Preprocessing

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Augment", "FeatureLookup", "Item", "Items", "shuffled"]

Augment: TypeAlias = Callable[[Sample, np.random.Generator], Sample]
"""Changes a sample at random, its masks along with its pixels; see `anymask.data.augment`."""

FeatureLookup: TypeAlias = "Callable[[str, npt.NDArray[np.uint8]], Mapping[str, Tensor]]"
"""Gives the features of an image, found by its key and its pixels (h, w, 3), that were worked out
beforehand; each (1, c, h', w')."""

_MOST_LABEL = np.iinfo(np.uint16).max


@dataclass(frozen=True, eq=False)
class Item:
    """One image in a model's frame, before padding, and some of its masks.

    Whatever is random about a mask starts from a seed that is part of the item, so that it
    comes out the same in whatever batch and process the item is worked on.
    """

    key: str
    """Names the image, unlike any other of its data set."""
    transform: Transform
    """The way from the image's pixels into the frame."""
    layers: npt.NDArray[Any]
    """Label maps, uint8 or uint16 (n, h, w) of ``transform.resized_hw``, see `Sample.layers`; 0 is
    unknown, as are void pixels."""
    chosen: npt.NDArray[np.int64]
    """(m, 2): for each of the masks its layer and its number there."""
    seeds: npt.NDArray[np.int64]
    """(m,): for each of the masks the start of its random sequence."""
    image: npt.NDArray[Any] | None = None
    """(h, w, 3), 0 to 255, as the encoder sees it before normalising and padding; None when the
    features are there instead."""
    void: npt.NDArray[np.bool_] | None = None
    """(h, w): pixels that count neither for nor against a prediction; None: no such pixels."""
    features: Mapping[str, Tensor] | None = None
    """What the encoder made of the image, each (1, c, h', w'), worked out beforehand; None: the
    image is encoded when its batch is."""

    @property
    def masks(self) -> npt.NDArray[np.bool_]:
        """The masks that a model is prompted for, bool (m, h, w) of ``transform.resized_hw``."""
        layers, labels = self.chosen.T
        masks: npt.NDArray[np.bool_] = self.layers[layers] == labels[:, None, None]
        return masks


class Items:
    """The items of a data set, by their positions in an endless order.

    Every epoch brings each image once, in an order of its own. What is at a position depends on
    nothing but the position and the seed.
    """

    def __init__(
        self,
        dataset: Dataset,
        preprocessing: Preprocessing,
        mask_filter: MaskFilter = TRAINING_FILTER,
        *,
        augment: Sequence[Augment] = (),
        lookup: FeatureLookup | None = None,
        seed: int = 0,
    ) -> None:
        """Prepare.

        Args:
            dataset: Images with masks. Those without a mask that fits give way to the next ones.
            preprocessing: How the model wants its images.
            mask_filter: Which masks a model is prompted for.
            augment: Applied one after the other to each sample.
            lookup: Gives the features that items carry instead of images; None: they carry images.
                Without augmentation only.
            seed: Start of every random draw.

        Raises:
            InputError: The data set is empty.
        """
        if not len(dataset):
            raise InputError(
                "expected at least one image to learn from, got an empty data set; check the path"
            )
        self.dataset, self.preprocessing = dataset, preprocessing
        self.mask_filter = mask_filter
        self.augment, self.lookup, self.seed = tuple(augment), lookup, seed

    def __len__(self) -> int:
        """Count the images, which is the length of an epoch."""
        return len(self.dataset)

    def __getitem__(self, position: int) -> Item:
        """Make the item at a position, from 0 on, without end.

        Raises:
            InputError: A sample is not what it should be, or none has a mask that fits.
        """
        rng = np.random.default_rng([self.seed, position])
        for more in range(len(self)):
            index = shuffled(position, len(self), self.seed, more)
            key, sample = self.dataset.key(index), self.dataset[index]
            check(sample, key)
            # What cannot be used changed, such as a crop without masks, may be good as it is.
            for augment in (self.augment, ()):
                item = self._item(key, sample, augment, rng)
                if item is not None:
                    return item
        raise InputError(
            f"expected masks of at least {self.mask_filter.min_area} pixels, as the model sees "
            f"them, and at most {self.mask_filter.max_share:.0%} of their image, got none in all "
            f"{len(self)} images; check the labels"
        )

    def fits(self, index: int) -> bool:
        """Return whether an image of the data set has a mask that fits.

        Raises:
            InputError: The sample is not what it should be.
        """
        sample = self.dataset[index]
        check(sample, self.dataset.key(index))
        if not sample.layers:
            return False
        _, layers, _ = self._framed(sample)
        return len(self.mask_filter.select_labels(layers, np.random.default_rng(0))) > 0

    def _framed(
        self, sample: Sample
    ) -> tuple[Transform, npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
        """Bring the label maps and the void pixels of a sample to the size in the frame."""
        transform = self.preprocessing.fit((sample.image.shape[0], sample.image.shape[1]))
        layers = np.stack([resized(layer, transform.resized_hw) for layer in sample.layers])
        void = None if sample.void is None else resized(sample.void, transform.resized_hw)
        if void is not None:
            layers[:, void] = 0
        return transform, layers, void

    def _item(
        self, key: str, sample: Sample, augment: Sequence[Augment], rng: np.random.Generator
    ) -> Item | None:
        """Bring a sample into the frame and choose masks; None when none fits."""
        for change in augment:
            sample = change(sample, rng)
        if not sample.layers:
            return None
        transform, layers, void = self._framed(sample)
        chosen = self.mask_filter.select_labels(layers, rng)
        if not len(chosen):
            return None
        seeds = rng.integers(np.iinfo(np.int64).max, size=len(chosen))
        if self.lookup is not None:
            features = self.lookup(key, sample.image)
            return Item(key, transform, layers, chosen, seeds, None, void, features)
        seen = self.preprocessing.seen(transform)
        image = seen.resize(Image(sample.image), self.preprocessing.resize)
        return Item(key, transform, layers, chosen, seeds, image, void)


def shuffled(position: int, count: int, seed: int, more: int = 0) -> int:
    """Return which of ``count`` things is at a position of an endless order.

    Args:
        position: From 0 on. Each ``count`` positions bring everything once.
        count: How many things there are.
        seed: Start of the random order.
        more: So many places further in the same epoch, as if it were a ring.
    """
    epoch, place = divmod(position, count)
    return int(_order(count, seed, epoch)[(place + more) % count])


@lru_cache(maxsize=2)  # two, for positions go on from one epoch to the next
def _order(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, epoch, 0]).permutation(count)


def check(sample: Sample, key: str) -> None:
    """Check that the labels of a sample belong to its image.

    Raises:
        InputError: They are of another size, no whole numbers, or out of range.
    """
    size_hw = sample.image.shape[:2]
    maps = [*sample.layers, *([] if sample.void is None else [sample.void])]
    for labels in maps:
        if labels.shape != size_hw:
            raise InputError(
                f"expected labels of shape {size_hw}, as their image, for {key!r}, got "
                f"{labels.shape}; find the image that they belong to"
            )
    for layer in sample.layers:
        if layer.dtype.kind not in "ui" or layer.min() < 0 or layer.max() > _MOST_LABEL:
            raise InputError(
                f"expected labels of {key!r} as whole numbers from 0 (unknown) to {_MOST_LABEL}, "
                f"got {layer.dtype} from {layer.min()} to {layer.max()}; number its masks anew"
            )


def resized(labels: npt.NDArray[Any], size_hw: tuple[int, int]) -> npt.NDArray[Any]:
    """Bring a label map or mask (h, w) to another size, each pixel taking the nearest one's."""
    if labels.dtype != np.bool_ and labels.dtype != np.uint8:
        labels = labels.astype(np.uint16)
    if labels.shape == size_hw:
        return labels
    nearest = PIL.Image.fromarray(labels).resize(size_hw[::-1], PIL.Image.Resampling.NEAREST)
    return np.asarray(nearest).astype(labels.dtype)
