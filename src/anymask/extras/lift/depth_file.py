"""Depth as cameras and programs write it: PNG of 16 bits, TIFF, NPY."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.errors import InputError, MissingExtraError
from anymask.formats import files
from anymask.formats.files import Content, Source
from anymask.image.files import unlogged
from anymask.optional import optional

__all__ = ["read_depth"]

_MILLIMETRES = 1000.0
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_FILES = (str, os.PathLike, bytes, bytearray, memoryview, Content)


def read_depth(
    source: Source | npt.ArrayLike, *, scale: float | None = None, max_depth: float | None = None
) -> npt.NDArray[np.float64]:
    """Read depth in metres.

    Args:
        source: A PNG of 16 bits, a TIFF, an NPY file, or an array (h, w).
        scale: How many of its units are a metre; None: 1000 for whole numbers, which are
            millimetres then, and 1 for others.
        max_depth: What is further away, in metres, counts as not known; None: nothing.

    Returns:
        float64 (h, w), metres; 0, NaN and infinity stand for what is not known.

    Raises:
        InputError: It is missing, damaged, has colours or 8 bits, or the scale makes no sense.
        MissingExtraError: tifffile is not installed, for TIFF.

    Examples:
        >>> read_depth(np.array([[1500, 0]], np.uint16)).tolist()
        [[1.5, 0.0]]
    """
    for name, value in (("depth scale", scale), ("max depth", max_depth)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(f"expected a {name} above 0, got {value}; leave it out for the usual")
    is_file = isinstance(source, _FILES) or hasattr(source, "read")
    name, values = _read_file(source) if is_file else ("the array given", np.asarray(source))  # type: ignore[arg-type]
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim != 2 or values.dtype.kind not in "iuf" or not values.size:
        raise InputError(
            f"expected depth as one number for each pixel, got {name} with {values.dtype} of shape "
            f"{values.shape}; give the depth itself, not a picture of it"
        )
    if values.dtype.itemsize == 1 and scale is None:
        raise InputError(
            f"expected depth of 16 bits or floating point, got {name} with 8, which is mostly a "
            "picture of depth; if it is none, say how many of its units are a metre (depth scale)"
        )
    usual = 1.0 if values.dtype.kind == "f" else _MILLIMETRES
    depth = values.astype(np.float64) / (usual if scale is None else scale)
    if max_depth is not None:
        with np.errstate(invalid="ignore"):
            depth[depth > max_depth] = 0
    return depth


def _read_file(source: Source) -> tuple[str, npt.NDArray[Any]]:
    content = files.load(source)
    file = io.BytesIO(content.data)
    try:
        if content.data.startswith(b"\x93NUMPY"):
            return content.name, np.load(file, allow_pickle=False)
        with unlogged():
            if content.data.startswith(_TIFF):
                return content.name, optional("tifffile", extra="lift").imread(file)
            with PIL.Image.open(file) as image:
                return content.name, np.asarray(image)
    except (MissingExtraError, MemoryError):
        raise
    except Exception as error:  # broken files make readers raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"expected depth as a PNG of 16 bits, a TIFF or an NPY file, got {content.name}, which "
            f"cannot be read ({reason}); check that it is whole"
        ) from error
