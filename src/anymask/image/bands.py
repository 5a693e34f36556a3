"""Pictures read a band of rows at a time, so that they need not fit into memory.

TIFF files are read where the rows are: strips or tiles, plain or compressed. Other formats can only
be decoded as a whole, once, at four bytes for each pixel; so are the kinds of TIFF that only Pillow
knows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.errors import InputError
from anymask.image.image import Image, ImageLike
from anymask.image.pixels import (
    Bounds,
    Pixels,
    decode,
    open_file,
    read_array,
    read_pil,
    value_range,
)
from anymask.optional import optional

__all__ = ["MAX_DECODED", "Bands", "open_bands"]

MAX_DECODED = 500_000_000
"""Pixels that a picture may have which can only be decoded as a whole."""

_WHITE = (255, 255, 255)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_VALUES_AT_ONCE = 2**24  # looked through at a time for the smallest and the largest

# Tags of TIFF files and what they can say.
_ORIENTATION, _PROFILE = 274, 34675
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_JPEG = 7
_PREMULTIPLIED, _ALPHA = 1, 2


class Bands(Protocol):
    """A picture that is read a band of rows at a time."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        ...

    @property
    def source(self) -> str | None:
        """Where it came from, such as a file's path."""
        ...

    def read(self, top: int, bottom: int) -> Pixels:
        """Read the rows from ``top`` up to ``bottom``, exclusive: uint8 (rows, w, 3) RGB."""
        ...


@contextmanager
def open_bands(source: ImageLike) -> Iterator[Bands]:
    """Open a picture for reading in bands; they look as `Image.open` would show them.

    Args:
        source: Everything that `Image.open` takes; only what a path leads to is read in bands, the
            rest is decoded at once.

    Raises:
        InputError: It is missing, damaged, no image, or too large for its format.
        MissingExtraError: It is a TIFF file and tifffile is not installed.
    """
    if not isinstance(source, str | os.PathLike):
        yield _Decoded(Image.open(source))
        return
    path = os.fsdecode(source)
    with open_file(path) as file:
        if file.read(4) in _TIFF:
            with _open_tiff(file, path) as bands:
                yield bands
        else:
            yield _Picture(file, path, "save it as a TIFF file with tiles")


class _Decoded:
    """A picture that lies in memory."""

    def __init__(self, image: Image) -> None:
        self._pixels = image.pixels
        self.size_hw = image.size_hw
        self.source = image.source

    def read(self, top: int, bottom: int) -> Pixels:
        return self._pixels[top:bottom]


class _Picture:
    """A file that Pillow decodes as a whole; bands of it are converted when they are read."""

    def __init__(self, file: IO[bytes], path: str, remedy: str) -> None:
        file.seek(0)
        self._picture = decode(file, repr(path), MAX_DECODED, remedy)
        self.size_hw = self._picture.height, self._picture.width
        self.source = path
        self._bounds = self._find_bounds()

    def read(self, top: int, bottom: int) -> Pixels:
        band = self._picture.crop((0, top, self.size_hw[1], bottom))
        # Without the orientation, which is upright already.
        kept = ("icc_profile", "transparency")
        band.info = {name: band.info[name] for name in kept if name in band.info}
        return read_pil(band, _WHITE, MAX_DECODED, repr(self.source), self._bounds)

    def _find_bounds(self) -> Bounds | None:
        mode = self._picture.mode
        if mode not in ("I", "F") and not mode.startswith("I;"):
            return None
        low, high = np.asarray(self._picture.getextrema(), dtype=np.float64)
        return value_range(low, high, mode == "F", 1)


@contextmanager
def _open_tiff(file: IO[bytes], path: str) -> Iterator[Bands]:
    """Open a TIFF file where its rows are, or as a whole if only Pillow knows its kind."""
    tifffile = optional("tifffile", extra="image")
    file.seek(0)
    try:
        tiff = tifffile.TiffFile(file)
        page = tiff.pages[0]
    except Exception as error:  # broken files make it raise nearly anything
        raise _damaged(path, error) from error
    with tiff:
        obstacle = _obstacle(page)
        if obstacle is None:
            yield _Tiff(page, path)
        else:
            yield _Picture(file, path, f"save it with tiles and deflate, because {obstacle}")


def _obstacle(page: Any) -> str | None:
    """Say why a page of a TIFF file cannot be read in bands; None if it can."""
    photometric, orientation = page.photometric, page.tags.get(_ORIENTATION)
    jpeg = page.compression == _JPEG and photometric == _YCBCR  # its decoder makes RGB of it
    if photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE) and not jpeg:
        return f"colours as {photometric.name} have to be decoded as a whole"
    if orientation is not None and orientation.value != 1:
        return "it is stored turned round"
    if page.bitspersample not in (8, 16, 32, 64) or page.dtype is None:
        return f"values of {page.bitspersample} bits have to be decoded as a whole"
    if _PREMULTIPLIED in page.extrasamples or page.subfiletype & 1 or page.imagedepth != 1:
        return "it is of a kind that has to be decoded as a whole"
    try:
        _segment(page, 0)
    except Exception as error:  # no decoder, above all
        return str(error).replace("\n", " ")
    return None


def _segment(page: Any, index: int) -> tuple[npt.NDArray[Any] | None, Any]:
    """Decode a strip or tile: its values (1, rows, columns, samples), and where they belong."""
    decode_segment = page.decode  # making it moves the file, as does reading the tables
    tables = {"jpegtables": page.jpegtables} if page.compression == _JPEG else {}
    file, size = page.parent.filehandle, page.databytecounts[index]
    file.seek(page.dataoffsets[index])
    values, place, _ = decode_segment(file.read(size) if size else None, index, **tables)
    return values, place


def _damaged(path: str, error: Exception) -> InputError:
    return InputError(f"cannot decode {path!r}, damaged or cut off ({error}); get it again")


class _Tiff:
    """A page of a TIFF file, of which only the strips or tiles that are asked for are decoded."""

    def __init__(self, page: Any, path: str) -> None:
        self._page = page
        self.size_hw = int(page.imagelength), int(page.imagewidth)
        self.source = path
        tiled = page.is_tiled
        self._step = int(page.tilelength if tiled else page.rowsperstrip)
        self._per_row = -(-self.size_hw[1] // page.tilewidth) if tiled else 1
        self._planes = int(page.samplesperpixel) if page.planarconfig == 2 else 1
        self._channels = 3 if page.photometric in (_RGB, _YCBCR) else 1
        self._channels += _ALPHA in page.extrasamples[:1]
        self._last: dict[int, Any] = {}  # what was decoded last, because bands overlap
        self._bounds = self._find_bounds()

    def read(self, top: int, bottom: int) -> Pixels:
        page, values = self._page, self._values(top, bottom)
        if page.photometric == _PALETTE:
            colours = (np.asarray(page.colormap) >> 8).astype(np.uint8)
            return np.ascontiguousarray(colours.T[values[..., 0]])
        rgb = read_array(values, _WHITE, self._bounds)
        if page.photometric == _WHITE_IS_ZERO:
            rgb = 255 - rgb
        return self._in_srgb(rgb)

    def _in_srgb(self, rgb: Pixels) -> Pixels:
        profile = self._page.tags.get(_PROFILE)
        if profile is None:
            return rgb
        picture = PIL.Image.fromarray(rgb)
        picture.info["icc_profile"] = profile.value
        return read_pil(picture, _WHITE, rgb.size)

    def _values(self, top: int, bottom: int) -> npt.NDArray[Any]:
        """Read the stored values of some rows: (rows, w, channels)."""
        page, w = self._page, self.size_hw[1]
        if page.is_memmappable:
            return self._mapped()[top:bottom, :, : self._channels]
        values = np.zeros((bottom - top, w, page.samplesperpixel), page.dtype)
        for block, (sample, _, y, x, _) in self._decoded(top, bottom):
            part = block[0, max(0, top - y) : bottom - y, : w - x]
            rows, columns, samples = part.shape
            row = max(0, y - top)
            values[row : row + rows, x : x + columns, sample : sample + samples] = part
        return values[..., : self._channels]

    def _mapped(self) -> npt.NDArray[Any]:
        """Give plain values as they lie in the file: (h, w, samples)."""
        page, (h, w) = self._page, self.size_hw
        dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
        shape = (self._planes, h, w, page.samplesperpixel // self._planes)
        stored = np.memmap(self.source, dtype, "r", page.dataoffsets[0], shape)
        return np.moveaxis(stored[..., 0], 0, 2) if self._planes > 1 else stored[0]

    def _decoded(self, top: int, bottom: int) -> Iterator[tuple[npt.NDArray[Any], Any]]:
        """Decode the strips or tiles that some rows need."""
        rows = -(-self.size_hw[0] // self._step)
        needed = [
            (plane * rows + row) * self._per_row + column
            for plane in range(self._planes)
            for row in range(top // self._step, -(-bottom // self._step))
            for column in range(self._per_row)
        ]
        self._last = {index: self._last[index] for index in needed if index in self._last}
        for index in needed:
            if index not in self._last:
                try:
                    self._last[index] = _segment(self._page, index)
                except Exception as error:  # broken files make it raise nearly anything
                    raise _damaged(self.source, error) from error
            values, place = self._last[index]
            if values is not None:  # else nothing is stored, which means zeros
                yield values, place

    def _find_bounds(self) -> Bounds | None:
        """Look through the whole file, unless it has 8 bits, whose range is known."""
        page, (h, w) = self._page, self.size_hw
        if page.dtype in (np.uint8, np.bool_) or page.photometric == _PALETTE:
            return None
        step = max(1, _VALUES_AT_ONCE // (w * page.samplesperpixel))
        extremes = []
        for top in range(0, h, step):
            values = self._values(top, min(top + step, h))
            extremes += [float(values.min()), float(values.max())]
        return value_range(min(extremes), max(extremes), page.dtype.kind == "f", self._channels)
