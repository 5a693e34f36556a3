"""Writing images to files, fast: overlays and cut-outs of photos with many millions of pixels.

PNG's usual search for repetitions finds nothing in a photo but takes most of the time of a click.
To look only for runs of one value gives files of the same size in a third of it, and OpenCV's
encoder, where it is installed, needs half of that again (``benchmarks/overlays.py``).
"""

from __future__ import annotations

import importlib.util
import os
from typing import IO

import numpy as np
import PIL.Image

from anymask.errors import OutputError

__all__ = ["write_png"]

_LARGE = 1_000_000  # pixels, from which OpenCV saves more time than its import takes
_RUNS = 3  # zlib's Z_RLE


def write_png(picture: PIL.Image.Image, file: str | os.PathLike[str] | IO[bytes]) -> None:
    """Write a Pillow image as PNG, losslessly.

    Args:
        picture: What to write.
        file: A path, or a file that was opened for writing bytes.

    Raises:
        OutputError: It cannot be written.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> write_png(PIL.Image.new("RGB", (64, 48)), file)
        >>> PIL.Image.open(file).size
        (64, 48)
    """
    try:
        large = picture.width * picture.height >= _LARGE and picture.mode in ("RGB", "RGBA")
        if large and importlib.util.find_spec("cv2"):
            content = _encode(picture)
            if hasattr(file, "write"):
                file.write(content)
            else:
                with open(file, "wb") as opened:
                    opened.write(content)
        else:
            picture.save(file, "PNG", compress_type=_RUNS)
    except OSError as error:
        raise OutputError(f"expected to write an image, got {error.strerror or error}") from None


def _encode(picture: PIL.Image.Image) -> bytes:
    import cv2

    order = cv2.COLOR_RGBA2BGRA if picture.mode == "RGBA" else cv2.COLOR_RGB2BGR
    flags = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    done, content = cv2.imencode(".png", cv2.cvtColor(np.asarray(picture), order), flags)
    assert done
    return content.tobytes()
