"""Another colour for a thing, whose light and shade stay.

In Oklab (Ottosson 2020), hue and chroma become those of the colour wanted; the lightness is shifted
so that its median is that colour's, and towards black and white the chroma fades, as it does in
shadows and highlights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Tint"]

FloatArray = npt.NDArray[np.float32]

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    np.float32,
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    np.float32,
)
_FROM_LAB, _FROM_LMS = np.linalg.inv(_TO_LAB), np.linalg.inv(_TO_LMS)
_SAMPLE = 100_000  # pixels that the median is taken of


@dataclass(frozen=True)
class Tint:
    """A change of colour.

    Attributes:
        median: Lightness of the thing, 0 to 1.
        lab: Of the colour wanted.
    """

    median: float
    lab: tuple[float, float, float]

    @classmethod
    def of(cls, pixels: npt.NDArray[np.uint8], rgb: tuple[int, int, int]) -> Tint:
        """Find the change that gives pixels, uint8 (n, 3), a colour in the middle."""
        some = pixels[:: max(1, len(pixels) // _SAMPLE)].astype(np.float32)
        light, a, b = (float(value) for value in _to_oklab(np.array(rgb, np.float32)))
        return cls(float(np.median(_to_oklab(some)[..., 0])), (light, a, b))

    def apply(self, colours: FloatArray) -> FloatArray:
        """Change colours, RGB of 0 to 255: float32 (..., 3).

        Examples:
            >>> tint = Tint.of(np.full((9, 3), 128, np.uint8), (200, 30, 40))
            >>> tint.apply(np.array([[128, 128, 128], [0, 0, 0]], np.float32)).round().tolist()
            [[200.0, 30.0, 40.0], [0.0, 0.0, 0.0]]
        """
        light, a, b = self.lab
        before = _to_oklab(colours)[..., 0]
        shade = _bent(before, self.median, light)
        # At the wanted lightness all of the chroma, none in black and in white.
        room = np.minimum(shade / max(light, 1e-6), (1 - shade) / max(1 - light, 1e-6))
        room = np.clip(room, 0, 1)
        return _from_oklab(np.stack([shade, a * room, b * room], axis=-1))


def _bent(light: FloatArray, old: float, new: float) -> FloatArray:
    """Move one lightness to another; black stays black, white stays white, straight between."""
    low = light * np.float32(new / max(old, 1e-6))
    high = 1 - (1 - light) * np.float32((1 - new) / max(1 - old, 1e-6))
    return np.clip(np.where(light <= old, low, high), 0, 1).astype(np.float32)


def _to_oklab(rgb: FloatArray) -> FloatArray:
    share = rgb / np.float32(255)
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    found: FloatArray = np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T
    return found.astype(np.float32)


def _from_oklab(lab: FloatArray) -> FloatArray:
    linear = np.clip((lab @ _FROM_LAB.T) ** 3 @ _FROM_LMS.T, 0, 1)
    share = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(255 * share, dtype=np.float32)
