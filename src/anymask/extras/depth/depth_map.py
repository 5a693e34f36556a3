"""Depth of an image, pixel by pixel, which says what its numbers mean."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.atomic import Target, output
from anymask.errors import InputError
from anymask.extras.depth.colour_map import colour
from anymask.extras.depth.files import DepthFile, Kind, read

__all__ = ["DepthMap", "Kind"]

_KINDS = ("relative", "metric")
_SHAPES_DIFFER = 0.01  # of the aspect ratio


@dataclass(frozen=True, eq=False, repr=False)
class DepthMap:
    """How far away each pixel of an image is.

    Attributes:
        values: float32 (h, w), read-only; NaN where the depth is unknown. Of a metric map, metres
            along the camera's axis; of a relative one inverse depth, large where it is near, whose
            scale and zero mean nothing.
        kind: ``"relative"`` or ``"metric"``.
        source: Where it came from; None if not known.
        coarse: Whether it has but the 256 steps of an image of 8 bits.

    Raises:
        InputError: The values are no such array, none of them is known, all are equal, or metric
            ones are not above zero.

    Examples:
        >>> depth = DepthMap(np.array([[1.0, 2.0], [4.0, np.nan]]), "metric")
        >>> depth
        DepthMap(2 x 2, metric: 1 to 4 m, 75 % known)
        >>> depth.inverse.tolist()
        [[1.0, 0.5], [0.25, nan]]
    """

    values: npt.NDArray[np.float32]
    kind: Kind = "relative"
    source: str | None = None
    coarse: bool = False

    def __post_init__(self) -> None:
        """Check the values and lock them."""
        if self.kind not in _KINDS:
            raise InputError(
                f"expected a depth that is relative or metric, got {self.kind!r}; say which"
            )
        object.__setattr__(self, "values", _checked(self.values, self.kind))

    def __repr__(self) -> str:
        """Give the size, what the numbers mean, and their range."""
        h, w = self.size_hw
        low, high = np.nanmin(self.values), np.nanmax(self.values)
        unit = " m" if self.kind == "metric" else ""
        share = float(self.known.mean())
        gaps = "" if share == 1 else f", {100 * share:.0f} % known"
        coarse = ", 8 bits" if self.coarse else ""
        return f"DepthMap({w} x {h}, {self.kind}: {low:.4g} to {high:.4g}{unit}{gaps}{coarse})"

    @classmethod
    def open(
        cls, source: DepthMap | DepthFile, kind: Kind | None = None, scale: float | None = None
    ) -> DepthMap:
        """Read a depth map, from an array or from a file: PNG, TIFF, NPY, NPZ, EXR and the like.

        Zero, infinity and NaN stand for an unknown depth where it is metric, infinity and NaN
        where it is relative. If it is not said what the numbers mean, whole numbers of 16 bits and
        more are millimetres, as depth cameras write them; those with a fraction are metres; and 8
        bits, which make a coarse map, are relative, as pictures of depth are: light is near.

        Args:
            source: Array (h, w), the path of a file, its bytes, or a file opened for bytes.
            kind: What the numbers mean.
            scale: How many of the file's units are a metre; 1000 for millimetres.

        Raises:
            InputError: It cannot be read, or is no depth map.
            MissingExtraError: The package that reads it is not installed.

        Examples:
            >>> DepthMap.open(np.array([[500, 1500], [0, 2000]], np.uint16))
            DepthMap(2 x 2, metric: 0.5 to 2 m, 75 % known)
        """
        if isinstance(source, DepthMap):
            return source
        stored = read(source, kind, scale)
        try:
            return cls(stored.values, stored.kind, stored.source, stored.coarse)
        except InputError as error:
            raise InputError(f"cannot use {stored.name}: {error}") from error

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        h, w = self.values.shape
        return int(h), int(w)

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Where the depth is known: bool (h, w)."""
        return ~np.isnan(self.values)

    @property
    def inverse(self) -> npt.NDArray[np.float32]:
        """Inverse depth, large where it is near: float32 (h, w), 1/m of a metric map.

        In it a flat surface is a linear function of x and y, whatever the camera.
        """
        return self.values if self.kind == "relative" else (1 / self.values).astype(np.float32)

    @property
    def unit(self) -> str:
        """The unit of the values: "m", or "" for relative ones."""
        return "m" if self.kind == "metric" else ""

    def resized(self, size_hw: tuple[int, int]) -> DepthMap:
        """Bring it to another size; what is next to an unknown pixel stays as sharp as it was.

        Args:
            size_hw: Height and width in pixels.

        Examples:
            >>> DepthMap(np.array([[1.0, 3.0]])).resized((2, 4)).values[0].tolist()
            [1.0, 1.5, 2.5, 3.0]
        """
        if size_hw == self.size_hw:
            return self
        h, w = size_hw
        values = _resize(self.values, (w, h), PIL.Image.Resampling.BILINEAR)
        if np.isnan(self.values).any():
            nearest = _resize(self.values, (w, h), PIL.Image.Resampling.NEAREST)
            values = np.where(np.isnan(nearest) | np.isnan(values), nearest, values)
        return replace(self, values=values)

    def fitted(self, size_hw: tuple[int, int]) -> DepthMap:
        """Bring it to the size of its image, with a warning if that is another.

        Raises:
            InputError: It has other proportions, so it is no depth of that image.
        """
        if size_hw == self.size_hw:
            return self
        (h, w), (own_h, own_w) = size_hw, self.size_hw
        allowed = max(_SHAPES_DIFFER, 0.5 / own_h + 0.5 / own_w)  # sides are rounded
        if abs(own_w / own_h * h / w - 1) > allowed:
            raise InputError(
                f"expected a depth of the image's size, {w} x {h}, or of its proportions, got "
                f"{own_w} x {own_h}; use the depth of this image"
            )
        warnings.warn(
            f"the depth has {own_w} x {own_h} pixels and the image {w} x {h}, so the depth is "
            "resized",
            stacklevel=2,
        )
        return self.resized(size_hw)

    def at(self, x: float, y: float) -> float:
        """Look up the value of a pixel; NaN if it is unknown.

        Raises:
            InputError: The point lies outside.
        """
        h, w = self.size_hw
        column, row = (int(np.floor(v + 0.5)) if np.isfinite(v) else -1 for v in (x, y))
        if not (0 <= column < w and 0 <= row < h):
            raise InputError(
                f"expected a point within the depth of {w} x {h} pixels, got x {x}, y {y}; "
                "choose another"
            )
        return float(self.values[row, column])

    def save(self, path: Target) -> None:
        """Write the values as NPY (float32), whole or not at all.

        Raises:
            OutputError: The file cannot be written.
        """
        with output(path) as file:
            np.save(file, self.values)

    def draw(self) -> PIL.Image.Image:
        """Colour it, light where it is near: RGB, its size; grey where it is unknown."""
        return PIL.Image.fromarray(colour(self.inverse))


def _resize(values: Any, size: tuple[int, int], how: PIL.Image.Resampling) -> Any:
    return np.array(PIL.Image.fromarray(np.asarray(values, np.float32)).resize(size, how))


def _checked(given: Any, kind: Kind) -> npt.NDArray[np.float32]:
    array = np.asarray(given)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "uif":
        raise InputError(
            f"expected depth as numbers of shape (h, w), got {array.dtype} of shape {array.shape}; "
            "pass one number for each pixel"
        )
    with np.errstate(over="ignore"):  # what float32 does not hold is infinite to it
        values = array.astype(np.float32)
    values[~np.isfinite(values)] = np.nan
    known = values[~np.isnan(values)]
    if not known.size:
        raise InputError(
            "expected depth of some pixels, got NaN or infinity everywhere; get another"
        )
    low, high = float(known.min()), float(known.max())
    if kind == "metric" and low <= 0:
        raise InputError(
            f"expected metric depth above 0 m, got {low:.4g}; put NaN where it is unknown, or say "
            "that the depth is relative if large means near"
        )
    if low == high:
        raise InputError(
            f"expected depth that differs from pixel to pixel, got {low:.4g} everywhere; check "
            "what made it"
        )
    values.flags.writeable = False
    return values
