"""The report of an evaluation: tables, plots, and a page with the best and the worst cases.

results.json  results.md  <table>.csv  <plot>.png  index.html  cases/<n>.jpg
"""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anymask.atomic import atomic_write
from anymask.errors import MissingExtraError
from anymask.evaluate.protocol import Cell, Curve, Row, Summary, Table
from anymask.evaluate.run import Evaluation
from anymask.optional import optional

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["Case", "cases_of", "markdown", "write_report"]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #888; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; } .note, figcaption, footer { color: var(--soft); font-size: .875rem; }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
figure { margin: 0; } img { max-width: 100%; border-radius: 4px; }
pre { white-space: pre-wrap; font-size: .8rem; }
"""


@dataclass(frozen=True)
class Case:
    """One row that is worth looking at."""

    set: str
    """Name of the data set."""
    key: str
    """Key of the image."""
    row: Row
    """What was measured."""


def write_report(evaluation: Evaluation, cases: int = 12) -> Summary:
    """Write the report of what has been measured so far into the folder of results.

    Args:
        evaluation: Whose rows are summed up.
        cases: How many of the worst and of the best cases to draw; 0: none.

    Raises:
        OutputError: The folder cannot be written to.
    """
    summary, folder = evaluation.summary(), evaluation.output
    _write(folder / "results.json", json.dumps(_plain(evaluation, summary), indent=1) + "\n")
    _write(folder / "results.md", markdown(summary))
    for table in summary.tables:
        _write(folder / f"{table.name}.csv", _csv(table))
    plots = [name for curve in summary.curves if (name := _plot(curve, folder))]
    drawn: dict[str, list[tuple[str, Case]]] = {}
    if cases:
        for title, chosen in zip(("Worst", "Best"), cases_of(evaluation, cases), strict=True):
            drawn[title] = list(_draw(evaluation, chosen, title.lower()))
    _write(folder / "index.html", _page(evaluation, summary, plots, drawn))
    return summary


def markdown(summary: Summary) -> str:
    """Lay out the tables as Markdown."""
    parts = []
    for table in summary.tables:
        lines = [
            f"**{table.title}**",
            "",
            "| " + " | ".join(table.header) + " |",
            "| --- |" + " ---: |" * (len(table.header) - 1),
            *("| " + " | ".join(map(_shown, row)) + " |" for row in table.rows),
        ]
        parts.append("\n".join(lines + ([f"\n{table.note}"] if table.note else [])))
    return "\n\n".join(parts) + "\n"


def cases_of(evaluation: Evaluation, count: int) -> tuple[list[Case], list[Case]]:
    """Choose the worst and the best cases, at most one of each image, worst and best first."""
    scored = [
        Case(name, key, row)
        for name, rows in evaluation.rows().items()
        for key, some in rows.items()
        for row in some
        if row.get("score") is not None
    ]
    scored.sort(key=lambda case: (case.row["score"], case.set, case.key))
    return _one_per_image(scored, count), _one_per_image(scored[::-1], count)


def _one_per_image(cases: Sequence[Case], count: int) -> list[Case]:
    first: dict[tuple[str, str], Case] = {}
    for case in cases:
        first.setdefault((case.set, case.key), case)
    return list(first.values())[:count]


def _plain(evaluation: Evaluation, summary: Summary) -> dict[str, Any]:
    return {**evaluation.describe(), "tables": [asdict(table) for table in summary.tables]}


def _csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.header)
    writer.writerows(table.rows)
    return text.getvalue()


def _shown(cell: Cell) -> str:
    """Write a cell for people."""
    if cell is None:
        return "-"
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def _plot(curve: Curve, folder: Path) -> str | None:
    """Draw a plot, where the package for it is installed; returns the name of its file."""
    try:
        figures = optional("matplotlib.figure", extra="eval")
    except MissingExtraError:
        return None
    figure = figures.Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel=curve.x_label, ylabel=curve.y_label, title=curve.title)
    for name, (x, y) in curve.lines.items():
        axes.plot(x, y, marker="o" if len(x) < 30 else "", markersize=3.5, label=name)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if curve.lines:
        axes.legend(frameon=False)
    with atomic_write(folder / f"{curve.name}.png") as draft:
        figure.savefig(draft, dpi=150)
    return f"{curve.name}.png"


def _draw(evaluation: Evaluation, cases: Sequence[Case], stem: str) -> Iterator[tuple[str, Case]]:
    """Draw cases; yields the name of each file."""
    (evaluation.output / "cases").mkdir(exist_ok=True)
    for n, case in enumerate(cases, 1):
        data = evaluation.sets[case.set]
        index = next(i for i in range(len(data)) if data.key(i) == case.key)
        picture: PIL.Image.Image = evaluation.protocol.draw(evaluation.model, data[index], case.row)
        picture.thumbnail((640, 640))
        name = f"cases/{stem}-{n}.jpg"
        with atomic_write(evaluation.output / name) as draft:
            picture.convert("RGB").save(draft, quality=88)
        yield name, case


def _page(
    evaluation: Evaluation,
    summary: Summary,
    plots: Sequence[str],
    drawn: dict[str, list[tuple[str, Case]]],
) -> str:
    about = evaluation.describe()
    title = html.escape(f"{about['protocol']}: {about['model']}")
    parts = [f"<h1>{title}</h1>"]
    parts += [_html_table(table) for table in summary.tables]
    parts += [f'<p><img src="{name}" alt="" width="700"></p>' for name in plots]
    for heading, cases in drawn.items():
        if cases:
            figures = "".join(_figure(name, case) for name, case in cases)
            parts.append(f'<h2>{heading} cases</h2><div class="cases">{figures}</div>')
    made = html.escape(json.dumps(about, indent=1))
    parts.append(f"<h2>How this was measured</h2><pre>{made}</pre>")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_shown(cell))}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    note = f'<p class="note">{html.escape(table.note)}</p>' if table.note else ""
    return (
        f"<h2>{html.escape(table.title)}</h2>"
        f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>{note}'
    )


def _figure(name: str, case: Case) -> str:
    caption = html.escape(f"{case.set}/{case.key}: {case.row['score']:.3f}")
    picture = f'<img src="{name}" alt="" loading="lazy">'
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8")
