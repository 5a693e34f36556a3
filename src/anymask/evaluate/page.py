"""The page of a report: one HTML file without scripts, beside the pictures that it shows."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anymask.evaluate.protocol import Cell, Summary, Table

__all__ = ["Figure", "page", "shown"]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #888; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid var(--line); }
th { font-weight: 600; vertical-align: bottom; } tr:hover td { background: #8881; }
th:first-child, td:first-child, th.text, td.text { text-align: left; }
.wide { overflow-x: auto; } .note, figcaption, footer { color: var(--soft); font-size: .875rem; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; } .plots img { width: 35rem; }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
figure { margin: 0; } img { max-width: 100%; border-radius: 4px; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8rem; }
"""


@dataclass(frozen=True)
class Figure:
    """A picture with a line below it."""

    file: str
    """Path of the picture from the page."""
    caption: str
    """What it shows."""


def page(
    title: str,
    about: object,
    summary: Summary,
    plots: Sequence[str] = (),
    figures: Mapping[str, Sequence[Figure]] | None = None,
    links: Mapping[str, str] | None = None,
) -> str:
    """Lay out a report.

    Args:
        title: What was measured.
        about: How, as JSON values.
        summary: The tables.
        plots: Files of plots.
        figures: Pictures of cases by their heading.
        links: Addresses of other pages by their text.
    """
    parts = [f"<h1>{html.escape(title)}</h1>"]
    if links:
        anchors = (f'<a href="{html.escape(to)}">{html.escape(t)}</a>' for t, to in links.items())
        parts.append(f"<p>{' · '.join(anchors)}</p>")
    parts += [_table(table) for table in summary.tables]
    if plots:
        drawn = "".join(f'<img src="{html.escape(name)}" alt="">' for name in plots)
        parts.append(f'<h2>Plots</h2><div class="plots">{drawn}</div>')
    for heading, some in (figures or {}).items():
        body = "".join(map(_figure, some))
        if body:
            parts.append(f'<h2>{html.escape(heading)}</h2><div class="cases">{body}</div>')
    made = html.escape(json.dumps(about, indent=1))
    parts.append(f"<h2>How this was measured</h2><pre>{made}</pre>")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title>"
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def shown(cell: Cell) -> str:
    """Write a cell for people."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.3f}" if abs(cell) < 10 else f"{cell:.1f}"
    return str(cell)


def _table(table: Table) -> str:
    texts = [any(isinstance(row[i], str) for row in table.rows) for i in range(len(table.header))]
    head = "".join(_cell("th", name, text) for name, text in zip(table.header, texts, strict=True))
    body = "".join(
        "<tr>" + "".join(_cell("td", c, text) for c, text in zip(row, texts, strict=True)) + "</tr>"
        for row in table.rows
    )
    note = f'<p class="note">{html.escape(table.note)}</p>' if table.note else ""
    return (
        f"<h2>{html.escape(table.title)}</h2>"
        f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>{note}'
    )


def _cell(tag: str, cell: Any, text: bool) -> str:
    kind = ' class="text"' if text else ""
    return f"<{tag}{kind}>{html.escape(shown(cell))}</{tag}>"


def _figure(figure: Figure) -> str:
    picture = f'<img src="{html.escape(figure.file)}" alt="" loading="lazy">'
    return f"<figure>{picture}<figcaption>{html.escape(figure.caption)}</figcaption></figure>"
