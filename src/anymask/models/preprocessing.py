"""How an image becomes a network's input, as a value that imports without numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from anymask.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from anymask.arrays import Array, Device
    from anymask.image.transform import Enlarging, Resizing, Transform

__all__ = ["Preprocessing"]

_LARGEST_SIDE = 1 << 14  # of a frame; beyond, memory ends before the answer comes


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the network's input."""

    side: int
    """Longest side after resizing, in pixels."""
    pad: Literal["square"] | int | None = "square"
    """Padding at the bottom and right: to a square, to a multiple of this number, or none."""
    encoder_side: int | None = None
    """Longest side for the encoder; none: ``side``, the frame that prompts and masks live in."""
    squash: bool = False
    """Resize to a square without keeping the aspect ratio."""
    centre: bool = False
    """Pad on all four sides alike, not only at the bottom and right."""
    fill: float | None = None
    """Grey value 0..255 of the padding before normalising; none: zeros after it."""
    resize: Resizing = "antialias"
    """How the image is resized."""
    enlarge: Enlarging = "bilinear"
    """How masks come back to the size of the image."""
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    """Subtracted from the RGB values 0..255 ..."""
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    """... which are then divided by this."""
    stretch: bool = False
    """Bring the values of each image to 0..1 by its darkest and its lightest one instead."""
    clamp: float | None = None
    """How far from 0 the logits may be that are given out, for they may come back as prompts."""

    def __post_init__(self) -> None:
        """Check that there is such a frame.

        Raises:
            InputError: There is none.
        """
        multiple = self.pad if isinstance(self.pad, int) else 1
        encoder_side = self.side if self.encoder_side is None else self.encoder_side
        if not all(1 <= n <= _LARGEST_SIDE for n in (self.side, multiple, encoder_side)):
            raise InputError(
                f"expected a frame of 1 to {_LARGEST_SIDE} pixels a side, got {self.side}, padded "
                f"to {self.pad!r}; give what the network takes"
            )
        if not all(0 < value < math.inf for value in self.std):
            raise InputError(
                f"expected std as numbers above 0, for pixels are divided by them, got {self.std}; "
                "give what the network was trained with"
            )

    @property
    def for_encoder(self) -> Preprocessing:
        """How an image becomes what the encoder sees, whose frame may be another than the prompts'.

        Examples:
            >>> Preprocessing(side=1024, encoder_side=512).for_encoder.side
            512
        """
        if self.encoder_side is None:
            return self
        return replace(self, side=self.encoder_side, encoder_side=None)

    def seen(self, transform: Transform) -> Transform:
        """Give the way into what the encoder sees that belongs to one into the prompts' frame."""
        if self.encoder_side is None:
            return transform
        return self.for_encoder.fit(transform.original_hw)

    def fit(self, size_hw: tuple[int, int]) -> Transform:
        """Fit an image of (height, width) into the frame of prompts and masks."""
        from anymask.image.transform import Transform  # here: the table is read without numpy

        return Transform.fit(
            size_hw,
            side=self.side,
            pad=self.pad,
            squash=self.squash,
            centre=self.centre,
            enlarge=self.enlarge,
        )

    def frames(self, resized: npt.NDArray[Any], transform: Transform, device: Device) -> Array:
        """Normalise and pad images that were brought to the size of the frame.

        Args:
            resized: What `Transform.resize` made of each, (b, h, w, 3), 0 to 255.
            transform: The way of all of them into the frame.
            device: That of the network: a string for a numpy array, a `torch.device` for a tensor
                there, as which the numbers are worked out where they are needed.

        Returns:
            float32 (b, 3, *transform.frame_hw), what the network takes.
        """
        from anymask.arrays import placed  # here, for the table is read without numpy

        if self.stretch:
            resized = _stretched(resized)
        if isinstance(device, str):
            return self._normalised(resized, transform)
        pixels = placed(resized, device).permute(0, 3, 1, 2).float()
        mean, std = (pixels.new_tensor(v)[:, None, None] for v in (self.mean, self.std))
        b, _, h, w = pixels.shape
        frames = pixels.new_zeros((b, 3, *transform.frame_hw))
        if self.fill is not None:
            frames += (self.fill - mean) / std
        top, left = transform.offset_hw
        frames[:, :, top : top + h, left : left + w] = (pixels - mean) / std
        return frames

    def _normalised(
        self, resized: npt.NDArray[Any], transform: Transform
    ) -> npt.NDArray[np.float32]:
        """Do the same in numpy, channel by channel: a few times as fast as all at once."""
        import numpy as np

        (b, h, w, _), (top, left) = resized.shape, transform.offset_hw
        frames = np.zeros((b, 3, *transform.frame_hw), dtype=np.float32)
        for channel, (mean, std) in enumerate(zip(self.mean, self.std, strict=True)):
            where = frames[:, channel]
            if self.fill is not None:
                where += np.float32((self.fill - mean) / std)
            inside = where[:, top : top + h, left : left + w]
            np.subtract(resized[..., channel], np.float32(mean), out=inside)
            inside /= np.float32(std)
        return frames


def _stretched(resized: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Bring images (b, h, w, 3) to values of 0..1, each by its own; one of a single value to 0."""
    import numpy as np

    low = resized.min(axis=(1, 2, 3), keepdims=True).astype(np.float32)
    high = resized.max(axis=(1, 2, 3), keepdims=True)
    return np.asarray((resized - low) / np.maximum(high - low, np.float32(1e-8)), np.float32)
