"""Painting without weights: PatchMatch for holes, OpenCV's Telea for thin ones.

PatchMatch (Barnes et al., SIGGRAPH 2009) copies small patches from around the hole, so that they
agree with each other where they overlap (Wexler et al., PAMI 2007), from coarse to fine. At the
coarsest levels, which decide what goes where, the best patch is searched exhaustively, and nearby
ones are preferred: what is behind a thing is most often what is beside it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from anymask.errors import MissingExtraError
from anymask.extras.inpaint.engine import Engine, Request, Task
from anymask.extras.inpaint.poisson import corrected
from anymask.extras.inpaint.region import distance, smooth_fill
from anymask.extras.inpaint.scaling import paint_scaled
from anymask.optional import optional

__all__ = ["ENGINES", "Classical", "PatchMatch", "Telea"]

Pixels = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
Field = npt.NDArray[np.int32]
"""For each pixel the middle of the patch that it is copied from: (h, w, 2), x before y."""

_EXTRA = "inpaint"
_REMOVE: frozenset[Task] = frozenset({"remove"})
_NONE: frozenset[str] = frozenset()
_THIN = 3  # pixels from the edge of a thin hole to its middle
_PATCH = 5
_HALF = _PATCH // 2
_ROUNDS = (6, 4, 2)  # of exhaustive search at each of the coarsest levels
_SWEEPS = ((20_000, 3), (100_000, 2), (400_000, 1))  # of PatchMatch, by pixels to fill
_SIDE = 2048  # longest side at which to work: some 600 MB
_NEARBY = 40.0  # squared grey levels that one pixel of distance costs at the coarsest level
_ENOUGH = 100  # patches that a level must have to copy from
_FAINT = 16  # grey levels up to which a jump is a seam, and not an edge
_TILE = 16  # side of the squares whose patches are searched for together


@dataclass(frozen=True)
class Telea:
    """OpenCV's fast marching (Telea 2004): lines continue, texture does not."""

    tasks = _REMOVE
    settings = _NONE
    identity = {"engine": "telea"}  # noqa: RUF012 -- nobody changes it

    def paint(self, pixels: Pixels, hole: BoolArray, request: Request) -> Pixels:
        """Paint from the edge inwards."""
        cv2 = optional("cv2", extra=_EXTRA)

        def work(pixels: Pixels, hole: BoolArray) -> Pixels:
            painted: Pixels = cv2.inpaint(pixels, hole.astype(np.uint8), 3, cv2.INPAINT_TELEA)
            return painted

        return paint_scaled(work, pixels, hole, request.size or max(hole.shape))


@dataclass(frozen=True)
class PatchMatch:
    """Copies patches from around the hole."""

    tasks = _REMOVE
    settings = _NONE
    identity = {"engine": "patchmatch"}  # noqa: RUF012 -- nobody changes it

    def paint(self, pixels: Pixels, hole: BoolArray, request: Request) -> Pixels:
        """Paint from coarse to fine."""
        solver = optional("patchmatch_cython", extra=_EXTRA).CythonSolver

        def work(pixels: Pixels, hole: BoolArray) -> Pixels:
            if not _sources(hole).any():  # nothing to copy: no whole patch is known
                filled = smooth_fill(pixels, ~hole)
            else:
                filled = _solve(_Levels(pixels, hole), solver, request)
            painted = pixels.copy()
            painted[hole] = np.clip(np.rint(filled[hole]), 0, 255).astype(np.uint8)
            return painted

        return paint_scaled(work, pixels, hole, request.size or _SIDE)


@dataclass(frozen=True)
class Classical:
    """PatchMatch, or Telea where the hole is thin or nothing else is installed."""

    tasks = _REMOVE
    settings = _NONE
    identity = {"engine": "classical"}  # noqa: RUF012 -- nobody changes it

    def paint(self, pixels: Pixels, hole: BoolArray, request: Request) -> Pixels:
        """Choose and paint."""
        return self._choose(hole).paint(pixels, hole, request)

    def _choose(self, hole: BoolArray) -> Engine:
        if not _installed("patchmatch_cython"):
            if not _installed("cv2"):
                raise MissingExtraError(
                    "this needs the package 'patchmatch-cython' or OpenCV to paint holes, and "
                    f"neither is installed; run: pip install 'anymask[{_EXTRA}]'"
                )
            warnings.warn(
                "painting by OpenCV's Telea, which blurs large holes; for PatchMatch run: pip "
                f"install 'anymask[{_EXTRA}]'",
                stacklevel=2,
            )
            return Telea()
        thin = np.isfinite(distance(~hole, _THIN)).all()
        return Telea() if thin and _installed("cv2") else PatchMatch()


ENGINES: dict[str, Callable[[], Engine]] = {
    "classical": Classical,
    "patchmatch": PatchMatch,
    "telea": Telea,
}
"""What paints without weights, by name."""


def _installed(module: str) -> bool:
    try:
        optional(module, extra=_EXTRA)
    except MissingExtraError:
        return False
    return True


# ------------------------------------------------------------------------ PatchMatch


class _Levels:
    """An image with a hole at ever coarser levels, each half as large as the one before."""

    def __init__(self, pixels: Pixels, hole: BoolArray) -> None:
        self.images: list[FloatArray] = [pixels.astype(np.float32)]
        self.holes = [hole]
        while not np.isfinite(distance(~self.holes[-1], _THIN)).all():
            image, hole = _halved(self.images[-1], self.holes[-1])
            if min(hole.shape) < 2 * _PATCH or np.count_nonzero(_sources(hole)) < _ENOUGH:
                break
            self.images.append(image)
            self.holes.append(hole)


def _solve(levels: _Levels, solver: Any, request: Request) -> FloatArray:
    """Fill the finest level."""
    count = len(levels.images)
    steps = list(zip(reversed(levels.images), reversed(levels.holes), strict=True))
    field: Field | None = None
    filled = steps[0][0]
    for number, (image, hole) in enumerate(steps):
        request.progress(number, count)
        work = image.copy()
        work[hole] = 0  # what is to go away must not be seen
        if field is None:
            work = smooth_fill(image, ~hole)
        else:
            field = _enlarged(field, hole.shape)
            work = solver(work, hole, _PATCH)(0, False, field, seed=request.seed + 1)
        # With one level only there may be too much of it for an exhaustive search.
        small = np.count_nonzero(hole) <= 4000
        if number < len(_ROUNDS) and small:
            nearby = _NEARBY / 4**number
            filled, field = _search(work, hole, solver, _ROUNDS[number], nearby)
            continue
        if field is None:
            field = _best_patches(work, hole, _NEARBY)
        machine = solver(work, hole, _PATCH)
        # More of them hardly change where large holes copy from: that is decided.
        sweeps = next((n for most, n in _SWEEPS if np.count_nonzero(hole) <= most), 0)
        filled = machine(sweeps, False, field, seed=request.seed + 1)
        field = np.array(machine.nnf)
    request.progress(count, count)
    assert field is not None
    return _without_seams(filled, field, levels.images[0], levels.holes[0])


def _without_seams(
    filled: FloatArray, field: Field, image: FloatArray, hole: BoolArray
) -> FloatArray:
    """Let faint jumps vanish, where what was copied from different places meets.

    The gradients are those of the places that the patches are from, and the border is that of the
    hole, as in "Poisson Image Editing". A jump that is more than faint is an edge, and stays.
    """
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    part = np.s_[max(0, rows[0] - 1) : rows[-1] + 2, max(0, columns[0] - 1) : columns[-1] + 2]
    inside, painted = hole[part], filled[part]
    down = _seams(painted, field[part], inside, image, hole, (0, 1))
    across = _seams(
        *(painted.swapaxes(0, 1), field[part].swapaxes(0, 1), inside.T, image, hole, (1, 0))
    ).swapaxes(0, 1)
    result = filled.copy()
    result[part] += corrected(down, across, inside)
    return result


def _seams(
    painted: FloatArray,
    field: Field,
    inside: BoolArray,
    image: FloatArray,
    hole: BoolArray,
    step_xy: tuple[int, int],
) -> FloatArray:
    """Measure the faint jumps between rows: float32 (h - 1, w, 3), 0 where there is none.

    Args:
        painted: (h, w, 3).
        field: (h, w, 2), where each pixel is from.
        inside: bool (h, w), what was painted.
        image: What it was painted from.
        hole: What cannot be copied from it.
        step_xy: From a row to the next, in the image.
    """
    jump = np.diff(painted, axis=0)
    natural, known = np.zeros_like(jump), np.zeros((*jump.shape[:2], 1), np.float32)
    for sign, here in ((1, np.s_[:-1]), (-1, np.s_[1:])):
        x, y = field[here][..., 0], field[here][..., 1]
        beside_x, beside_y = x + sign * step_xy[0], y + sign * step_xy[1]
        there = inside[here] & (beside_x >= 0) & (beside_x < hole.shape[1])
        there &= (beside_y >= 0) & (beside_y < hole.shape[0])
        beside_x, beside_y = np.where(there, beside_x, x), np.where(there, beside_y, y)
        there &= ~hole[y, x] & ~hole[beside_y, beside_x]
        weight = there[..., None].astype(np.float32)
        natural += sign * (image[beside_y, beside_x] - image[y, x]) * weight
        known += weight
    off = jump - natural / np.maximum(known, 1)
    faint = (known > 0) & (np.abs(off).max(axis=-1, keepdims=True) <= _FAINT)
    return np.where(faint, off, 0).astype(np.float32)


def _search(
    work: FloatArray, hole: BoolArray, solver: Any, rounds: int, nearby: float
) -> tuple[FloatArray, Field]:
    """Search for the best patches and paint with them, in turns, until nothing changes."""
    for _ in range(rounds):
        field = _best_patches(work, hole, nearby)
        painted: FloatArray = solver(work, hole, _PATCH)(0, False, field)
        change = np.abs(painted - work).max()
        work = painted
        if change < 1:
            break
    return work, field


def _best_patches(work: FloatArray, hole: BoolArray, nearby: float) -> Field:
    """Find for each patch that reaches into the hole the most similar one that does not."""
    height, width = hole.shape
    field = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.int32)
    padded = np.pad(work, ((_HALF, _HALF), (_HALF, _HALF), (0, 0)), mode="edge")
    patches = sliding_window_view(padded, (_PATCH, _PATCH), axis=(0, 1))
    sources = _sources(hole)
    wanted = _spread(hole)
    values = work.shape[2] * _PATCH**2
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            y, x = np.nonzero(wanted[top : top + _TILE, left : left + _TILE])
            if not len(y):
                continue
            y, x = y + top, x + left
            from_y, from_x = _around_tile(sources, top, left)
            known = patches[from_y, from_x].reshape(len(from_y), -1)
            cost = (known**2).sum(1) - 2 * (patches[y, x].reshape(len(y), -1) @ known.T)
            away = ((y[:, None] - from_y) ** 2 + (x[:, None] - from_x) ** 2).astype(np.float32)
            best = (cost + np.float32(nearby * values) * away).argmin(1)
            field[y, x] = np.stack([from_x[best], from_y[best]], -1)
    return field


def _around_tile(
    sources: BoolArray, top: int, left: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """List the patches around a tile, in as wide a circle as it takes to have some."""
    reach = 2 * _TILE
    while True:
        y0, x0 = max(0, top - reach), max(0, left - reach)
        y, x = np.nonzero(sources[y0 : top + _TILE + reach, x0 : left + _TILE + reach])
        if len(y) >= 2 * _ENOUGH or reach > max(sources.shape):
            return y + y0, x + x0
        reach *= 2


def _sources(hole: BoolArray) -> BoolArray:
    """Tell the middles of patches of which every pixel is known."""
    inside = np.zeros_like(hole)
    inside[_HALF:-_HALF, _HALF:-_HALF] = True
    return inside & ~_spread(hole)


def _spread(hole: BoolArray) -> BoolArray:
    """Tell the middles of patches that reach into the hole."""
    found = hole
    for _ in range(2):  # along one axis, then the other
        before, found = found, found.copy()
        for step in range(1, _HALF + 1):
            found[step:] |= before[:-step]
            found[:-step] |= before[step:]
        found = found.T
    return found


def _halved(image: FloatArray, hole: BoolArray) -> tuple[FloatArray, BoolArray]:
    """Average squares of two by two pixels; one that has a hole in it becomes one."""
    h, w = hole.shape[0] // 2, hole.shape[1] // 2
    squares = image[: 2 * h, : 2 * w].reshape(h, 2, w, 2, -1)
    some: BoolArray = np.logical_or.reduce(hole[: 2 * h, : 2 * w].reshape(h, 2, w, 2), (1, 3))
    return squares.mean((1, 3)), some


def _enlarged(field: Field, size_hw: tuple[int, int]) -> Field:
    """Copy from where the coarser level copies from, neighbours from neighbours."""
    height, width = size_hw
    y, x = np.arange(height), np.arange(width)
    rows = np.minimum(y // 2, field.shape[0] - 1)
    columns = np.minimum(x // 2, field.shape[1] - 1)
    fine = 2 * field[rows[:, None], columns[None]]
    fine[..., 0] = np.clip(fine[..., 0] + x % 2, 0, width - 1)
    fine[..., 1] = np.clip(fine[..., 1] + (y % 2)[:, None], 0, height - 1)
    return np.ascontiguousarray(fine)
