"""The report of an evaluation: tables, plots, and a page with the best and the worst cases.

results.json  results.md  <table>.csv  <plot>.svg  index.html  cases/<n>.jpg
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anymask.atomic import atomic_write, make_folder
from anymask.evaluate.protocol import Curve, Row, Summary, Table
from anymask.evaluate.report.page import Figure, Page, render, shown
from anymask.evaluate.report.plot import svg
from anymask.evaluate.run import Evaluation

if TYPE_CHECKING:
    import PIL.Image

__all__ = [
    "Case",
    "cases_of",
    "joined",
    "markdown",
    "write_joint_report",
    "write_page",
    "write_report",
]

_LARGEST = 640  # sides of the images of cases, in pixels


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
    worst, best = cases_of(evaluation, cases)
    figures = {
        "Worst cases": list(_draw(evaluation, worst, "worst")),
        "Best cases": list(_draw(evaluation, best, "best")),
    }
    title = f"{about['protocol']}: {about['model']}"
    legend = evaluation.protocol.legend
    write_page(evaluation.output, Page(title, about, summary, figures, legend))
    return summary


def write_joint_report(
    folder: Path, protocol: str, summaries: Mapping[str, Summary], folders: Mapping[str, Path]
) -> Summary:
    """Write one report about several models, with a link to the report of each.

    Args:
        folder: Where to.
        protocol: Name of the protocol that measured all of them.
        summaries: By the name of the model.
        folders: Those of their own reports, below ``folder``.

    Raises:
        OutputError: The folder cannot be written to.
    """
    summary = joined(summaries)
    links = {name: f"{own.relative_to(folder)}/index.html" for name, own in folders.items()}
    about = {"protocol": protocol, "models": list(summaries)}
    title = f"{protocol}: {len(summaries)} models"
    write_page(folder, Page(title, about, summary, links=links))
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


def write_page(folder: Path, page: Page) -> None:
    """Write the tables, the plots and the page of a report.

    Args:
        folder: Where to; made when missing.
        page: What the report shows.

    Raises:
        OutputError: The folder cannot be written to.
    """
    make_folder(folder)
    summary = page.summary
    tables = [asdict(table) for table in summary.tables]
    _write(folder / "results.json", json.dumps({**page.about, "tables": tables}, indent=1) + "\n")
    _write(folder / "results.md", markdown(summary))
    for table in summary.tables:
        _write(folder / f"{table.name}.csv", _csv(table))
    for curve in summary.curves:
        if drawn := svg(curve):
            _write(folder / f"{curve.name}.svg", drawn)
    files = ["results.json", "results.md", *(f"{table.name}.csv" for table in summary.tables)]
    _write(folder / "index.html", render(page, files))


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
    """Choose the worst and the best cases, of each at most one of an image; no case is both."""
    scored = [
        Case(name, key, row)
        for name, rows in evaluation.rows().items()
        for key, some in rows.items()
        for row in some
        if row.get("score") is not None
    ]
    scored.sort(key=lambda case: (case.row["score"], case.set, case.key))
    worst = _one_per_image(scored, count)
    return worst, _one_per_image([case for case in scored[::-1] if case not in worst], count)


def _one_per_image(cases: Sequence[Case], count: int) -> list[Case]:
    first: dict[tuple[str, str], Case] = {}
    for case in cases:
        first.setdefault((case.set, case.key), case)
    return list(first.values())[:count]


def _draw(evaluation: Evaluation, cases: Sequence[Case], stem: str) -> Iterator[Figure]:
    for n, case in enumerate(cases, 1):
        make_folder(evaluation.output / "cases")
        data = evaluation.sets[case.set]
        index = next(i for i in range(len(data)) if data.key(i) == case.key)
        drawing: PIL.Image.Image = evaluation.protocol.draw(evaluation.model, data[index], case.row)
        drawing.thumbnail((_LARGEST, _LARGEST))
        name = f"cases/{stem}-{n}.jpg"
        with atomic_write(evaluation.output / name) as draft:
            drawing.convert("RGB").save(draft, format="JPEG", quality=88)
        yield Figure(name, f"{case.set}/{case.key}", f"{case.row['score']:.3f}")


def _csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.header)
    writer.writerows(table.rows)
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8")
