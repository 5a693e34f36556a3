"""TIFF files through tifffile: every dtype, any number of bands, a few rows at a time.

Of more than three bands the first three are shown as red, green and blue (which is what the
satellites and drones have first that add infrared behind), of two the first as grey; a warning says
so. An alpha channel is none of these bands. Values that stand for none, by GDAL's tag, are shown as
the smallest.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError, MissingExtraError
from anymask.image.colour import Colour, Decoded
from anymask.image.files import MissingReaderError, damaged, unlogged
from anymask.image.scaling import Bounds, check_dtype, from_values, value_range
from anymask.optional import optional

__all__ = ["Tiff", "UnknownKind", "check_whole", "open_tiff", "warn_of_left_out"]

_LARGEST_SEGMENT = 2**33  # bytes; what a bomb unpacks to is more
_VALUES_AT_ONCE = 2**24  # looked through at a time for the smallest and the largest

# Tags of TIFF files and what they can say.
_ORIENTATION, _PROFILE, _NO_DATA = 274, 34675, 42113
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_PLAIN, _JPEG = 1, 7
_PREMULTIPLIED, _ALPHA = 1, 2


class UnknownKind(InputError):
    """The file may be whole, but its kind cannot be read."""


@contextmanager
def open_tiff(file: IO[bytes], name: str) -> Iterator[Tiff]:
    """Open the first page of a TIFF file.

    Raises:
        InputError: It is damaged.
        MissingExtraError: tifffile is not installed.
    """
    try:
        tifffile = optional("tifffile", extra="image")
    except MissingExtraError as error:
        raise MissingReaderError(f"cannot read {name}: {error}") from error
    file.seek(0)
    try:
        with unlogged():
            opened = tifffile.TiffFile(file)
            page = Tiff(opened.pages[0], name)
    except Exception as error:  # broken files make it raise nearly anything
        raise damaged(name, error) from error
    with opened:
        yield page


class Tiff:
    """A page of a TIFF file, of which only the strips or tiles that are asked for are decoded."""

    def __init__(self, page: Any, name: str) -> None:
        self._page, self._name = page, name
        self.size_hw = int(page.imagelength), int(page.imagewidth)
        self.subfile = int(page.subfiletype)
        self._tiled = bool(page.is_tiled)
        self._step = int(page.tilelength if self._tiled else page.rowsperstrip)
        self._per_row = -(-self.size_hw[1] // int(page.tilewidth)) if self._tiled else 1
        self._samples = int(page.samplesperpixel)
        self._planes = self._samples if page.planarconfig == 2 else 1
        self._shown = self._choose_samples()
        self._last: dict[int, Any] = {}  # what was decoded last, because bands overlap
        self._bounds: tuple[Bounds | None] | None = None
        self._no_data = self._read_no_data()

    @property
    def tags(self) -> Mapping[int, Any]:
        """All tags by their numbers."""
        return {tag.code: tag.value for tag in self._page.tags}

    @property
    def orientation(self) -> int:
        """How its rows and columns are to be turned, 1 (not at all) to 8."""
        tag = self._page.tags.get(_ORIENTATION)
        return 1 if tag is None else int(tag.value)

    def obstacle(self) -> str | None:
        """Say why its values cannot be decoded here; None if they can."""
        page = self._page
        jpeg = page.compression == _JPEG and page.photometric == _YCBCR  # its decoder makes RGB
        known = (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE)
        if page.photometric not in known and not jpeg:
            return f"it has colours as {getattr(page.photometric, 'name', page.photometric)}"
        if page.dtype is None:
            return f"it has values of {page.bitspersample} bits"
        if page.imagedepth != 1:
            return "it is a volume"
        if self._segment_bytes() > _LARGEST_SEGMENT:
            return "its strips or tiles are too large"
        try:
            self._segment(0)
        except Exception as error:  # no decoder, above all
            if "imagecodecs" in str(error):
                return "it is compressed in a way that needs more: pip install imagecodecs"
            return " ".join(str(error).split()) or type(error).__name__
        return None

    def check(self) -> None:
        """Check that its values can be decoded and shown, and that the file is whole.

        Raises:
            InputError: They are complex numbers or text, or data are missing at the end.
            UnknownKind: There is no decoder.
        """
        check_whole(*self._segments(), self._page.parent.filehandle.size, self._name)
        obstacle = self.obstacle()
        if obstacle is not None:
            raise UnknownKind(
                f"cannot read {self._name}, because {obstacle}; save it as RGB without compression"
            )
        check_dtype(self._page.dtype)

    def read(self, top: int, bottom: int, background: Colour) -> Decoded:
        """Read the rows from ``top`` up to ``bottom``, exclusive, as they are stored.

        Raises:
            InputError: They are damaged, or hold NaN, infinity or colours below zero.
        """
        page, values, bounds = self._page, self.values(top, bottom), self.bounds()
        missing = self._missing(values)
        if missing is not None and bounds is not None:
            values = np.where(missing, np.asarray(bounds[0], values.dtype), values)
        tag = page.tags.get(_PROFILE)
        if page.photometric == _PALETTE:
            colours = (np.asarray(page.colormap) >> 8).astype(np.uint8)
            values = colours.T[values[..., 0]]
        return from_values(
            values,
            background,
            bounds,
            inverted=page.photometric == _WHITE_IS_ZERO,
            premultiplied=_PREMULTIPLIED in page.extrasamples,
            profile=None if tag is None else bytes(tag.value),
        )

    def bounds(self) -> Bounds | None:
        """Find which values become 0 and 255; the whole file is looked through, once.

        Returns:
            None for 8 bits, whose range is known.
        """
        if self._bounds is None:
            self._bounds = (self._find_bounds(),)
        return self._bounds[0]

    def _find_bounds(self) -> Bounds | None:
        page, (h, w) = self._page, self.size_hw
        if page.dtype in (np.uint8, np.bool_) or page.photometric == _PALETTE:
            return None
        step = max(1, _VALUES_AT_ONCE // (w * len(self._shown)))
        extremes = []
        for top in range(0, h, step):
            values = self.values(top, min(top + step, h))
            missing = self._missing(values)
            values = values if missing is None else values[~missing]
            if values.size:
                extremes += [float(values.min()), float(values.max())]
        floating = np.dtype(page.dtype).kind == "f"
        low, high = min(extremes, default=0.0), max(extremes, default=0.0)
        return value_range(low, high, floating, len(self._shown))

    def _read_no_data(self) -> float | None:
        """Read which value stands for none, as GDAL writes it (heights where nobody measured)."""
        tag = self._page.tags.get(_NO_DATA)
        try:
            return None if tag is None else float(str(tag.value).strip(" \0"))
        except ValueError:
            return None

    def _missing(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
        """Find the values that stand for none; they would take all contrast from the others."""
        if self._no_data is None:
            return None
        if np.isnan(self._no_data):
            return np.isnan(values) if values.dtype.kind == "f" else None
        # The tag is a decimal text of a value that may have fewer bits.
        no_data = self._no_data
        if values.dtype.kind == "f":
            with np.errstate(over="ignore"):
                no_data = float(np.asarray(no_data, values.dtype))
        found: npt.NDArray[np.bool_] = values == no_data
        return found

    def values(self, top: int, bottom: int) -> npt.NDArray[Any]:
        """Read the stored values of some rows: (rows, w, c), grey or RGB, and alpha if it has any.

        Raises:
            InputError: They are damaged.
        """
        try:
            if self._is_plain():
                return self._plain(top, bottom)[..., self._shown]
            values = np.zeros((bottom - top, self.size_hw[1], len(self._shown)), self._page.dtype)
            for block, (sample, _, y, x, _) in self._decoded(top, bottom):
                part = block[0, max(0, top - y) : bottom - y, : self.size_hw[1] - x]
                rows, columns, _ = part.shape
                place = slice(max(0, y - top), max(0, y - top) + rows), slice(x, x + columns)
                for channel, wanted in enumerate(self._shown):
                    if self._planes == 1:
                        values[*place, channel] = part[..., wanted]
                    elif wanted == sample:
                        values[*place, channel] = part[..., 0]
        except Exception as error:  # broken files make it raise nearly anything
            raise damaged(self._name, error) from error
        return values

    def _choose_samples(self) -> list[int]:
        """List the samples that are shown: one for grey or three for colours, and alpha."""
        page, extra = self._page, tuple(self._page.extrasamples)
        grey = page.photometric not in (_RGB, _YCBCR)
        first = self._samples - len(extra)
        alpha = [first + i for i, kind in enumerate(extra) if kind in (_PREMULTIPLIED, _ALPHA)][:1]
        bands = self._samples - len(alpha)
        if page.photometric == _PALETTE:
            return [0]
        return [*range(1 if grey and bands < 3 else 3), *alpha]

    def warn(self) -> None:
        """Warn if it has bands that are not shown."""
        warn_of_left_out(self._samples, self._page.extrasamples, self._page.photometric)

    def _segment_bytes(self) -> int:
        """Count the bytes of a strip or tile once it is decoded."""
        columns = int(self._page.tilewidth) if self._tiled else self.size_hw[1]
        rows = self._step if self._tiled else min(self._step, self.size_hw[0])
        samples = self._samples // self._planes
        return rows * columns * samples * int(np.dtype(self._page.dtype).itemsize)

    def _is_plain(self) -> bool:
        """Return whether its values lie in the file row by row, ready for use."""
        page = self._page
        offsets, sizes = self._segments()
        dense = all(o + n == p for o, n, p in zip(offsets, sizes, offsets[1:], strict=False))
        whole = page.bitspersample == 8 * np.dtype(page.dtype).itemsize and all(sizes)
        order = page.fillorder == 1 and page.predictor == 1
        rgb = page.photometric != _YCBCR
        return dense and whole and order and rgb and not self._tiled and page.compression == _PLAIN

    def _plain(self, top: int, bottom: int) -> npt.NDArray[Any]:
        """Read plain values: (rows, w, samples)."""
        page, (h, w) = self._page, self.size_hw
        dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
        row = w * (self._samples // self._planes) * dtype.itemsize
        file = page.parent.filehandle
        planes = []
        for plane in range(self._planes):
            file.seek(page.dataoffsets[0] + (plane * h + top) * row)
            content = np.frombuffer(file.read((bottom - top) * row), dtype)
            planes.append(content.reshape(bottom - top, w, -1))
        return np.concatenate(planes, axis=2) if len(planes) > 1 else planes[0]

    def _segments(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """List where strips or tiles begin in the file, and how long they are."""
        return tuple(self._page.dataoffsets), tuple(self._page.databytecounts)

    def _segment(self, index: int) -> tuple[npt.NDArray[Any] | None, Any]:
        """Decode a strip or tile: values (1, rows, columns, samples), and where they belong."""
        page = self._page
        decode_segment = page.decode  # making it moves the file, as does reading the tables
        tables = {"jpegtables": page.jpegtables} if page.compression == _JPEG else {}
        file, size = page.parent.filehandle, page.databytecounts[index]
        file.seek(page.dataoffsets[index])
        values, place, _ = decode_segment(file.read(size) if size else None, index, **tables)
        return values, place

    def _decoded(self, top: int, bottom: int) -> Iterator[tuple[npt.NDArray[Any], Any]]:
        """Decode the strips or tiles that some rows need."""
        rows = -(-self.size_hw[0] // self._step)
        needed = [
            (plane * rows + row) * self._per_row + column
            for plane in (self._shown if self._planes > 1 else [0])
            for row in range(top // self._step, -(-bottom // self._step))
            for column in range(self._per_row)
        ]
        self._last = {index: self._last[index] for index in needed if index in self._last}
        for index in needed:
            if index not in self._last:
                self._last[index] = self._segment(index)
            values, place = self._last[index]
            if values is not None:  # else nothing is stored, which means zeros
                yield values, place


def check_whole(offsets: Sequence[int], sizes: Sequence[int], file_size: int, name: str) -> None:
    """Check that the strips or tiles of a TIFF file end before it does.

    Raises:
        InputError: The file is cut off.
    """
    ends = [offset + size for offset, size in zip(offsets, sizes, strict=False)]
    if max(ends, default=0) > file_size:
        lacks = EOFError(f"{max(ends) - file_size} bytes are missing")
        raise damaged(name, lacks) from lacks


def warn_of_left_out(samples: int, extra: tuple[int, ...], photometric: int) -> None:
    """Warn that bands of a TIFF file are not shown, if there are such.

    Args:
        samples: Number of its samples per pixel.
        extra: What it says of those beyond its colours.
        photometric: What it says its colours are.
    """
    bands = samples - sum(kind in (_PREMULTIPLIED, _ALPHA) for kind in extra)
    shown = 3 if photometric in (_RGB, _YCBCR) or bands >= 3 else 1
    if photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB) and bands > shown:
        seen = ("the first is", "grey") if shown == 1 else ("the first three are", "colours")
        warnings.warn(
            # Without the file's name, so that a folder of such images says it once.
            f"an image has {bands} bands, of which {seen[0]} shown as {seen[1]}; "
            f"pass an array of the bands that you want if these are others",
            stacklevel=2,
        )
