"""Prompts drawn onto an image: clicks as discs, boxes as frames."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageDraw

from anymask.prompt import Prompt

__all__ = ["distinct", "mark"]

_GREEN = (13, 190, 78)
_RED = (245, 29, 49)
_WHITE = (255, 255, 255)
_FINE = 4  # clicks are drawn this much larger and then reduced, which smooths them
_ROWS = 256  # of a box that are drawn at a time, so that its size does not fill the memory


def distinct(prompts: Iterable[Prompt | None]) -> list[Prompt]:
    """List the prompts that show something, each once, however many masks answer it."""
    found = {}
    for prompt in prompts:
        if prompt is not None and (len(prompt.points_xy) or prompt.box is not None):
            box = None if prompt.box is None else prompt.box.tobytes()
            found[prompt.points_xy.tobytes(), prompt.labels.tobytes(), box] = prompt
    return list(found.values())


def mark(canvas: PIL.Image.Image, prompt: Prompt) -> None:
    """Draw the box and the points of a prompt onto an image of mode RGB."""
    radius = max(4.5, math.hypot(*canvas.size) / 85)
    if prompt.box is not None:
        _mark_box(canvas, prompt.box, max(3.2, radius / 3))
    for (x, y), label in zip(prompt.points_xy.tolist(), prompt.labels, strict=True):
        middle_xy = (x + 0.5, y + 0.5)  # of the pixel that the point names
        _mark_click(canvas, middle_xy, radius, foreground=bool(label))


def _mark_box(canvas: PIL.Image.Image, box: npt.NDArray[np.float64], width: float) -> None:
    """Draw a rounded frame along a box: a green line on a wider white one."""
    x0, y0, x1, y1 = box.tolist()
    corner = min(3 * width, (x1 - x0) / 2, (y1 - y0) / 2)
    margin = math.ceil(width) + 1
    left, right = max(math.floor(x0) - margin, 0), min(math.ceil(x1) + margin, canvas.width)
    top, bottom = max(math.floor(y0) - margin, 0), min(math.ceil(y1) + margin, canvas.height)
    for start in range(top, bottom if left < right else top, _ROWS):
        stop = min(start + _ROWS, bottom)
        # Distance to a rectangle with round corners, at the middle of every pixel.
        x = np.abs(np.arange(left, right) + 0.5 - (x0 + x1) / 2) - (x1 - x0) / 2 + corner
        y = np.abs(np.arange(start, stop) + 0.5 - (y0 + y1) / 2) - (y1 - y0) / 2 + corner
        x, y = x[None, :], y[:, None]
        inside = np.minimum(np.maximum(x, y), 0)
        distance = np.abs(np.hypot(np.maximum(x, 0), np.maximum(y, 0)) + inside - corner)
        for colour, thickness in ((_WHITE, width), (_GREEN, 0.55 * width)):
            opacity = (255 * np.clip(thickness / 2 + 0.5 - distance, 0, 1)).astype(np.uint8)
            canvas.paste(colour, (left, start, right, stop), PIL.Image.fromarray(opacity))


def _mark_click(
    canvas: PIL.Image.Image, at_xy: tuple[float, float], radius: float, foreground: bool
) -> None:
    """Draw a disc with a white rim: green with a star on the object, red with a bar beside it."""
    side = 2 * math.ceil(radius + 2)
    left, top = math.floor(at_xy[0]) - side // 2, math.floor(at_xy[1]) - side // 2
    x, y = _FINE * (at_xy[0] - left), _FINE * (at_xy[1] - top)
    fine = PIL.Image.new("RGBA", (side * _FINE, side * _FINE))
    pen = PIL.ImageDraw.Draw(fine)
    r = radius * _FINE
    pen.circle((x, y), 1.1 * r, (0, 0, 0, 70))
    pen.circle((x, y), r, _WHITE)
    pen.circle((x, y), 0.8 * r, _GREEN if foreground else _RED)
    if foreground:
        turns = (math.pi * (i / 5 - 0.5) for i in range(10))
        lengths = (0.62 * r, 0.27 * r) * 5
        star = [
            (x + n * math.cos(t), y + n * math.sin(t)) for t, n in zip(turns, lengths, strict=True)
        ]
        pen.polygon(star, _WHITE)
    else:
        pen.rounded_rectangle(
            (x - 0.45 * r, y - 0.13 * r, x + 0.45 * r, y + 0.13 * r), 0.13 * r, _WHITE
        )
    mark = fine.reduce(_FINE)
    canvas.paste(mark, (left, top), mark)
