"""The page of a report: one HTML file without scripts, beside the images that it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from anymask.evaluate.protocol import Cell, Summary, Table
from anymask.evaluate.report.plot import svg
from anymask.optional import optional

__all__ = ["Figure", "Page", "render", "shown"]


@dataclass(frozen=True)
class Figure:
    """An image with a line below it."""

    file: str
    """Path of the image from the page."""
    caption: str
    """What it shows."""
    number: str
    """How good that is."""


@dataclass(frozen=True)
class Page:
    """What a report shows."""

    title: str
    """What was measured."""
    about: Mapping[str, Any]
    """How, as plain JSON values."""
    summary: Summary
    """The tables, and the curves."""
    figures: Mapping[str, Sequence[Figure]] = field(default_factory=dict)
    """Drawings of cases by their heading."""
    legend: str = ""
    """What they show."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Addresses of other pages by their text."""
    drawings: Mapping[str, str] = field(default_factory=dict)
    """Further plots, SVG by their title."""
    command: str = "anymask evaluate"
    """What made it."""


def render(page: Page, files: Sequence[str] = ()) -> str:
    """Lay out a report as HTML.

    Args:
        page: What it shows.
        files: Paths of the same results in other formats, from the page.

    Raises:
        MissingExtraError: Jinja is not installed, which PyTorch brings.
    """
    drawn = ((curve.title, svg(curve)) for curve in page.summary.curves)
    known = {name: value for name, value in page.about.items() if value not in ({}, [], "")}
    html: str = _template().render(
        page=page,
        style=_text("page.css"),
        chips=_chips(page.about),
        tables=[_grid(table) for table in page.summary.tables],
        plots=[
            {"title": name, "svg": plot} for name, plot in [*drawn, *page.drawings.items()] if plot
        ],
        facts=[_fact(name, value) for name, value in known.items()],
        files=files,
    )
    return html


def shown(cell: Cell) -> str:
    """Write a cell for people.

    Examples:
        >>> shown(0.12345), shown(12.345), shown(7), shown(None)
        ('0.123', '12.3', '7', '-')
    """
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.3f}" if abs(cell) < 10 else f"{cell:.1f}"
    return str(cell)


@cache
def _template() -> Any:
    jinja = optional("jinja2", extra="eval")
    environment = jinja.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_text("page.html.jinja"))


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _chips(about: Mapping[str, Any]) -> list[str]:
    """Say in a few words what was measured on what."""
    data = about.get("data")
    sets = data.items() if isinstance(data, Mapping) else ()
    chips = [f"{name}: {known['images']:,} images" for name, known in sets if "images" in known]
    return chips + [str(about[name]) for name in ("machine", "device") if name in about]


def _grid(table: Table) -> dict[str, Any]:
    """Prepare a table: of each column its kind, of each row what repeats the one before."""
    kinds = [_kind([row[i] for row in table.rows]) for i in range(len(table.header))]
    rows, before = [], None
    for row in table.rows:
        starts = kinds[0] != "text" or row[0] != before
        cells = [_cell(cell, kind) for cell, kind in zip(row, kinds, strict=True)]
        if not starts:
            cells[0]["kind"] = "again"
        rows.append({"cells": cells, "starts": starts})
        before = row[0]
    columns = list(zip(table.header, kinds, strict=True))
    return {"title": table.title, "note": table.note, "columns": columns, "rows": rows}


def _kind(column: Sequence[Cell]) -> str:
    """Return what a column holds: text, shares (numbers from 0 to 1), or other numbers."""
    if any(isinstance(cell, str) for cell in column):
        return "text"
    known = [cell for cell in column if cell is not None]
    shares = all(isinstance(cell, float) and 0 <= cell <= 1 for cell in known)
    return "share" if known and shares else ""


def _cell(cell: Cell, kind: str) -> dict[str, Any]:
    if cell is None:
        return {"text": shown(cell), "kind": "none", "share": None}
    share = f"{cell:.4f}" if kind == "share" else None
    return {"text": shown(cell), "kind": kind, "share": share}


def _fact(name: str, value: Any) -> dict[str, Any]:
    """Say a group of facts in one line; groups within groups stand in brackets."""
    if isinstance(value, Mapping):
        return {"name": name, "parts": [f"{k}: {_words(v)}" for k, v in value.items()]}
    return {"name": name, "text": _words(value)}


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({', '.join(f'{k}: {_words(v)}' for k, v in value.items())})"
    if isinstance(value, list | tuple):
        return " ".join(map(_words, value)) or "none"
    return "none" if value is None else str(value)
