"""Images, and the way between their pixels and a model's frame.

A model sees every image in a frame of its own: resized, perhaps padded.
All coordinates outside this module are pixels of the original image; `Transform` is the only
place that knows both.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from torch import Tensor
from torch.nn import functional

from anymask.errors import InputError
from anymask.optional import optional
from anymask.pixels import (
    MAX_PIXELS,
    Colour,
    Pixels,
    read_array,
    read_bytes,
    read_file,
    read_open_file,
    read_pil,
)

__all__ = ["LOGIT", "Enlarging", "Image", "ImageLike", "Resizing", "Taps", "Transform"]

Resizing: TypeAlias = Literal["antialias", "bilinear", "opencv"]
"""How a picture is brought to the size that a model wants, see `Transform.resize`."""

Enlarging: TypeAlias = Literal["bilinear", "bicubic"]
"""How masks come back to the size of the image, see `Transform.masks_to_image`."""

LOGIT = 10.0
"""How sure a rough mask is, as a logit: about what SAM's decoder says well inside an object."""

_CHUNK_PIXELS = 2**24  # masks are enlarged in chunks whose frames stay below 64 MB

Coordinates = TypeVar("Coordinates", npt.NDArray[Any], Tensor)


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
                bytes), a Pillow image, an array (see `anymask.pixels` for the kinds and how
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


class Taps(NamedTuple):
    """How one direction of an enlargement works, see `Transform.taps`.

    Output i is the sum over j of ``weights[i, j] * input[first[i] + j]``.
    """

    first: npt.NDArray[np.int64]  # (n,)
    weights: npt.NDArray[np.float32]  # (n, k)


@dataclass(frozen=True)
class Transform:
    """The way from an image's pixels to a model's frame, and back.

    Both ways are a plain scaling, as in SAM. It is exact for boxes, which run round pixels. Points,
    whose whole numbers are the centres of pixels, come out less than half a pixel off (of the image
    or the frame, whichever has the larger ones); the way there and back is exact.

    Attributes:
        original_hw: Size of the image.
        resized_hw: Size of the picture inside the frame.
        frame_hw: Size of the frame: the picture and its padding.
        offset_hw: Rows above and columns left of the picture inside the frame; the rest of the
            padding is below and to the right.
        enlarge: How masks come back.
    """

    original_hw: tuple[int, int]
    resized_hw: tuple[int, int]
    frame_hw: tuple[int, int]
    offset_hw: tuple[int, int] = (0, 0)
    enlarge: Enlarging = "bilinear"

    def __post_init__(self) -> None:
        """Check the sizes."""
        for size_hw in (self.original_hw, self.resized_hw, self.frame_hw):
            _check_size(size_hw)

    @classmethod
    def fit(
        cls,
        original_hw: tuple[int, int],
        *,
        side: int,
        pad: Literal["square"] | int | None = "square",
        squash: bool = False,
        centre: bool = False,
        enlarge: Enlarging = "bilinear",
    ) -> Transform:
        """Fit an image into a frame.

        Args:
            original_hw: Height and width of the image.
            side: Length of the longer side in the frame; the other one follows, but is at least 1.
            pad: Fill up to a square, to the next multiple of a number, or (None) not at all.
            squash: Ignore the proportions and fill the whole square.
            centre: Pad on all four sides alike, not only at the bottom and right.
            enlarge: How masks come back.

        Example:
            >>> Transform.fit((480, 640), side=1024)
            Transform(original_hw=(480, 640), resized_hw=(768, 1024), frame_hw=(1024, 1024))
        """
        _check_size(original_hw)
        if squash:
            return cls(original_hw, (side, side), (side, side), enlarge=enlarge)
        height, width = original_hw
        scale = side / max(height, width)
        resized_hw = max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
        step = pad if isinstance(pad, int) else 1
        frame_hw = -(-resized_hw[0] // step) * step, -(-resized_hw[1] // step) * step
        if pad == "square":
            frame_hw = (side, side)
        spare = (frame_hw[0] - resized_hw[0]) // 2, (frame_hw[1] - resized_hw[1]) // 2
        return cls(original_hw, resized_hw, frame_hw, spare if centre else (0, 0), enlarge)

    def resize(self, image: Image, how: Resizing = "antialias") -> npt.NDArray[Any]:
        """Resize an image as the frame wants it, without padding.

        Args:
            image: Of ``original_hw``.
            how: ``"antialias"``: bilinear by Pillow on 8-bit values, which blurs before shrinking;
                SAM was trained that way. ``"bilinear"``: between the four nearest pixels, without
                rounding; EfficientSAM was trained that way. ``"opencv"``: the same in OpenCV's
                8-bit arithmetic, as FastSAM has it.

        Returns:
            (h, w, 3) of ``resized_hw``, 0 to 255; float32 for ``"bilinear"``, else uint8.
        """
        self._check(image)
        height, width = self.resized_hw
        if how == "bilinear":
            pixels = torch.from_numpy(image.pixels.astype(np.float32)).permute(2, 0, 1)[None]
            resized: npt.NDArray[Any] = (
                _enlarge(pixels, self.resized_hw)[0].permute(1, 2, 0).numpy()
            )
            return resized
        if how == "opencv":
            return np.asarray(optional("cv2", extra="image").resize(image.pixels, (width, height)))
        return np.array(image.to_pil().resize((width, height), PIL.Image.Resampling.BILINEAR))

    def _check(self, image: Image) -> None:
        if image.size_hw != self.original_hw:
            raise InputError(
                f"expected an image of (h, w) = {self.original_hw}, got {image.size_hw}; "
                f"make a transform for each size"
            )

    def points_to_frame(self, points_xy: Coordinates) -> Coordinates:
        """Carry points (..., 2), x before y, from image pixels to frame pixels."""
        return _shift(_scale(points_xy, self.original_hw, self.resized_hw), self.offset_hw, 1)

    def points_to_image(self, points_xy: Coordinates) -> Coordinates:
        """Carry points (..., 2), x before y, from frame pixels to image pixels."""
        return _scale(_shift(points_xy, self.offset_hw, -1), self.resized_hw, self.original_hw)

    def boxes_to_frame(self, boxes: Coordinates) -> Coordinates:
        """Carry boxes (..., 4), xyxy, from image pixels to frame pixels."""
        return _shift(_scale(boxes, self.original_hw, self.resized_hw), self.offset_hw, 1)

    def boxes_to_image(self, boxes: Coordinates) -> Coordinates:
        """Carry boxes (..., 4), xyxy, from frame pixels to image pixels."""
        return _scale(_shift(boxes, self.offset_hw, -1), self.resized_hw, self.original_hw)

    def masks_to_image(self, logits: Tensor) -> Tensor:
        """Enlarge masks that cover the frame to the size of the image.

        Bilinear means twice, as SAM does: to the frame, where the padding is cut off, then to the
        image; where a size is the same already, the values are not touched. Bicubic means at once,
        as EfficientSAM does, whose frame has no padding.

        Args:
            logits: Floating point, (..., h, w), covering the whole frame with its padding.

        Returns:
            float32, (..., h, w) of ``original_hw``.
        """
        flat = logits.float().reshape(-1, 1, *logits.shape[-2:])
        large = flat.new_empty(len(flat), 1, *self.original_hw)
        step = max(1, _CHUNK_PIXELS // (self.frame_hw[0] * self.frame_hw[1]))
        (top, left), (height, width) = self.offset_hw, self.resized_hw
        for start in range(0, len(flat), step):
            some = flat[start : start + step]
            if self.enlarge == "bilinear":
                framed = _enlarge(some, self.frame_hw)
                some = framed[..., top : top + height, left : left + width]
            large[start : start + step] = _enlarge(some, self.original_hw, self.enlarge)
        return large.reshape(*logits.shape[:-2], *self.original_hw)

    def taps(self, low_hw: tuple[int, int]) -> tuple[Taps, Taps]:
        """Write `masks_to_image` as two sums of logits, one down the rows and one across.

        Args:
            low_hw: Size of the logits.

        Returns:
            How each row, and how each column, of the image comes from the logits. Both resizes in
            one, which changes the result by no more than rounding does; an identity stays exact.
        """
        lengths = low_hw, self.frame_hw, self.offset_hw, self.resized_hw, self.original_hw
        down, across = (self._taps(*along) for along in zip(*lengths, strict=True))
        return down, across

    def _taps(self, low: int, frame: int, offset: int, resized: int, original: int) -> Taps:
        if low == frame == resized == original:
            return Taps(np.arange(low), np.ones((low, 1), np.float32))
        # What PyTorch does is read off from unit vectors: a formula would round in another way.
        seen = torch.eye(low)[None, None]
        if self.enlarge == "bilinear":
            seen = _enlarge(seen, (frame, low))[:, :, offset : offset + resized]
        weights = _enlarge(seen, (original, low), self.enlarge)[0, 0].numpy()
        used = weights != 0
        first = used.argmax(axis=1)
        width = int((low - used[:, ::-1].argmax(axis=1) - first).max())
        first = np.minimum(first, low - width)
        places = first[:, None] + np.arange(width)
        return Taps(first, np.take_along_axis(weights, places, axis=1))

    def masks_to_frame(self, mask: npt.NDArray[np.bool_], low_hw: tuple[int, int]) -> Tensor:
        """Carry a rough mask to the logits that a model takes as a prompt.

        Args:
            mask: bool, (h, w) of the image.
            low_hw: Size of the model's masks, which cover the whole frame.

        Returns:
            float32, ``low_hw``: +LOGIT inside, -LOGIT outside and in the padding, in between
            according to how much of a cell's share of the picture is inside.
        """
        if mask.shape != self.original_hw:
            raise InputError(
                f"expected a mask of (h, w) = {self.original_hw} like the image, got {mask.shape}; "
                f"resize it first"
            )
        picture = PIL.Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
        size = self.resized_hw[1], self.resized_hw[0]
        resized = np.asarray(picture.resize(size, PIL.Image.Resampling.BILINEAR), np.float32) / 255
        layers = torch.zeros(2, *self.frame_hw)
        (top, left), (height, width) = self.offset_hw, self.resized_hw
        layers[0, top : top + height, left : left + width] = torch.from_numpy(resized)
        layers[1, top : top + height, left : left + width] = 1
        inside, shown = functional.adaptive_avg_pool2d(layers, low_hw).unbind()
        logits: Tensor = LOGIT * (2 * inside / shown.clamp(min=1e-9) - 1)
        return logits


def _kind_hint(source: object) -> str:
    if isinstance(source, Tensor):
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


def _check_size(size_hw: tuple[int, int]) -> None:
    if len(size_hw) != 2 or not all(isinstance(side, int) and side > 0 for side in size_hw):
        raise InputError(
            f"expected a size of (height, width), whole numbers of at least 1, got {size_hw}; "
            f"check the image"
        )


def _scale(values: Coordinates, from_hw: tuple[int, int], to_hw: tuple[int, int]) -> Coordinates:
    """Scale coordinates whose last axis is x, y or x, y, x, y."""
    factors = [to_hw[1] / from_hw[1], to_hw[0] / from_hw[0]] * (values.shape[-1] // 2)
    if isinstance(values, Tensor):
        floating = values if values.is_floating_point() else values.float()
        return floating * floating.new_tensor(factors)
    dtype = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    scaled: npt.NDArray[Any] = values.astype(dtype) * np.asarray(factors, dtype)
    return scaled


def _shift(values: Coordinates, by_hw: tuple[int, int], times: int) -> Coordinates:
    """Move coordinates whose last axis is x, y or x, y, x, y; no move leaves them as they are."""
    if by_hw == (0, 0):
        return values
    by = [times * by_hw[1], times * by_hw[0]] * (values.shape[-1] // 2)
    if isinstance(values, Tensor):
        return values + values.new_tensor(by)
    moved: npt.NDArray[Any] = values + np.array(by)
    return moved


def _enlarge(masks: Tensor, size_hw: tuple[int, int], how: Enlarging = "bilinear") -> Tensor:
    """Resize (n, c, h, w); an equal size stays bit for bit."""
    if tuple(masks.shape[-2:]) == tuple(size_hw):
        return masks
    return functional.interpolate(masks, size_hw, mode=how, align_corners=False)
