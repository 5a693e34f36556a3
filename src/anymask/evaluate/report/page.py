"""The page of a report: one HTML file without scripts, beside the pictures that it shows."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anymask.evaluate.protocol import Cell, Curve, Summary, Table
from anymask.evaluate.report.plot import svg

__all__ = ["Figure", "page", "shown"]

_STYLE = """
:root { color-scheme: light dark; --line: #8883; --soft: #80868e; --tint: #8881; --mark: #3778bf; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 0 1.5rem; }
header { border-bottom: 3px solid var(--mark); margin: 2.5rem 0 2rem; padding-bottom: .5rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0; } nav { margin-top: .5rem; }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 2.5rem 0 .75rem; }
a { color: var(--mark); } .wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .9rem; text-align: right; border-bottom: 1px solid var(--line); }
th { font-weight: 600; font-size: .875rem; color: var(--soft); vertical-align: bottom; }
tr:hover td { background: var(--tint); }
th.text, td.text { text-align: left; } td.text { white-space: nowrap; }
th:first-child, td:first-child { padding-left: .3rem; }
.note, figcaption { color: var(--soft); font-size: .875rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); }
.plots { gap: 2rem; } .plots figure { max-width: 40rem; }
.plots figcaption { margin-bottom: .5rem; }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); }
.cases img { width: 100%; aspect-ratio: 4 / 3; object-fit: contain; background: var(--tint); }
.cases { gap: 1.25rem; } .cases img { border-radius: 6px; } .cases figcaption { display: flex; }
.cases b { margin-left: auto; color: CanvasText; } figure { margin: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.5rem; }
dl { font-size: .875rem; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
dd span { margin-right: 1rem; }
section:last-of-type { margin-bottom: 4rem; }
"""


@dataclass(frozen=True)
class Figure:
    """A picture with a line below it."""

    file: str
    """Path of the picture from the page."""
    caption: str
    """What it shows."""
    number: str
    """How good that is."""


def page(
    title: str,
    about: Mapping[str, Any],
    summary: Summary,
    figures: Mapping[str, Sequence[Figure]] | None = None,
    legend: str = "",
    links: Mapping[str, str] | None = None,
) -> str:
    """Lay out a report.

    Args:
        title: What was measured.
        about: How, as JSON values.
        summary: The tables, and the curves.
        figures: Pictures of cases by their heading.
        legend: What they show.
        links: Addresses of other pages by their text.
    """
    anchors = [
        f'<a href="{html.escape(to)}">{html.escape(t)}</a>' for t, to in (links or {}).items()
    ]
    parts = [
        f"<header><h1>{html.escape(title)}</h1>"
        + (f"<nav>{' · '.join(anchors)}</nav>" if anchors else "")
        + "</header>"
    ]
    parts += [_section(table.title, _table(table)) for table in summary.tables]
    if summary.curves:
        drawn = "".join(map(_plot, summary.curves))
        parts.append(_section("Plots", f'<div class="plots">{drawn}</div>'))
    for heading, some in (figures or {}).items():
        if some:
            cases = f'<div class="cases">{"".join(map(_figure, some))}</div>'
            parts.append(_section(heading, _note(legend) + cases))
    parts.append(_section("How this was measured", _facts(about)))
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


def _section(heading: str, body: str) -> str:
    return f"<section><h2>{html.escape(heading)}</h2>{body}</section>"


def _note(words: str) -> str:
    return f'<p class="note">{html.escape(words)}</p>' if words else ""


def _table(table: Table) -> str:
    texts = [any(isinstance(row[i], str) for row in table.rows) for i in range(len(table.header))]
    head = "".join(_cell("th", name, text) for name, text in zip(table.header, texts, strict=True))
    body = "".join(
        "<tr>" + "".join(_cell("td", c, text) for c, text in zip(row, texts, strict=True)) + "</tr>"
        for row in table.rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>{_note(table.note)}'


def _cell(tag: str, cell: Any, text: bool) -> str:
    kind = ' class="text"' if text else ""
    return f"<{tag}{kind}>{html.escape(shown(cell))}</{tag}>"


def _plot(curve: Curve) -> str:
    drawn = svg(curve)
    title = html.escape(curve.title)
    return f"<figure><figcaption>{title}</figcaption>{drawn}</figure>" if drawn else ""


def _figure(figure: Figure) -> str:
    words = f"{html.escape(figure.caption)}<b>{html.escape(figure.number)}</b>"
    file = html.escape(figure.file)
    picture = f'<a href="{file}"><img src="{file}" alt="" loading="lazy"></a>'
    return f"<figure>{picture}<figcaption>{words}</figcaption></figure>"


def _facts(about: Mapping[str, Any]) -> str:
    """List how it was measured, one line for each group of facts."""
    lines = (
        f"<dt>{html.escape(name)}</dt><dd>{_fact(value)}</dd>"
        for name, value in about.items()
        if value not in ({}, [], "")
    )
    return f"<dl>{''.join(lines)}</dl>"


def _fact(value: Any) -> str:
    """Write a value that JSON can hold; groups within groups stand in brackets."""
    if isinstance(value, Mapping):
        return "".join(f"<span>{html.escape(f'{k}: {_words(v)}')}</span>" for k, v in value.items())
    return html.escape(_words(value))


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({', '.join(f'{k}: {_words(v)}' for k, v in value.items())})"
    if isinstance(value, list | tuple):
        return " ".join(map(_words, value)) or "none"
    return "none" if value is None else str(value)
