"""What can go wrong with a database, in one sentence each: what it is, and what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from anymask.atomic import DRAFT
from anymask.errors import AnymaskError, InputError, OutputError

__all__ = ["AWAY", "BUSY", "back_up", "copy_whole", "damaged", "kind_of", "translate"]

BUSY, AWAY, DAMAGED, FULL, READ_ONLY, OTHER = "busy", "away", "damaged", "full", "read-only", "?"

_SQLITE = {
    BUSY: ("is locked",),
    DAMAGED: ("malformed", "not a database", "malformed database schema", "disk i/o error"),
    FULL: ("disk is full",),
    READ_ONLY: ("readonly database", "unable to open database file"),
}
_POSTGRESQL = {
    BUSY: ("40001", "40P01", "55P03"),  # serialization, deadlock, lock not available
    AWAY: ("08", "57P0"),
    FULL: ("53100", "53200"),
    READ_ONLY: ("25006",),
    DAMAGED: ("XX001", "XX002"),
}


_ROOM = 1 << 20  # bytes that must be free, or else the disk is full

_REFUSED = ("does not exist", "authentication failed", "no password supplied", "no pg_hba.conf")
"""Words of a server that is there, but lets nobody in: to ask again would not help."""


def kind_of(error: Any) -> str:
    """Say what kind of failure SQLAlchemy's error is: whether it is worth another attempt."""
    code = getattr(error.orig, "sqlstate", None)
    if code is not None:
        found = [kind for kind, codes in _POSTGRESQL.items() if code.startswith(codes)]
        return found[0] if found else OTHER
    if type(error.orig).__module__.startswith("psycopg"):
        # Without a code, it is the connection that failed, not the server that answered.
        if any(word in str(error.orig) for word in _REFUSED):
            return OTHER
        is_lost = type(error.orig).__name__ in ("OperationalError", "ConnectionTimeout")
        return AWAY if is_lost or error.connection_invalidated else OTHER
    message = str(error.orig).lower()
    found = [kind for kind, words in _SQLITE.items() if any(word in message for word in words)]
    return found[0] if found else OTHER


def translate(error: Any, shown: str, path: Path | None, patience: float) -> AnymaskError:
    """Put a failure into words.

    Args:
        error: SQLAlchemy's.
        shown: The address of the database, without a password.
        path: Its file, if it is one; a damaged one is copied first.
        patience: Seconds for which it was tried.
    """
    kind = kind_of(error)
    reason = str(error.orig).strip().partition("\n")[0]
    if kind == DAMAGED and path is not None:
        # SQLite tells of files that it cannot make longer as of a disk that fails.
        if "i/o error" not in reason.lower() or not _is_full(path):
            return damaged(path, reason)
        kind = FULL
    if kind == BUSY:
        return OutputError(
            f"cannot write to the store {shown!r}: others have kept it busy for {patience:g} s; "
            "try again, nothing that was acknowledged is lost"
        )
    if kind == AWAY:
        return OutputError(
            f"cannot reach the database {shown!r} for {patience:g} s ({reason}); start the server "
            "or check the address, nothing that was acknowledged is lost"
        )
    if kind == FULL:
        return OutputError(
            f"cannot write to the store {shown!r}: the disk is full; make room and try again, "
            "nothing that was acknowledged is lost"
        )
    return OutputError(
        f"cannot use the store {shown!r}: {reason}; check that it is there, and that you may write "
        "to it"
    )


def _is_full(path: Path) -> bool:
    with suppress(OSError):
        return shutil.disk_usage(path.parent).free < _ROOM
    return False


def damaged(path: Path, reason: str) -> InputError:
    """Copy a damaged file of SQLite, and say what to do."""
    copy = back_up(path, "damaged")
    kept = f"a copy is {str(copy)!r}" if copy else "there is no room for a copy: make one first"
    return InputError(
        f"expected a store in {str(path)!r}, got a damaged file ({reason}); {kept}, so get what it "
        f"still holds with `sqlite3 {path.name} .recover | sqlite3 new.db` and put new.db in its "
        "place, or move the file away and import your last export"
    )


def back_up(path: Path, why: str) -> Path | None:
    """Copy a file of SQLite with what belongs to it, as it is; None: it cannot be copied."""
    size = path.stat().st_size if path.exists() else 0
    for number in range(1, 1000):
        copy = path.with_name(f"{path.name}.{why}-{number}")
        if not copy.exists():
            break
        if copy.stat().st_size == size and _same(copy, path):
            return copy  # of this very state, made before
    try:
        shutil.copy2(path, copy)
    except OSError:
        with suppress(OSError):
            copy.unlink()
        return None
    for end in ("-wal", "-shm"):  # what was written last may stand there alone
        with suppress(OSError):
            shutil.copy2(path.with_name(path.name + end), copy.with_name(copy.name + end))
    return copy


def copy_whole(path: Path, why: str) -> Path:
    """Copy a file of SQLite as it is at one moment, whoever writes to it meanwhile.

    Raises:
        OutputError: There is no room for it.
    """
    names = (path.with_name(f"{path.name}.{why}-{number}") for number in range(1, 1000))
    copy = next(name for name in names if not name.exists())
    draft = copy.with_name(f"{DRAFT}{copy.name}")
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(draft)) as target:
            source.backup(target)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.rename(copy)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            draft.unlink()
        raise OutputError(
            f"cannot copy the store {str(path)!r} before it is brought up to date: {error}; make "
            "room beside it and open it again, nothing was changed"
        ) from error
    return copy


def _same(a: Path, b: Path) -> bool:
    import filecmp

    return filecmp.cmp(a, b, shallow=False)
