"""Images and the reading of their pixels, and the way into a model's frame.

`image` is the value. `files` opens files and says what is wrong with them; `pixels` decodes them,
with `tiff` for what Pillow does not know; `scaling` brings values of every dtype to 8 bits,
`colour` to sRGB and on a background. `bands` reads a few rows at a time, `encode` writes, `geo`
knows where on the earth an image lies. `transform` alone knows a model's frame, and alone needs
torch, so it is imported only when it is asked for.
"""

from __future__ import annotations

from anymask.image.image import Image, ImageLike
from anymask.image.transform import Transform

__all__ = ["Image", "ImageLike", "Transform"]
