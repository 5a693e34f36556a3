"""From what a detector says about every cell to instances: boxes, duplicates, masks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from anymask import geometry
from anymask.arrays import Array, floats, to_numpy
from anymask.config import InstanceConfig
from anymask.image import resampling
from anymask.image.transform import Transform

__all__ = ["STRIDES", "Candidates", "Patch", "candidates", "detect", "draw", "image_boxes"]

STRIDES = (8, 16, 32)
"""Sides of the squares of pixels that each give one candidate, in the order of the head."""

FloatArray = npt.NDArray[np.float32]

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

    boxes: FloatArray
    scores: FloatArray
    coefficients: FloatArray

    def __getitem__(self, index: npt.NDArray[Any]) -> Candidates:
        """Pick by number or by a bool array."""
        return Candidates(self.boxes[index], self.scores[index], self.coefficients[index])

    def __len__(self) -> int:
        """Count the instances."""
        return len(self.scores)


class Patch(NamedTuple):
    """The part of a mask outside of which nothing is set."""

    corner_xy: tuple[int, int]  # of the part's first pixel, in the image
    inside: npt.NDArray[np.bool_]  # (h, w)


def candidates(features: Mapping[str, Array]) -> Candidates:
    """Read one candidate from every cell of an image's features, see `FastSam`."""
    values, boxes = [], []
    for stride in STRIDES:
        cells = floats(to_numpy(features[f"stride{stride}"])[0])
        h, w = cells.shape[1:]
        middle = np.stack(np.meshgrid(np.arange(w), np.arange(h))).astype(np.float32) + 0.5
        corners = np.concatenate([middle - cells[:2], middle + cells[2:4]])
        boxes.append(stride * corners.reshape(4, -1).T)
        values.append(cells[4:].reshape(len(cells) - 4, -1).T)
    scores_and_rest = np.concatenate(values)
    return Candidates(np.concatenate(boxes), scores_and_rest[:, 0], scores_and_rest[:, 1:])


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
    found = found[np.argsort(-found.scores, kind="stable")]
    found = found[
        geometry.nms_ranked(found.boxes, config.box_nms_thresh, max_kept=config.max_instances)
    ]
    h, w = frame_hw
    low, high, border = found.boxes[:, :2], found.boxes[:, 2:], floats([w, h])
    low = np.where(low < _SNAP, np.float32(0), low)
    high = np.where(high > border - _SNAP, border, high)
    boxes, whole = np.concatenate([low, high], axis=1), floats([[0, 0, w, h]])
    boxes = np.where(geometry.box_iou(boxes, whole) > _WHOLE, whole, boxes)
    return Candidates(boxes, found.scores, found.coefficients)


def image_boxes(boxes: FloatArray, transform: Transform) -> FloatArray:
    """Carry boxes (n, 4), xyxy, from the frame to the image and clip them there."""
    h, w = transform.original_hw
    scale, top, left = _placement(transform.frame_hw, transform.original_hw)
    # A half pixel of padding was put to the bottom and right, as the frame was filled.
    offset = floats([round(left - 0.1), round(top - 0.1)] * 2)
    placed = (boxes - offset) / np.float32(scale)
    return floats(placed.clip(0, floats([w, h, w, h])))


def draw(
    found: Candidates, prototypes: FloatArray, transform: Transform, config: InstanceConfig
) -> Iterator[Patch]:
    """Draw the mask of each of n instances.

    Args:
        found: The instances.
        prototypes: float32 (prototypes, h', w'), covering the frame.
        transform: Of the image.
        config: Whether at the resolution of the image.
    """
    return (_draw_fine if config.retina else _draw_coarse)(found, prototypes, transform)


def _draw_fine(found: Candidates, prototypes: FloatArray, transform: Transform) -> Iterator[Patch]:
    """Bring the logits to the size of the image, as far as a box goes, and cut them off there."""
    h, w = prototypes.shape[1:]
    _, top, left = _placement((h, w), transform.original_hw)
    shown = prototypes[:, int(top) : int(h - top), int(left) : int(w - left)]
    sizes = zip(shown.shape[1:], transform.original_hw, strict=True)
    down, across = (_weights(*lengths) for lengths in sizes)
    boxes = _pixels(image_boxes(found.boxes, transform))
    for coefficients, (x0, y0, x1, y1) in zip(found.coefficients, boxes, strict=True):
        rows, used_rows = _used(down[y0:y1])
        columns, used_columns = _used(across[x0:x1])
        logits = np.tensordot(coefficients, shown[:, used_rows, used_columns], 1)
        yield Patch((x0, y0), rows @ logits @ columns.T > 0)


def _draw_coarse(
    found: Candidates, prototypes: FloatArray, transform: Transform
) -> Iterator[Patch]:
    """Cut the logits off at the box, and bring them to the size of the image then."""
    h, w = prototypes.shape[1:]
    frame_h, frame_w = transform.frame_hw
    boxes = _pixels(found.boxes * floats([w / frame_w, h / frame_h] * 2))
    for coefficients, (x0, y0, x1, y1) in zip(found.coefficients, boxes, strict=True):
        logits = np.zeros((h, w), np.float32)
        logits[y0:y1, x0:x1] = np.tensordot(coefficients, prototypes[:, y0:y1, x0:x1], 1)
        yield Patch((0, 0), transform.masks_to_image(logits) > 0)


def _pixels(boxes: FloatArray) -> list[list[int]]:
    """List the first and last (exclusive) column and row whose numbers are in boxes (n, 4)."""
    return [[max(0, math.ceil(edge)) for edge in box] for box in boxes.tolist()]


def _weights(cells: int, pixels: int) -> FloatArray:
    """Give what each of some cells adds to each pixel of a bilinear resize: (pixels, cells)."""
    return resampling.matrix(resampling.linear(cells, pixels), cells)


def _used(weights: FloatArray) -> tuple[FloatArray, slice]:
    """Leave out the cells at both ends that add nothing to any of the pixels."""
    adds = np.flatnonzero(weights.any(axis=0))
    cells = slice(int(adds[0]), int(adds[-1]) + 1) if len(adds) else slice(0)
    return weights[:, cells], cells


def _placement(frame_hw: tuple[int, int], size_hw: tuple[int, int]) -> tuple[float, float, float]:
    """Return how an image of a size lies in a frame: its scale, and the padding above and left."""
    (frame_h, frame_w), (h, w) = frame_hw, size_hw
    scale = min(frame_h / h, frame_w / w)
    return scale, (frame_h - h * scale) / 2, (frame_w - w * scale) / 2
