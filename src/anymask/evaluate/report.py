"""The report of an evaluation: tables, plots, and a page with the best and the worst cases.

results.json  results.md  <table>.csv  <plot>.png  index.html  cases/<n>.jpg
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anymask.atomic import atomic_write, make_folder
from anymask.errors import MissingExtraError
from anymask.evaluate.page import Figure, page, shown
from anymask.evaluate.protocol import Curve, Row, Summary, Table
from anymask.evaluate.run import Evaluation
from anymask.optional import optional

if TYPE_CHECKING:
    import PIL.Image

__all__ = [
    "Case",
    "cases_of",
    "joined",
    "markdown",
    "write_joint_report",
    "write_report",
    "write_summary",
]

_LARGEST = 640  # sides of the pictures of cases, in pixels


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
    summary, about = evaluation.summary(), evaluation.describe()
    figures: dict[str, list[Figure]] = {}
    if cases:
        worst, best = cases_of(evaluation, cases)
        figures["Worst cases"] = list(_draw(evaluation, worst, "worst"))
        figures["Best cases"] = list(_draw(evaluation, best, "best"))
    title = f"{about['protocol']}: {about['model']}"
    write_summary(evaluation.output, title, about, summary, figures)
    return summary


def write_joint_report(
    folder: Path, protocol: str, summaries: Mapping[str, Summary], folders: Mapping[str, Path]
) -> Summary:
    """Write one report about several models, with a link to the report of each.

    Args:
        folder: Where to.
        protocol: What was asked of all of them.
        summaries: By the name of the model.
        folders: Those of their own reports, below ``folder``.

    Raises:
        OutputError: The folder cannot be written to.
    """
    summary = joined(summaries)
    links = {name: f"{own.relative_to(folder)}/index.html" for name, own in folders.items()}
    about = {"protocol": protocol, "models": list(summaries)}
    write_summary(folder, f"{protocol}: {len(summaries)} models", about, summary, links=links)
    return summary


def joined(summaries: Mapping[str, Summary]) -> Summary:
    """Put the tables of several models together, the rows of each data set side by side."""
    first = next(iter(summaries.values()))
    tables = []
    for i, table in enumerate(first.tables):
        rows = [
            (row[0], name, *row[1:])
            for name, summary in summaries.items()
            for row in summary.tables[i].rows
        ]
        places = {row[0]: place for place, row in enumerate(table.rows)}
        rows.sort(key=lambda row: places.get(row[0], len(places)))
        header = (table.header[0], "model", *table.header[1:])
        tables.append(Table(table.name, table.title, header, tuple(rows), table.note))
    curves = []
    for i, curve in enumerate(first.curves):
        lines = {
            f"{name}, {label}": line
            for name, summary in summaries.items()
            for label, line in summary.curves[i].lines.items()
        }
        curves.append(Curve(curve.name, curve.title, curve.x_label, curve.y_label, lines))
    return Summary(tuple(tables), tuple(curves))


def write_summary(
    folder: Path,
    title: str,
    about: Mapping[str, Any],
    summary: Summary,
    figures: Mapping[str, Sequence[Figure]] | None = None,
    links: Mapping[str, str] | None = None,
) -> None:
    """Write tables, plots and the page.

    Args:
        folder: Where to; made when missing.
        title: Heading of the page.
        about: How it was measured, as plain JSON values.
        summary: What was measured.
        figures: Pictures of cases by their heading.
        links: Addresses of other pages by their text.

    Raises:
        OutputError: The folder cannot be written to.
    """
    make_folder(folder)
    tables = [asdict(table) for table in summary.tables]
    _write(folder / "results.json", json.dumps({**about, "tables": tables}, indent=1) + "\n")
    _write(folder / "results.md", markdown(summary))
    for table in summary.tables:
        _write(folder / f"{table.name}.csv", _csv(table))
    plots = [name for curve in summary.curves if (name := _plot(curve, folder))]
    _write(folder / "index.html", page(title, about, summary, plots, figures, links))


def markdown(summary: Summary) -> str:
    """Lay out the tables as Markdown."""
    parts = []
    for table in summary.tables:
        lines = [
            f"**{table.title}**",
            "",
            "| " + " | ".join(table.header) + " |",
            "| --- |" + " ---: |" * (len(table.header) - 1),
            *("| " + " | ".join(map(shown, row)) + " |" for row in table.rows),
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


def _draw(evaluation: Evaluation, cases: Sequence[Case], stem: str) -> Iterator[Figure]:
    make_folder(evaluation.output / "cases")
    for n, case in enumerate(cases, 1):
        data = evaluation.sets[case.set]
        index = next(i for i in range(len(data)) if data.key(i) == case.key)
        picture: PIL.Image.Image = evaluation.protocol.draw(evaluation.model, data[index], case.row)
        picture.thumbnail((_LARGEST, _LARGEST))
        name = f"cases/{stem}-{n}.jpg"
        with atomic_write(evaluation.output / name) as draft:
            picture.convert("RGB").save(draft, format="JPEG", quality=88)
        yield Figure(name, f"{case.set}/{case.key}: {case.row['score']:.3f}")


def _csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.header)
    writer.writerows(table.rows)
    return text.getvalue()


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
        figure.savefig(draft, format="png", dpi=150)
    return f"{curve.name}.png"


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8")
