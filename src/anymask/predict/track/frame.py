"""A frame as it is looked at: its embedding, its cells, and the ways between them and the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.embedding import Embedding
from anymask.image.image import Image
from anymask.predict.track.cells import Cells, Model, array, describe, pool
from anymask.prompt import Prompt

__all__ = ["Frame"]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame, as it is looked at.

    Attributes:
        model: What embedded it.
        embedding: Of it.
        cells: Of it.
    """

    model: Model
    embedding: Embedding
    cells: Cells

    @classmethod
    def of(cls, model: Model, image: Image, embedding: Embedding | None = None) -> Frame:
        """Look at a frame."""
        embedding = model.embed(image) if embedding is None else embedding
        return cls(model, embedding, describe(model, embedding, image))

    @property
    def low_hw(self) -> tuple[int, int]:
        """Size of the model's logits."""
        h, w = self.model.network.mask_hw(self.embedding.transform.frame_hw)
        return int(h), int(w)

    @property
    def cell(self) -> FloatArray:
        """Size of a cell in pixels of the logits, x before y."""
        (h, w), (rows, columns) = self.low_hw, self.cells.grid_hw
        return np.array([w / columns, h / rows], np.float32)

    def share(self, mask: BoolArray) -> FloatArray:
        """Say how much of each cell a mask of the logits covers: float32 (h, w) of the grid."""
        covered = pool(mask[None], self.cells.grid_hw)[0]
        share: FloatArray = covered * self.cells.shown.reshape(covered.shape)
        return share

    def spread(self, cells: BoolArray) -> BoolArray:
        """Enlarge cells (h, w) of the grid to the logits."""
        rows, columns = (
            np.arange(side) * count // side
            for side, count in zip(self.low_hw, cells.shape, strict=True)
        )
        spread: BoolArray = cells[rows][:, columns]
        return spread

    def image_xy(self, low_xy: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Carry places in the logits, (n, 2), to pixels of the image, kept inside of it."""
        transform = self.embedding.transform
        (h, w), (frame_h, frame_w) = self.low_hw, transform.frame_hw
        in_frame = (np.asarray(low_xy, np.float64) + 0.5) * (frame_w / w, frame_h / h) - 0.5
        height, width = transform.original_hw
        points = transform.points_to_image(in_frame)
        inside: npt.NDArray[np.float64] = np.clip(points, 0, (width - 1, height - 1))
        return inside

    def image_box(self, low_box: npt.NDArray[Any]) -> npt.NDArray[np.float64] | None:
        """Carry a box round pixels of the logits to the image; None: it is outside of it."""
        transform = self.embedding.transform
        (h, w), (frame_h, frame_w) = self.low_hw, transform.frame_hw
        scale = np.array([frame_w / w, frame_h / h] * 2)
        box = transform.boxes_to_image(np.asarray(low_box, np.float64) * scale)
        height, width = transform.original_hw
        box = np.clip(box, 0, (width, height, width, height))
        return box if box[2] - box[0] >= 1 and box[3] - box[1] >= 1 else None

    def low_mask(self, mask: BoolArray) -> BoolArray:
        """Carry a mask of the image, bool (h, w), to the logits."""
        return array(self.embedding.transform.masks_to_frame(mask, self.low_hw)) > 0

    def image_masks(self, logits: list[FloatArray]) -> BoolArray:
        """Carry answers to the image, each pixel to the one that is surest: bool (n, h, w)."""
        if not logits:
            return np.zeros((0, *self.embedding.transform.original_hw), np.bool_)
        large = self.embedding.transform.masks_to_image(np.stack(logits))
        surest = large.argmax(axis=0)
        masks: BoolArray = (large > 0) & (surest == np.arange(len(large))[:, None, None])
        return masks

    def decode(self, prompts: list[Prompt], multimask: bool) -> tuple[FloatArray, FloatArray]:
        """Ask the model: logits (n, k, h', w') and predicted IoU (n, k)."""
        logits, predicted_iou = self.model.decode(self.embedding, prompts, multimask)
        return array(logits), array(predicted_iou)
