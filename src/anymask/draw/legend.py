"""Legends: which colour has which name, in the corner of an image where that hides least."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageDraw

from anymask.draw.fonts import Font, Fonts
from anymask.draw.palette import Colour
from anymask.masks import rle
from anymask.masks.masks import Masks

__all__ = ["Legend"]

_SMALLEST = 10  # pixels of letters that can be read
_WIDEST, _HIGHEST = 0.45, 0.6  # shares of the image's width and height that a legend may take
_FEWEST = 4  # letters, in widths of an m, for which there must be room
_FINE = 4  # round corners are drawn this much larger and then reduced, which smooths them
_PLATE, _OPACITY = (18, 20, 24), 205
_WHITE, _GREY = (255, 255, 255), (176, 182, 190)

Place = tuple[int, int, int, int]  # xyxy, right and bottom exclusive


class _Row(NamedTuple):
    name: str
    number: int
    """Of masks with that name; 0 where that is not said."""
    colour: Colour | None


class _Layout(NamedTuple):
    rows: list[_Row]
    fonts: list[Font]
    size: int
    """Of the letters."""
    width: int
    height: int


@dataclass(frozen=True)
class Legend:
    """Names, how many masks have them, and their colours; the most frequent first."""

    rows: Sequence[_Row]
    fonts: Fonts

    @classmethod
    def of(
        cls, masks: Masks, colours: Mapping[int, Colour], font: str | os.PathLike[str] | None
    ) -> Legend:
        """List the labels of the masks that have a colour.

        Raises:
            InputError: The font is none.
        """
        named = {i: label for i in colours if (label := masks.labels[i]) is not None}
        colour_of = {label: colours[i] for i, label in named.items()}
        counted = sorted(Counter(named.values()).items(), key=lambda one: (-one[1], one[0]))
        rows = [_Row(_one_line(name), number, colour_of[name]) for name, number in counted]
        return cls(rows, Fonts(font))

    def draw(self, canvas: PIL.Image.Image, masks: Masks) -> None:
        """Draw it onto an image of mode RGB, if there is room, and names to show."""
        layout = self._layout(canvas.size) if self.rows else None
        if layout is None:
            return
        corners = _corners(canvas.size, layout)
        covered = rle.merge(masks.counts)
        hidden = [rle.area(rle.crop(covered, masks.size_hw, corner)) for corner in corners]
        self._draw(canvas, layout, corners[int(np.argmin(hidden))])

    def _layout(self, size: tuple[int, int]) -> _Layout | None:
        """Choose the size of the letters and how many names to show; None: there is no room."""
        usual = max(_SMALLEST, round(math.hypot(*size) / 70))
        least = max(_SMALLEST, round(0.6 * usual))
        room = math.floor(_HIGHEST * size[1])
        fitting = [s for s in range(usual, least - 1, -1) if _height(len(self.rows), s) <= room]
        letters = fitting[0] if fitting else least
        rows = list(self.rows)
        if not fitting:
            shown = sum(_height(number + 2, letters) <= room for number in range(len(rows)))
            if shown < 1:
                return None
            rows = [*rows[:shown], _Row(f"and {len(rows) - shown} more", 0, None)]
        return self._widths(rows, letters, math.floor(_WIDEST * size[0]))

    def _widths(self, rows: list[_Row], letters: int, room: int) -> _Layout | None:
        """Shorten the names to what there is room for."""
        beside = 2 * _pad(letters) + _swatch(letters) + _gap(letters)
        if room - beside < _FEWEST * letters:
            return None
        fonts = [self.fonts.of(row.name, letters) for row in rows]
        shown, widest = [], 0.0
        for row, font in zip(rows, fonts, strict=True):
            count = _count(font, row)
            name = font.shortened(row.name, room - beside - count)
            shown.append(row._replace(name=name))
            widest = max(widest, font.width(name) + count)
        width = beside + math.ceil(widest)
        return _Layout(shown, fonts, letters, width, _height(len(rows), letters))

    def _draw(self, canvas: PIL.Image.Image, layout: _Layout, place: Place) -> None:
        size, (left, top) = layout.size, place[:2]
        plate = _rounded((layout.width, layout.height), _pad(size), _OPACITY)
        canvas.paste(_PLATE, place, plate)
        pen = PIL.ImageDraw.Draw(canvas)
        side, x = _swatch(size), left + _pad(size)
        for i, (row, font) in enumerate(zip(layout.rows, layout.fonts, strict=True)):
            middle = top + _pad(size) + round((i + 0.5) * _line(size))
            if row.colour is not None:
                y = middle - side // 2
                swatch = _rounded((side, side), side // 4, 255)
                canvas.paste(row.colour, (x, y, x + side, y + side), swatch)
            at = x + side + _gap(size)
            font.write(pen, (at, middle), row.name, _WHITE if row.colour else _GREY)
            if row.number > 1:
                font.write(pen, (at + font.width(row.name), middle), f"  {row.number}", _GREY)


def _one_line(name: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())


def _count(font: Font, row: _Row) -> float:
    return font.width(f"  {row.number}") if row.number > 1 else 0


def _pad(size: int) -> int:
    return max(3, round(0.6 * size))


def _gap(size: int) -> int:
    return max(3, round(0.5 * size))


def _swatch(size: int) -> int:
    return round(0.95 * size)


def _line(size: int) -> float:
    return 1.5 * size


def _height(rows: int, size: int) -> int:
    return math.ceil(rows * _line(size)) + 2 * _pad(size)


def _corners(size: tuple[int, int], layout: _Layout) -> list[Place]:
    """List the places where a legend may be, the best first."""
    margin = min(_pad(layout.size), (size[0] - layout.width) // 2, (size[1] - layout.height) // 2)
    right, bottom = size[0] - layout.width - margin, size[1] - layout.height - margin
    return [
        (x, y, x + layout.width, y + layout.height)
        for x, y in ((margin, margin), (right, margin), (margin, bottom), (right, bottom))
    ]


def _rounded(size: tuple[int, int], radius: int, opacity: int) -> PIL.Image.Image:
    """Make a mask, mode L, of a rectangle with smooth round corners."""
    fine = PIL.Image.new("L", (size[0] * _FINE, size[1] * _FINE))
    frame = (0, 0, fine.width - 1, fine.height - 1)
    PIL.ImageDraw.Draw(fine).rounded_rectangle(frame, radius * _FINE, opacity)
    return fine.reduce(_FINE)
