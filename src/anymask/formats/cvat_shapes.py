"""Shapes of CVAT, drawn and written: elements of XML, with coordinates in pixels of the image.

Polygons, boxes and ellipses run along the edges of pixels: (0, 0) is the corner of the image. A
mask is a window of pixels with run lengths row by row, zeros first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.formats.shapes import ellipse, rectangle
from anymask.masks import polygon, rle
from anymask.masks.rle import Counts

__all__ = ["GEOMETRY", "KEPT", "draw", "mask_attributes", "outline_of", "points_text"]

GEOMETRY: Mapping[str, tuple[str, ...]] = {
    "polygon": ("points",),
    "mask": ("rle", "left", "top", "width", "height"),
    "box": ("xtl", "ytl", "xbr", "ybr", "rotation"),
    "ellipse": ("cx", "cy", "rx", "ry", "rotation"),
}
"""Attributes that say where a shape of a kind is, for kinds that enclose something."""

KEPT = ("box", "ellipse")
"""Kinds that are written again as what they were, if the mask still is what they enclose."""

_MOST = 1 << 32  # pixels of the window of a mask
_LARGEST = 1 << 29  # pixels of the window of a mask that are laid out in memory


def outline_of(kind: str, numbers: Mapping[str, str]) -> npt.NDArray[np.float64]:
    """Walk round a polygon, a box or an ellipse.

    Args:
        kind: Which of these.
        numbers: Its attributes.

    Raises:
        InputError: They are not what they should be.
    """
    if kind == "polygon":
        corners = [pair.split(",") for pair in numbers["points"].split(";") if pair.strip()]
        outline = np.array(corners, dtype=np.float64).reshape(-1, 2)
        if not np.isfinite(outline).all():
            raise InputError("expected finite coordinates, got others; draw the shape anew")
        return outline
    turned = float(numbers.get("rotation") or 0)
    a, b, c, d = (float(numbers[name]) for name in GEOMETRY[kind][:4])
    return rectangle(a, b, c, d, turned) if kind == "box" else ellipse(a, b, c, d, turned)


def draw(element: Element, size_hw: tuple[int, int]) -> tuple[Counts, bool]:
    """Draw a shape that encloses something.

    Returns:
        Run lengths, and whether the shape reached beyond the image, where it is cut off.

    Raises:
        InputError: Its attributes are not what they should be.
    """
    if element.tag == "mask":
        return _draw_mask(element.attrib, size_hw)
    outline = outline_of(element.tag, element.attrib)
    if len(outline) < 3:
        return np.array([size_hw[0] * size_hw[1]], dtype=np.uint32), False
    beyond = bool(outline.min() < 0 or (outline > (size_hw[1], size_hw[0])).any())
    return polygon.fill([outline], size_hw), beyond


def _draw_mask(numbers: Mapping[str, str], size_hw: tuple[int, int]) -> tuple[Counts, bool]:
    left, top, width, height = (_whole(numbers[name]) for name in GEOMETRY["mask"][1:])
    runs = np.array(numbers["rle"].split(",") if numbers["rle"].strip() else [], dtype=np.int64)
    total = width * height
    # The bound of each, too, for a sum of damaged numbers may run over and look right again.
    fits = width >= 0 and height >= 0 and total <= _MOST
    if not fits or (len(runs) and (runs.min() < 0 or runs.max() > total)):
        raise InputError(
            "expected run lengths of 0 or more within the window of the mask, got others; draw "
            "the shape anew"
        )
    ends = np.cumsum(runs)
    if len(runs) and ends[-1] > total:
        raise InputError(
            f"expected run lengths that add up to {width} * {height} = {total:,} pixels, got "
            f"{ends[-1]:,}; draw the shape anew"
        )
    starts, stops = ends[: len(ends) // 2 * 2].reshape(-1, 2).T
    filled = stops > starts
    if not filled.any():
        return np.array([size_hw[0] * size_hw[1]], dtype=np.uint32), False
    starts, stops = starts[filled], stops[filled]
    return _place(starts, stops, (left, top, width), size_hw)


def _place(
    starts: npt.NDArray[np.int64],
    stops: npt.NDArray[np.int64],
    window: tuple[int, int, int],
    size_hw: tuple[int, int],
) -> tuple[Counts, bool]:
    """Encode runs of a window, row by row, as a mask of the image."""
    left, top, width = window
    h, w = size_hw
    first, last = int(starts[0]) // width, (int(stops[-1]) - 1) // width
    rows = last - first + 1
    if rows * width > _LARGEST:
        raise InputError(
            f"expected a mask of at most {_LARGEST:,} pixels, got one of {width} x {rows}; draw it "
            "as polygons"
        )
    changes = np.zeros(rows * width + 1, dtype=np.int8)
    np.add.at(changes, starts - first * width, 1)
    np.add.at(changes, stops - first * width, -1)
    pixels = np.cumsum(changes[:-1], dtype=np.int8).astype(np.bool_).reshape(rows, width)
    y0, x0 = max(top + first, 0), max(left, 0)
    seen = pixels[y0 - top - first : max(h - top - first, 0), x0 - left : max(w - left, 0)]
    if not seen.any():
        return np.array([h * w], dtype=np.uint32), True
    beyond = bool(np.count_nonzero(seen) < np.count_nonzero(pixels))
    return rle.encode_window(np.ascontiguousarray(seen.T), (x0, y0), size_hw), beyond


def _whole(text: str) -> int:
    number = float(text)
    if not number.is_integer():
        raise InputError(f"expected a window of whole pixels, got {text!r}; draw the shape anew")
    return int(number)


def mask_attributes(counts: Counts, box: npt.NDArray[np.float32], h: int) -> dict[str, str]:
    """Write a mask that is not empty.

    Args:
        counts: Its run lengths.
        box: Its box, xyxy, inclusive.
        h: Height of the image.

    Examples:
        >>> mask_attributes(np.uint32([2, 1, 1, 2]), np.float32([1, 0, 2, 1]), 2)
        {'rle': '0, 2, 1, 1', 'left': '1', 'top': '0', 'width': '2', 'height': '2'}
    """
    x0, y0, x1, y1 = (int(side) for side in box)
    pixels = rle.decode_columns(counts, h, x0, x1 + 1)[:, y0 : y1 + 1].T.ravel()
    edges = np.flatnonzero(np.diff(pixels, prepend=False)).tolist()
    runs = np.diff([0, *edges, len(pixels)]).tolist()
    return {
        "rle": ", ".join(map(str, runs)),
        "left": str(x0),
        "top": str(y0),
        "width": str(x1 + 1 - x0),
        "height": str(y1 + 1 - y0),
    }


def points_text(outline: npt.NDArray[Any]) -> str:
    """Write corners as CVAT does, to a hundredth of a pixel.

    Examples:
        >>> points_text(np.array([(0, 0), (2.5, 1)]))
        '0.00,0.00;2.50,1.00'
    """
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in outline.tolist())
