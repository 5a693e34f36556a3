"""Depth of masks: numbers for each, the order from near to far, and hints of who hides whom."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.extras.depth.borders import Occlusion, find_occlusions
from anymask.extras.depth.depth_map import DepthMap
from anymask.masks import rle
from anymask.masks.masks import Masks

__all__ = ["MaskDepth", "Measured", "Occlusion", "Plane", "measure", "measure_mask"]

_DIGITS = 6  # that float32 has


@dataclass(frozen=True)
class Plane:
    """The plane that fits a mask best, by least squares.

    In inverse depth every plane in space is a linear function of the pixel, whatever the camera, up
    to scale and zero; so that is what is fitted to inverse depth, of metric maps to 1 / depth:
    ``inverse = a * x + b * y + c``, where (0, 0) is the middle of the image's first pixel.

    Attributes:
        a: Slope to the right, per pixel; 0 for what faces the camera.
        b: Slope downwards, per pixel.
        c: Value at the first pixel.
        residual: Root mean square of the distance to the plane. Metric: in metres along the
            camera's axis, as depth * abs(1 - depth * plane). Relative: in units of the map.
        explained: Share of the variance of inverse depth that the plane explains, up to 1 for a
            flat surface; None where all of it is equal.
    """

    a: float
    b: float
    c: float
    residual: float
    explained: float | None


@dataclass(frozen=True)
class MaskDepth:
    """Depth of one mask, in units of the map: metres, or of relative inverse depth.

    Attributes:
        median: Median of the known pixels; None where none is known, as what follows.
        p10: 10th percentile of the values; of a relative map the far end, of a metric one the near.
        p90: 90th percentile.
        known: Share of the mask's pixels whose depth is known, 0 to 1.
        rank: Place in the order from near to far, 1 for the nearest; None if it is not known.
        plane: What fits best; None for fewer than three pixels or for pixels in one line.
    """

    median: float | None
    p10: float | None
    p90: float | None
    known: float
    rank: int | None = None
    plane: Plane | None = None

    def as_dict(self) -> dict[str, Any]:
        """Give plain JSON values, six digits each."""
        return {name: _plain(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, eq=False, repr=False)
class Measured:
    """Masks of an image, with its depth and what follows from both.

    Attributes:
        masks: The masks. ``meta["depth"]`` of each holds what `depths` has, and the same entry of
            ``image_meta`` the kind and unit of the numbers, the order and the occlusions.
        depth: The depth of the image.
        depths: Of each mask.
        order: Numbers of the masks from near to far; those without any known depth come last.
        occlusions: Which mask lies in front of which, the clearest first.
        source: Where the image came from, if the masks do not say it.

    Examples:
        >>> depth = DepthMap(np.repeat([[9.0, 9.0, 2.0, 2.0]], 3, axis=0), "metric")
        >>> far, near = np.zeros((2, 3, 4), bool)
        >>> far[:, :2] = near[:, 2:] = True
        >>> measured = measure(depth, Masks.from_dense(np.stack([far, near])))
        >>> measured.order, measured.depths[1].median, measured.masks.meta[0]["depth"]["rank"]
        ((1, 0), 2.0, 2)
    """

    masks: Masks
    depth: DepthMap
    depths: tuple[MaskDepth, ...]
    order: tuple[int, ...]
    occlusions: tuple[Occlusion, ...]
    source: str | None = None

    def __post_init__(self) -> None:
        """Tell the masks where the image came from."""
        if self.source is not None and self.source != self.masks.source:
            object.__setattr__(self, "masks", replace(self.masks, source=self.source))

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.masks.size_hw

    def __len__(self) -> int:
        """Count the masks."""
        return len(self.masks)

    def __repr__(self) -> str:
        """Say how many masks and what depth."""
        return f"Measured({self.masks!r}, {self.depth!r}, {len(self.occlusions)} occlusions)"

    @cached_property
    def sorted(self) -> Masks:
        """The masks from near to far."""
        return self.masks[list(self.order)]


def measure(depth: DepthMap, masks: Masks, *, min_jump: float = 0.03) -> Measured:
    """Measure the depth of masks, put them in order, and say who lies in front of whom.

    Args:
        depth: Of the same image; another size of the same proportions is resized, with a warning.
        masks: Any number of masks.
        min_jump: Least difference across a border that counts as one lying in front of the other: a
            share of the depth where the map is metric, of the map's whole range (between its 1st
            and 99th percentile) where it is relative.

    Raises:
        InputError: Depth and masks have different proportions, or the jump is not above 0.
    """
    if not 0 < min_jump < math.inf:
        raise InputError(f"expected min_jump above 0, got {min_jump}; 0.03 is usual")
    depth = depth.fitted(masks.size_hw)
    inverse = depth.inverse
    depths = [measure_mask(depth, masks, i) for i in range(len(masks))]
    order = _order(depths, near_is_large=depth.kind == "relative")
    ranks = {number: place for place, number in enumerate(order, start=1)}
    depths = [
        replace(one, rank=None if one.median is None else ranks[i]) for i, one in enumerate(depths)
    ]
    occlusions = find_occlusions(inverse, masks, min_jump, relative=depth.kind == "relative")
    return Measured(
        _noted(masks, depth, depths, order, occlusions),
        depth,
        tuple(depths),
        tuple(order),
        tuple(occlusions),
    )


def measure_mask(depth: DepthMap, masks: Masks, i: int = 0) -> MaskDepth:
    """Measure mask number i, without its place among others; sizes must be equal."""
    x0, y0, x1, y1 = (int(edge) for edge in masks.boxes[i])
    if not masks.areas[i]:
        return MaskDepth(None, None, None, 0.0)
    place = (x0, y0, x1 + 1, y1 + 1)
    part = rle.decode(rle.crop(masks.counts[i], masks.size_hw, place), (y1 + 1 - y0, x1 + 1 - x0))
    values = depth.values[y0 : y1 + 1, x0 : x1 + 1]
    known = part & ~np.isnan(values)
    share = float(known.sum() / part.sum())
    if not share:
        return MaskDepth(None, None, None, 0.0)
    numbers = values[known].astype(np.float64)
    p10, median, p90 = (float(one) for one in np.percentile(numbers, (10, 50, 90)))
    ys, xs = np.nonzero(known)
    plane = _fit(xs + x0, ys + y0, numbers, metric=depth.kind == "metric")
    return MaskDepth(median, p10, p90, share, plane=plane)


def _fit(
    xs: npt.NDArray[Any], ys: npt.NDArray[Any], values: npt.NDArray[np.float64], *, metric: bool
) -> Plane | None:
    """Fit a plane by normal equations, about the middle so that they are well conditioned."""
    inverse = 1 / values if metric else values
    mx, my, mean = float(xs.mean()), float(ys.mean()), float(inverse.mean())
    dx, dy, dv = xs - mx, ys - my, inverse - mean
    matrix = np.array([[dx @ dx, dx @ dy], [dx @ dy, dy @ dy]], np.float64)
    if len(xs) < 3 or np.linalg.det(matrix) <= 1e-9 * max(np.trace(matrix), 1) ** 2:
        return None
    a, b = (float(one) for one in np.linalg.solve(matrix, [dx @ dv, dy @ dv]))
    off = dv - a * dx - b * dy
    variance = float(dv @ dv)
    flat = variance <= len(dv) * (1e-6 * max(abs(mean), 1e-30)) ** 2  # rounding of float32
    distance = values * values * off if metric else off
    return Plane(
        a,
        b,
        mean - a * mx - b * my,
        float(np.sqrt(np.mean(distance**2))),
        None if flat else 1 - float(off @ off) / variance,
    )


def _order(depths: list[MaskDepth], *, near_is_large: bool) -> list[int]:
    def key(i: int) -> tuple[bool, float]:
        median = depths[i].median
        if median is None:
            return True, 0.0
        return False, -median if near_is_large else median

    return sorted(range(len(depths)), key=key)


def _noted(
    masks: Masks,
    depth: DepthMap,
    depths: list[MaskDepth],
    order: list[int],
    occlusions: list[Occlusion],
) -> Masks:
    """Write it into the records of the masks and of the image."""
    meta = [
        {**known, "depth": one.as_dict()} for known, one in zip(masks.meta, depths, strict=True)
    ]
    about = {
        "kind": depth.kind,
        "unit": "m" if depth.kind == "metric" else "inverse depth, large is near",
        "source": depth.source,
        "order": list(order),
        "occlusions": [_plain(asdict(one)) for one in occlusions],
    }
    image_meta = {**masks.image_meta, "depth": about}
    return replace(masks, meta=tuple(meta), image_meta=image_meta)


def _plain(value: Any) -> Any:
    """Round numbers to the digits that they have."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value
