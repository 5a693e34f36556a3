"""Prompts as a network takes them: arrays or tensors in its frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.arrays import Array, Device, placed
from anymask.errors import InputError
from anymask.image.transform import Transform
from anymask.prompt import Prompt

__all__ = ["PromptBatch"]


@dataclass(frozen=True, eq=False)
class PromptBatch:
    """Prompts of one form about one image, as arrays or tensors in the model's frame.

    Attributes:
        points_xy: float32, (n, p, 2), x before y, pixels of the frame, whole at their centres.
        labels: int64, (n, p), 1 object, 0 background.
        boxes: float32, (n, 4), xyxy, pixels of the frame, or None.
        mask_logits: float32, (n, 1, h', w'), covering the frame, or None.
        frame_hw: Size of the frame.
    """

    points_xy: Array
    labels: Array
    boxes: Array | None
    mask_logits: Array | None
    frame_hw: tuple[int, int]

    def __len__(self) -> int:
        """Count the prompts."""
        return len(self.points_xy)

    def split(self, size: int) -> list[PromptBatch]:
        """Cut into batches of some prompts, the last of what remains."""

        def cut(values: Array | None, start: int) -> Array | None:
            return None if values is None else values[start : start + size]

        return [
            PromptBatch(
                self.points_xy[start : start + size],
                self.labels[start : start + size],
                cut(self.boxes, start),
                cut(self.mask_logits, start),
                self.frame_hw,
            )
            for start in range(0, len(self), size)
        ]

    @classmethod
    def of(
        cls,
        prompts: Sequence[Prompt],
        transform: Transform,
        mask_hw: tuple[int, int],
        device: Device = "cpu",
    ) -> PromptBatch:
        """Carry prompts into a model's frame.

        Args:
            prompts: At least one, all of one form, see `Prompt.form`.
            transform: Of the image they are about.
            mask_hw: Size of the model's low resolution masks.
            device: That of the network: a string for numpy arrays, a `torch.device` for tensors.

        Raises:
            InputError: A prompt does not fit the image or the model, or their forms differ.
        """
        if len({prompt.form for prompt in prompts}) != 1:
            raise InputError("expected prompts of one form, got several or none; group them first")
        for prompt in prompts:
            prompt.check_inside(transform.original_hw)
        # float64 until the coordinates are in the frame, as the reference computes them; in numpy,
        # because not every device can.
        points = np.stack([prompt.points_xy for prompt in prompts])
        boxes = [prompt.box for prompt in prompts if prompt.box is not None]
        masks = [
            _frame_logits(prompt, transform, mask_hw) for prompt in prompts if prompt.form.mask
        ]
        return cls(
            points_xy=placed(_float32(transform.points_to_frame(points)), device),
            labels=placed(np.stack([prompt.labels for prompt in prompts]), device),
            boxes=placed(_float32(_clipped(boxes, transform)), device) if boxes else None,
            mask_logits=placed(np.stack(masks), device) if masks else None,
            frame_hw=transform.frame_hw,
        )


def _float32(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return values.astype(np.float32)


def _clipped(boxes: list[npt.NDArray[np.float64]], transform: Transform) -> npt.NDArray[np.float64]:
    height, width = transform.original_hw
    inside = np.clip(np.stack(boxes), 0, (width, height, width, height))
    return transform.boxes_to_frame(inside)


def _frame_logits(
    prompt: Prompt, transform: Transform, mask_hw: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Bring the mask of a prompt that has one, of either kind, to float32 (1, h', w')."""
    if prompt.mask is not None:
        return transform.masks_to_frame(prompt.mask, mask_hw)[None]
    assert prompt.mask_logits is not None
    if prompt.mask_logits.shape != tuple(mask_hw):
        raise InputError(
            f"expected mask_logits of (h, w) = {tuple(mask_hw)} for this model and image, got "
            f"{prompt.mask_logits.shape}; pass one of Masks.logits of the same model and image"
        )
    return prompt.mask_logits[None]
