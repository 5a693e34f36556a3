"""Gradient-domain blending: a pasted thing takes on the light of what is around it.

Pérez, Gangnet and Blake ("Poisson Image Editing", SIGGRAPH 2003) keep the gradients of what is
pasted and take its colours at the edge from the image. What that adds to the pasted colours is the
solution of Laplace's equation with the difference at the edge as its boundary values, which is what
is solved here, by multigrid.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anymask.extras.inpaint.region import smooth_fill

__all__ = ["harmonised", "membrane"]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]

_CYCLES = 10
_SWEEPS = 3  # before and after what a coarser level adds
_SMALL, _SWEEPS_SMALL = 8, 60  # pixels of a side that need no coarser level
_DAMPED = 0.8  # of a step of Jacobi's, so that short waves go first


def harmonised(pasted: Pixels, inside: BoolArray, behind: Pixels, counts: BoolArray) -> Pixels:
    """Shift the colours of what is pasted, smoothly, so that its edge has those behind it.

    Args:
        pasted: uint8 (h, w, 3), RGB.
        inside: bool (h + 2, w + 2), where it is opaque: with one more pixel all round, for where a
            thing goes on beyond the border of the image, that is no edge.
        behind: uint8 (h, w, 3), what it lies on.
        counts: bool (h, w), where that has a colour, for it may be transparent.

    Examples:
        >>> pasted, behind = np.full((5, 5, 3), 200, np.uint8), np.full((5, 5, 3), 90, np.uint8)
        >>> inside = np.zeros((7, 7), bool)
        >>> inside[2:5, 2:5] = True
        >>> everywhere = np.ones((5, 5), bool)
        >>> harmonised(pasted, inside, behind, everywhere)[2, 2].tolist()
        [90, 90, 90]
    """
    known = _rim(inside) & counts
    if not known.any():
        return pasted
    difference = behind.astype(np.float32) - pasted
    shifted = pasted + membrane(difference, known)
    result: Pixels = np.clip(np.rint(shifted), 0, 255).astype(np.uint8)
    return result


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


def _rim(inside: BoolArray) -> BoolArray:
    """Find the pixels inside beside which, left, right, above or below, lies one outside."""
    deep = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    return inside[1:-1, 1:-1] & ~deep


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
    sums = np.zeros_like(found)
    down, across = np.diff(found, axis=0), np.diff(found, axis=1)
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
