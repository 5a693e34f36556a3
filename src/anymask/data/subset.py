"""Subsets of a data set: some of its images, or some of its masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from anymask.data.mask_filter import DRAWN, MaskFilter
from anymask.errors import InputError

if TYPE_CHECKING:
    from anymask.data.dataset import Dataset, Sample

__all__ = ["Subset", "SubsetSpec"]


@dataclass(frozen=True)
class SubsetSpec:
    """How much of each data set is measured."""

    images: int | None = None
    """At most so many images of each set: the first ones, unless --draw is given."""
    masks: int | None = None
    """At most so many masks of each set, drawn at random from all that take part."""
    draw: int | None = None
    """Start of the random draw; of images, too."""

    def __post_init__(self) -> None:
        """Check that something is left."""
        for name in ("images", "masks"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(
                    f"expected {name} of at least 1, got {value}; leave it out for all"
                )

    def take(self, data: Dataset, mask_filter: MaskFilter | None = None) -> Dataset:
        """Take the part of a data set.

        Args:
            data: All of it.
            mask_filter: Which masks take part.

        Raises:
            InputError: Masks are to be drawn of a protocol that does not measure single masks.
        """
        part = self._images(data)
        if self.masks is None:
            return part
        if mask_filter is None:
            raise InputError(
                "expected a protocol that measures single masks, got one that measures whole "
                "images; use --images instead of --masks"
            )
        return self._masks(part, mask_filter)

    def _images(self, data: Dataset) -> Dataset:
        if self.images is None or self.images >= len(data):
            return data
        if self.draw is None:
            return Subset(data, range(self.images))
        import numpy as np

        rng = np.random.default_rng(self.draw)
        return Subset(data, sorted(rng.choice(len(data), self.images, replace=False).tolist()))

    def _masks(self, data: Dataset, mask_filter: MaskFilter) -> Dataset:
        import numpy as np

        places = [(i, t.number) for i in range(len(data)) for t in mask_filter.select(data[i])]
        if len(places) > (self.masks or 0):
            rng = np.random.default_rng(self.draw or 0)
            some = sorted(rng.choice(len(places), self.masks, replace=False))
            places = [places[i] for i in some]
        drawn: dict[int, list[int]] = {}
        for i, number in places:
            drawn.setdefault(i, []).append(number)
        return Subset(data, list(drawn), list(drawn.values()))


class Subset:
    """Some samples of a data set, each with all of its masks or some of them."""

    def __init__(
        self, whole: Dataset, indices: Sequence[int], masks: Sequence[Sequence[int]] | None = None
    ) -> None:
        """Choose.

        Args:
            whole: What to choose from.
            indices: The samples.
            masks: For each of them the numbers of the masks that take part; None: all.
        """
        self.whole, self.indices, self.masks = whole, list(indices), masks

    def __len__(self) -> int:
        return len(self.indices)

    def key(self, index: int) -> str:
        """Name a sample as the whole data set does."""
        return self.whole.key(self.indices[index])

    def __getitem__(self, index: int) -> Sample:
        sample = self.whole[self.indices[index]]
        if self.masks is None:
            return sample
        return replace(sample, meta={**sample.meta, DRAWN: list(self.masks[index])})
