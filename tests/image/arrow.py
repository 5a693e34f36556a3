"""An image in which rows and columns can be told apart, and ways to save and read it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import PIL.Image

from anymask.image.image import Image

# Rows and columns can be told apart in it, and it survives JPEG.
ARROW = np.zeros((24, 16, 3), np.uint8)
ARROW[:8, :8] = 255
ARROW[16:, :8, 0] = 255


def arrow() -> PIL.Image.Image:
    return PIL.Image.fromarray(ARROW)


def saved(image: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read(source: Any, **options: Any) -> np.ndarray:
    return Image.open(source, **options).pixels
