"""The masks of a sample that take part in an evaluation."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anymask.errors import InputError
from anymask.evaluate.metrics import Size, iou, size_of
from anymask.evaluate.protocol import Row

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from anymask.data.dataset import Sample

__all__ = ["DRAWN", "Choice", "Truth", "chance"]

DRAWN = "drawn"
"""Where `Sample.meta` keeps the numbers of the masks that were drawn beforehand, if any were."""


@dataclass(frozen=True, eq=False)
class Truth:
    """One true mask."""

    number: int
    """Its place in `Sample.masks`."""
    mask: npt.NDArray[np.bool_]
    """(h, w)."""
    void: npt.NDArray[np.bool_] | None = None
    """Pixels that count neither for nor against an answer, (h, w); None: no such pixels."""

    @property
    def area(self) -> int:
        """Number of its pixels."""
        return int(self.mask.sum())

    @property
    def size(self) -> Size:
        """Small, medium or large."""
        return size_of(self.area)

    def counted(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Leave out those pixels of a mask (h, w) that do not count."""
        return mask if self.void is None else mask & ~self.void

    def overlap(self, answer: npt.NDArray[np.bool_]) -> float:
        """Measure the IoU of an answer (h, w)."""
        return iou(self.counted(answer), self.counted(self.mask))

    def row(self) -> Row:
        """Say which mask it is, for a row of results."""
        return {"mask": self.number, "area": self.area, "size": self.size}


@dataclass(frozen=True)
class Choice:
    """Which masks of a sample take part."""

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

    def of(self, sample: Sample) -> list[Truth]:
        """Choose from a sample; its masks keep their order."""
        truths = [Truth(i, mask, sample.void) for i, mask in enumerate(sample.masks())]
        if DRAWN in sample.meta:
            return [truths[i] for i in sample.meta[DRAWN]]
        fitting = [t for t in truths if t.area >= self.min_area and t.mask.mean() <= self.max_share]
        if self.per_image is None or len(fitting) <= self.per_image:
            return fitting
        rng = chance(self.seed, sample)
        drawn = rng.choice(len(fitting), self.per_image, replace=False)
        return [fitting[i] for i in sorted(drawn)]


def chance(seed: int, sample: Sample) -> np.random.Generator:
    """Make a source of chance of a sample's own, the same in whatever order samples come."""
    import numpy as np

    key = f"{sample.meta.get('set', '')}/{sample.meta.get('id', '')}"
    return np.random.default_rng([seed, zlib.crc32(key.encode())])
