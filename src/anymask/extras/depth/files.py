"""Depth maps from files of all kinds: what they hold, not what an image of them looks like."""

from __future__ import annotations

import io
import os
import warnings
from typing import IO, Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.extras.depth.exr import MAGIC, read_exr
from anymask.formats import files
from anymask.image.files import damaged, identify, is_tiff, unlogged
from anymask.image.pixels import MAX_PIXELS, check_end, is_deep
from anymask.image.tiff import open_tiff

__all__ = ["SUFFIXES", "DepthFile", "Kind", "Stored", "read", "read_metres"]

Kind = Literal["relative", "metric"]
DepthFile: TypeAlias = (
    npt.NDArray[Any] | str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]
)
"""An array, a path, the bytes of a file, or a file opened for reading bytes."""


class Stored(NamedTuple):
    """What was read: the fields of a `DepthMap`, and what to call it in errors."""

    values: npt.NDArray[Any]  # float64; the map makes it float32
    kind: Kind
    source: str | None
    coarse: bool
    name: str


SUFFIXES = (".png", ".npy", ".npz", ".exr", ".tif", ".tiff", ".pgm", ".pfm", ".jpg", ".jpeg")
"""How files of depth maps end."""

_MILLIMETRES = 1000.0


def read(source: DepthFile, kind: Kind | None, scale: float | None) -> Stored:
    """Read an array or a file, and find out what its numbers mean; see `DepthMap.open`.

    Raises:
        InputError: It cannot be read, or holds no depth.
    """
    if scale is not None and kind == "relative":
        raise InputError("expected a scale of metric depth only, got a relative one; leave it out")
    _check_scale(scale)
    grey, path, name = _load(source)
    return _understood(grey, kind, scale, path, name)


def read_metres(
    source: files.Source | npt.ArrayLike,
    scale: float | None = None,
    max_depth: float | None = None,
) -> npt.NDArray[np.float64]:
    """Read depth for points in space: its numbers are lengths, whatever the file.

    Args:
        source: A file of any kind that `DepthMap.open` takes, or an array (h, w).
        scale: How many of its units are a metre; None: 1000 for whole numbers, which are
            millimetres then, and 1 for others.
        max_depth: What is further away, in metres, counts as not known; None: nothing.

    Returns:
        float64 (h, w), metres; NaN and infinity stand for what is not known.

    Raises:
        InputError: It cannot be read, has colours, 8 bits without a scale, or values below 0; or
            the scale makes no sense.
        MissingExtraError: The package that reads it is not installed.

    Examples:
        >>> read_metres(np.array([[1500, 0]], np.uint16)).tolist()
        [[1.5, nan]]
    """
    _check_scale(scale)
    if max_depth is not None and not (np.isfinite(max_depth) and max_depth > 0):
        raise InputError(f"expected a max depth above 0, got {max_depth}; leave it out for all")
    grey, path, name = _load(source)
    if grey.dtype.itemsize == 1 and scale is None:
        raise InputError(
            f"expected depth of 16 bits or floating point, but {name} has 8, which is mostly a "
            "picture of depth; if it is none, say how many of its units are a metre (depth scale)"
        )
    metres = _understood(grey, "metric", scale, path, name).values
    return metres if max_depth is None else np.where(metres > max_depth, np.nan, metres)


_FILES = (str, os.PathLike, bytes, bytearray, memoryview, files.Content)


def _check_scale(scale: float | None) -> None:
    if scale is not None and not (np.isfinite(scale) and scale > 0):
        raise InputError(f"expected a depth scale above 0, got {scale}; 1000 means millimetres")


def _load(source: Any) -> tuple[npt.NDArray[Any], str | None, str]:
    """Give the numbers as they are stored, the path, and what to call it in errors."""
    if not isinstance(source, _FILES) and not hasattr(source, "read"):
        name = "the depth given"
        return _one_channel(np.asarray(source), name), None, name
    content = files.load(source)
    grey = _one_channel(_decode(content), content.name)
    return grey, None if content.path is None else str(content.path), content.name


def _understood(
    grey: npt.NDArray[Any], kind: Kind | None, scale: float | None, source: str | None, name: str
) -> Stored:
    """Find out what the numbers mean."""
    coarse = grey.dtype == np.uint8
    whole = grey.dtype.kind in "ui"
    if kind is None:
        kind = "relative" if coarse and scale is None else "metric"
    if coarse:
        warnings.warn(
            f"{name} has 8 bits, 256 steps of depth, taken as {_MEANING[kind]}; depth of 16 bits "
            "or in floating point is finer",
            stacklevel=4,
        )
    depths = grey.astype(np.float64)
    if kind == "metric":
        if (depths < 0).any():
            raise InputError(
                f"expected metric depth of 0 or more, but {name} has {np.nanmin(depths):.4g}; say "
                "that it is relative if large means near, or correct it"
            )
        depths = np.where(depths > 0, depths, np.nan)
        depths = depths / (scale or (_MILLIMETRES if whole and not coarse else 1.0))
    return Stored(depths, kind, source, coarse, name)


_MEANING = {"relative": "relative, light is near", "metric": "metric"}


def _one_channel(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Take (h, w), or an array with a further axis of one, or of equal channels."""
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]) and array.dtype.kind in "uif":
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.ndim == 3 and array.shape[2] in (3, 4):
        if not (array[..., :1] == array[..., :3]).all():
            raise InputError(
                f"expected one number of depth for each pixel, but {name} has colours; get the "
                "depth itself, not a picture in false colours"
            )
        array = array[..., 0]
    if array.ndim != 2 or array.dtype.kind not in "uif" or not array.size:
        raise InputError(
            f"expected depth as numbers of shape (h, w), but {name} has {array.dtype} of shape "
            f"{array.shape}; pass one number for each pixel"
        )
    return array


def _decode(content: files.Content) -> npt.NDArray[Any]:
    """Read the values of a file as they are stored."""
    data, name = content.data, content.name
    if data.startswith((b"\x93NUMPY", b"PK\x03\x04")):
        return _numpy(data, name)
    if data.startswith(MAGIC):
        return read_exr(data, name)
    file = io.BytesIO(data)
    if is_tiff(file) and (values := _tiff(file, name)) is not None:
        return values
    with identify(file, name) as image:
        if image.width * image.height > MAX_PIXELS:
            raise InputError(
                f"expected at most {MAX_PIXELS} pixels, but {name} has {image.width} x "
                f"{image.height}; shrink it first"
            )
        try:
            with unlogged():
                image.load()
            if image.mode in ("P", "1", "CMYK", "YCbCr", "LAB", "HSV", "PA"):
                return np.asarray(image.convert("RGB"))
            if image.mode in ("LA", "La"):
                return np.asarray(image.getchannel(0))
            return np.asarray(image)
        except Exception as error:  # broken files make Pillow's readers raise nearly anything
            raise damaged(name, error) from error


def _tiff(file: io.BytesIO, name: str) -> npt.NDArray[Any] | None:
    """Read what of TIFF files Pillow does not; None for the rest."""
    try:
        with identify(file, name) as image:
            check_end(image, file, name)
            if not is_deep(image) or image.mode in ("F", "I;16", "I"):
                return None
    except InputError as error:
        if "cut off" in str(error):
            raise
    with open_tiff(file, name) as tiff:
        tiff.check()
        return tiff.values(0, tiff.size_hw[0])


def _numpy(data: bytes, name: str) -> npt.NDArray[Any]:
    try:
        loaded = np.load(io.BytesIO(data), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = list(loaded.files)
            chosen = "depth" if "depth" in names else names[0] if len(names) == 1 else None
            if chosen is not None:
                return np.asarray(loaded[chosen])
    except Exception as error:  # broken files make numpy raise many things
        raise damaged(name, error) from error
    raise InputError(
        f"expected one array or one named depth in {name}, got {', '.join(names[:5]) or 'none'}; "
        "pass the array itself"
    )
