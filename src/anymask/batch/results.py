"""The results of a batch: what is in their folder already, and how it was made.

Beside the results lies ``anymask-run.json``, the settings of the last run; the records of what is
done, and the masks that will be joined in one file, lie in the hidden folder (see `folder`). The
record of an image is deleted before its files are replaced and written after them, so an image
that has one is complete, and made with the settings that the record names; the rest is done again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import PIL.Image

from anymask.batch.inputs import Item, natural_order
from anymask.errors import InputError
from anymask.folder import ResumableFolder, differences
from anymask.plain import from_plain, to_plain

__all__ = ["Record", "Results", "known_keys"]

_RUN_FILE = "anymask-run.json"
_PARTS = ".anymask/masks"
_REMEDY = "; replace them (--overwrite), or choose another folder (-o)"


@dataclass(frozen=True)
class Record:
    """What is remembered of one finished image."""

    settings: dict[str, Any]
    """All that decides how the results look, among them the model and its weights."""
    source: str
    """Absolute path of the image; nothing for one that was in memory."""
    stamp: list[int | str]
    """What tells another image in its place."""
    files: dict[str, int]
    """What was written, relative to the folder of the results, and how many bytes that were."""
    summary: dict[str, Any]
    """What ``--json`` says about the masks."""


def records_in(path: Path) -> dict[str, Record]:
    """Read all records of a folder of results, by key."""
    folder = ResumableFolder(path)
    return {key: record for key in folder.done() if (record := _record(folder, key)) is not None}


def known_keys(path: Path) -> dict[str, str]:
    """List the keys that images have in a folder of results, by `Item.origin`."""
    records = records_in(path).items()
    return {record.source: key for key, record in records if record.source}


def _record(folder: ResumableFolder, key: str) -> Record | None:
    found = folder.read(key)
    try:
        return from_plain(Record, found) if isinstance(found, dict) else None
    except InputError:  # damaged, or of another version: the image is done again
        return None


class Results:
    """One folder of results, made with these settings.

    Args:
        path: The folder; made when something is written.
        settings: Plain JSON values.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        # Once through JSON, so that they compare equal to what is read back from a record.
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        self.folder = ResumableFolder(path, self.settings, about=_RUN_FILE)
        self.path = path

    def finished(self, item: Item) -> Record | None:
        """Give the record of an image that needs no more work, and keep track of its folder."""
        record = _record(self.folder, item.key)
        if record is None or not self._is_of(record, item) or not self._whole(record):
            return None
        if record.source != item.origin:
            record = replace(record, source=item.origin)
            self.folder.record(item.key, to_plain(record))
        return record

    def _is_of(self, record: Record, item: Item) -> bool:
        same_name = Path(record.source).name == Path(item.origin).name
        same = record.settings == self.settings and record.stamp == item.stamp()
        return same and same_name

    def _whole(self, record: Record) -> bool:
        return all(self._intact(self.path / name, size) for name, size in record.files.items())

    def _intact(self, path: Path, size: int) -> bool:
        """Return whether a file is as it was written, or changed by somebody who meant it."""
        try:
            now = path.stat().st_size
        except OSError:
            return False
        return now == size or (not self.is_part(path) and _readable(path))

    # --------------------------------------------------------------- in the way

    def check_free(self, item: Item, names: Sequence[str]) -> None:
        """Refuse to replace results that these settings and images would not give again.

        Args:
            item: What will be worked on.
            names: What will be written, as far as it is known, relative to the folder.

        Raises:
            InputError: Something is in the way; the message says what.
        """
        record = _record(self.folder, item.key)
        if record is not None:
            self._check_same(item, record)
        elif not (self.path / _RUN_FILE).is_file():
            for name in names:
                if os.path.lexists(self.path / name):
                    raise InputError(
                        f"{str(self.path / name)!r} exists and is not of an earlier run; "
                        "replace it (--overwrite), or choose another folder (-o)"
                    )

    def produced(self) -> frozenset[str]:
        """List the real paths of all results that have a record."""
        names = (name for record in records_in(self.path).values() for name in record.files)
        return frozenset(os.path.realpath(self.path / name) for name in names)

    def check_apart(
        self, item: Item, names: Sequence[str], inputs: Collection[str], produced: Collection[str]
    ) -> None:
        """Refuse an image whose results would be images to work on, or which is a result itself.

        Args:
            item: What will be worked on.
            names: What will be written, as far as it is known, relative to the folder.
            inputs: The real paths of all images.
            produced: Those of all results that were there in the beginning.

        Raises:
            InputError: It is so, or a name is one that the file system cannot hold.
        """
        if item.origin and os.path.realpath(item.path) in produced:
            raise InputError(
                f"expected an image, but {str(item.path)!r} is a result of an earlier run; choose "
                "another folder (-o) to work on it, or leave it out"
            )
        for name in names:
            path = self.path / name
            try:
                path.lstat()  # fails for names that cannot be written, before any work is done
            except (FileNotFoundError, NotADirectoryError):
                pass
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", error)
                raise InputError(
                    f"cannot write {Path(name).name[-40:]!r}, the result of "
                    f"{item.path.name[:40]!r}: {reason}; rename the image"
                ) from error
            run_file = name.casefold() == _RUN_FILE
            if run_file or os.path.realpath(path) in inputs:
                raise InputError(
                    f"cannot write {str(path)!r}, the result of {str(item.path)!r}: it would "
                    f"replace {'a file of the run' if run_file else 'another image'}; choose "
                    "another folder (-o), or rename the image"
                )

    def _check_same(self, item: Item, record: Record) -> None:
        if record.settings != self.settings:
            changes = differences(record.settings, self.settings)
            raise InputError(
                f"{str(self.path)!r} holds results for {item.path.name!r} of other settings "
                f"({'; '.join(changes)}){_REMEDY}"
            )
        other = record.source != item.origin and record.stamp != item.stamp()
        if other and not _gone(record):
            raise InputError(
                f"{str(self.path)!r} holds results for another {item.path.name!r}, that of "
                f"{record.source!r}{_REMEDY}"
            )

    # ------------------------------------------------------------------ writing

    def begin(self, **about: Any) -> None:
        """Note the settings beside the results.

        Raises:
            OutputError: The folder cannot be made or written to.
        """
        self.folder.write_json(_RUN_FILE, {**about, "settings": self.settings})

    def part(self, key: str) -> str:
        """Name the file of an image's masks until all are joined in one."""
        return f"{_PARTS}/{key}.json"

    def is_part(self, path: Path) -> bool:
        """Return whether a file is one of those."""
        return path.is_relative_to(self.path / _PARTS)

    def finish(
        self,
        item: Item,
        stamp: list[int | str],
        drafts: Mapping[str, Path],
        summary: dict[str, Any],
    ) -> Record:
        """Put the results of an image in their places, and record that it is complete.

        Args:
            item: The image.
            stamp: What it was when its reading began.
            drafts: The complete files, by the names that they get; see `ResumableFolder.draft`.
            summary: What is worth knowing.

        Raises:
            OutputError: Something cannot be written; then it is not recorded.
        """
        before = _record(self.folder, item.key)
        self.folder.drop(item.key)
        for name in before.files if before else ():
            if name not in drafts:  # made with other settings: it does not belong to the others
                with suppress(OSError):
                    (self.path / name).unlink()
        sizes = {}
        for name, draft in drafts.items():
            sizes[name] = draft.stat().st_size
            self.folder.publish(draft, name)
        record = Record(self.settings, item.origin, stamp, sizes, summary)
        self.folder.record(item.key, to_plain(record))
        return record

    # ------------------------------------------------------------------ joining

    def to_join(self, items: Iterable[Item]) -> tuple[list[tuple[str, Record]], list[str]]:
        """Choose what belongs in one file of all masks, in natural order of the keys.

        That is what these settings made of images that are there still, as they are: of those of
        this run and of earlier ones.

        Returns:
            Key and record of each; and for what was left out, why.
        """
        current = {item.key for item in items}
        found = records_in(self.path)
        others = sum(record.settings != self.settings for record in found.values())
        chosen: dict[str, tuple[str, Record]] = {}
        changed = 0
        for key, record in found.items():
            if record.settings != self.settings or _gone(record):
                continue
            if record.stamp != _now(record) or not self._whole(record):
                changed += key not in current
            elif record.source not in chosen or key in current:
                chosen[record.source or f"/{key}"] = key, record
        notes = [f"{others} images were done with other settings"] if others else []
        notes += [f"{changed} images changed since; name them again"] if changed else []
        return sorted(chosen.values(), key=lambda pair: natural_order(pair[0])), notes


def _gone(record: Record) -> bool:
    """Return whether there is no such image any more."""
    try:
        if record.source:
            os.lstat(record.source)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # it may be there, where nobody may look
    return False


def _now(record: Record) -> list[int | str]:
    """Stamp the image of a record as it is now; one that was in memory stays what it was."""
    return Item(Path(record.source), "").stamp() if record.source else record.stamp


def _readable(path: Path) -> bool:
    """Return whether a result is a whole file, though not that which was written."""
    try:
        if path.suffix == ".json":
            return isinstance(json.loads(path.read_bytes()), dict | list)
        with PIL.Image.open(path) as image:
            image.load()
        return True
    except Exception:  # whatever a damaged file brings about
        return False
