"""Looking at files and noting what they hold, some at a time: files first, then one transaction."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from anymask.errors import AnymaskError
from anymask.label import images
from anymask.label.database.connection import Database, Transaction
from anymask.label.files import File, find_files, look, read_content
from anymask.label.images import Sighting
from anymask.label.records import Added

__all__ = ["add_files", "check_files"]

_TOGETHER = 100  # files in a transaction
Progress = Callable[[int], object]
Entry = TypeVar("Entry")


def add_files(
    database: Database,
    project: int,
    root: Path,
    places: Sequence[str | os.PathLike[str]],
    accept_changes: bool,
    progress: Progress | None = None,
) -> Added:
    """Add what is at some places, see `Store.add`."""
    return _note(database, project, find_files(root, places), accept_changes, progress)


def check_files(
    database: Database, project: int, root: Path, progress: Progress | None = None
) -> Added:
    """Look at all files again, see `Store.check`."""
    files = (look(root, name) for name in _all_names(database, project))
    return _note(database, project, files, False, progress)


def _note(
    database: Database,
    project: int,
    files: Iterable[File],
    accept_changes: bool,
    progress: Progress | None,
) -> Added:
    parts: list[Added] = []
    number = 0
    for some in _in_parts(files):
        names = [file.name for file in some]
        stamps = database.read(lambda t, names=names: images.known_stamps(t, project, names))  # type: ignore[misc]
        known, seen, failed = _look_into(some, stamps)
        noted = database.write(
            lambda t, seen=seen: images.add(t, project, seen, accept_changes=accept_changes)  # type: ignore[misc]
        )
        parts += [noted, Added(known=known, failed=failed)]
        number += len(some)
        if progress is not None:
            progress(number)
    kinds = vars(Added())
    return Added(**{kind: sum((getattr(part, kind) for part in parts), ()) for kind in kinds})


def _look_into(
    files: Sequence[File], stamps: dict[str, str]
) -> tuple[tuple[str, ...], list[Sighting], tuple[tuple[str, str], ...]]:
    """Read the files that are not as they were when they were looked at last."""
    known, seen, failed = [], [], []
    for file in files:
        if file.error is not None:
            failed.append((file.name, file.error))
        elif not file.stamp:
            seen.append(Sighting(file))
        elif stamps.get(file.name) == file.stamp:
            known.append(file.name)
        else:
            try:
                seen.append(Sighting(file, read_content(file)))
            except AnymaskError as error:
                failed.append((file.name, str(error)))
    return tuple(known), seen, tuple(failed)


def _all_names(database: Database, project: int) -> Iterator[str]:
    query = """
        SELECT name FROM image_names WHERE project_id = :project AND name > :last
        ORDER BY name LIMIT 1000"""
    last = ""

    def some(transaction: Transaction) -> list[str]:
        return [row.name for row in transaction.rows(query, project=project, last=last)]

    while found := database.read(some):
        yield from found
        last = found[-1]


def _in_parts(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    iterator = iter(entries)
    while some := list(islice(iterator, _TOGETHER)):
        yield some
