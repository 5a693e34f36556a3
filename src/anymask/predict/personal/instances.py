"""From cells that resemble a thing to masks of it, and how sure it is that it is here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anymask.embedding import Embedding
from anymask.predict.personal.matching import (
    Cells,
    View,
    nearness,
    pool_logits,
    resemblance,
)
from anymask.predict.personal.model import Model
from anymask.prompt import Prompt

__all__ = ["Candidates", "candidates"]

_APART = 2.5  # cells between two clicks of one round


@dataclass(frozen=True, eq=False)
class Candidates:
    """Answers to clicks on what resembles a thing, all three of each.

    Attributes:
        points_xy: float64 (n, 2), the clicks, in pixels of the image.
        logits: float32 (3n, h', w') of the model's frame.
        predicted_iou: float32 (3n,).
        covered: How much of each cell they cover, float32 (3n, cells).
        resemblance: To the thing, float32 (3n,); 0 is the same.
    """

    points_xy: npt.NDArray[np.float64]
    logits: Tensor
    predicted_iou: Tensor
    covered: Tensor
    resemblance: Tensor

    def __len__(self) -> int:
        """Count the answers."""
        return len(self.resemblance)


def candidates(
    model: Model,
    embedding: Embedding,
    cells: Cells,
    views: tuple[View, ...],
    between: Sequence[Tensor],
    count: int,
    taken: Tensor | None = None,
) -> Candidates:
    """Click on the cells that come nearest to a thing, and judge what the model answers.

    Args:
        model: Who answers.
        embedding: Of the image.
        cells: Of the image.
        views: Of the thing.
        between: From `distances`, for each view.
        count: Clicks at most.
        taken: Cells on which not to click, bool (cells,); None: there are none.
    """
    near = torch.stack([nearness(cells, distance) for distance in between]).amax(dim=0)
    if taken is not None:
        near = near.masked_fill(taken, -math.inf)
    clicks = torch.tensor(list(peaks(near, cells.grid_hw, count)), dtype=torch.long)
    points = cells.points_xy(clicks)
    if not len(points):
        mask_hw = model.network.mask_hw(embedding.transform.frame_hw)
        none = torch.zeros(0)
        return Candidates(
            points, torch.zeros(0, *mask_hw), none, torch.zeros(0, len(cells.vectors)), none
        )
    answers = model.decode(embedding, [Prompt([point]) for point in points], True)
    logits, predicted_iou = map(torch.as_tensor, answers)
    logits, predicted_iou = logits.flatten(0, 1).cpu(), predicted_iou.flatten().cpu()
    covered = pool_logits(logits, cells)
    alike = torch.stack(
        [
            resemblance(cells, view, distance, covered, predicted_iou)
            for view, distance in zip(views, between, strict=True)
        ]
    )
    return Candidates(points, logits, predicted_iou, covered, alike.amax(dim=0))


def peaks(near: Tensor, grid_hw: tuple[int, int], count: int) -> Iterator[int]:
    """Yield the numbers of the highest cells, none close to one before."""
    left = near.clone()
    y, x = torch.meshgrid(*(torch.arange(side) for side in grid_hw), indexing="ij")
    for _ in range(count):
        best = int(left.argmax())
        if left[best] == -math.inf:
            return
        yield best
        row, column = divmod(best, grid_hw[1])
        left[((y - row) ** 2 + (x - column) ** 2 <= _APART**2).flatten()] = -math.inf
