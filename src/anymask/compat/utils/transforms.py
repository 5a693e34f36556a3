"""Resizing to the frame of SAM, in the original's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor

from anymask.image.image import Image
from anymask.image.transform import Transform

__all__ = ["ResizeLongestSide", "Size", "as_size"]

Size: TypeAlias = Sequence[int] | npt.NDArray[Any] | Tensor
"""Height and width in whichever form a script has them."""


class ResizeLongestSide:
    """Brings images and coordinates to the size at which the longest side has a given length."""

    def __init__(self, target_length: int) -> None:
        self.target_length = target_length

    def apply_image(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Resize an image as SAM was trained to see it.

        Args:
            image: uint8 (h, w, 3), or (h, w) or (h, w, 1) for a grey one.

        Returns:
            uint8 (h', w', 3) or (h', w').
        """
        opened = Image.open(image)
        resized = self._fit(opened.size_hw).resize(opened)
        return resized[..., 0] if image.ndim == 2 or image.shape[2] == 1 else resized

    def apply_coords(self, coords: npt.ArrayLike, original_size: Size) -> npt.NDArray[Any]:
        """Carry points (..., 2), x before y, of an image of (h, w) to its resized form, float64."""
        return self._fit(original_size).points_to_frame(np.asarray(coords, dtype=np.float64))

    def apply_boxes(self, boxes: npt.ArrayLike, original_size: Size) -> npt.NDArray[Any]:
        """Carry boxes, xyxy, of an image of (h, w) to its resized form: float64 (n, 4)."""
        corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        return self._fit(original_size).boxes_to_frame(corners)

    def apply_image_torch(self, image: Tensor) -> Tensor:
        """Resize images (b, c, h, w) in torch, which differs from `apply_image` by a grey level."""
        target = self.get_preprocess_shape(image.shape[2], image.shape[3], self.target_length)
        return F.interpolate(image, target, mode="bilinear", align_corners=False, antialias=True)

    def apply_coords_torch(self, coords: Tensor, original_size: Size) -> Tensor:
        """Carry points (..., 2) as `apply_coords` does, in float32."""
        return self._fit(original_size).points_to_frame(coords.float())

    def apply_boxes_torch(self, boxes: Tensor, original_size: Size) -> Tensor:
        """Carry boxes as `apply_boxes` does, in float32."""
        return self._fit(original_size).boxes_to_frame(boxes.float().reshape(-1, 4))

    @staticmethod
    def get_preprocess_shape(oldh: int, oldw: int, long_side_length: int) -> tuple[int, int]:
        """Work out the resized height and width."""
        return Transform.fit(as_size((oldh, oldw)), side=long_side_length).resized_hw

    def _fit(self, original_size: Size) -> Transform:
        return Transform.fit(as_size(original_size), side=self.target_length)


def as_size(size: Size) -> tuple[int, int]:
    """Turn a size of any form into plain (h, w)."""
    height, width = size
    return int(height), int(width)
