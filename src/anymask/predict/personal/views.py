"""Other views of a thing, made of the one that there is, to learn how alike two of them are."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import PIL.Image

__all__ = ["VIEWS", "Change", "change"]

BoolArray = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]


class Change(NamedTuple):
    """How a view differs from the reference."""

    scale: float
    """Times as large."""
    turn: float
    """Degrees, clockwise as seen."""
    light: tuple[float, float, float]
    """What red, green and blue are multiplied by."""


VIEWS = (
    Change(0.7, 12, (0.85, 0.8, 0.8)),
    Change(1.25, -10, (1.2, 1.2, 1.15)),
    Change(0.85, -18, (1.05, 1.1, 1.15)),
)


def change(image: Pixels, mask: BoolArray, how: Change) -> tuple[Pixels, BoolArray, BoolArray]:
    """Cut a thing out and paste it, changed, into the middle of its photo turned upside down.

    So it stands before another background, which it may cover in part.

    Args:
        image: uint8 (h, w, 3).
        mask: The thing, bool (h, w), not empty.
        how: What to change; what would not fit is made smaller.

    Returns:
        The image, where the pasted thing is, and where the one turned upside down is: of the same
        size as before.
    """
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y, x = (rows[0] + rows[-1] + 1) / 2, (columns[0] + columns[-1] + 1) / 2
    turn = math.radians(how.turn)
    cos, sin = math.cos(turn), math.sin(turn)
    h, w = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    high, wide = h * abs(cos) + w * abs(sin), w * abs(cos) + h * abs(sin)
    scale = min(how.scale, 0.98 * height / high, 0.98 * width / wide)
    # From a pixel of the view to one of the photo.
    a, b, c, d = cos / scale, sin / scale, -sin / scale, cos / scale
    way = (a, b, x - a * width / 2 - b * height / 2, c, d, y - c * width / 2 - d * height / 2)

    def moved(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        picture = PIL.Image.fromarray(values).transform(
            (width, height), PIL.Image.Transform.AFFINE, way, PIL.Image.Resampling.BILINEAR
        )
        return np.asarray(picture, np.float32)

    soft = moved(mask.astype(np.uint8) * np.uint8(255))[..., None] / 255
    ground = image[::-1, ::-1].astype(np.float32)
    pasted = np.clip(moved(image) * np.array(how.light, np.float32), 0, 255)
    view = np.rint(ground + (pasted - ground) * soft).astype(np.uint8)
    return view, soft[..., 0] > 0.5, mask[::-1, ::-1]
