"""PNG files, fast: overlays and cut-outs of photos with many millions of pixels.

PNG's usual search for repetitions finds nothing in a photo but takes most of the time of a click.
To look only for runs of one value gives files of the same size in a third of it, and OpenCV's
encoder, where it is installed, needs half of that again (``benchmarks/overlays.py``).
"""

from __future__ import annotations

import importlib.util
import io
import os
from pathlib import Path

import numpy as np
import PIL.Image

from anymask.errors import OutputError

__all__ = ["encode_png", "write_png"]

_LARGE = 1_000_000  # pixels, from which OpenCV saves more time than its import takes
_RUNS = 3  # zlib's Z_RLE


def encode_png(image: PIL.Image.Image) -> bytes:
    """Write a Pillow image to the content of a PNG file, losslessly.

    Examples:
        >>> file = io.BytesIO(encode_png(PIL.Image.new("RGB", (64, 48))))
        >>> PIL.Image.open(file).size
        (64, 48)
    """
    large = image.width * image.height >= _LARGE and image.mode in ("RGB", "RGBA")
    if large and importlib.util.find_spec("cv2"):
        import cv2

        order = cv2.COLOR_RGBA2BGRA if image.mode == "RGBA" else cv2.COLOR_RGB2BGR
        flags = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
        done, content = cv2.imencode(".png", cv2.cvtColor(np.asarray(image), order), flags)
        if done:
            return content.tobytes()
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_type=_RUNS)
    return buffer.getvalue()


def write_png(image: PIL.Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a Pillow image to a PNG file, losslessly.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        Path(path).write_bytes(encode_png(image))
    except OSError as error:
        raise OutputError(f"expected to write an image, got {error.strerror or error}") from None
