"""Boxes that a detector found, in COCO's format of results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anymask.errors import InputError
from anymask.formats.annotation import parse_json, plain_id, understanding

__all__ = ["Detection", "read_detections"]


@dataclass(frozen=True)
class Detection:
    """One box."""

    image: Any
    """The image's id in its annotation file, in the form of `plain_id`."""
    category: Any
    """The category's id there."""
    box: tuple[float, float, float, float]
    """xyxy, running round the pixels; without area where the detector saw nothing."""
    score: float
    """Confidence of the detector."""


def read_detections(path: Path) -> dict[Any, list[Detection]]:
    """Read the boxes of every image, best first.

    Args:
        path: JSON, a list of ``{"image_id", "category_id", "bbox": [x, y, w, h], "score"}``.

    Returns:
        By the image's id.

    Raises:
        InputError: The file is missing, damaged or not in this format.
    """
    entries = parse_json(path)
    if not isinstance(entries, list):
        raise InputError(
            f"expected a list of detections in {str(path)!r}, got a {type(entries).__name__}; give "
            "a file in COCO's format of results"
        )
    found: dict[Any, list[Detection]] = {}
    for number, entry in enumerate(entries, 1):
        with understanding(f"detection {number} of {str(path)!r}"):
            detection = _read(entry)
            found.setdefault(detection.image, []).append(detection)
    return {k: sorted(some, key=lambda one: -one.score) for k, some in found.items()}


def _read(entry: Mapping[str, Any]) -> Detection:
    x, y, w, h = map(float, entry["bbox"])
    score = float(entry["score"])
    if not all(map(math.isfinite, (x, y, w, h, score))) or w < 0 or h < 0:
        raise InputError(
            f"expected finite numbers x, y, width and height of at least 0 and a score, got "
            f"{entry['bbox']} and {entry['score']}; correct them"
        )
    ids = plain_id(entry["image_id"]), plain_id(entry["category_id"])
    return Detection(*ids, (x, y, x + w, y + h), score)
