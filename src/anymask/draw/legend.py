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
_COLUMNS = 4  # at most
_FEWEST = 4  # letters, in widths of an m, for which there must be room
_LONGEST = 200  # characters of a name that are looked at; more have no room anywhere
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
    column: int
    """Width of each column."""
    per_column: int
    width: int
    height: int
    whole: bool
    """No name is shortened."""


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
        layout = self._layout(canvas.size)
        if layout is None:
            return
        corners = _corners(canvas.size, layout)
        covered = rle.merge(masks.counts)
        hidden = [rle.area(rle.crop(covered, masks.size_hw, corner)) for corner in corners]
        self._draw(canvas, layout, corners[int(np.argmin(hidden))])

    def _layout(self, size: tuple[int, int]) -> _Layout | None:
        """Choose how large the letters are and how many names to show; None: there is no room.

        More than one column only where one cannot show all, and names need not be shortened for it.
        """
        if not self.rows:
            return None
        usual = max(_SMALLEST, round(math.hypot(*size) / 70))
        least = max(_SMALLEST, round(0.6 * usual))
        fitting = (s for s in range(usual, least, -1) if len(self.rows) <= _rows_in(size, s))
        best = self._columns(size, next(fitting, least), 1)
        for columns in range(2, _COLUMNS + 1):
            if best is not None and best.rows[-1].colour is None:
                more = self._columns(size, least, columns)
                best = more if more is not None and more.whole else best
        return best

    def _columns(self, size: tuple[int, int], letters: int, columns: int) -> _Layout | None:
        """Lay names out in columns, as many as there is room for; the last says what is left."""
        pad, beside = _pad(letters), _swatch(letters) + _gap(letters)
        room = (math.floor(_WIDEST * size[0]) - pad) // columns - pad - beside
        most = columns * _rows_in(size, letters)
        if room < _FEWEST * letters or most < min(2, len(self.rows)):
            return None
        rows = list(self.rows[:most])
        if len(self.rows) > most:
            rows[-1] = _Row(f"and {len(self.rows) - most + 1} more", 0, None)
        fonts = [self.fonts.of(row.name, letters) for row in rows]
        counts = [_count(font, row) for font, row in zip(fonts, rows, strict=True)]
        names = [
            font.shortened(row.name, room - count)
            for font, row, count in zip(fonts, rows, counts, strict=True)
        ]
        widest = max(f.width(name) + c for f, name, c in zip(fonts, names, counts, strict=True))
        column, per_column = beside + math.ceil(widest), math.ceil(len(rows) / columns)
        return _Layout(
            [row._replace(name=name) for row, name in zip(rows, names, strict=True)],
            fonts,
            letters,
            column,
            per_column,
            columns * (column + pad) + pad,
            2 * pad + math.ceil(per_column * _line(letters)),
            names == [row.name for row in rows],
        )

    def _draw(self, canvas: PIL.Image.Image, layout: _Layout, place: Place) -> None:
        pad, side = _pad(layout.size), _swatch(layout.size)
        plate = _rounded((layout.width, layout.height), pad, _OPACITY)
        canvas.paste(_PLATE, place, plate)
        pen = PIL.ImageDraw.Draw(canvas)
        for i, (row, font) in enumerate(zip(layout.rows, layout.fonts, strict=True)):
            column, line = divmod(i, layout.per_column)
            x = place[0] + pad + column * (layout.column + pad)
            middle = place[1] + pad + round((line + 0.5) * _line(layout.size))
            if row.colour is not None:
                y = middle - side // 2
                swatch = _rounded((side, side), side // 4, 255)
                canvas.paste(row.colour, (x, y, x + side, y + side), swatch)
            at = x + side + _gap(layout.size)
            font.write(pen, (at, middle), row.name, _WHITE if row.colour else _GREY)
            if row.number > 1:
                font.write(pen, (at + font.width(row.name), middle), f"  {row.number}", _GREY)


def _one_line(name: str) -> str:
    printable = "".join(c if c.isprintable() else " " for c in name[:_LONGEST])
    return " ".join(printable.split())


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


def _rows_in(size: tuple[int, int], letters: int) -> int:
    """Say how many rows there is room for."""
    return max(0, math.floor((_HIGHEST * size[1] - 2 * _pad(letters)) / _line(letters)))


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
