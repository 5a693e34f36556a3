"""Images, wherever they come from: upright, RGB, 8 bits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.errors import InputError
from anymask.image.pixels import (
    MAX_PIXELS,
    Colour,
    Pixels,
    read_array,
    read_bytes,
    read_file,
    read_open_file,
    read_pil,
)

__all__ = ["Image", "ImageLike"]


@dataclass(frozen=True, eq=False)
class Image:
    """One picture, ready to look at: upright, RGB, 8 bits, no transparency.

    Two images are equal only if they are the same object.

    Attributes:
        pixels: uint8, (h, w, 3), RGB, contiguous and read-only.
        source: Where it came from, such as a file's path; None for arrays.

    Example:
        >>> picture = Image.open(np.zeros((2, 3), bool))
        >>> picture.size_hw, picture.pixels.shape
        ((2, 3), (2, 3, 3))
    """

    pixels: Pixels
    source: str | None = None

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
        if pixels.flags.writeable or not pixels.flags.c_contiguous:
            pixels = np.array(pixels, order="C")
            pixels.flags.writeable = False
            object.__setattr__(self, "pixels", pixels)

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
                bytes), a Pillow image, an array (see `anymask.image.pixels` for the kinds and how
                their values are scaled) or an Image, which comes back as it is.
            background: RGB of 0 to 255, shows through where the image is transparent.
            max_pixels: Larger files are refused before they are decoded.

        Raises:
            InputError: It is missing, damaged, too large, or not an image.

        Example:
            >>> Image.open(np.full((1, 1), 0.5)).pixels.tolist()
            [[[128, 128, 128]]]
        """
        if isinstance(source, Image):
            return source
        background = _checked_colour(background)
        if isinstance(source, str | os.PathLike):
            found = read_file(source, background, max_pixels)
        elif isinstance(source, bytes | bytearray | memoryview):
            found = read_bytes(bytes(source), background, max_pixels)
        elif isinstance(source, PIL.Image.Image):
            found = read_pil(source, background, max_pixels)
        elif isinstance(source, np.ndarray):
            found = read_array(source, background)
        elif hasattr(source, "read"):
            found = read_open_file(source, background, max_pixels)
        else:
            raise InputError(
                f"expected an image as a path, bytes, Pillow image or numpy array, "
                f"got {type(source).__name__}; {_kind_hint(source)}"
            )
        found.flags.writeable = False
        name = os.fsdecode(source) if isinstance(source, str | os.PathLike) else None
        return cls(found, name)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def crop(self, xyxy: tuple[int, int, int, int]) -> Image:
        """Cut out a part.

        Args:
            xyxy: Left, top, right, bottom in pixels; right and bottom are the first outside.

        Raises:
            InputError: The part is empty or reaches over the border.
        """
        x0, y0, x1, y1 = (int(value) for value in xyxy)
        height, width = self.size_hw
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise InputError(
                f"expected a crop with an area inside the {width} x {height} image, "
                f"got x {x0} to {x1}, y {y0} to {y1}; clip it first"
            )
        return Image(self.pixels[y0:y1, x0:x1], self.source)

    def to_pil(self) -> PIL.Image.Image:
        """Copy to a Pillow image of mode RGB."""
        return PIL.Image.fromarray(self.pixels)


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
