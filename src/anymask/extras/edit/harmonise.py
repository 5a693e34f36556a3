"""Gradient-domain blending: a pasted thing takes on the light of what is around it.

Pérez, Gangnet and Blake ("Poisson Image Editing", SIGGRAPH 2003) keep the gradients of what is
pasted and take its colours at the edge from the image. What that adds to the pasted colours is the
solution of Laplace's equation with the difference at the edge as its boundary values, which is what
is solved here, by multigrid.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anymask.extras.inpaint.poisson import membrane

__all__ = ["harmonised"]

BoolArray = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]


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


def _rim(inside: BoolArray) -> BoolArray:
    """Find the pixels inside beside which, left, right, above or below, lies one outside."""
    deep = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    return inside[1:-1, 1:-1] & ~deep
