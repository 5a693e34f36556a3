"""Rough masks, as people have them: too large, too small, of few corners, blocky, beside it.

For training and for measuring what a model makes of a mask that is all it is told.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from anymask.optional import optional

__all__ = ["ROUGH_KINDS", "RoughKind", "roughened"]

RoughKind = Literal["exact", "eroded", "dilated", "polygon", "blocks", "shifted"]

ROUGH_KINDS: tuple[RoughKind, ...] = get_args(RoughKind)

_CORNERS = 8
_STRENGTH = (0.05, 0.2)  # how far off, as a share of the root of the mask's area


def roughened(
    mask: npt.NDArray[np.bool_], kind: RoughKind, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Make a rough version of a mask.

    Args:
        mask: bool (h, w), not empty.
        kind: ``eroded``, ``dilated`` and ``shifted`` are off by 5 to 20 % of the root of the area,
            ``blocks`` has squares of such a size, ``polygon`` has eight corners on the outline of
            the largest part.
        rng: Random generator.

    Returns:
        bool (h, w), not empty; the mask itself where nothing of it would be left.

    Examples:
        >>> mask = np.zeros((64, 64), bool)
        >>> mask[16:48, 16:48] = True
        >>> int(roughened(mask, "dilated", np.random.default_rng(0)).sum()) > 32 * 32
        True
    """
    off = max(1.0, float(rng.uniform(*_STRENGTH)) * float(np.sqrt(mask.sum())))
    match kind:
        case "exact":
            return mask
        case "eroded" | "dilated":
            rough = _grown(mask, round(off), outwards=kind == "dilated")
        case "polygon":
            rough = _polygon(mask, rng)
        case "blocks":
            rough = _blocks(mask, round(off))
        case "shifted":
            angle = rng.uniform(0, 2 * np.pi)
            rough = _shifted(mask, round(off * np.sin(angle)), round(off * np.cos(angle)))
    return rough if rough.any() else mask


def _grown(mask: npt.NDArray[np.bool_], radius: int, *, outwards: bool) -> npt.NDArray[np.bool_]:
    cv2 = optional("cv2", extra="image")
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    change = cv2.dilate if outwards else cv2.erode
    changed: npt.NDArray[np.uint8] = change(mask.astype(np.uint8), kernel)
    return changed > 0


def _polygon(mask: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Join points at equal distances along the outline, from anywhere on it."""
    cv2 = optional("cv2", extra="image")
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=len)[:, 0]
    places = (rng.random() + np.arange(_CORNERS) / _CORNERS) % 1 * len(outline)
    filled: npt.NDArray[Any] = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(filled, [outline[places.astype(int)]], 1)
    return filled > 0


def _blocks(mask: npt.NDArray[np.bool_], side: int) -> npt.NDArray[np.bool_]:
    """Decide for whole squares by the majority in them."""
    cv2 = optional("cv2", extra="image")
    h, w = mask.shape
    small = max(1, w // side), max(1, h // side)
    shares = cv2.resize(mask.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    enlarged: npt.NDArray[Any] = cv2.resize(shares, (w, h), interpolation=cv2.INTER_NEAREST)
    return enlarged > 0.5


def _shifted(mask: npt.NDArray[np.bool_], down: int, right: int) -> npt.NDArray[np.bool_]:
    h, w = mask.shape
    moved = np.zeros_like(mask)
    ys, xs = np.nonzero(mask)
    inside = (ys + down >= 0) & (ys + down < h) & (xs + right >= 0) & (xs + right < w)
    moved[ys[inside] + down, xs[inside] + right] = True
    return moved
