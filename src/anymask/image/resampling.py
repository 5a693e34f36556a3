"""Resizing as weighted sums, with the numbers that PyTorch has.

A resize is separable: along each direction, a pixel of the result is a sum of a few neighbouring
values, the same for all rows or columns. PyTorch's arithmetic (``align_corners=False``) is followed
in float32 step by step, so that the weights are its own, or differ in the last bit.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "Enlarging",
    "Taps",
    "chained",
    "cubic",
    "enlarged",
    "identity",
    "linear",
    "matrix",
    "means",
    "resized",
    "smooth",
    "smoothed",
    "window_means",
]

Enlarging: TypeAlias = Literal["bilinear", "direct", "bicubic"]
"""How masks come back to the size of the image, see `Transform.masks_to_image`."""

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_CUBIC = -0.75  # Keys' parameter (1981), as PyTorch has it


class Taps(NamedTuple):
    """How one direction of a resize works.

    Output i is the sum over j of ``weights[i, j] * input[first[i] + j]``.
    """

    first: IntArray  # (n,)
    weights: FloatArray  # (n, k)


def identity(length: int) -> Taps:
    """Leave everything as it is."""
    return Taps(np.arange(length), np.ones((length, 1), np.float32))


def linear(inputs: int, outputs: int) -> Taps:
    """Resize linearly; an equal length stays bit for bit.

    Examples:
        >>> linear(2, 4).weights.tolist()
        [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    if inputs == outputs:
        return identity(inputs)
    place = np.maximum(_places(inputs, outputs), 0)
    low = np.minimum(place.astype(np.int64), inputs - 1)
    part = np.clip(place - low.astype(np.float32), 0, 1)
    return _gathered(inputs, [(low, 1 - part), (low + 1, part)])


def cubic(inputs: int, outputs: int) -> Taps:
    """Resize by cubic convolution; an equal length stays bit for bit."""
    if inputs == outputs:
        return identity(inputs)
    place = _places(inputs, outputs)
    low = np.minimum(np.floor(place).astype(np.int64), inputs - 1)
    part = np.clip(place - low.astype(np.float32), 0, 1)
    rest = 1 - part
    weights = (_far(part + 1), _near(part), _near(rest), _far(rest + 1))
    return _gathered(inputs, [(low + i - 1, weight) for i, weight in enumerate(weights)])


def smooth(inputs: int, outputs: int) -> Taps:
    """Resize linearly, and to fewer pixels by triangles that reach over all that each stands for.

    An equal length stays bit for bit.

    Examples:
        >>> [(7 * row).round(3).tolist() for row in smooth(4, 2).weights]
        [[3.0, 3.0, 1.0], [1.0, 3.0, 3.0]]
    """
    if inputs == outputs:
        return identity(inputs)
    scale = np.float32(inputs) / np.float32(outputs)
    reach = max(scale, np.float32(1))
    centre = scale * (np.arange(outputs, dtype=np.float32) + np.float32(0.5))
    first = np.maximum((centre - reach + np.float32(0.5)).astype(np.int64), 0)
    last = np.minimum((centre + reach + np.float32(0.5)).astype(np.int64), inputs)
    width = int((last - first).max())
    first = np.minimum(first, inputs - width)
    places = first[:, None] + np.arange(width)
    weights = 1 - np.abs((places + np.float32(0.5) - centre[:, None]) / reach)
    weights = np.maximum(weights, 0).astype(np.float32)
    return Taps(first, weights / weights.sum(axis=1, keepdims=True))


def _places(inputs: int, outputs: int) -> FloatArray:
    """Tell where the pixels of the result lie among the inputs."""
    scale = float(np.float32(inputs) / np.float32(outputs))
    return _fused(scale, np.arange(outputs, dtype=np.float32) + np.float32(0.5), -0.5)


def _near(x: FloatArray) -> FloatArray:
    """Weigh an input at most 1 away."""
    return _fused(_fused(_CUBIC + 2, x, -(_CUBIC + 3)) * x, x, 1)


def _far(x: FloatArray) -> FloatArray:
    """Weigh an input 1 to 2 away."""
    return _fused(_fused(_fused(_CUBIC, x, -5 * _CUBIC), x, 8 * _CUBIC), x, -4 * _CUBIC)


def _fused(a: FloatArray | float, b: FloatArray, c: float) -> FloatArray:
    """Multiply and add with one rounding, as PyTorch's compiled code does."""
    return (a * b.astype(np.float64) + c).astype(np.float32)


def _gathered(inputs: int, pairs: list[tuple[IntArray, FloatArray]]) -> Taps:
    """Lay out weights of single inputs, each int64 (n,) and float32 (n,), side by side.

    Inputs beyond either end mean the last one there.
    """
    places = np.stack([np.clip(place, 0, inputs - 1) for place, _ in pairs], axis=1)
    used = np.stack([weight for _, weight in pairs], axis=1).astype(np.float32)
    first = np.where(used != 0, places, inputs).min(axis=1)
    width = int((np.where(used != 0, places, 0).max(axis=1) - first).max()) + 1
    first = np.minimum(first, inputs - width)
    weights = np.zeros((len(first), width), np.float32)
    rows = np.arange(len(first))
    for place, weight in zip(places.T, used.T, strict=True):
        there = weight != 0
        weights[rows[there], (place - first)[there]] += weight[there]
    return Taps(first, weights)


def chained(inner: Taps, outer: Taps) -> Taps:
    """Write two resizes, one after the other, as one."""
    pairs = []
    for outer_tap, outer_weight in enumerate(outer.weights.T):
        middle = np.minimum(outer.first + outer_tap, len(inner.first) - 1)
        for inner_tap in range(inner.weights.shape[1]):
            weight = inner.weights[middle, inner_tap] * outer_weight
            pairs.append((inner.first[middle] + inner_tap, weight))
    return _gathered(int(inner.first.max()) + inner.weights.shape[1], pairs)


def matrix(taps: Taps, inputs: int) -> FloatArray:
    """Write taps on so many inputs as a matrix: float32 (outputs, inputs)."""
    whole = np.zeros((len(taps.first), inputs), dtype=np.float32)
    places = taps.first[:, None] + np.arange(taps.weights.shape[1])
    np.put_along_axis(whole, places, taps.weights, axis=1)
    return whole


def resized(pixels: npt.NDArray[Any], size_hw: tuple[int, int]) -> FloatArray:
    """Resize an image between the four nearest pixels, without rounding or blurring.

    Args:
        pixels: (h, w, c).
        size_hw: Height and width of the result.

    Returns:
        float32 (h', w', c).
    """
    down, across = (linear(*sizes) for sizes in zip(pixels.shape, size_hw, strict=False))
    whole = np.zeros((*size_hw, pixels.shape[2]), np.float32)
    for tap, row_weight in enumerate(down.weights.T):
        rows = pixels[down.first + tap]
        line = np.zeros_like(whole)
        for step, column_weight in enumerate(across.weights.T):
            line += rows[:, across.first + step] * column_weight[:, None]
        whole += line * row_weight[:, None, None]
    return whole


def smoothed(pixels: npt.NDArray[Any], size_hw: tuple[int, int]) -> FloatArray:
    """Resize an image smoothly, see `smooth`, without rounding.

    Args:
        pixels: (h, w, c).
        size_hw: Height and width of the result; it may be larger, too.

    Returns:
        float32 (h', w', c).
    """
    down, across = (smooth(*sizes) for sizes in zip(pixels.shape, size_hw, strict=False))
    lines = _summed(pixels, down)
    return np.ascontiguousarray(_summed(lines.transpose(1, 0, 2), across).transpose(1, 0, 2))


def _summed(pixels: npt.NDArray[Any], taps: Taps) -> FloatArray:
    """Apply taps down the rows of (h, ...)."""
    whole = np.zeros((len(taps.first), *pixels.shape[1:]), np.float32)
    each = (slice(None), *[None] * (pixels.ndim - 1))
    for tap, weight in enumerate(taps.weights.T):
        whole += pixels[taps.first + tap] * weight[each]
    return whole


def enlarged(values: FloatArray, size_hw: tuple[int, int]) -> FloatArray:
    """Resize a map (h, w) bilinearly: float32 of another size."""
    return resized(values[..., None], size_hw)[..., 0]


def means(values: FloatArray, size_hw: tuple[int, int]) -> FloatArray:
    """Shrink a map to the mean of each cell; cells share what lies on their border.

    Args:
        values: (..., h, w).
        size_hw: Height and width of the result.

    Returns:
        float32 (..., h', w').

    Examples:
        >>> means(np.float32([[1, 3, 5, 7]]), (1, 2)).tolist()
        [[2.0, 6.0]]
    """
    (*leading, h, w), (rows, columns) = values.shape, size_hw
    if h % rows == 0 and w % columns == 0:
        cells = values.reshape(*leading, rows, h // rows, columns, w // columns)
        exact: FloatArray = cells.mean(axis=-1, dtype=np.float32).mean(axis=-2, dtype=np.float32)
        return exact
    for axis, cells_there in ((-2, rows), (-1, columns)):
        length = values.shape[axis]
        begin = np.arange(cells_there) * length // cells_there
        end = -(-np.arange(1, cells_there + 1) * length // cells_there)
        values = window_means(values, axis, begin, end)
    return values


def window_means(values: FloatArray, axis: int, begin: IntArray, end: IntArray) -> FloatArray:
    """Take means of neighbours along one axis of a map: from each beginning to before each end.

    Examples:
        >>> window_means(np.float32([[1, 3, 5]]), 1, np.array([0, 0]), np.array([2, 3])).tolist()
        [[2.0, 3.0]]
    """
    sums = np.insert(np.cumsum(values, axis=axis, dtype=np.float64), 0, 0, axis=axis)
    counts = np.moveaxis((end - begin).reshape(-1, *[1] * (values.ndim - 1)), 0, axis)
    found: FloatArray = ((sums.take(end, axis) - sums.take(begin, axis)) / counts).astype(
        np.float32
    )
    return found
