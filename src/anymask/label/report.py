"""The report of `stats`: tables, plots and a page, of one data set or of two beside each other."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from anymask.data.open import LAYOUTS, layout_of, open_dataset
from anymask.data.readers.notes import Notes
from anymask.errors import InputError
from anymask.evaluate.protocol import Cell, Curve, Summary, Table
from anymask.evaluate.report.page import Page
from anymask.evaluate.report.plot import COLOURS, draw_svg
from anymask.evaluate.report.report import write_page
from anymask.formats.conversion import read_place
from anymask.label import stats as measures
from anymask.label.database.place import is_project
from anymask.label.metadata import UNKNOWN, Metadata, read_metadata
from anymask.label.stats import (
    MEASURES,
    Estimate,
    ImageRecord,
    ImageStats,
    centre_map,
    estimate,
    groups,
)
from anymask.masks.masks import Masks

__all__ = ["read_records", "summarise", "write_stats"]

_MOST = 60  # groups of a column; more are hardly a column of groups
_SHOWN = ("masks", "size", "concavity", "seconds", "iou")  # of groups
_NOTE = (
    "low and high: interval of 95 %, a bootstrap over images. Relative size: square root of the "
    "mask's share of the image. Concavity: 1 - area / area of the convex hull. Distance from the "
    "middle: 1 is a corner of the image."
)
_GROUPS_NOTE = (
    "low and high: interval of 95 %, a bootstrap over the images of the group; none for a single "
    "image. Groups whose intervals overlap may well be alike."
)


def read_records(
    source: str | os.PathLike[str], images: str | os.PathLike[str] | None = None
) -> Iterator[ImageRecord]:
    """Read the masks of a file, a folder, a data set or a store, image by image.

    Args:
        source: Whatever `anymask.formats.conversion.convert` or `anymask.data.open_dataset` reads;
            or the folder of a store, whose images are those that have masks or are done, with all
            masks but the rejected ones.
        images: Folder of the images, for formats that do not say how large they are.

    Raises:
        InputError: There is no such place, or a file is damaged.
    """
    path = Path(source)
    if is_project(path):
        yield from _of_store(path)
        return
    if not _is_dataset(path):
        for found in read_place(path, None, None if images is None else Path(images)):
            yield ImageRecord(found.name, found.masks)
        return
    data = open_dataset(path)
    for i in range(len(data)):
        sample = data[i]
        some = sample.masks()
        dense = np.array(some, dtype=np.bool_).reshape(-1, *sample.image.shape[:2])
        yield ImageRecord(data.key(i), Masks.from_dense(dense))


def _of_store(folder: Path) -> Iterator[ImageRecord]:
    from anymask.label.store import Store  # needs a database's packages, which folders do not

    with Store.open(folder) as store:
        for image in store.images():
            if image.masks or image.state != "open":
                stored = store.masks(image.id)
                kept = [i for i, said in enumerate(stored.reviews) if said != "rejected"]
                masks = stored.masks[kept]
                own = [stored.seconds[i] for i in kept]
                if None not in own:  # else the time of the image is dealt out
                    metas = zip(masks.meta, own, strict=True)
                    masks = replace(masks, meta=tuple({**m, "seconds": v} for m, v in metas))
                yield ImageRecord(image.name, masks, seconds=image.seconds or None)


def _is_dataset(path: Path) -> bool:
    """Return whether a folder is a data set that is no folder of masks in a format of ours."""
    if not path.is_dir():
        return False
    try:
        layout = layout_of(path)
    except InputError:
        return False
    return layout in LAYOUTS and layout not in ("yolo", "labelme")


def write_stats(
    output: str | os.PathLike[str],
    data: Sequence[str | os.PathLike[str]],
    *,
    metadata: str | os.PathLike[str] | None = None,
    by: Sequence[str] = (),
    reference: str | os.PathLike[str] | None = None,
    images: str | os.PathLike[str] | None = None,
) -> Summary:
    """Measure one or two data sets and write the report.

    Args:
        output: Folder of the report; made when missing.
        data: See `read_records`.
        metadata: A table of the images; see `read_metadata`.
        by: Its columns whose values are groups.
        reference: What the masks should be; see `read_records`.
        images: See `read_records`.

    Raises:
        InputError: A data set is missing, damaged or without images, or a column is not there.
        OutputError: The report cannot be written.
    """
    if by and metadata is None:
        raise InputError(
            f"expected a table for the groups by {', '.join(by)}, got none; name it with --metadata"
        )
    known = None if metadata is None else read_metadata(metadata)
    for column in by:
        assert known is not None  # or there would be no columns
        known.column((), column)
    truth = {} if reference is None else {r.name: r.masks for r in read_records(reference, images)}
    sets: dict[str, list[ImageStats]] = {}
    for place in data:
        name = _name(place, sets)
        sets[name] = _measured(place, images, truth, reference)
    summary, drawings = summarise(sets, known, by)
    scores = _honeypots(data)
    if scores is not None:
        summary = replace(summary, tables=(*summary.tables, scores))
    about: dict[str, Any] = {
        "data": {name: {"images": len(some)} for name, some in sets.items()},
        "metadata": "" if metadata is None else os.fspath(metadata),
        "groups by": list(by),
        "reference": "" if reference is None else os.fspath(reference),
        "intervals": "95 %, 1000 draws of images",
    }
    title = f"Masks of {' and '.join(sets)}"
    page = Page(title, about, summary, drawings=drawings, command="anymask label stats")
    write_page(Path(output), page)
    return summary


def _honeypots(places: Sequence[str | os.PathLike[str]]) -> Table | None:
    """Tell how good the annotators of stores were on known masks; None where nobody had any."""
    rows: list[tuple[Cell, ...]] = []
    for place in places:
        if not is_project(Path(place)):
            continue
        from anymask.label.review.honeypots import score_annotators
        from anymask.label.store import Store

        with Store.open(Path(place)) as store:
            for one in score_annotators(store):
                shares = (one.found, one.above_90, one.above_75, one.named)
                cells = [*(some.value for some in shares), one.mean_iou]
                known = (None if math.isnan(cell) else cell for cell in cells)
                rows.append((one.person, Path(place).name, one.images, one.known, *known))
    header = (
        *("annotator", "data set", "images", "known masks", "found"),
        *("IoU > 0.9", "IoU > 0.75", "right class", "mean IoU"),
    )
    note = (
        "Known masks were mixed into the queue (anymask label honeypots). Found: with an IoU of "
        "0.5 or more; the mean is of these. They are in no other table."
    )
    return (
        Table("honeypots", "Annotators on known masks", header, tuple(rows), note) if rows else None
    )


def _name(place: str | os.PathLike[str], taken: Mapping[str, Any]) -> str:
    name = Path(place).resolve().name
    return f"{name} (2)" if name in taken else name


def _measured(
    place: str | os.PathLike[str],
    images: str | os.PathLike[str] | None,
    truth: Mapping[str, Masks],
    reference: str | os.PathLike[str] | None,
) -> list[ImageStats]:
    found, notes = [], Notes(Path(place))
    for record in read_records(place, images):
        if reference is not None and record.name not in truth:
            notes.add("images without a reference have no IoU", repr(record.name))
        found.append(measures.measure(record._replace(reference=truth.get(record.name))))
    notes.warn()
    if not found:
        raise InputError(
            f"expected masks in {os.fspath(place)!r}, got none; give a folder of masks"
        )
    return found


# --------------------------------------------------------------------------- summing up


def summarise(
    sets: Mapping[str, Sequence[ImageStats]],
    metadata: Metadata | None = None,
    by: Sequence[str] = (),
) -> tuple[Summary, dict[str, str]]:
    """Sum up what was measured: tables and curves, and further plots as SVG by their title.

    Args:
        sets: The images of each data set.
        metadata: What is known of the images; a `DataWarning` tells of images that it has no row
            for, and of rows that are of no image.
        by: Its columns whose values are groups.

    Raises:
        InputError: There is no such column, or it has too many values.
    """
    tables = [_overview(sets), _measures(sets)]
    curves = [
        curve for measure in ("masks", "size", "concavity") if (curve := _curve(sets, measure))
    ]
    drawings: dict[str, str] = {}
    for name, some in sets.items():
        if plot := _draw_centres(f"centres-{len(drawings)}", some):
            drawings[f"Where the middles of masks lie: {name}"] = plot
    if metadata is not None:
        _tell_missing(sets, metadata)
        for column in by:
            table, drawn = _by_column(sets, metadata, column)
            tables.append(table)
            drawings |= drawn
    return Summary(tuple(tables), tuple(curves)), drawings


def _overview(sets: Mapping[str, Sequence[ImageStats]]) -> Table:
    rows = tuple(
        (
            name,
            len(some),
            sum(not len(one.size) for one in some),
            sum(len(one.size) for one in some),
            sum(one.empty for one in some),
        )
        for name, some in sets.items()
    )
    header = ("data set", "images", "images without masks", "masks", "empty masks")
    return Table("overview", "Data", header, rows, "Empty masks are not measured.")


def _measures(sets: Mapping[str, Sequence[ImageStats]]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for measure, title in MEASURES.items():
        for name, some in sets.items():
            values = measures.values(some, measure)
            found = estimate(values)
            if found.number:
                median = float(np.median(np.concatenate(values)))
                rows.append((title, name, *_cells(found), median))
    header = ("measure", "data set", "images", "values", "mean", "low", "high", "median")
    return Table("measures", "Measures", header, tuple(rows), _NOTE)


def _cells(found: Estimate) -> tuple[Cell, ...]:
    numbers = [None if math.isnan(v) else v for v in (found.mean, found.low, found.high)]
    return (found.images, found.number, *numbers)


def _curve(sets: Mapping[str, Sequence[ImageStats]], measure: str) -> Curve | None:
    """Draw how a measure is spread: shares of masks, or of images, in each of some bins."""
    values = {name: np.concatenate(measures.values(some, measure)) for name, some in sets.items()}
    if not any(len(some) for some in values.values()):
        return None
    top = max(some.max() for some in values.values() if len(some)) if measure == "masks" else 1.0
    bins = min(30, int(top) + 1) if measure == "masks" else 25
    edges = np.linspace(
        -0.5 if measure == "masks" else 0, top + 0.5 * (measure == "masks"), bins + 1
    )
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    lines = {
        name: (middles, (np.histogram(some, edges)[0] / len(some)).tolist())
        for name, some in values.items()
        if len(some)
    }
    title = MEASURES[measure].capitalize()
    what = "share of images" if measure == "masks" else "share of masks"
    return Curve(f"spread-{measure}", title, MEASURES[measure], what, lines)


def _draw_centres(name: str, stats: Sequence[ImageStats]) -> str | None:
    shares = centre_map(stats)

    def draw(axes: Any) -> None:
        axes.imshow(shares, extent=(0, 1, 1, 0), cmap="viridis", vmin=0, interpolation="nearest")
        axes.set(xlabel="share of the width", ylabel="share of the height")

    return draw_svg(name, "Where the middles of masks lie", draw, (5, 4.2))


# ------------------------------------------------------------------------------- groups


def _tell_missing(sets: Mapping[str, Sequence[ImageStats]], metadata: Metadata) -> None:
    """Warn of images without a row, of rows without an image, and of rows of several images."""
    notes = Notes(Path(metadata.path))
    used: set[str] = set()
    for some in sets.values():
        of_set: set[str] = set()
        for one in some:
            key = metadata.key_of(one.name)
            if key is None:
                notes.add(f"images without a row are in the group {UNKNOWN!r}", repr(one.name))
                continue
            if key in of_set:
                notes.add("images share a row, which names no folder", repr(one.name))
            of_set.add(key)
        used |= of_set
    for key in metadata.rows:
        if key not in used:
            notes.add("rows of images that are not there are left out", repr(key))
    notes.warn()


def _by_column(
    sets: Mapping[str, Sequence[ImageStats]], metadata: Metadata, column: str
) -> tuple[Table, dict[str, str]]:
    """Compare the groups of a column."""
    of_set = {
        name: groups(some, metadata.column([one.name for one in some], column))
        for name, some in sets.items()
    }
    number = len({group for found in of_set.values() for group in found})
    if number > _MOST:
        raise InputError(
            f"expected at most {_MOST} groups in the column {column!r} of {metadata.path!r}, got "
            f"{number}; write ranges instead of numbers"
        )
    rows: list[tuple[Cell, ...]] = []
    drawings: dict[str, str] = {}
    for measure in _SHOWN:
        found = {
            (name, group): estimate(measures.values(some, measure))
            for name, of_group in of_set.items()
            for group, some in of_group.items()
        }
        found = {key: one for key, one in found.items() if one.number}
        order = dict.fromkeys(group for _, group in found)
        for group in order:
            for name in sets:
                if one := found.get((name, group)):
                    which = (name,) if len(sets) > 1 else ()
                    rows.append((MEASURES[measure], group, *which, *_cells(one)))
        if found and (drawn := _draw_groups(f"groups-{column}-{measure}", found, measure)):
            drawings[f"{MEASURES[measure].capitalize()} by {column}"] = drawn
    which = ("data set",) if len(sets) > 1 else ()
    header = ("measure", column, *which, "images", "values", "mean", "low", "high")
    name = f"by-{''.join(c if c.isalnum() else '-' for c in column)}"
    return Table(name, f"By {column}", header, tuple(rows), _GROUPS_NOTE), drawings


def _draw_groups(name: str, found: Mapping[tuple[str, str], Estimate], measure: str) -> str | None:
    """Draw the means of groups as dots with their intervals, the first on top."""
    order = list(dict.fromkeys(group for _, group in found))
    sets = list(dict.fromkeys(which for which, _ in found))

    def draw(axes: Any) -> None:
        for at, which in enumerate(sets):
            some = [(i, found[which, g]) for i, g in enumerate(order) if (which, g) in found]
            y = [i + 0.22 * (at - (len(sets) - 1) / 2) for i, _ in some]
            lines = [(one.low, one.high) for _, one in some]
            colour = COLOURS[at % len(COLOURS)]
            axes.hlines(y, *zip(*lines, strict=True), color=colour, linewidth=2)
            axes.plot([one.mean for _, one in some], y, "o", color=colour, label=which)
        axes.set_yticks(range(len(order)), order)
        axes.set(xlabel=MEASURES[measure], ylim=(len(order) - 0.5, -0.5))
        axes.grid(axis="x", alpha=0.15)
        if len(sets) > 1:
            axes.legend(frameon=False)

    return draw_svg(name, MEASURES[measure], draw, (7, 1.4 + 0.34 * len(order)))
