"""Ground truth: the masks that predictions are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["SIZES", "SIZE_NOTE", "Size", "Truth", "iou", "size_of"]

Size = Literal["small", "medium", "large"]

SIZES: tuple[Size, ...] = ("small", "medium", "large")

SIZE_NOTE = "Small: fewer than 32² pixels. Medium: fewer than 96². Large: the others."
"""What readers of a table by size must know."""

_MEDIUM, _LARGE = 32**2, 96**2


def iou(prediction: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    """Measure the overlap of two masks, bool (h, w): intersection over union; two empty ones: 1."""
    union = int((prediction | truth).sum())
    return int((prediction & truth).sum()) / union if union else 1.0


def size_of(area: float) -> Size:
    """Sort a mask by its area in pixels, as COCO does: small < 32², medium < 96² <= large."""
    return "small" if area < _MEDIUM else "medium" if area < _LARGE else "large"


@dataclass(frozen=True, eq=False)
class Truth:
    """One mask of the ground truth."""

    number: int
    """Its place in `Sample.masks`."""
    mask: npt.NDArray[np.bool_]
    """(h, w)."""
    void: npt.NDArray[np.bool_] | None = None
    """Pixels that count neither for nor against a prediction, (h, w); None: no such pixels."""

    @property
    def area(self) -> int:
        """Number of its pixels."""
        return int(self.mask.sum())

    @property
    def size(self) -> Size:
        """Small, medium or large, see `size_of`."""
        return size_of(self.area)

    def counted(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Leave out those pixels of a mask (h, w) that do not count."""
        return mask if self.void is None else mask & ~self.void

    def overlap(self, prediction: npt.NDArray[np.bool_]) -> float:
        """Measure the IoU of a predicted mask, bool (h, w)."""
        return iou(self.counted(prediction), self.counted(self.mask))

    def row(self) -> dict[str, Any]:
        """Say which mask it is, for a row of results."""
        return {"mask": self.number, "area": self.area, "size": self.size}
