"""Images, wherever they come from: upright, RGB, 8 bits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.atomic import Target, output
from anymask.errors import InputError
from anymask.image.colour import Alpha, Colour, Pixels
from anymask.image.encode import FORMATS, encode, format_of
from anymask.image.geo import Geo
from anymask.image.pixels import MAX_PIXELS, pil_geo, read_file, read_pil
from anymask.image.scaling import read_array

__all__ = ["Image", "ImageLike"]


@dataclass(frozen=True, eq=False, repr=False)
class Image:
    """One image, ready to look at: upright, RGB, 8 bits.

    Two images are equal only if they are the same object. All arrays are contiguous and read-only.

    Attributes:
        pixels: uint8 (h, w, 3), RGB, laid on a background where the image is transparent: what
            models see.
        source: Where it came from, such as a file's path; None if not known.
        alpha: uint8 (h, w), 0 transparent, 255 opaque; None if all of it is opaque.
        straight: uint8 (h, w, 3), RGB, the colours as if all of it were opaque, which is what a
            cut-out keeps; None if all of it is.
        geo: Where on the earth it lies; None if not known.

    Examples:
        >>> image = Image.open(np.zeros((2, 3), np.uint8))
        >>> image.size_hw, image.pixels.shape
        ((2, 3), (2, 3, 3))
    """

    pixels: Pixels
    source: str | None = None
    alpha: Alpha | None = None
    straight: Pixels | None = None
    geo: Geo | None = None

    def __post_init__(self) -> None:
        """Check the pixels and lock them."""
        pixels = self.pixels
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
            kind = getattr(pixels, "dtype", type(pixels).__name__)
            raise InputError(f"expected uint8 pixels, got {kind}; use Image.open to convert")
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
            raise InputError(
                f"expected pixels of shape (h, w, 3), got {pixels.shape}; use Image.open to convert"
            )
        _check_like("alpha", self.alpha, pixels.shape[:2])
        _check_like("straight", self.straight, pixels.shape)
        if self.alpha is not None and self.straight is None:
            object.__setattr__(self, "straight", pixels)
        if self.alpha is None and self.straight is not None:
            raise InputError("expected alpha along with straight colours, got none; give both")
        for name in ("pixels", "alpha", "straight"):
            array = getattr(self, name)
            if array is not None and (array.flags.writeable or not array.flags.c_contiguous):
                array = np.array(array, order="C")
                array.flags.writeable = False
                object.__setattr__(self, name, array)

    def __repr__(self) -> str:
        """Give the size and the source: ``Image(640 x 480 truck.jpg)``."""
        h, w = self.size_hw
        transparent = "" if self.alpha is None else ", with alpha"
        return f"Image({w} x {h}{f' {self.source}' if self.source else ''}{transparent})"

    @classmethod
    def open(
        cls,
        source: ImageLike,
        *,
        background: Sequence[int] = (255, 255, 255),
        max_pixels: int = MAX_PIXELS,
    ) -> Image:
        """Read an image from wherever it is.

        Args:
            source: A path, the bytes of an image file (or the file itself, opened for reading
                bytes), a Pillow image, an array (see `anymask.image.scaling` for how its values
                become 8 bits) or an Image, which comes back as it is.
            background: RGB of 0 to 255, shows through where the image is transparent.
            max_pixels: Larger files are refused before they are decoded.

        Raises:
            InputError: It is missing, damaged, too large, or not an image.
            MissingExtraError: The package that reads its format is not installed.

        Examples:
            >>> Image.open(np.full((1, 1), 0.5)).pixels.tolist()
            [[[128, 128, 128]]]
        """
        if isinstance(source, Image):
            return source
        background = _checked_colour(background)
        geo = None
        if isinstance(source, np.ndarray):
            decoded = read_array(source, background)
        elif isinstance(source, PIL.Image.Image):
            decoded = read_pil(source, background, max_pixels)
            geo = pil_geo(source)
        elif isinstance(source, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(
            source, "read"
        ):
            decoded, geo = read_file(source, background, max_pixels)
        else:
            raise InputError(
                f"expected an image as a path, bytes, Pillow image or numpy array, "
                f"got {type(source).__name__}; {_kind_hint(source)}"
            )
        for part in decoded:
            if part is not None:
                part.flags.writeable = False  # nobody else has it, so it need not be copied
        return cls(decoded.pixels, _name_of(source), decoded.alpha, decoded.straight, geo)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def crop(self, xyxy: tuple[int, int, int, int]) -> Image:
        """Cut out a part; its alpha, source and place on the earth come along.

        Args:
            xyxy: Left, top, right, bottom in pixels; right and bottom are the first outside.

        Raises:
            InputError: The part is empty or reaches over the border.

        Examples:
            >>> Image.open(np.zeros((40, 60), np.uint8)).crop((10, 10, 30, 20)).size_hw
            (10, 20)
        """
        x0, y0, x1, y1 = (int(value) for value in xyxy)
        height, width = self.size_hw
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise InputError(
                f"expected a crop with an area inside the {width} x {height} image, "
                f"got x {x0} to {x1}, y {y0} to {y1}; clip it first"
            )
        parts = (self.pixels, self.alpha, self.straight)
        pixels, alpha, straight = (None if p is None else p[y0:y1, x0:x1] for p in parts)
        assert pixels is not None
        geo = None if self.geo is None else self.geo.cropped(x0, y0)
        return Image(pixels, self.source, alpha, straight, geo)

    def to_pil(self, *, alpha: bool = False) -> PIL.Image.Image:
        """Copy to a Pillow image.

        Args:
            alpha: Keep transparency, if the image has any.

        Returns:
            Mode RGB, what `pixels` holds; RGBA with the colours of `straight` if ``alpha`` is asked
            for and there is any.
        """
        if not alpha or self.alpha is None or self.straight is None:
            return PIL.Image.fromarray(self.pixels)
        return PIL.Image.fromarray(np.dstack([self.straight, self.alpha]))

    def save(
        self,
        path: Target,
        format: str | None = None,
        *,
        quality: int | None = None,
    ) -> None:
        """Write to a file, whole or not at all; nothing that a camera noted is kept.

        Transparency is kept but for JPEG, the place on the earth by TIFF only.

        Args:
            path: The file, whose folder must exist, or a file that is open for writing bytes.
            format: ``"png"``, ``"jpeg"``, ``"webp"`` or ``"tiff"``; None: by the file's suffix.
            quality: 1 to 100, for JPEG and WebP; None: a good one.

        Raises:
            InputError: The format is unknown, or cannot hold the image.
            OutputError: The file cannot be written; what was there before is untouched.

        Examples:
            >>> import io
            >>> file = io.BytesIO()
            >>> Image.open(np.eye(4)).save(file, "png")
            >>> Image.open(file.getvalue()).pixels[0, :, 0].tolist()
            [255, 0, 0, 0]
        """
        name = format_of(path, format)
        shown = self.to_pil(alpha=FORMATS[name] != "JPEG")
        content = encode(shown, name, quality, self.geo)
        with output(path) as file:
            file.write(content)


ImageLike: TypeAlias = (
    Image
    | str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | IO[bytes]
    | PIL.Image.Image
    | npt.NDArray[Any]
)
"""Everything that `Image.open` takes."""


def _check_like(name: str, array: Any, shape: tuple[int, ...]) -> None:
    if array is None:
        return
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.shape != shape:
        kind = getattr(array, "dtype", type(array).__name__)
        raise InputError(
            f"expected {name} as uint8 {shape}, got {kind} {np.shape(array)}; "
            f"use Image.open to convert"
        )


def _name_of(source: object) -> str | None:
    """Say where an image came from: the path that it, or the file given, has."""
    if not isinstance(source, str | os.PathLike):
        attribute = "filename" if isinstance(source, PIL.Image.Image) else "name"
        source = getattr(source, attribute, None)
    return os.fsdecode(source) or None if isinstance(source, str | os.PathLike) else None


def _kind_hint(source: object) -> str:
    if type(source).__module__ == "torch":  # torch itself is not needed to read an image
        return "pass tensor.permute(1, 2, 0).numpy() if its channels come first"
    if isinstance(source, list | tuple):
        return "pass numpy.array(...) of numbers, and several images one by one"
    return "convert it first"


def _checked_colour(colour: Sequence[int]) -> Colour:
    values = tuple(colour) if isinstance(colour, Sequence) else ()
    if len(values) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in values):
        raise InputError(
            f"expected a background of (red, green, blue), each a whole number from 0 to 255, "
            f"got {colour!r}; correct it"
        )
    red, green, blue = values
    return red, green, blue
