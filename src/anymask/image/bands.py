"""Images read a band of rows at a time, so that they need not fit into memory.

TIFF files are read where the rows are: strips or tiles, plain or compressed. Other formats can only
be decoded as a whole, once, at four bytes for each pixel; so are the kinds of TIFF that only Pillow
knows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Protocol

import numpy as np

from anymask.errors import InputError
from anymask.image.colour import Pixels
from anymask.image.files import identify, is_tiff, open_file, shown
from anymask.image.image import Image, ImageLike
from anymask.image.pixels import check_end, decode, is_deep, read_deep, read_pil, read_tiff
from anymask.image.scaling import Bounds, value_range
from anymask.image.tiff import Tiff, open_tiff

__all__ = ["MAX_DECODED", "Bands", "open_bands"]

MAX_DECODED = 500_000_000
"""Pixels that an image may have which can only be decoded as a whole."""

_WHITE = (255, 255, 255)


class Bands(Protocol):
    """An image that is read a band of rows at a time."""

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
    """Open an image for reading in bands; they look as `Image.open` would show them.

    Args:
        source: Everything that `Image.open` takes; only what a path leads to is read in bands, the
            rest is decoded at once.

    Raises:
        InputError: It is missing, damaged, no image, or too large for its format.
        MissingExtraError: It is a TIFF file and tifffile is not installed.

    Examples:
        >>> with open_bands(np.zeros((500, 300), np.uint8)) as bands:
        ...     bands.size_hw, bands.read(100, 200).shape
        ((500, 300), (100, 300, 3))
    """
    if not isinstance(source, str | os.PathLike):
        image = Image.open(source)
        yield _Whole(image.pixels, image.source)
        return
    path = os.fsdecode(source)
    with open_file(path) as file:
        if is_tiff(file):
            with _open_tiff(file, path) as bands:
                yield bands
        else:
            yield _open_other(file, path)


class _Whole:
    """An image that lies in memory."""

    def __init__(self, pixels: Pixels, source: str | None) -> None:
        self._pixels = pixels
        self.size_hw = pixels.shape[0], pixels.shape[1]
        self.source = source

    def read(self, top: int, bottom: int) -> Pixels:
        return self._pixels[top:bottom]


class _ByPillow:
    """A file that Pillow decodes as a whole; bands of it are converted when they are read."""

    def __init__(self, file: IO[bytes], path: str, remedy: str) -> None:
        self._image = decode(file, shown(path), MAX_DECODED, remedy)
        self.size_hw = self._image.height, self._image.width
        self.source = path
        self._bounds = self._find_bounds()

    def read(self, top: int, bottom: int) -> Pixels:
        band = self._image.crop((0, top, self.size_hw[1], bottom))
        # Without the orientation, which is upright already.
        kept = ("icc_profile", "transparency")
        band.info = {name: band.info[name] for name in kept if name in band.info}
        return read_pil(band, _WHITE, MAX_DECODED, shown(self.source), self._bounds).pixels

    def _find_bounds(self) -> Bounds | None:
        mode = self._image.mode
        if mode not in ("I", "F") and not mode.startswith("I;"):
            return None
        low, high = np.asarray(self._image.getextrema(), dtype=np.float64)
        return value_range(low, high, mode == "F", 1)


class _Tiff:
    """A TIFF file that is read where its rows are."""

    def __init__(self, tiff: Tiff, path: str) -> None:
        self._tiff = tiff
        self.size_hw = tiff.size_hw
        self.source = path
        tiff.bounds()  # looked for now, for that takes a while and can fail

    def read(self, top: int, bottom: int) -> Pixels:
        return self._tiff.read(top, bottom, _WHITE).pixels


@contextmanager
def _open_tiff(file: IO[bytes], path: str) -> Iterator[Bands]:
    """Open a TIFF file where its rows are, or as a whole if that cannot be done."""
    with open_tiff(file, shown(path)) as tiff:
        obstacle = "it is stored turned round" if tiff.orientation != 1 else tiff.obstacle()
        if obstacle is None and not tiff.subfile & 1:
            tiff.check()
            tiff.warn()
            yield _Tiff(tiff, path)
            return
        remedy = f"save it with tiles and deflate, because {obstacle}"
        yield _open_whole_tiff(file, path, remedy)


def _open_whole_tiff(file: IO[bytes], path: str, remedy: str) -> Bands:
    try:
        image = identify(file, shown(path))
    except InputError:  # it may only be of a kind that Pillow does not know
        plain = False
    else:
        with image:
            check_end(image, file, shown(path))
            plain = not is_deep(image)
    if plain:
        return _ByPillow(file, path, remedy)
    decoded, _ = read_tiff(file, shown(path), _WHITE, MAX_DECODED, remedy)
    return _Whole(decoded.pixels, path)


def _open_other(file: IO[bytes], path: str) -> Bands:
    name, remedy = shown(path), "save it as a TIFF file with tiles"
    with identify(file, name) as image:
        decoded = read_deep(image, file, name, _WHITE, MAX_DECODED, remedy)
    return _ByPillow(file, path, remedy) if decoded is None else _Whole(decoded.pixels, path)
