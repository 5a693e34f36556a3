"""A folder of results that can be resumed.

It is made for one purpose, a file at a time, by any number of processes, each of which may be
killed at any moment. It knows its purpose (the *identity*: all that decides how the results look)
and refuses another; has a small record of everything that is *done*; and shows no file that is not
complete. What is about the folder itself lies in a hidden folder inside::

    .anymask/done/KEY.json      what is known of each thing that is done (batch)
    .anymask/drafts/            files that are being written
    .anymask/owners/*.lock      the processes at work, each of which holds a lock on its file
    .anymask/items/*.lock       the things they are at

Renaming within a file system is all or nothing on every usual one, network ones included. Whether
processes of several machines see each other depends on the locks of the file system; see `lock`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anymask.atomic import atomic_write, cannot_write, make_folder
from anymask.errors import InputError, OutputError
from anymask.lock import Lock

__all__ = ["ResumableFolder", "differences", "refuse_others"]

_INNER = ".anymask"
_PATIENCE = 30.0  # seconds to wait for another process that is just beginning or ending
_REMEDY = "start anew (--overwrite), or choose another folder (-o)"


@dataclass(frozen=True)
class ResumableFolder:
    """A folder of results, and what they are the results of.

    Attributes:
        path: Where it is; made when something is written.
        identity: All that decides how the results look, as plain JSON values.
        holds: What it is a folder of, for messages.
        about: Name of the file that tells the identity.
        records: Folder of the records, below ``path``.
        free: Names in the identity that are noted, but may differ, with dots for names in names.
        remedy: What to do about a folder of another identity.

    Examples:
        >>> import tempfile
        >>> folder = ResumableFolder(Path(tempfile.mkdtemp()), {"model": "sam-vit-b"})
        >>> with folder.at_work():
        ...     folder.begin()
        ...     if folder.read("truck") is None:
        ...         folder.record("truck", {"masks": 3})
        >>> folder.done(), folder.read("truck")
        (['truck'], {'masks': 3})
    """

    path: Path
    identity: Mapping[str, Any] = field(default_factory=dict)
    holds: str = "these results"
    about: str = "run.json"
    records: str = f"{_INNER}/done"
    free: tuple[str, ...] = ()
    remedy: str = _REMEDY

    # ----------------------------------------------------------------- identity

    def saved(self) -> dict[str, Any] | None:
        """Read the identity that the folder has had until now; None: it is new.

        Raises:
            InputError: The file that tells it is damaged.
        """
        path = self.path / self.about
        if not path.is_file():
            return None
        found = read_json(path)
        if not isinstance(found, dict):
            raise InputError(
                f"expected {str(path)!r} to tell what the folder holds, got a damaged file that "
                f"cannot be read; {self.remedy}"
            )
        return found

    def check(self) -> None:
        """Refuse a folder that was made for something else.

        Raises:
            InputError: It was, or nobody can tell; the message names what differs.
        """
        saved = self.saved()
        if saved is not None:
            refuse_others(self.path, self.holds, saved, self.identity, self.free, self.remedy)

    def begin(self) -> None:
        """Note the identity, unless it is there already.

        Raises:
            InputError: As for `check`.
            OutputError: The folder cannot be written to.
        """
        make_folder(self.path)
        with self._turn():  # or two processes might both take it for new
            self.check()
            if self.saved() is None:
                self.write_json(self.about, self.identity)

    # ------------------------------------------------------------- what is done

    def record(self, key: str, content: Any) -> None:
        """Note that something is done, with what is known of it: plain JSON values.

        Raises:
            OutputError: It cannot be written.
        """
        self.write_json(f"{self.records}/{key}.json", content)

    def read(self, key: str) -> Any:
        """Read a record; None: there is none, or it is damaged, so that it has to be done again."""
        return read_json(self.path / self.records / f"{key}.json")

    def done(self) -> list[str]:
        """List the keys of all that is done, sorted."""
        root = self.path / self.records
        found = (path.relative_to(root).as_posix() for path in root.rglob("*.json"))
        return sorted(name.removesuffix(".json") for name in found)

    def drop(self, key: str) -> None:
        """Forget that something is done."""
        with suppress(FileNotFoundError):
            (self.path / self.records / f"{key}.json").unlink()

    def forget(self, *names: str) -> None:
        """Delete the identity, all records and what else is named, and nothing else."""
        for name in (self.about, self.records, *names):
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    # ------------------------------------------------------------------ writing

    @contextmanager
    def draft(self, name: str) -> Iterator[Path]:
        """Yield a path for an unfinished file; when the block ends, it is gone unless published.

        It has the suffix of ``name`` and lies where the next process finds and deletes it, should
        this one be killed.

        Raises:
            OutputError: The place cannot be written to, or the disk is full.
        """
        drafts = self.path / _INNER / "drafts"
        make_folder(drafts)
        draft = drafts / (secrets.token_hex(8) + Path(name).suffix[:16])
        try:
            yield draft
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise cannot_write(self.path / name, error) from error
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yield a path to write to; when the block ends well, it takes the place of ``name``.

        Raises:
            OutputError: The place cannot be written to, or the disk is full.
        """
        with self.draft(name) as draft:
            yield draft
            self.publish(draft, name)

    def publish(self, draft: Path, name: str) -> None:
        """Move a complete draft to its place; a symbolic link there stays a link."""
        target = Path(os.path.realpath(self.path / name))
        make_folder((self.path / name).parent)
        if target.is_dir():
            raise OutputError(
                f"cannot write {str(self.path / name)!r}: it is a folder; choose another folder"
            )
        with draft.open("rb+") as file:
            os.fsync(file.fileno())  # or a loss of power could leave the name on an empty file
        try:
            os.replace(draft, target)
        except OSError as error:
            if error.errno != errno.EXDEV:  # a linked subfolder on another disk
                raise
            with atomic_write(target) as beside:
                shutil.copyfile(draft, beside)

    def write_json(self, name: str, content: Any) -> None:
        """Write a file that a person may want to read."""
        with self.writing(name) as draft:
            draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    # ---------------------------------------------------------------- processes

    @contextmanager
    def at_work(self, *, alone: bool = True) -> Iterator[None]:
        """Keep processes out that would disturb: with another identity, or any at all.

        Args:
            alone: Share the folder with nobody; else with those who share it for the same identity.

        Raises:
            InputError: Another process is at work there.
            OutputError: The folder cannot be written to.
        """
        purpose = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()
        about = {"process": os.getpid(), "host": socket.gethostname(), "alone": alone}
        owners = self.path / _INNER / "owners"
        make_folder(self.path)
        content = json.dumps({**about, "purpose": purpose})
        own = Lock(owners / f"{secrets.token_hex(8)}.lock", content)
        with self._turn() as turn:
            others = list(_others(owners))
            for other in others:
                if alone or other.get("alone", True) or other.get("purpose") != purpose:
                    raise InputError(
                        f"expected nobody else at work in {str(self.path)!r}, got process "
                        f"{other.get('process')} on {other.get('host')}"
                        f"{'' if alone else ' with other settings'}; wait until it ends, or choose "
                        "another folder (-o)"
                    )
            if not others and turn.real:  # what is unfinished is a dead process's
                self._tidy()
            own.acquire()
        try:
            yield
        finally:
            own.release()
            with self._turn() as turn:
                if turn.real and not list(_others(owners)):
                    self._tidy("owners")
            with suppress(OSError):  # unless there are records in it
                (self.path / _INNER).rmdir()

    def lock(self, key: str) -> Lock:
        """Give a lock on one of the things to do, for processes that share the folder."""
        name = hashlib.sha256(os.fsencode(key)).hexdigest()[:32]
        return Lock(self.path / _INNER / "items" / f"{name}.lock")

    @contextmanager
    def _turn(self) -> Iterator[Lock]:
        """Wait for this process's turn to begin or to end."""
        lock = Lock(self.path / _INNER / "turn.lock")
        if not lock.acquire(_PATIENCE):
            raise InputError(
                f"expected {str(self.path)!r} to be free, got another process that has been "
                f"beginning for {_PATIENCE:.0f} seconds; end it, or choose another folder (-o)"
            )
        try:
            yield lock
        finally:
            lock.release()

    def _tidy(self, *names: str) -> None:
        """Delete what is of use only while somebody is at work."""
        for name in ("drafts", "items", *names):
            shutil.rmtree(self.path / _INNER / name, ignore_errors=True)


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], free: Iterable[str] = ()
) -> list[str]:
    """Name what two identities differ in, such as ``loop.lr: 0.001, now 0.0008``.

    Args:
        before: One.
        now: The other.
        free: Names, with dots, that may differ.

    Examples:
        >>> differences({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}})
        ['b.c: 2, now 3']
    """
    old, new = dict(_flat(before)), dict(_flat(now))
    names = [name for name in new | old if old.get(name) != new.get(name)]
    may = tuple(free)
    return [
        f"{name}: {_brief(old.get(name))}, now {_brief(new.get(name))}"
        for name in names
        if not any(name == one or name.startswith(f"{one}.") for one in may)
    ]


def _brief(value: Any, length: int = 60) -> str:
    """Show a value; of a long one, such as a digest, the beginning."""
    text = repr(value)
    return text if len(text) <= length else f"{text[: length // 2]}..."


def refuse_others(
    path: Path,
    holds: str,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    free: Iterable[str] = (),
    remedy: str = _REMEDY,
) -> None:
    """Refuse to mix results.

    Raises:
        InputError: The identities differ; it lists where.
    """
    if changes := differences(before, now, free):
        raise InputError(
            f"expected {str(path)!r} to hold {holds}, got others in {'; '.join(changes)}; {remedy}"
        )


def read_json(path: Path) -> Any:
    """Read a file of ours; None if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _others(owners: Path) -> Iterator[dict[str, Any]]:
    """Tell about the processes that are at work; delete what dead ones left."""
    for path in owners.glob("*.lock"):
        lock = Lock(path)
        if lock.acquire():
            lock.release()
            continue
        about = read_json(path)
        yield about if isinstance(about, dict) else {}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
