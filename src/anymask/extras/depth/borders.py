"""Who lies in front of whom: what depth does where two masks touch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.masks.masks import Masks

__all__ = ["Occlusion", "find_occlusions"]

_LEAST_BORDER = 4  # pixels of a common border that say something
_LEAST_SHARE = 0.3  # of a border: where a thing stands on the floor, there is no jump
_CLEARLY = 4  # times as much of the border as says the opposite
_REACH = 200  # the longer side by this: as wide as depth is blurred at edges


@dataclass(frozen=True)
class Occlusion:
    """A hint that one mask lies in front of another.

    Attributes:
        front: Number of the mask that lies in front.
        behind: Number of the mask that it hides a part of.
        border: Length of their common border, in pairs of pixels where depth could be compared.
        share: Share of these where the front is nearer by the least jump, 0 to 1.
        jump: Median difference of inverse depth across these: a share of the depth (metric) or of
            the map's range (relative).
    """

    front: int
    behind: int
    border: int
    share: float
    jump: float


def find_occlusions(
    inverse: npt.NDArray[np.float32], masks: Masks, min_jump: float, *, relative: bool
) -> list[Occlusion]:
    """Compare inverse depth on both sides of each border that two masks share.

    A surface that runs on under both masks, however slanted, is linear in inverse depth, so both
    sides are drawn on to the border from two pixels each: only what still differs is a jump. Of
    masks that overlap, the smaller one has the common pixels.

    Args:
        inverse: float32 (h, w), large where it is near.
        masks: Of the same size.
        min_jump: See `measure`.
        relative: Whether differences are shares of the map's range, else of the depth.

    Returns:
        The clearest first: by share, then by jump.
    """
    if len(masks) < 2:
        return []
    owner = masks.label_map() - 1
    scale = _range(inverse) if relative else None
    reach = max(1, round(max(masks.size_hw) / _REACH))
    rows = [
        _pairs(owner, inverse, reach),
        _pairs(owner.T, inverse.T, reach),
    ]
    first, second, jumps, level = (np.concatenate(columns) for columns in zip(*rows, strict=True))
    jumps = jumps / level if scale is None else jumps / scale
    swapped = first > second
    low, high = np.where(swapped, second, first), np.where(swapped, first, second)
    jumps = np.where(swapped, -jumps, jumps)  # above 0: the lower number is nearer
    return _judge(low.astype(np.int64) * len(masks) + high, jumps, len(masks), min_jump)


def _range(inverse: npt.NDArray[np.float32]) -> float:
    known = inverse[~np.isnan(inverse)]
    low, high = np.percentile(known, (1, 99))
    return float(high - low) or float(known.max() - known.min())


def _pairs(
    owner: npt.NDArray[np.int32], inverse: npt.NDArray[np.float32], reach: int
) -> tuple[npt.NDArray[Any], ...]:
    """Compare the two sides of all borders between pixels that lie side by side in a row.

    Returns:
        For each: number of the left mask, of the right one, how much nearer the left one is at the
        border, and the inverse depth there.
    """
    left, right = owner[:, :-1], owner[:, 1:]
    ys, xs = np.nonzero((left != right) & (left >= 0) & (right >= 0))
    # At these distances from the border; what is nearer is blurred.
    places = xs - 2 * reach, xs - reach, xs + 1 + reach, xs + 1 + 2 * reach
    inside = (places[0] >= 0) & (places[3] < owner.shape[1])
    ys, xs = ys[inside], xs[inside]
    far_left, near_left, near_right, far_right = (place[inside] for place in places)
    first, second = owner[ys, xs], owner[ys, xs + 1]
    own = (owner[ys, far_left] == first) & (owner[ys, near_left] == first)
    own &= (owner[ys, far_right] == second) & (owner[ys, near_right] == second)
    v = [inverse[ys, place] for place in (far_left, near_left, near_right, far_right)]
    own &= ~np.isnan(sum(v))
    step = (reach + 0.5) / reach
    at_left, at_right = v[1] + step * (v[1] - v[0]), v[2] + step * (v[2] - v[3])
    level = np.maximum(v[1], v[2])
    jump = at_left - at_right
    # An extrapolation across a curve may invent a jump: it has to be there without it, too.
    plain = v[1] - v[2]
    jump = np.where(np.sign(jump) == np.sign(plain), jump, 0)
    jump = np.where(np.abs(jump) < np.abs(plain), jump, plain)
    return first[own], second[own], jump[own].astype(np.float64), level[own].astype(np.float64)


def _judge(
    keys: npt.NDArray[np.int64], jumps: npt.NDArray[np.float64], n: int, min_jump: float
) -> list[Occlusion]:
    found: list[Occlusion] = []
    if not len(keys):
        return found
    order = np.argsort(keys, kind="stable")
    pairs, starts = np.unique(keys[order], return_index=True)
    for key, some in zip(pairs, np.split(jumps[order], starts[1:]), strict=True):
        if len(some) < _LEAST_BORDER:
            continue
        low, high = divmod(int(key), n)
        nearer = some > min_jump, some < -min_jump
        shares = [float(one.mean()) for one in nearer]
        winner = int(shares[1] > shares[0])
        share, against = shares[winner], shares[1 - winner]
        if share < _LEAST_SHARE or share < _CLEARLY * against:
            continue
        jump = float(np.median(np.abs(some[nearer[winner]])))
        front, behind = (low, high) if winner == 0 else (high, low)
        found.append(Occlusion(front, behind, len(some), round(share, 4), jump))
    return sorted(found, key=lambda one: (-one.share, -one.jump))
