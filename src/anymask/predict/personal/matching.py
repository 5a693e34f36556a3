"""How alike a mask and a thing known from examples are: matched forth and back, cell by cell.

An image is described by a grid of cells (`describe`). Every cell of the thing looks for its nearest
among the mask's cells, and every cell of the mask for its nearest among the thing's. A mask that
holds only a part of the thing fails the one, a mask with more in it the other. Distances are
measured in units of the reference's own variety, so that they mean the same for any model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from anymask.embedding import Embedding
from anymask.image.transform import Transform
from anymask.predict.personal.model import Model
from anymask.predict.personal.persam import appearance_of

__all__ = ["Cells", "View", "describe", "pool_masks", "resemblance"]

BoolArray = npt.NDArray[np.bool_]

_CELL = 16  # pixels of the frame along its sides
_MOST_CELLS = 512  # of a view; more of a large thing say nothing new
_COVERED, _FREE = 0.6, 0.05  # share of a cell that makes it the thing's, or not
_IOU_WEIGHT = 0.3  # of the predicted IoU, which tells whole things from pieces


@dataclass(frozen=True, eq=False)
class Cells:
    """An image as a grid of cells.

    Attributes:
        vectors: What each cell looks like, float32 (h * w, d).
        shown: Whether the image is there, not padding, bool (h * w,).
        grid_hw: Height and width of the grid, which covers the model's frame.
        transform: Of the image.
    """

    vectors: Tensor
    shown: Tensor
    grid_hw: tuple[int, int]
    transform: Transform

    def points_xy(self, cells: Tensor) -> npt.NDArray[np.float64]:
        """Give the middles of cells, by number, in pixels of the image: float64 (n, 2)."""
        (h, w), (frame_h, frame_w) = self.grid_hw, self.transform.frame_hw
        x, y = (cells % w + 0.5) * frame_w / w - 0.5, (cells // w + 0.5) * frame_h / h - 0.5
        points = self.transform.points_to_image(torch.stack([x, y], dim=1).double().numpy())
        height, width = self.transform.original_hw
        inside: npt.NDArray[np.float64] = np.clip(points, 0, (width - 1, height - 1))
        return inside


@dataclass(frozen=True, eq=False)
class View:
    """What one reference shows of a thing.

    Attributes:
        cells: What its cells look like, float32 (n, d).
        mean: Of all its cells, float32 (d,).
        deviation: Standard deviation of all its cells, float32 (d,).
        scale: How far cells of that image are from their mean.
    """

    cells: Tensor
    mean: Tensor
    deviation: Tensor
    scale: float

    @classmethod
    def of(cls, cells: Cells, mask: BoolArray) -> View:
        """Take what a mask (h, w) of the image covers; a tiny one takes the cell that it is in."""
        shares = pool_masks(mask[None], cells)[0]
        on = shares > min(_COVERED, 0.999 * float(shares.max()))
        own, shown = cells.vectors[on], cells.vectors[cells.shown]
        scale = float((shown - shown.mean(dim=0)).norm(dim=1).mean())
        some = own[torch.linspace(0, len(own) - 1, min(len(own), _MOST_CELLS)).long()]
        return cls(some, own.mean(dim=0), _deviation(own), max(scale, 1e-6))


def describe(model: Model, embedding: Embedding) -> Cells:
    """Describe an image by cells of 16 pixels of the model's frame, or as coarse as its maps are.

    Of maps that are finer, a cell has the mean and the standard deviation.

    Args:
        model: What embedded it.
        embedding: Of the image.

    Raises:
        CapabilityError: The model's features cannot be compared.
    """
    transform = embedding.transform
    grid = _grid(transform.frame_hw)
    parts = []
    appearance_of(model)
    for name, weight in model.network.texture.items():  # type: ignore[attr-defined]
        maps = weight * torch.as_tensor(embedding.features[name]).float().cpu()
        mean = F.adaptive_avg_pool2d(maps, grid)
        parts.append(mean)
        if maps.shape[-2:] != mean.shape[-2:]:
            variance = F.adaptive_avg_pool2d(maps**2, grid) - mean**2
            parts.append(variance.clamp(min=0).sqrt())
    vectors = torch.cat(parts, dim=1)[0].flatten(1).T.contiguous()
    shown = torch.zeros(transform.frame_hw)
    (top, left), (h, w) = transform.offset_hw, transform.resized_hw
    shown[top : top + h, left : left + w] = 1
    share = F.adaptive_avg_pool2d(shown[None], grid).flatten()
    return Cells(vectors, share >= min(0.5, float(share.max())), grid, transform)


def pool_masks(masks: BoolArray, cells: Cells) -> Tensor:
    """Tell how much of each cell masks of the image (n, h, w) cover: float32 (n, cells)."""
    transform = cells.transform
    pooled = []
    for mask in masks:
        logits = torch.from_numpy(transform.masks_to_frame(mask, cells.grid_hw))
        pooled.append((logits / 20 + 0.5).flatten())
    return torch.stack(pooled) if pooled else torch.zeros(0, len(cells.vectors))


def pool_logits(logits: Tensor, cells: Cells) -> Tensor:
    """Tell how much of each cell answers of the model (n, h', w') cover: float32 (n, cells)."""
    covered = F.adaptive_avg_pool2d((logits > 0).float().cpu(), cells.grid_hw)
    return covered.flatten(1) * cells.shown


def distances(cells: Cells, view: View) -> Tensor:
    """Measure how far each cell of an image is from each of a thing: float32 (cells, n)."""
    return torch.cdist(cells.vectors, view.cells) / view.scale


def nearness(cells: Cells, distance: Tensor) -> Tensor:
    """Tell how near each cell and its neighbours come to a thing: float32 (cells,), -inf outside.

    Args:
        cells: Of the image.
        distance: From `distances`.
    """
    near = -distance.amin(dim=1).view(1, 1, *cells.grid_hw)
    smooth = F.avg_pool2d(F.pad(near, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return smooth.flatten().masked_fill(~cells.shown, -math.inf)


def resemblance(
    cells: Cells, view: View, distance: Tensor, covered: Tensor, predicted_iou: Tensor
) -> Tensor:
    """Tell how alike masks and one view of a thing are; more is more alike, and 0 the same.

    Args:
        cells: Of the image.
        view: Of the thing.
        distance: From `distances`.
        covered: How much of each cell the masks cover, float32 (n, cells).
        predicted_iou: Of the masks, float32 (n,).

    Returns:
        float32 (n,); -inf of a mask without a cell.
    """
    found = torch.full((len(covered),), -math.inf)
    for i, share in enumerate(covered):
        inside = share > min(0.5, 0.999 * float(share.max()))
        if not inside.any():
            continue
        own, between = cells.vectors[inside], distance[inside]
        forth, back = between.amin(dim=0).mean(), between.amin(dim=1).mean()
        apart = (own.mean(dim=0) - view.mean).norm() / view.scale
        rougher = (_deviation(own) - view.deviation).norm() / view.scale
        found[i] = -(forth + back + apart + rougher)
    return found - _IOU_WEIGHT * (1 - predicted_iou)


def _deviation(vectors: Tensor) -> Tensor:
    return vectors.std(dim=0, correction=0)


def _grid(frame_hw: tuple[int, int]) -> tuple[int, int]:
    return max(1, frame_hw[0] // _CELL), max(1, frame_hw[1] // _CELL)
