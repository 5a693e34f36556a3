"""The masks of a sample that take part in an evaluation."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from anymask.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from anymask.data.dataset import Sample

__all__ = ["DRAWN", "SIZES", "SIZE_NOTE", "Choice", "Size", "Truth", "chance", "iou", "size_of"]

Size = Literal["small", "medium", "large"]

SIZES: tuple[Size, ...] = ("small", "medium", "large")

SIZE_NOTE = "Small: fewer than 32² pixels. Medium: fewer than 96². Large: the others."
"""What readers of a table by size must know."""

_MEDIUM, _LARGE = 32**2, 96**2

DRAWN = "drawn"
"""Where `Sample.meta` keeps the numbers of the masks that were drawn beforehand, if any were."""


def iou(answer: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    """Measure the overlap of two masks, bool (h, w): intersection over union; two empty ones: 1."""
    union = int((answer | truth).sum())
    return int((answer & truth).sum()) / union if union else 1.0


def size_of(area: float) -> Size:
    """Sort a mask by its area in pixels, as COCO does: small < 32², medium < 96² <= large."""
    return "small" if area < _MEDIUM else "medium" if area < _LARGE else "large"


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

    def row(self) -> dict[str, Any]:
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
