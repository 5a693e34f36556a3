"""Soft edges for masks: how much of each pixel is the object, and what colour that part has.

Near its edge, a mask's colours inside and those outside are told apart by a linear discriminant of
Fisher's, learned from the neighbourhood of each place; a pixel between the two is a mixture, and
where the discriminant puts it says in which proportion. Where the two look alike, the mask decides.
So hair and fur come out strand by strand against a background of another colour, and the edge of a
hard thing lies where the image has it. What a mixed pixel shows of the background is taken out of
its colour (Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021), or cut-outs would
wear a rim of where they come from.

What the neighbourhood says changes slowly, so it is worked out small; only what is asked of each
pixel is done at the full size, in tiles that hold an edge. Numpy and Pillow are all it needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import PIL.Image

__all__ = ["Soft", "soften"]

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

_SIDE = 640  # the longer side of what edges are measured on
_LEAST_SIDE = 32  # but a shorter side is not made shorter than this
_CELL = 4  # pixels of that which are one cell of what is known of colours
_TILE = 256  # pixels of the image
_BAND = 0.007  # of the diagonal: how far from the mask's edge the true one may lie
_REACH = 3  # bands, in which colours are collected
_NOISE = 0.02**2  # variance that every colour has, of 0 to 1
_DOUBT = 12.0  # squared distance of the two sides, in deviations, at which half is left to the mask
_HAZE = 0.1  # mixtures below are nothing, and all is above one minus this
_FAINT = 1e-6  # weight of what is no evidence, so that there is always some
_PAIRS = ([0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2])  # of the channels, for a symmetric 3 x 3 matrix


@dataclass(frozen=True)
class Soft:
    """A soft mask and the colours under it, of a part of an image.

    Attributes:
        alpha: uint8 (h, w), 0 background, 255 the object.
        colours: uint8 (h, w, 3), RGB, the object's own where it is mixed with the background.
    """

    alpha: ByteArray
    colours: ByteArray


def soften(pixels: ByteArray, mask: BoolArray) -> Soft:
    """Give a mask the soft edge that the image shows.

    Args:
        pixels: uint8 (h, w, 3), RGB.
        mask: bool (h, w); as the image may go on beyond its borders, the mask has no edge there.

    Examples:
        >>> pixels = np.full((40, 60, 3), 20, np.uint8)
        >>> pixels[:, 30:], pixels[:, 29] = 220, 120  # half of it is of either side
        >>> soften(pixels, pixels[..., 0] > 150).alpha[20, 27:32].tolist()
        [0, 0, 126, 255, 255]
    """
    alpha = mask.astype(np.uint8) * 255
    colours = pixels.copy()
    if mask.all() or not mask.any():
        return Soft(alpha, colours)
    edge = _Edge.of(pixels, mask)
    height, width = mask.shape
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            place = (left, top, min(left + _TILE, width), min(top + _TILE, height))
            edge.refine(place, pixels, mask, alpha, colours)
    return Soft(alpha, colours)


@dataclass(frozen=True)
class _Edge:
    """What is known of a mask's edge, in maps that cover the image; each is small.

    Attributes:
        size_hw: Of the image.
        slope: (3, h, w), what a colour is multiplied by ...
        offset: (h, w), ... and what is added, to tell its share of the object.
        trust: (h, w), 0 to 1, how much that counts beside the mask.
        inside, outside: (3, h, w), the colour of the object and of the background thereabouts.
    """

    size_hw: tuple[int, int]
    slope: FloatArray
    offset: FloatArray
    trust: FloatArray
    inside: FloatArray
    outside: FloatArray

    @classmethod
    def of(cls, pixels: ByteArray, mask: BoolArray) -> _Edge:
        """Look at the two sides of the edge of a mask."""
        size_hw = (mask.shape[0], mask.shape[1])
        scale = min(1.0, _SIDE / max(size_hw))
        height, width = (max(min(side, _LEAST_SIDE), round(side * scale)) for side in size_hw)
        small_hw = height, width
        colours = _shrunk_colours(pixels, small_hw)
        cover = _resized(mask.astype(np.float32), small_hw, PIL.Image.Resampling.BOX)
        band = max(1, round(_BAND * float(np.hypot(*small_hw))))
        soft = _spread(cover, band)
        near = np.clip(8 * soft * (1 - soft) - 0.4, 0, 1)
        # The deeper inside or outside, the surer; thin things have some weight, too.
        weight = (2 * soft - 1) ** 2
        reach = max(1, round(_REACH * band / _CELL))
        inner = _gathered(weight * (cover > 0.5), colours, reach)
        outer = _gathered(weight * (cover <= 0.5), colours, reach)
        slope, offset, distance = _discriminant(inner, outer)
        trust = _resized(distance**2 / (distance**2 + _DOUBT**2), small_hw) * near
        return cls(size_hw, slope, offset, trust, inner[0], outer[0])

    def refine(
        self,
        place: tuple[int, int, int, int],
        pixels: ByteArray,
        mask: BoolArray,
        alpha: ByteArray,
        colours: ByteArray,
    ) -> None:
        """Write alpha and colours of one tile, xyxy, unless no edge is near."""
        left, top, right, bottom = place
        window = np.s_[top:bottom, left:right]
        trust = self._enlarged(self.trust, place)
        if not trust.any():
            return
        shown = np.moveaxis(pixels[window].astype(np.float32) / 255, 2, 0)
        share = self._enlarged(self.offset, place)
        for one, channel in zip(self.slope, shown, strict=True):
            share += self._enlarged(one, place) * channel
        share = np.clip((share - 0.5) / (1 - 2 * _HAZE) + 0.5, 0, 1)
        found = trust * share + (1 - trust) * _feathered(mask, place)
        alpha[window] = np.rint(255 * found)
        for channel, (inner, outer) in enumerate(zip(self.inside, self.outside, strict=True)):
            f, b = self._enlarged(inner, place), self._enlarged(outer, place)
            own = f + found * (shown[channel] - found * f - (1 - found) * b)
            colours[top:bottom, left:right, channel] = np.rint(255 * np.clip(own, 0, 1))

    def _enlarged(self, small: FloatArray, place: tuple[int, int, int, int]) -> FloatArray:
        """Bring one map (h, w) to the size of the image, in one tile."""
        left, top, right, bottom = place
        down, across = small.shape[0] / self.size_hw[0], small.shape[1] / self.size_hw[1]
        part = (left * across, top * down, right * across, bottom * down)
        return _resized(small, (bottom - top, right - left), box=part)


def _discriminant(
    inner: tuple[FloatArray, FloatArray], outer: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Tell two clouds of colours apart, each given by mean (3, h, w) and covariance (6, h, w).

    Returns:
        Slope (3, h, w) and offset (h, w) of the linear function that is 1 at the inner mean and 0
        at the outer one; and the squared distance of the two, in standard deviations.
    """
    a, b, c, d, e, f = (inner[1] + outer[1]) / 2
    a, d, f = a + _NOISE, d + _NOISE, f + _NOISE
    # The inverse of a symmetric matrix, by its adjoint.
    xx, xy, xz = d * f - e * e, c * e - b * f, b * e - c * d
    yy, yz, zz = a * f - c * c, b * c - a * e, a * d - b * b
    x, y, z = inner[0] - outer[0]
    slope = np.stack(
        [xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z]
    ) / (a * xx + b * xy + c * xz)
    distance = np.maximum((slope * (inner[0] - outer[0])).sum(axis=0), 1e-6)
    slope = np.asarray(slope / distance, dtype=np.float32)
    offset: FloatArray = -(slope * outer[0]).sum(axis=0)
    return slope, offset, distance


def _gathered(weight: FloatArray, colours: FloatArray, reach: int) -> tuple[FloatArray, FloatArray]:
    """Average the colours (3, h, w) around each cell: means (3, ...), covariances (6, ...)."""
    rows, columns = _PAIRS
    weight = weight + np.float32(_FAINT)
    sums = np.concatenate(
        [weight[None], weight * colours, weight * colours[rows] * colours[columns]]
    )
    total, *rest = _spread(_pooled(sums), reach)
    means, products = np.stack(rest[:3]) / total, np.stack(rest[3:]) / total
    covariances: FloatArray = products - means[rows] * means[columns]
    return means, covariances


def _pooled(maps: FloatArray) -> FloatArray:
    """Add up the values (n, h, w) in each cell."""
    n, height, width = maps.shape
    padded = np.pad(maps, ((0, 0), (0, -height % _CELL), (0, -width % _CELL)))
    _, height, width = padded.shape
    cells = padded.reshape(n, height // _CELL, _CELL, width // _CELL, _CELL)
    sums: FloatArray = cells.sum(axis=(2, 4), dtype=np.float64).astype(np.float32)
    return sums


def _spread(maps: FloatArray, reach: int) -> FloatArray:
    """Average (..., h, w) over squares of ``2 * reach + 1``, cut off at the border; and again."""
    for axis in (-1, -2, -1, -2):
        maps = _averaged(maps, reach, axis)
    return maps


def _averaged(maps: FloatArray, reach: int, axis: int) -> FloatArray:
    n = maps.shape[axis]
    before = np.zeros_like(np.take(maps, [0], axis=axis), dtype=np.float64)
    sums = np.concatenate([before, np.cumsum(maps, axis=axis, dtype=np.float64)], axis=axis)
    place = np.arange(n)
    last, first = np.minimum(place + reach + 1, n), np.maximum(place - reach, 0)
    count = (last - first).reshape(-1, *[1] * (-1 - axis))
    found = (np.take(sums, last, axis=axis) - np.take(sums, first, axis=axis)) / count
    return np.asarray(found, dtype=np.float32)


def _feathered(mask: BoolArray, place: tuple[int, int, int, int]) -> FloatArray:
    """Give a tile of a mask an edge of two pixels, at which no line gets lost."""
    left, top, right, bottom = place
    x0, y0 = max(left - 1, 0), max(top - 1, 0)
    part = mask[y0 : bottom + 1, x0 : right + 1].astype(np.float32)
    soft: FloatArray = (part + _averaged(_averaged(part, 1, -1), 1, -2)) / np.float32(2)
    return soft[top - y0 : bottom - y0, left - x0 : right - x0]


def _shrunk_colours(pixels: ByteArray, size_hw: tuple[int, int]) -> FloatArray:
    shrunk = PIL.Image.fromarray(pixels).resize(size_hw[::-1], PIL.Image.Resampling.BOX)
    colours: FloatArray = np.asarray(shrunk, dtype=np.float32) / np.float32(255)
    return np.moveaxis(colours, 2, 0)


def _resized(
    values: FloatArray,
    size_hw: tuple[int, int],
    how: PIL.Image.Resampling = PIL.Image.Resampling.BILINEAR,
    box: tuple[float, float, float, float] | None = None,
) -> FloatArray:
    image = PIL.Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.array(image.resize(size_hw[::-1], how, box), dtype=np.float32)
