"""Drawings of single cases: the prediction and the ground truth."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageChops
import PIL.ImageFilter

from anymask.draw import overlay
from anymask.masks.masks import Masks

__all__ = ["draw_comparison"]


def draw_comparison(
    image: npt.NDArray[np.uint8], prediction: Masks, truth: npt.NDArray[np.bool_]
) -> PIL.Image.Image:
    """Lay predicted masks over their image in colour, and the outline of the truth in white.

    Args:
        image: (h, w, 3), RGB.
        prediction: Any number of masks, with their prompts.
        truth: Ground truth, (h, w).
    """
    canvas = overlay(image, prediction)
    width = 1 + round(math.hypot(*canvas.size) / 600)
    inside = _grown(truth, 0)
    for colour, reach in (("black", 2 * width), ("white", width)):
        canvas.paste(colour, mask=PIL.ImageChops.subtract(_grown(truth, reach), inside))
    return canvas


def _grown(mask: npt.NDArray[np.bool_], by: int) -> PIL.Image.Image:
    """Grow a mask by some pixels: 0 or 255."""
    cover = PIL.Image.fromarray(mask.astype(np.uint8) * 255)
    return cover.filter(PIL.ImageFilter.MaxFilter(2 * by + 1))
