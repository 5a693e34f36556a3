"""Layers over an image: what they do not cover keeps every bit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageFilter

from anymask.draw import cutout
from anymask.image.image import Image
from anymask.masks.masks import Masks

__all__ = ["Layer", "cut_out", "over", "shadow_of"]

Pixels = npt.NDArray[np.uint8]
Alpha = npt.NDArray[np.uint8]

_OFFSET_XY = (0.03, 0.05)  # of the longer side of what casts a shadow: the light is above left
_SIGMA = 0.03
_DARKNESS = 0.5
_REACH = 4  # sigmas beyond which a blur is nothing


@dataclass(frozen=True)
class Layer:
    """What lies over a part of an image.

    Attributes:
        left: Pixels of the image to the left of it.
        top: Pixels of the image above it.
        colours: uint8 (h, w, 3), RGB, not multiplied by alpha.
        alpha: uint8 (h, w), 0 shows the image, 255 hides it.
    """

    left: int
    top: int
    colours: Pixels
    alpha: Alpha

    @property
    def window(self) -> tuple[slice, slice]:
        """Where it lies: rows and columns of the image."""
        height, width = self.alpha.shape
        return np.s_[self.top : self.top + height, self.left : self.left + width]

    def spread(self, size_hw: tuple[int, int]) -> Alpha:
        """Give its alpha on the whole image: uint8 (h, w)."""
        whole = np.zeros(size_hw, np.uint8)
        whole[self.window] = self.alpha
        return whole


def cut_out(image: Image, mask: Masks | npt.NDArray[np.bool_], *, soft: bool) -> Pixels:
    """Cut what a mask covers out of an image: uint8 (h, w, 4), RGBA.

    A soft edge can be all that there is of a few pixels; if it leaves nothing, they are taken as
    they are.

    Raises:
        InputError: The mask is of another size.
    """
    cut = np.asarray(cutout(image, mask, soft=soft, feather=0))
    if soft and not cut[..., 3].any():
        cut = np.asarray(cutout(image, mask, feather=0))
    return cut


def over(image: Image, layer: Layer) -> Image:
    """Lay a layer over an image (Porter and Duff's "over").

    A transparent image stays one, and is as opaque as the two together. No pixel changes where
    the layer's alpha is 0.

    Examples:
        >>> red = np.full((1, 1, 3), (255, 0, 0), np.uint8)
        >>> layer = Layer(1, 0, red, np.full((1, 1), 128, np.uint8))
        >>> over(Image.open(np.zeros((1, 2), np.uint8)), layer).pixels.tolist()
        [[[0, 0, 0], [128, 0, 0]]]
    """
    window, covered = layer.window, layer.alpha > 0
    share = layer.alpha[covered][:, None].astype(np.float32) / 255
    colours = layer.colours[covered]
    pixels = image.pixels.copy()
    pixels[window][covered] = _bytes(pixels[window][covered] * (1 - share) + colours * share)
    if image.alpha is None or image.straight is None:
        return replace(image, pixels=pixels)
    straight, alpha = image.straight.copy(), image.alpha.copy()
    below = alpha[window][covered][:, None].astype(np.float32) / 255 * (1 - share)
    total = share + below
    mixed = (colours * share + straight[window][covered] * below) / total
    straight[window][covered] = _bytes(mixed)
    alpha[window][covered] = _bytes(255 * total[:, 0])
    return replace(image, pixels=pixels, straight=straight, alpha=alpha)


def shadow_of(layer: Layer, size_hw: tuple[int, int]) -> Layer:
    """Make the soft shadow that a layer casts on what is behind it, to the right and below.

    Args:
        layer: What casts it.
        size_hw: Of the image, beyond which there is none.
    """
    height, width = layer.alpha.shape
    side = max(height, width)
    sigma = _SIGMA * side
    right, down = (round(share * side) for share in _OFFSET_XY)
    margin = round(_REACH * sigma) + 1
    padded = PIL.Image.fromarray(np.pad(layer.alpha, margin))
    blurred = np.asarray(padded.filter(PIL.ImageFilter.GaussianBlur(sigma)))
    left, top = layer.left + right - margin, layer.top + down - margin
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + blurred.shape[1], size_hw[1]), min(top + blurred.shape[0], size_hw[0])
    seen = blurred[y0 - top : max(y1, y0) - top, x0 - left : max(x1, x0) - left]
    alpha = _bytes(seen * np.float32(_DARKNESS))
    return Layer(x0, y0, np.zeros((*alpha.shape, 3), np.uint8), alpha)


def _bytes(values: npt.NDArray[np.floating]) -> Pixels:
    result: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return result
