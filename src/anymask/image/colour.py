"""Colours as a screen shows them: profiles to sRGB, transparency laid on a background."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import PIL.Image

__all__ = ["Alpha", "Colour", "Decoded", "Pixels", "lay_on", "to_srgb", "turn"]

Pixels = npt.NDArray[np.uint8]
Alpha = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

_FULL = 255


class Decoded(NamedTuple):
    """Pixels of a file, an array or a Pillow image, ready to be shown."""

    pixels: Pixels
    """uint8 (h, w, 3), sRGB, laid on the background."""
    alpha: Alpha | None = None
    """uint8 (h, w), 0 transparent, 255 opaque; None where all is opaque."""
    straight: Pixels | None = None
    """uint8 (h, w, 3), the colours as if all were opaque; None where all is."""

    def turned(self, orientation: int) -> Decoded:
        """Turn it upright as an EXIF orientation of 1 to 8 says; others change nothing."""
        if self.alpha is None or self.straight is None:
            return Decoded(turn(self.pixels, orientation))
        return Decoded(
            *(turn(part, orientation) for part in (self.pixels, self.alpha, self.straight))
        )


def turn(stored: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn stored rows and columns, (h, w) or (h, w, c), as an EXIF orientation says."""
    if orientation in (5, 6, 7, 8):
        stored = stored.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        stored = stored[::-1]
    return stored[:, ::-1] if orientation in (2, 3, 6, 7) else stored


def lay_on(background: Colour, straight: PIL.Image.Image, alpha: PIL.Image.Image) -> Decoded:
    """Lay an image of mode RGB on a background, as far as its alpha (mode L) lets it show."""
    opacity = np.asarray(alpha)
    if opacity.min() == _FULL:
        return Decoded(np.asarray(straight))
    sheet = PIL.Image.new("RGB", straight.size, background)
    sheet.paste(straight, mask=alpha)
    return Decoded(np.asarray(sheet), opacity, np.asarray(straight))


def to_srgb(image: PIL.Image.Image, profile: bytes | None) -> PIL.Image.Image:
    """Convert to RGB by the embedded colour profile, or plainly if there is none that fits."""
    if profile:
        try:
            return _apply_profile(image, profile)
        except Exception:  # a broken or foreign profile, or a Pillow without its colour module
            pass
    return image.convert("RGB")


def _apply_profile(image: PIL.Image.Image, profile: bytes) -> PIL.Image.Image:
    from PIL import ImageCms

    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if "sRGB" in ImageCms.getProfileDescription(source):
        return image.convert("RGB")
    space = source.profile.xcolor_space.strip()
    if (space == "CMYK") == (image.mode == "CMYK"):
        image = image.convert({"GRAY": "L", "CMYK": "CMYK"}.get(space, "RGB"))
    converted = ImageCms.profileToProfile(
        image,
        source,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert converted is not None  # None is for inPlace=True
    return converted
