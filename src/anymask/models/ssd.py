"""What a single-shot detector says, and what comes of it: anchors, boxes, duplicates.

Single Shot MultiBox Detector (Liu et al., ECCV 2016), as TensorFlow's object detection library
builds it: each cell of six maps says for a few anchor boxes which thing they hold and how they
should be moved. The network is `detector`, or a graph of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from anymask import geometry
from anymask.arrays import Array, Device, floats, inference, sigmoid, to_numpy
from anymask.detections import Detections
from anymask.errors import InputError
from anymask.image.image import Image, ImageLike
from anymask.models.variants import Preprocessing
from anymask.models.vocabulary import LABELS

__all__ = [
    "LABELS",
    "PREPROCESSING",
    "DetectorNetwork",
    "anchors",
    "decode",
    "detect",
    "encode",
    "shapes",
]

PREPROCESSING = Preprocessing(side=300, pad=None, squash=True, mean=(127.5,) * 3, std=(127.5,) * 3)
"""How a photo becomes its input."""

NAME = "anymask-detector"
"""What its results say made them."""

GRIDS = (19, 10, 5, 3, 2, 1)
"""Rows and columns of the six maps."""

_RATIOS = (1.0, 2.0, 0.5, 3.0, 1 / 3)
"""Width by height of the anchors of a scale."""

_CODE = (10.0, 10.0, 5.0, 5.0)
"""Divides the code of a box: y, x, log height, log width."""

FloatArray = npt.NDArray[np.float32]


class DetectorNetwork(Protocol):
    """What computes: a `detector.Detector`, or a graph of it."""

    @property
    def device(self) -> Device:
        """Where it computes, see `Network.device`."""
        ...

    def __call__(self, pixels: Array, /) -> tuple[Array, Array]:
        """Read what all anchors hold.

        Args:
            pixels: RGB scaled to -1..1, float32 (b, 3, 300, 300).

        Returns:
            Box codes (b, 1917, 4), see `decode`, and logits (b, 1917, 24), the background first.
        """
        ...


def shapes(level: int) -> list[tuple[float, float]]:
    """List height and width of the anchors of a level, as shares of the frame."""
    if level == 0:
        scaled = [(0.1, 1.0), (0.2, 2.0), (0.2, 0.5)]
    else:
        scale, larger = (0.2 + 0.75 * i / 5 if i <= 5 else 1.0 for i in (level, level + 1))
        scaled = [*((scale, ratio) for ratio in _RATIOS), (math.sqrt(scale * larger), 1.0)]
    return [(scale / math.sqrt(ratio), scale * math.sqrt(ratio)) for scale, ratio in scaled]


def anchors() -> FloatArray:
    """List the anchors in the order of the answers, float32 (1917, 4).

    Each is its middle's y and x, its height and its width, as shares of the frame.

    Examples:
        >>> anchors().shape
        (1917, 4)
    """
    rows = [
        ((y + 0.5) / grid, (x + 0.5) / grid, height, width)
        for level, grid in enumerate(GRIDS)
        for y in range(grid)
        for x in range(grid)
        for height, width in shapes(level)
    ]
    return np.array(rows, dtype=np.float32)


def decode(codes: FloatArray) -> FloatArray:
    """Turn box codes, float32 (..., 1917, 4), into boxes xyxy, as shares of the frame."""
    y, x, height, width = np.moveaxis(anchors(), -1, 0)
    down, across, taller, wider = np.moveaxis(codes / floats(_CODE), -1, 0)
    middle_y, middle_x = y + down * height, x + across * width
    half_h, half_w = height * np.exp(taller) / 2, width * np.exp(wider) / 2
    edges = [middle_x - half_w, middle_y - half_h, middle_x + half_w, middle_y + half_h]
    return np.stack(edges, axis=-1)


def encode(boxes: FloatArray) -> FloatArray:
    """Turn boxes xyxy, as shares of the frame, float32 (1917, 4), into the anchors' codes for them.

    Examples:
        >>> boxes = np.tile(np.float32([0.2, 0.3, 0.5, 0.7]), (1917, 1))
        >>> bool(np.allclose(decode(encode(boxes)), boxes, atol=1e-5))
        True
    """
    y, x, height, width = np.moveaxis(anchors(), -1, 0)
    left, top, right, bottom = np.moveaxis(boxes, -1, 0)
    down, across = ((top + bottom) / 2 - y) / height, ((left + right) / 2 - x) / width
    taller, wider = np.log((bottom - top) / height), np.log((right - left) / width)
    codes = np.stack([down, across, taller, wider], axis=-1) * floats(_CODE)
    return codes.astype(np.float32)


def detect(
    detector: DetectorNetwork,
    image: ImageLike,
    *,
    min_score: float = 0.3,
    nms_thresh: float = 0.5,
    max_detections: int = 100,
    labels: Sequence[str] | None = None,
    known: Sequence[str] = LABELS,
) -> Detections:
    """Find things in an image.

    Args:
        detector: See `companions.detector`.
        image: What `Image.open` takes.
        min_score: Least score, 0 to 1.
        nms_thresh: Of two boxes of one label whose IoU is greater than this, the better one stays.
        max_detections: At most so many, the best ones.
        labels: What to look for, out of ``known``; None: all.
        known: What the detector knows, in the order of its scores.

    Returns:
        Things in pixels of the image, clipped to it, best first, labelled out of ``labels``.

    Raises:
        InputError: A number is out of its range, or a label is unknown.

    Examples:
        >>> from anymask.models.companions import detector
        >>> found = detect(detector("cpu"), "docs/pictures/coffee.jpg")
        >>> found.labels, found.boxes.shape
        (('Coffee cup',), (1, 4))
    """
    labels = known if labels is None else labels
    _check(min_score, nms_thresh, max_detections, labels, known)
    photo = Image.open(image)
    transform = PREPROCESSING.fit(photo.size_hw)
    resized = transform.resize(photo, PREPROCESSING.resize)
    with inference(detector.device):
        said = detector(PREPROCESSING.frames(resized[None], transform, detector.device))
    codes, logits = (floats(to_numpy(values)[0]) for values in said)
    scores = sigmoid(logits[:, 1:][:, [known.index(label) for label in labels]])
    which, column = (scores >= min_score).nonzero()
    best = np.argsort(-scores[which, column], kind="stable")
    which, column = which[best], column[best]
    h, w = photo.size_hw
    boxes = decode(codes)[which].clip(0, 1) * floats([w, h, w, h])
    kept = geometry.nms_ranked(boxes, nms_thresh, column, max_detections)
    return Detections(
        photo.size_hw,
        boxes[kept],
        scores[which, column][kept],
        tuple(labels[i] for i in column[kept]),
        photo.source,
        NAME,
    )


def _check(
    min_score: float,
    nms_thresh: float,
    max_detections: int,
    labels: Sequence[str],
    known: Sequence[str],
) -> None:
    if not (0 <= min_score <= 1 and 0 <= nms_thresh <= 1 and max_detections >= 1):
        raise InputError(
            f"expected min_score and nms_thresh from 0 to 1 and max_detections of at least 1, got "
            f"{min_score}, {nms_thresh} and {max_detections}; correct them"
        )
    unknown = [label for label in labels if label not in known]
    if unknown or not labels:
        raise InputError(
            f"expected labels out of {', '.join(known)}, got {', '.join(unknown) or 'none'}; "
            "name some of these"
        )
