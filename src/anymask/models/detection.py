"""From what a detector says about every cell to instances: boxes, duplicates, masks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from anymask import geometry
from anymask.config import InstanceConfig
from anymask.image.transform import Transform
from anymask.models.fastsam import STRIDES

__all__ = ["Candidates", "Patch", "candidates", "detect", "draw", "image_boxes"]

_SNAP = 20  # pixels of the frame from the border at which an edge belongs to it
_WHOLE = 0.9  # overlap with the frame from which a box means all of it


@dataclass(frozen=True)
class Candidates:
    """Instances before their masks are drawn.

    Attributes:
        boxes: float32 (n, 4), xyxy, pixels of the model's frame.
        scores: float32 (n,), 0 to 1.
        coefficients: float32 (n, prototypes), how much each prototype adds to the mask.
    """

    boxes: Tensor
    scores: Tensor
    coefficients: Tensor

    def __getitem__(self, index: Tensor) -> Candidates:
        """Pick by number or by a bool tensor."""
        return Candidates(self.boxes[index], self.scores[index], self.coefficients[index])

    def __len__(self) -> int:
        """Count the instances."""
        return len(self.scores)


class Patch(NamedTuple):
    """The part of a mask outside of which nothing is set."""

    corner_xy: tuple[int, int]  # of the part's first pixel, in the image
    inside: npt.NDArray[np.bool_]  # (h, w)


def candidates(features: Mapping[str, Tensor]) -> Candidates:
    """Read one candidate from every cell of an image's features, see `FastSam`."""
    values, boxes = [], []
    for stride in STRIDES:
        cells = features[f"stride{stride}"][0].float()
        h, w = cells.shape[1:]
        y, x = (torch.arange(n, device=cells.device) + 0.5 for n in (h, w))
        middle = torch.stack([x.expand(h, w), y[:, None].expand(h, w)])
        corners = torch.cat([middle - cells[:2], middle + cells[2:4]])
        boxes.append(stride * corners.flatten(1).T)
        values.append(cells[4:].flatten(1).T)
    scores, coefficients = torch.cat(values).tensor_split([1], dim=1)
    return Candidates(torch.cat(boxes), scores[:, 0], coefficients)


def detect(found: Candidates, frame_hw: tuple[int, int], config: InstanceConfig) -> Candidates:
    """Keep good candidates without their duplicates, best first, and tidy their boxes.

    An edge near the border of the frame is moved there. A box that is then nearly the whole frame
    becomes the whole frame.

    Args:
        found: All candidates.
        frame_hw: Size of the frame.
        config: What to keep.
    """
    found = found[found.scores > config.confidence]
    # Scores are often equal, for they end at 1. PyTorch's own order of those is the original's.
    found = found[found.scores.argsort(descending=True)]
    found = found[
        geometry.nms(
            found.boxes, found.scores, config.box_nms_thresh, max_kept=config.max_instances
        )
    ]
    h, w = frame_hw
    low, high = found.boxes[:, :2], found.boxes[:, 2:]
    border = low.new_tensor([w, h])
    low = torch.where(low < _SNAP, 0, low)
    high = torch.where(high > border - _SNAP, border, high)
    boxes = torch.cat([low, high], dim=1)
    whole = boxes.new_tensor([[0, 0, w, h]])
    boxes = torch.where(geometry.box_iou(boxes, whole) > _WHOLE, whole, boxes)
    return Candidates(boxes, found.scores, found.coefficients)


def image_boxes(boxes: Tensor, transform: Transform) -> Tensor:
    """Carry boxes (n, 4), xyxy, from the frame to the image and clip them there."""
    h, w = transform.original_hw
    scale, top, left = _placement(transform.frame_hw, transform.original_hw)
    # A half pixel of padding was put to the bottom and right, as the frame was filled.
    offset = boxes.new_tensor([round(left - 0.1), round(top - 0.1)] * 2)
    placed = ((boxes - offset) / scale).clamp(min=0)
    return torch.minimum(placed, placed.new_tensor([w, h, w, h]))


def draw(
    found: Candidates, prototypes: Tensor, transform: Transform, config: InstanceConfig
) -> Iterator[Patch]:
    """Draw the mask of each of n instances.

    Args:
        found: The instances.
        prototypes: float32 (prototypes, h', w'), covering the frame.
        transform: Of the image.
        config: Whether at the resolution of the image.
    """
    return (_draw_fine if config.retina else _draw_coarse)(found, prototypes, transform)


def _draw_fine(found: Candidates, prototypes: Tensor, transform: Transform) -> Iterator[Patch]:
    """Bring the logits to the size of the image, as far as a box goes, and cut them off there."""
    h, w = prototypes.shape[1:]
    _, top, left = _placement((h, w), transform.original_hw)
    shown = prototypes[:, int(top) : int(h - top), int(left) : int(w - left)]
    down, across = (_weights(shown.shape[i + 1], transform.original_hw[i], shown) for i in (0, 1))
    boxes = _pixels(image_boxes(found.boxes, transform))
    for coefficients, (x0, y0, x1, y1) in zip(found.coefficients, boxes, strict=True):
        rows, used_rows = _used(down[y0:y1])
        columns, used_columns = _used(across[x0:x1])
        logits = torch.einsum("p,phw->hw", coefficients, shown[:, used_rows, used_columns])
        yield Patch((x0, y0), (rows @ logits @ columns.T > 0).cpu().numpy())


def _draw_coarse(found: Candidates, prototypes: Tensor, transform: Transform) -> Iterator[Patch]:
    """Cut the logits off at the box, and bring them to the size of the image then."""
    h, w = prototypes.shape[1:]
    frame_h, frame_w = transform.frame_hw
    boxes = _pixels(found.boxes * found.boxes.new_tensor([w / frame_w, h / frame_h] * 2))
    for coefficients, (x0, y0, x1, y1) in zip(found.coefficients, boxes, strict=True):
        logits = prototypes.new_zeros((h, w))
        part = prototypes[:, y0:y1, x0:x1]
        logits[y0:y1, x0:x1] = torch.einsum("p,phw->hw", coefficients, part)
        yield Patch((0, 0), (transform.masks_to_image(logits) > 0).cpu().numpy())


def _pixels(boxes: Tensor) -> list[list[int]]:
    """List the first and last (exclusive) column and row whose numbers are in boxes (n, 4)."""
    return [[max(0, math.ceil(edge)) for edge in box] for box in boxes.tolist()]


def _weights(cells: int, pixels: int, like: Tensor) -> Tensor:
    """Give what each of some cells adds to each pixel of a bilinear resize: (pixels, cells)."""
    unit = torch.eye(cells, device=like.device)[None, None]
    return F.interpolate(unit, (pixels, cells), mode="bilinear")[0, 0]


def _used(weights: Tensor) -> tuple[Tensor, slice]:
    """Leave out the cells at both ends that add nothing to any of the pixels."""
    adds = weights.any(dim=0).nonzero()
    cells = slice(int(adds[0]), int(adds[-1]) + 1) if len(adds) else slice(0)
    return weights[:, cells], cells


def _placement(frame_hw: tuple[int, int], size_hw: tuple[int, int]) -> tuple[float, float, float]:
    """Return how an image of a size lies in a frame: its scale, and the padding above and left."""
    (frame_h, frame_w), (h, w) = frame_hw, size_hw
    scale = min(frame_h / h, frame_w / w)
    return scale, (frame_h - h * scale) / 2, (frame_w - w * scale) / 2
