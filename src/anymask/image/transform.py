"""The way between an image's pixels and a model's frame.

A model sees every image in a frame of its own: resized, perhaps padded. All coordinates outside
this module are pixels of the original image; `Transform` is the only place that knows both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.arrays import Array, floats, is_tensor
from anymask.errors import InputError
from anymask.image import resampling
from anymask.image.image import Image
from anymask.image.resampling import Enlarging, Taps
from anymask.optional import optional

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LOGIT", "Enlarging", "Resizing", "Taps", "Transform"]

Resizing: TypeAlias = Literal["antialias", "antialias-float", "bilinear", "bicubic", "opencv"]
"""How an image is brought to the size that a model wants, see `Transform.resize`."""

LOGIT = 10.0
"""How sure a rough mask is, as a logit: about what SAM's decoder says well inside an object."""

_CHUNK_PIXELS = 2**24  # masks are enlarged in chunks whose frames stay below 64 MB

Coordinates = TypeVar("Coordinates", npt.NDArray[Any], "Tensor")


@dataclass(frozen=True)
class Transform:
    """The way from an image's pixels to a model's frame, and back.

    Both ways are a plain scaling, as in SAM. It is exact for boxes, which run round pixels. Points,
    whose whole numbers are the centres of pixels, come out less than half a pixel off (of the image
    or the frame, whichever has the larger ones); the way there and back is exact.

    Attributes:
        original_hw: Size of the image.
        resized_hw: Size of the image inside the frame.
        frame_hw: Size of the frame: the image and its padding.
        offset_hw: Rows above and columns left of the image inside the frame; the rest of the
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

        Examples:
            >>> Transform.fit((480, 640), side=1024).resized_hw
            (768, 1024)
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
                SAM was trained that way. ``"antialias-float"``: the same without rounding, as SAM 2
                has it for images. ``"bilinear"``: between the four nearest pixels, without
                rounding; EfficientSAM was trained that way. ``"bicubic"``: by Pillow on 8-bit
                values, as SAM 2 has it for clips. ``"opencv"``: bilinear in OpenCV's 8-bit
                arithmetic, as FastSAM has it.

        Returns:
            (h, w, 3) of ``resized_hw``, 0 to 255; float32 for ``"bilinear"`` and
            ``"antialias-float"``, else uint8.
        """
        self._check(image)
        height, width = self.resized_hw
        if how == "bilinear":
            return resampling.resized(image.pixels, self.resized_hw)
        if how == "antialias-float":
            return resampling.smoothed(image.pixels, self.resized_hw)
        if how == "opencv":
            return np.asarray(optional("cv2", extra="image").resize(image.pixels, (width, height)))
        filters = PIL.Image.Resampling
        chosen = filters.BICUBIC if how == "bicubic" else filters.BILINEAR
        return np.array(image.to_pil().resize((width, height), chosen))

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

    def masks_to_image(self, logits: Array) -> Array:
        """Enlarge masks that cover the frame to the size of the image.

        Bilinear means twice, as SAM does: to the frame, where the padding is cut off, then to the
        image; where a size is the same already, the values are not touched. Direct means
        bilinearly at once, as SAM 2 does, and bicubic, too, as EfficientSAM does: their frames have
        no padding.

        Args:
            logits: Floating point, (..., h, w), covering the whole frame with its padding; an array
                or a tensor.

        Returns:
            float32, (..., h, w) of ``original_hw``, the same kind; tensors on the same device.
        """
        if not is_tensor(logits):
            down, across = (
                resampling.matrix(*taps)
                for taps in zip(self.taps(logits.shape[-2:]), logits.shape[-2:], strict=True)
            )
            return down @ floats(logits) @ across.T
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
            return resampling.identity(low)
        if self.enlarge == "bicubic":
            return resampling.cubic(low, original)
        if self.enlarge == "direct":
            return resampling.linear(low, original)
        first, weights = resampling.linear(low, frame)
        shown = Taps(first[offset : offset + resized], weights[offset : offset + resized])
        return resampling.chained(shown, resampling.linear(resized, original))

    def masks_to_frame(
        self, mask: npt.NDArray[np.bool_], low_hw: tuple[int, int]
    ) -> npt.NDArray[np.float32]:
        """Carry a rough mask to the logits that a model takes as a prompt.

        Args:
            mask: bool, (h, w) of the image.
            low_hw: Size of the model's masks, which cover the whole frame.

        Returns:
            float32, ``low_hw``: +LOGIT inside, -LOGIT outside and in the padding, in between
            according to how much of a cell's share of the image is inside.
        """
        if mask.shape != self.original_hw:
            raise InputError(
                f"expected a mask of (h, w) = {self.original_hw} like the image, got {mask.shape}; "
                f"resize it first"
            )
        dense = PIL.Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
        size = self.resized_hw[1], self.resized_hw[0]
        resized = np.asarray(dense.resize(size, PIL.Image.Resampling.BILINEAR), np.float32)
        resized /= np.float32(255)
        # What the padding has of a cell is neither inside nor outside.
        inside = _frame_means(resized, self.frame_hw, self.offset_hw, low_hw)
        shown = _frame_means(np.ones_like(resized), self.frame_hw, self.offset_hw, low_hw)
        return floats(LOGIT * (2 * inside / np.maximum(shown, 1e-9) - 1))


def _frame_means(
    values: npt.NDArray[np.float32],
    frame_hw: tuple[int, int],
    offset_hw: tuple[int, int],
    low_hw: tuple[int, int],
) -> npt.NDArray[np.float32]:
    """Put a map into a frame of zeros, and take the mean of each cell of it."""
    (h, w), (top, left) = values.shape, offset_hw
    framed = np.zeros(frame_hw, np.float32)
    framed[top : top + h, left : left + w] = values
    return resampling.means(framed, low_hw)


def _check_size(size_hw: tuple[int, int]) -> None:
    if len(size_hw) != 2 or not all(isinstance(side, int) and side > 0 for side in size_hw):
        raise InputError(
            f"expected a size of (height, width), whole numbers of at least 1, got {size_hw}; "
            f"check the image"
        )


def _scale(values: Coordinates, from_hw: tuple[int, int], to_hw: tuple[int, int]) -> Coordinates:
    """Scale coordinates whose last axis is x, y or x, y, x, y."""
    factors = [to_hw[1] / from_hw[1], to_hw[0] / from_hw[0]] * (values.shape[-1] // 2)
    if is_tensor(values):
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
    if is_tensor(values):
        return values + values.new_tensor(by)
    moved: npt.NDArray[Any] = values + np.array(by)
    return moved


def _enlarge(masks: Tensor, size_hw: tuple[int, int], how: Enlarging = "bilinear") -> Tensor:
    """Resize tensors (n, c, h, w); an equal size stays bit for bit."""
    from torch.nn import functional  # the tensors are there already

    if tuple(masks.shape[-2:]) == tuple(size_hw):
        return masks
    mode = "bicubic" if how == "bicubic" else "bilinear"
    return functional.interpolate(masks, size_hw, mode=mode, align_corners=False)
