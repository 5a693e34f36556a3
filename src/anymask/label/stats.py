"""Statistics of masks, by group: the paper's analysis of SA-1B, for any data set.

Kirillov et al., "Segment Anything", 2023: section 5 and figures 5 and 6 (masks per image, relative
size, concavity, where masks lie), section 6 and its tables (quality by group of people or
countries, with intervals of 95 %).

Everything is worked out from plain values: a name, its `Masks`, and what is known beside them.
Intervals are percentiles of a bootstrap that draws whole images, for the masks of one image are
alike; the numbers are means over masks (or over images, for masks per image).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.label.records import MASK_SECONDS
from anymask.label.review.agreement import pair
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.masks.rle import Counts
from anymask.optional import optional

__all__ = [
    "MEASURES",
    "Estimate",
    "ImageRecord",
    "ImageStats",
    "centre_map",
    "concavity",
    "estimate",
    "groups",
    "measure",
    "values",
]

FloatArray = npt.NDArray[np.float64]

MEASURES: Mapping[str, str] = {
    "masks": "masks per image",
    "size": "relative size",
    "concavity": "concavity",
    "distance": "distance from the middle",
    "seconds": "seconds per mask",
    "slow": "share of masks over 30 s",
    "iou": "mean IoU with the reference",
}
"""What is measured, and how it is called."""

_CHUNK = 1 << 22  # numbers of drawn images that are in memory together


class ImageRecord(NamedTuple):
    """An image and what is known of it."""

    name: str
    """Its path below the folder of all."""
    masks: Masks
    """Its masks."""
    reference: Masks | None = None
    """What the masks should be, if that is known."""
    seconds: float | None = None
    """How long people worked on it; None: what the masks say (``seconds`` in ``meta`` or
    ``image_meta``)."""


@dataclass(frozen=True)
class ImageStats:
    """What was measured of one image; arrays have an entry for each mask that is not empty."""

    name: str
    """Of the image."""
    size: FloatArray
    """Square root of the mask's share of the image, as in the paper."""
    concavity: FloatArray
    """1 - area / area of the convex hull."""
    centre_xy: FloatArray
    """float64 (n, 2), the middle of the mask's pixels, as shares of width and height."""
    distance: FloatArray
    """From there to the middle of the image; 1: a corner."""
    seconds: FloatArray
    """Time spent on each mask; empty if it is not known."""
    iou: FloatArray = field(default_factory=lambda: np.empty(0))
    """For each mask of the reference, IoU with its partner, 0 without one; empty without a
    reference."""
    empty: int = 0
    """Masks without a pixel."""

    @property
    def masks(self) -> FloatArray:
        """The number of masks, as one entry."""
        return np.array([len(self.size)], dtype=np.float64)

    @property
    def slow(self) -> FloatArray:
        """Of each mask whose time is known, 1 if it took longer than its budget of 30 s, else 0."""
        return (self.seconds > MASK_SECONDS).astype(np.float64)


def measure(record: ImageRecord) -> ImageStats:
    """Measure the masks of an image.

    Raises:
        InputError: The reference has another size.
        MissingExtraError: SciPy is not installed.

    Examples:
        >>> dense = np.zeros((1, 10, 20), bool)
        >>> dense[0, :5, :10] = True
        >>> found = measure(ImageRecord("a.jpg", Masks.from_dense(dense)))
        >>> found.size.tolist(), found.concavity.tolist(), found.centre_xy.tolist()
        ([0.5], [0.0], [[0.25, 0.25]])
    """
    masks = record.masks
    h, w = masks.size_hw
    held = np.flatnonzero(masks.areas > 0)
    counts = [masks.counts[i] for i in held]
    centre = np.array([_centre(one, (h, w)) for one in counts]).reshape(-1, 2)
    away = (centre - 0.5) * (w, h)
    return ImageStats(
        record.name,
        np.sqrt(masks.areas[held] / (h * w)),
        np.array([concavity(one, (h, w)) for one in counts]),
        centre,
        np.hypot(away[:, 0], away[:, 1]) / (math.hypot(w, h) / 2),
        _seconds(record, held),
        _ious(record),
        len(masks) - len(held),
    )


def concavity(counts: Counts, size_hw: tuple[int, int]) -> float:
    """Measure how far a mask is from its convex hull: 1 - area / area of the hull, 0 if convex.

    The hull is that of the pixels as squares, so a mask of one pixel is convex.

    Args:
        counts: Run lengths of a mask that is not empty.
        size_hw: Height and width of the image.

    Examples:
        >>> corner = np.array([[True, False], [True, True]])
        >>> round(concavity(rle.encode(corner), (2, 2)), 6)  # 3 pixels in a hull of 3.5
        0.142857
    """
    spatial = optional("scipy.spatial", extra="eval")
    x, top, bottom = rle.columns(counts, size_hw[0])
    first = np.flatnonzero(np.diff(x, prepend=-1))
    columns = x[first]
    upper, lower = np.minimum.reduceat(top, first), np.maximum.reduceat(bottom, first)
    corners = [np.stack([columns + dx, y], axis=1) for dx in (0, 1) for y in (upper, lower)]
    hull = spatial.ConvexHull(np.concatenate(corners).astype(np.float64))
    return max(0.0, 1 - rle.area(counts) / float(hull.volume))


def _centre(counts: Counts, size_hw: tuple[int, int]) -> tuple[float, float]:
    """Find the middle of a mask's pixels, as shares of width and height."""
    x, top, bottom = rle.columns(counts, size_hw[0])
    weight = (bottom - top).astype(np.float64)
    total = weight.sum()
    middle_x = (weight * (x + 0.5)).sum() / total
    middle_y = (weight * (top + bottom) / 2).sum() / total
    return float(middle_x / size_hw[1]), float(middle_y / size_hw[0])


def _seconds(record: ImageRecord, held: npt.NDArray[np.int64]) -> FloatArray:
    """Give the time of each mask; that of the image is dealt out evenly."""
    own = [_number(record.masks.meta[i].get("seconds")) for i in held]
    if own and None not in own:
        return np.array(own, dtype=np.float64)
    whole = record.seconds
    whole = _number(record.masks.image_meta.get("seconds")) if whole is None else whole
    if whole is None or not len(held):
        return np.empty(0)
    return np.full(len(held), whole / len(held))


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and math.isfinite(value) and value >= 0 else None


def _ious(record: ImageRecord) -> FloatArray:
    if record.reference is None:
        return np.empty(0)
    truth = record.reference
    found = np.zeros(len(truth))
    for one in pair(truth, record.masks, threshold=0):
        found[one.first] = one.iou
    return found[truth.areas > 0]


# ------------------------------------------------------------------------- estimates


class Estimate(NamedTuple):
    """A mean with its interval."""

    mean: float
    """Over all masks; NaN without any."""
    low: float
    """Lower end of the interval; NaN for fewer than two images."""
    high: float
    """Upper end."""
    images: int
    """That have at least one value."""
    number: int
    """Of values."""


def values(stats: Iterable[ImageStats], measure: str) -> list[FloatArray]:
    """Give the values of a measure, image by image.

    Args:
        stats: Of the images.
        measure: One of `MEASURES`.
    """
    if measure not in MEASURES:
        raise InputError(
            f"expected a measure out of {', '.join(MEASURES)}, got {measure!r}; name one"
        )
    return [getattr(one, measure) for one in stats]


def estimate(
    per_image: Sequence[FloatArray], *, confidence: float = 0.95, draws: int = 1000, seed: int = 0
) -> Estimate:
    """Estimate a mean over all values, with a bootstrap over images.

    Images are drawn with replacement, as many as there are, and the mean over all their values is
    taken, ``draws`` times; the interval holds the middle share of these means.

    Args:
        per_image: The values of each image, any number each.
        confidence: Of the interval.
        draws: How often images are drawn.
        seed: Of the random generator; the same seed gives the same interval.

    Examples:
        >>> found = estimate([np.array([1.0, 2.0]), np.array([6.0])])
        >>> found.mean, found.low, found.high, found.images
        (3.0, 1.5, 6.0, 2)
    """
    sums = np.array([some.sum() for some in per_image if len(some)])
    numbers = np.array([len(some) for some in per_image if len(some)], dtype=np.float64)
    if not len(sums):
        return Estimate(math.nan, math.nan, math.nan, 0, 0)
    mean = float(sums.sum() / numbers.sum())
    if len(sums) == 1:
        return Estimate(mean, math.nan, math.nan, 1, int(numbers.sum()))
    means = np.concatenate(list(_drawn(sums, numbers, draws, np.random.default_rng(seed))))
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(mean, float(low), float(high), len(sums), int(numbers.sum()))


def _drawn(
    sums: FloatArray, numbers: FloatArray, draws: int, rng: np.random.Generator
) -> Iterator[FloatArray]:
    at_once = max(1, _CHUNK // len(sums))
    for start in range(0, draws, at_once):
        chosen = rng.integers(len(sums), size=(min(at_once, draws - start), len(sums)))
        yield sums[chosen].sum(axis=1) / numbers[chosen].sum(axis=1)


def groups(
    stats: Sequence[ImageStats], names: Sequence[str], *, least: int = 1
) -> dict[str, list[ImageStats]]:
    """Sort images into groups, the largest first.

    Args:
        stats: Of the images.
        names: The group of each.
        least: Groups of fewer images are left out.

    Examples:
        >>> groups([], [])
        {}
    """
    found: dict[str, list[ImageStats]] = {}
    for one, name in zip(stats, names, strict=True):
        found.setdefault(name, []).append(one)
    order = sorted(found, key=lambda name: (-len(found[name]), name))
    return {name: found[name] for name in order if len(found[name]) >= least}


def centre_map(stats: Iterable[ImageStats], bins: int = 24) -> FloatArray:
    """Count where the middles of masks lie: float64 (bins, bins), rows from above, sum 1.

    Without masks, all is 0.

    Examples:
        >>> centre_map([]).sum()
        np.float64(0.0)
    """
    found = [one.centre_xy for one in stats]
    xy = np.concatenate([np.empty((0, 2)), *found])
    counted, _, _ = np.histogram2d(xy[:, 1], xy[:, 0], bins=bins, range=[[0, 1], [0, 1]])
    total = counted.sum()
    shares: FloatArray = counted / total if total else counted
    return shares
