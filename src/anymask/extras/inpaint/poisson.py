"""Poisson's equation on pixels, by multigrid.

What is added to an image so that its gradients become others and its border stays is the solution
of Poisson's equation (Pérez, Gangnet and Blake, "Poisson Image Editing", SIGGRAPH 2003).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anymask.extras.inpaint.region import smooth_fill

__all__ = ["corrected", "membrane"]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

_CYCLES = 10
_SWEEPS = 3  # before and after what a coarser level adds
_SMALL, _SWEEPS_SMALL = 8, 60  # pixels of a side that need no coarser level
_DAMPED = 0.8  # of a step of Jacobi's, so that short waves go first


def membrane(values: FloatArray, known: BoolArray) -> FloatArray:
    """Solve Laplace's equation between known values; nothing flows over the border of the array.

    Args:
        values: float32 (h, w, c).
        known: bool (h, w), somewhere true; elsewhere, values do not count.

    Returns:
        float32 (h, w, c), to within a grey level for values of images.

    Examples:
        >>> values = np.array([[[0], [9], [9], [30]]], np.float32)
        >>> membrane(values, np.array([[True, False, False, True]]))[0, :, 0].round().tolist()
        [0.0, 10.0, 20.0, 30.0]
    """
    values, free = values.astype(np.float32), ~known[..., None]
    found = smooth_fill(values, known)
    for _ in range(_CYCLES):
        found += _cycle(_laplace(found) * free, free)
    return found


def corrected(down: FloatArray, across: FloatArray, free: BoolArray, cycles: int = 5) -> FloatArray:
    """Find what to add to an image, so that its gradients come as near to others as may be.

    Args:
        down: float32 (h - 1, w, c), by how much the next pixel below is too high beside each.
        across: float32 (h, w - 1, c), the same for the next pixel to the right.
        free: bool (h, w), what may change.
        cycles: Of multigrid; each leaves about a tenth of what was wrong.

    Returns:
        float32 (h, w, c), 0 where nothing may change.

    Examples:
        >>> too_high = np.array([[[9], [0], [0]]], np.float32)  # of a row of four pixels
        >>> free = np.array([[False, True, True, False]])
        >>> none = np.zeros((0, 4, 1), np.float32)
        >>> corrected(none, too_high, free)[0, :, 0].round().tolist()
        [0.0, -6.0, -3.0, 0.0]
    """
    wrong = _divergence(down, across)
    found, open_ = np.zeros_like(wrong), free[..., None]
    for _ in range(cycles):
        found += _cycle((_laplace(found) + wrong) * open_, open_)
    return found


def _cycle(rest: FloatArray, free: BoolArray) -> FloatArray:
    """Find about what has to be added so that nothing is left to do: one V-cycle of multigrid.

    Args:
        rest: float32 (h, w, c), by how much four times a pixel is less than its neighbours' sum.
        free: bool (h, w, 1), what may be changed.
    """
    added = np.zeros_like(rest)
    if max(rest.shape[:2]) <= _SMALL:
        return _relaxed(added, rest, free, _SWEEPS_SMALL)
    added = _relaxed(added, rest, free, _SWEEPS)
    left = _halved((rest + _laplace(added)) * free)
    added += _doubled(_cycle(left, _halved_free(free)), rest.shape[:2]) * free
    return _relaxed(added, rest, free, _SWEEPS)


def _relaxed(found: FloatArray, rest: FloatArray, free: BoolArray, sweeps: int) -> FloatArray:
    """Bring each free pixel nearer to the mean of its neighbours, several times."""
    for _ in range(sweeps):
        step = _laplace(found)
        step += rest
        step *= np.float32(_DAMPED / 4)
        step *= free
        found = found + step
    return found


def _laplace(found: FloatArray) -> FloatArray:
    """Add up how much more the four neighbours are; beyond the border, pixels go on as they are."""
    return _divergence(np.diff(found, axis=0), np.diff(found, axis=1))


def _divergence(down: FloatArray, across: FloatArray) -> FloatArray:
    """Add up what goes out of each pixel."""
    sums = np.zeros((across.shape[0], *down.shape[1:]), np.float32)
    sums[:-1] += down
    sums[1:] -= down
    sums[:, :-1] += across
    sums[:, 1:] -= across
    return sums


def _halved(values: FloatArray) -> FloatArray:
    """Add up each 2 x 2 pixels."""
    height, width = values.shape[:2]
    wide = np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)))
    return wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]


def _halved_free(free: BoolArray) -> BoolArray:
    """Of 2 x 2 pixels, all have to be free."""
    found: BoolArray = _halved((~free).astype(np.float32)) == 0
    return found


def _doubled(coarse: FloatArray, size_hw: tuple[int, ...]) -> FloatArray:
    """Bring a level to the size of the next finer one, bilinearly."""
    for axis, size in enumerate(size_hw):
        place = np.clip((np.arange(size) + 0.5) / 2 - 0.5, 0, coarse.shape[axis] - 1)
        first = place.astype(np.intp)
        second = np.minimum(first + 1, coarse.shape[axis] - 1)
        share = (place - first).astype(np.float32)
        share = share[:, None, None] if axis == 0 else share[:, None]
        coarse = coarse.take(first, axis) * (1 - share) + coarse.take(second, axis) * share
    return coarse
