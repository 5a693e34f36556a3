"""Regions of Label Studio: results of one id, drawn as a mask, and a mask written as results.

Coordinates are percent of the image's width and height; a rectangle is turned about its upper left
corner, an ellipse about its middle, clockwise in degrees. What a result says beside where it is
stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anymask.errors import InputError
from anymask.formats import labelstudio_rle as brush
from anymask.formats.shapes import Outline, ellipse, has_holes, image_size, rectangle
from anymask.masks import polygon, rle
from anymask.masks.rle import Counts

__all__ = ["CONTROLS", "Region", "draw", "regions_of", "size_of", "value_of"]

CONTROLS = ("brush", "polygon", "rectangle", "ellipse")
"""Kinds of regions that enclose something, which are the names of our controls, too."""

_GEOMETRY: Mapping[str, tuple[str, ...]] = {
    "brush": ("format", "rle"),
    "polygon": ("points", "closed"),
    "ellipse": ("x", "y", "radiusX", "radiusY", "rotation"),
    "rectangle": ("x", "y", "width", "height", "rotation"),
    "vector": ("vertices", "closed"),
    "bitmask": ("imageDataURL",),
    "keypoint": ("x", "y", "width"),
}
_TELLING = {
    "brush": ("rle",),
    "polygon": ("points",),
    "ellipse": ("radiusX", "radiusY"),
    "rectangle": ("x", "y", "width", "height"),
    "vector": ("vertices",),
    "bitmask": ("imageDataURL",),
    "keypoint": ("x", "y"),
}


@dataclass
class Region:
    """Results that share an id."""

    kind: str
    """See `CONTROLS`, or what encloses nothing here: vector, bitmask, keypoint."""
    main: Mapping[str, Any]
    """The result that says what it is."""
    pieces: list[Mapping[str, Any]]
    """Values that differ in where it is; most often one."""
    also: list[dict[str, Any]]
    """What further results say of it, without where it is."""
    labels: list[str]
    """Its labels."""


def regions_of(results: Iterable[Any]) -> tuple[list[Region], list[Mapping[str, Any]]]:
    """Sort results into regions, and those that are about the whole image or between regions.

    Raises:
        InputError: One of them is no object.
    """
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for number, result in enumerate(results):
        value = result.get("value") if isinstance(result, Mapping) else None
        if not isinstance(result, Mapping) or not isinstance(value, Mapping | None):
            raise InputError(
                f"expected results as objects with a value, got {type(result).__name__}; export "
                "the task again"
            )
        key = result.get("id")
        groups.setdefault((None, number) if key is None else str(key), []).append(result)
    regions, others = [], []
    for group in groups.values():
        placed = [(kind, r) for r in group if (kind := _kind(r.get("value")))]
        if placed:
            regions.append(_region(placed, group))
        else:
            others += group
    return regions, others


def _kind(value: Mapping[str, Any] | None) -> str | None:
    """Tell the kind of a region by what its value has."""
    for kind, names in _TELLING.items():
        if value is not None and all(name in value for name in names):
            return kind
    return None


def _region(
    placed: Sequence[tuple[str, Mapping[str, Any]]], group: Sequence[Mapping[str, Any]]
) -> Region:
    kind, main = next(((k, r) for k, r in placed if _labels(r)), placed[0])
    pieces: list[Mapping[str, Any]] = []
    for _, result in [(kind, main), *placed]:
        where = _where(result["value"])
        if where not in pieces:
            pieces.append(where)
    also = []
    for result in group:
        if result is not main:
            rest = {k: v for k, v in (result.get("value") or {}).items() if k not in _PLACES}
            also.append({**{k: result[k] for k in _KEPT if k in result}, "value": rest})
    labels = next((found for r in [main, *group] if (found := _labels(r))), [])
    return Region(kind, main, pieces, also, labels)


_PLACES = {name for names in _GEOMETRY.values() for name in names}
_KEPT = ("from_name", "to_name", "type", "origin", "score", "meta")


def _where(value: Mapping[str, Any]) -> dict[str, Any]:
    kind = _kind(value)
    return {name: value[name] for name in _GEOMETRY[kind or ""] if name in value}


def _labels(result: Mapping[str, Any]) -> list[str]:
    for key, labels in (result.get("value") or {}).items():
        if key.endswith("labels"):
            if not isinstance(labels, list):
                raise InputError(
                    f"expected {key} as a list, got {type(labels).__name__}; export the task again"
                )
            return [str(label) for label in labels]
    return []


def size_of(result: Mapping[str, Any]) -> tuple[int, int] | None:
    """Give height and width of the image that a result says; None: it says none.

    Raises:
        InputError: They are none of an image.
    """
    sides = result.get("original_width"), result.get("original_height")
    return None if sides == (None, None) else image_size(*sides)


# ----------------------------------------------------------------------------- reading


def draw(region: Region, size_hw: tuple[int, int]) -> tuple[Counts, bool, bool]:
    """Draw a region.

    Returns:
        Run lengths; whether it encloses nothing, or is of a kind that is not known; and whether it
        reached beyond the image, where it is cut off.

    Raises:
        InputError: Its numbers are not what they should be.
    """
    masks, is_open, beyond = [], False, False
    for value in region.pieces:
        kind = _kind(value)
        if kind == "brush":
            masks.append(_brush(value, size_hw))
            continue
        outline = _outline(kind, value, size_hw)
        if outline is None:
            is_open = True
            masks.append(np.array([size_hw[0] * size_hw[1]], dtype=np.uint32))
            continue
        beyond |= bool(outline.min() < -_NEAR or (outline > np.array(size_hw[::-1]) + _NEAR).any())
        masks.append(polygon.fill([outline], size_hw))
    return (rle.merge(masks) if len(masks) > 1 else masks[0]), is_open, beyond


_NEAR = 1e-6  # pixels: what percent lose


def _brush(value: Mapping[str, Any], size_hw: tuple[int, int]) -> Counts:
    if value.get("format", "rle") != "rle" or not isinstance(value["rle"], list):
        raise InputError(
            "expected a brush with a list of run lengths in the format 'rle', got "
            f"{type(value['rle']).__name__} in {str(value.get('format'))[:20]!r}; export as JSON"
        )
    return rle.encode(brush.decode(value["rle"], size_hw))


def _outline(
    kind: str | None, value: Mapping[str, Any], size_hw: tuple[int, int]
) -> Outline | None:
    """Walk round a region, in pixels; None: it encloses nothing."""
    h, w = size_hw
    if kind == "polygon":
        corners = np.array(value["points"], dtype=np.float64).reshape(-1, 2)
        if not np.isfinite(corners).all():
            raise InputError("expected finite coordinates, got others; draw the shape anew")
        closed = value.get("closed", True) is not False and len(corners) >= 3
        return corners * (w / 100, h / 100) if closed else None
    if kind == "rectangle":
        x, y, width, height = (_number(value, name) for name in _TELLING["rectangle"])
        x0, y0, x1, y1 = x * w, y * h, (x + width) * w, (y + height) * h
        turned = _number(value, "rotation", 0)
        return rectangle(x0 / 100, y0 / 100, x1 / 100, y1 / 100, turned, corner=True)
    if kind == "ellipse":
        x, y, rx, ry = (_number(value, name) for name in _GEOMETRY["ellipse"][:4])
        turned = _number(value, "rotation", 0)
        return ellipse(x * w / 100, y * h / 100, rx * w / 100, ry * h / 100, turned)
    return None


def _number(value: Mapping[str, Any], name: str, default: float | None = None) -> float:
    number = value.get(name, default)
    number = default if number is None else number
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise InputError(
            f"expected a number as {name}, got {str(number)[:40]!r}; export the task again"
        )
    return float(number)


# ----------------------------------------------------------------------------- writing


def value_of(
    counts: Counts, size_hw: tuple[int, int], kept: object, shapes: str
) -> tuple[str, dict[str, Any]] | None:
    """Write where a mask is.

    Args:
        counts: Its run lengths.
        size_hw: Height and width of the image.
        kept: Kind and value of the region that it was read from, if that is worth keeping.
        shapes: "mask": as a brush; "polygon": as an outline, if it is one piece without holes.

    Returns:
        The kind of the region and its value; None: the mask is empty, and no region was kept.
    """
    if isinstance(kept, Mapping) and isinstance(kept.get("value"), Mapping):
        kind, value = str(kept.get("kind")), dict(kept["value"])
        if _is_still(kind, value, counts, size_hw):
            return kind, value
    if not rle.area(counts):
        return None
    if shapes == "polygon":
        outlines = polygon.trace(counts, size_hw)
        if len(outlines) == 1 and not has_holes(counts, size_hw):
            percent = outlines[0] * 100 / np.array(size_hw[::-1])
            return "polygon", {"points": percent.tolist(), "closed": True}
    return "brush", {"format": "rle", "rle": brush.encode(rle.decode(counts, size_hw))}


def _is_still(
    kind: str, value: Mapping[str, Any], counts: Counts, size_hw: tuple[int, int]
) -> bool:
    """Return whether a mask still is what a region encloses."""
    if kind not in ("rectangle", "ellipse"):
        return not rle.area(counts) and kind in _GEOMETRY
    try:
        outline = _outline(kind, value, size_hw)
        assert outline is not None
        return bool(polygon.fill([outline], size_hw).tolist() == counts.tolist())
    except (InputError, KeyError, TypeError, ValueError):
        return False
