"""The folder of results: what is in it already, and how it was made.

Beside the results lie ``anymask-run.json``, the settings of the last run, and the hidden folder
``.anymask`` with one small record for each finished picture. The record is written last, so a
picture that has one is complete; everything else is done again. That is how a run resumes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from anymask.atomic import DRAFT, atomic_write, make_folder
from anymask.batch.inputs import Item, natural_order
from anymask.errors import InputError

__all__ = ["Record", "Results", "write_json"]

_RUN_FILE = "anymask-run.json"
_RECORDS = ".anymask/done"
_PARTS = ".anymask/masks"


@dataclass(frozen=True)
class Record:
    """What is remembered of one finished picture."""

    settings: dict[str, Any]
    """All that decides how the results look, among them the model and its weights."""
    source: str
    """Absolute path of the picture."""
    stamp: list[int]
    """Size and time of change of the picture, by which another picture is told apart."""
    files: list[str]
    """What was written, relative to the folder of the results."""
    summary: dict[str, Any]
    """What ``--json`` says about the masks."""


@dataclass(frozen=True)
class Results:
    """One folder of results, made with these settings."""

    folder: Path
    settings: dict[str, Any]

    @classmethod
    def open(cls, folder: Path, settings: dict[str, Any]) -> Results:
        """Make the folder where it is missing.

        Args:
            folder: Where the results go.
            settings: Plain JSON values.

        Raises:
            OutputError: It cannot be made or written to.
        """
        make_folder(folder)
        # Once through JSON, so that they compare equal to what is read back from a record.
        return cls(folder, json.loads(json.dumps(settings)))

    def finished(self, item: Item) -> Record | None:
        """Give the record of a picture that needs no more work."""
        record = self._read(item.key)
        if record is None or record.settings != self.settings or record.stamp != _stamp(item):
            return None
        complete = all((self.folder / name).is_file() for name in record.files)
        return record if complete else None

    def check_free(self, items: Sequence[Item], files: Iterable[Iterable[str]]) -> None:
        """Refuse to replace results that these settings and pictures would not give again.

        Args:
            items: What will be worked on.
            files: For each, what will be written, relative to the folder.

        Raises:
            InputError: Something is in the way; the message says what.
        """
        ours = (self.folder / _RUN_FILE).is_file()
        for item, names in zip(items, files, strict=True):
            record = self._read(item.key)
            present = [name for name in names if (self.folder / name).exists()]
            if record is not None:
                self._check_same(item, record)
            elif present and not ours:
                raise InputError(
                    f"{str(self.folder / present[0])!r} exists and is not of an earlier run; "
                    "add --overwrite to replace it, or choose another folder with -o"
                )

    def _check_same(self, item: Item, record: Record) -> None:
        change = "; add --overwrite to replace them, or choose another folder with -o"
        if record.settings != self.settings:
            raise InputError(
                f"{str(self.folder)!r} holds results for {item.path.name!r} of other settings "
                f"({_difference(record.settings, self.settings)}){change}"
            )
        if record.source != _absolute(item) and record.stamp != _stamp(item):
            raise InputError(
                f"{str(self.folder)!r} holds results for another {item.path.name!r}, that of "
                f"{record.source!r}{change}"
            )

    def begin(self, **about: Any) -> None:
        """Note the settings beside the results."""
        write_json(self.folder / _RUN_FILE, {**about, "settings": self.settings})

    def path(self, name: str) -> Path:
        """Give the place of a result, with its folder made."""
        path = self.folder / name
        make_folder(path.parent)
        return path

    def part(self, key: str) -> Path:
        """Give the place of a picture's masks until all are joined in one file."""
        return self.path(f"{_PARTS}/{key}.json")

    def is_part(self, path: Path) -> bool:
        """Tell whether a file is one of those."""
        return path.is_relative_to(self.folder / _PARTS)

    def stamp(self, item: Item) -> list[int]:
        """Tell a picture from others in its place, for the record."""
        return _stamp(item)

    def finish(
        self, item: Item, stamp: list[int], files: Sequence[Path], summary: dict[str, Any]
    ) -> Record:
        """Record that a picture is complete."""
        names = [path.relative_to(self.folder).as_posix() for path in files]
        record = Record(self.settings, _absolute(item), stamp, names, summary)
        write_json(self.path(_record_name(item.key)), asdict(record))
        return record

    def all_finished(self) -> list[tuple[str, Record]]:
        """List key and record of every picture finished with these settings, in natural order."""
        root = self.folder / _RECORDS
        paths = (path for path in root.rglob("*.json") if not path.name.startswith(DRAFT))
        keys = [path.relative_to(root).as_posix().removesuffix(".json") for path in paths]
        records = [(key, self._read(key)) for key in sorted(keys, key=natural_order)]
        return [(k, r) for k, r in records if r is not None and r.settings == self.settings]

    def _read(self, key: str) -> Record | None:
        try:
            text = (self.folder / _record_name(key)).read_text(encoding="utf-8")
            return Record(**json.loads(text))
        except (OSError, ValueError, TypeError):
            return None  # missing or damaged: the picture is done again


def write_json(path: Path, content: Any) -> None:
    """Write a file that a person may want to read."""
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _record_name(key: str) -> str:
    return f"{_RECORDS}/{key}.json"


def _absolute(item: Item) -> str:
    return str(item.path.absolute())


def _stamp(item: Item) -> list[int]:
    try:
        status = item.path.stat()
    except OSError:
        return []  # gone: opening it will say so
    return [status.st_size, status.st_mtime_ns]


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Name the first setting that changed."""
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            return f"{name} was {before.get(name)}, now {now.get(name)}"
    return "none"
