"""From what a detector says about every cell to instances: boxes, duplicates, masks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from anymask import geometry
from anymask.config import InstanceConfig
from anymask.image import Transform
from anymask.models.fastsam import STRIDES

__all__ = ["Detections", "candidates", "detect", "draw", "image_boxes"]

_SNAP = 20  # pixels of the frame from the border at which an edge belongs to it
_WHOLE = 0.9  # overlap with the frame from which a box means all of it
_PIXELS_AT_ONCE = 2**24  # of enlarged masks: 64 MiB of float32


@dataclass(frozen=True)
class Detections:
    """Instances before their masks are drawn.

    Attributes:
        boxes: float32 (n, 4), xyxy, pixels of the model's frame.
        scores: float32 (n,), 0 to 1.
        coefficients: float32 (n, prototypes), how much each prototype adds to the mask.
    """

    boxes: Tensor
    scores: Tensor
    coefficients: Tensor

    def __getitem__(self, index: Tensor) -> Detections:
        """Pick by number or by a bool tensor."""
        return Detections(self.boxes[index], self.scores[index], self.coefficients[index])

    def __len__(self) -> int:
        """Count the instances."""
        return len(self.scores)


def candidates(features: Mapping[str, Tensor]) -> Detections:
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
    return Detections(torch.cat(boxes), scores[:, 0], coefficients)


def detect(found: Detections, frame_hw: tuple[int, int], config: InstanceConfig) -> Detections:
    """Keep good candidates without their duplicates, best first, and tidy their boxes.

    An edge near the border of the frame is moved there. A box that is then nearly the whole frame
    becomes the whole frame.

    Args:
        found: All candidates.
        frame_hw: Size of the frame.
        config: What to keep.
    """
    found = found[found.scores > config.confidence]
    found = found[geometry.nms(found.boxes, found.scores, config.box_nms_thresh, most=config.most)]
    h, w = frame_hw
    low, high = found.boxes[:, :2], found.boxes[:, 2:]
    border = low.new_tensor([w, h])
    low = torch.where(low < _SNAP, 0, low)
    high = torch.where(high > border - _SNAP, border, high)
    boxes = torch.cat([low, high], dim=1)
    whole = boxes.new_tensor([[0, 0, w, h]])
    boxes = torch.where(geometry.box_iou(boxes, whole) > _WHOLE, whole, boxes)
    return Detections(boxes, found.scores, found.coefficients)


def image_boxes(boxes: Tensor, transform: Transform) -> Tensor:
    """Carry boxes (n, 4), xyxy, from the frame to the image and clip them there."""
    h, w = transform.original_hw
    scale, top, left = _placement(transform.frame_hw, transform.original_hw)
    # A half pixel of padding was put to the bottom and right, as the frame was filled.
    offset = boxes.new_tensor([round(left - 0.1), round(top - 0.1)] * 2)
    placed = ((boxes - offset) / scale).clamp(min=0)
    return torch.minimum(placed, placed.new_tensor([w, h, w, h]))


def draw(
    found: Detections, prototypes: Tensor, transform: Transform, config: InstanceConfig
) -> Iterator[Tensor]:
    """Draw the masks of instances, a few at a time.

    Args:
        found: n instances.
        prototypes: float32 (prototypes, h', w'), covering the frame.
        transform: Of the image.
        config: Whether at the resolution of the image.

    Yields:
        bool (k, h, w), original image size, in order; the k add up to n.
    """
    h, w = transform.original_hw
    frame_h, frame_w = transform.frame_hw
    step = max(1, _PIXELS_AT_ONCE // max(h * w, frame_h * frame_w))
    for start in range(0, len(found), step):
        boxes = found.boxes[start : start + step]
        coefficients = found.coefficients[start : start + step]
        logits = torch.einsum("np,phw->nhw", coefficients, prototypes)
        if config.retina:
            inside = _enlarge(logits, transform.original_hw) > 0
            yield _within(inside, image_boxes(boxes, transform))
        else:
            scale = boxes.new_tensor([logits.shape[2] / frame_w, logits.shape[1] / frame_h] * 2)
            yield transform.masks_to_image(_within(logits, boxes * scale)) > 0


def _enlarge(logits: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Bring logits (n, h', w') that cover the frame to the size of the image."""
    h, w = logits.shape[1:]
    _, top, left = _placement((h, w), size_hw)
    shown = logits[:, int(top) : int(h - top), int(left) : int(w - left)]
    return F.interpolate(shown[None], size_hw, mode="bilinear")[0]


def _within(maps: Tensor, boxes: Tensor) -> Tensor:
    """Keep what is inside of boxes (n, 4), xyxy in pixels of the maps (n, h, w); zeros outside."""
    kept = torch.zeros_like(maps)
    for one, source, box in zip(kept, maps, boxes.tolist(), strict=True):
        x0, y0, x1, y1 = (max(0, math.ceil(edge)) for edge in box)
        one[y0:y1, x0:x1] = source[y0:y1, x0:x1]
    return kept


def _placement(frame_hw: tuple[int, int], size_hw: tuple[int, int]) -> tuple[float, float, float]:
    """Tell how an image of a size lies in a frame: its scale, and the padding above and left."""
    (frame_h, frame_w), (h, w) = frame_hw, size_hw
    scale = min(frame_h / h, frame_w / w)
    return scale, (frame_h - h * scale) / 2, (frame_w - w * scale) / 2
