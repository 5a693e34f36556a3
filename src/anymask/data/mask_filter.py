"""Which masks take part, in an evaluation and in training alike."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anymask.data.truths import Truth
from anymask.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from anymask.data.dataset import Sample

__all__ = ["DRAWN", "TRAINING_FILTER", "MaskFilter", "sample_rng"]

DRAWN = "drawn"
"""Where `Sample.meta` keeps the numbers of the masks that were drawn beforehand, if any were."""


@dataclass(frozen=True)
class MaskFilter:
    """Which masks of an image take part."""

    min_area: int = 1
    """Masks of fewer pixels are left out."""
    max_share: float = 1.0
    """Masks that cover more of the image than this are left out."""
    per_image: int | None = None
    """At most so many masks of each image, drawn at random; none: all."""
    seed: int = 0
    """Start of every random draw."""

    def __post_init__(self) -> None:
        """Check that some mask can take part."""
        if not 0 < self.max_share <= 1:
            raise InputError(
                f"expected max_share above 0 and at most 1, got {self.max_share}; 1 is all masks"
            )
        if self.min_area < 1 or (self.per_image is not None and self.per_image < 1):
            raise InputError(
                f"expected min_area and per_image of at least 1, got {self.min_area} and "
                f"{self.per_image}; leave them out for all masks"
            )

    def select(self, sample: Sample) -> list[Truth]:
        """Select masks of a sample, measured in pixels of its image; they keep their order.

        Examples:
            >>> import numpy as np
            >>> from anymask.data.dataset import Sample
            >>> layer = np.zeros((8, 8), np.uint8)
            >>> layer[0, 0], layer[4:, 4:] = 1, 2
            >>> sample = Sample(np.zeros((8, 8, 3), np.uint8), (layer,))
            >>> [truth.area for truth in MaskFilter(min_area=4).select(sample)]
            [16]
        """
        truths = [Truth(i, mask, sample.void) for i, mask in enumerate(sample.masks())]
        if DRAWN in sample.meta:
            return [truths[i] for i in sample.meta[DRAWN]]
        fitting = [t for t in truths if t.area >= self.min_area and t.mask.mean() <= self.max_share]
        if self.per_image is None or len(fitting) <= self.per_image:
            return fitting
        drawn = sample_rng(self.seed, sample).choice(len(fitting), self.per_image, replace=False)
        return [fitting[i] for i in sorted(drawn)]

    def select_labels(
        self, layers: npt.NDArray[Any], rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Select among the masks of label maps, in random order.

        Args:
            layers: Unsigned whole numbers (n, h, w), see `Sample.layers`; areas are measured in
                their pixels.
            rng: Random generator, in place of `seed`.

        Returns:
            (m, 2): of each mask its layer and its number there.
        """
        import numpy as np

        fitting = []
        for number, layer in enumerate(layers):
            areas = np.bincount(layer.ravel())
            areas[0] = 0
            narrow = areas <= self.max_share * layer.size
            labels = np.flatnonzero((areas >= self.min_area) & narrow)
            fitting.append(np.stack([np.full_like(labels, number), labels], axis=1))
        every = np.concatenate(fitting)
        return every[rng.permutation(len(every))[: self.per_image]]


TRAINING_FILTER = MaskFilter(min_area=16, max_share=0.9, per_image=8)
"""What is learned from, in pixels of the model's frame: masks that the model can see, and none of
nearly the whole image (SAM paper, appendix A)."""


def sample_rng(seed: int, sample: Sample) -> np.random.Generator:
    """Make a random generator of a sample's own, the same in whatever order samples come."""
    import numpy as np

    key = f"{sample.meta.get('set', '')}/{sample.meta.get('id', '')}"
    return np.random.default_rng([seed, zlib.crc32(key.encode())])
