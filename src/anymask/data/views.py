"""A data set with changed copies of its images, always the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anymask.data.dataset import Dataset, Sample
from anymask.data.item import Augment

__all__ = ["Views"]


class Views:
    """Each image as it is, followed by some copies of it that were changed at random.

    The copies of an image depend on its number and the seed alone, so that what is worked out of
    them can be kept.
    """

    def __init__(
        self, whole: Dataset, copies: int, augment: Sequence[Augment], seed: int = 0
    ) -> None:
        """Prepare.

        Args:
            whole: The images.
            copies: Of each image; 0: none.
            augment: Applied one after the other to each copy.
            seed: Start of every random draw.
        """
        self.whole, self.copies, self.augment, self.seed = whole, copies, tuple(augment), seed

    def __len__(self) -> int:
        return len(self.whole) * (1 + self.copies)

    def key(self, index: int) -> str:
        """Name a sample: as the whole data set does, copies with seed and number behind."""
        image, view = divmod(index, 1 + self.copies)
        return self.whole.key(image) + (f"~{self.seed}.{view}" if view else "")

    def __getitem__(self, index: int) -> Sample:
        image, view = divmod(index, 1 + self.copies)
        sample = self.whole[image]
        rng = np.random.default_rng([self.seed, image, view])
        for change in self.augment if view else ():
            sample = change(sample, rng)
        return sample
