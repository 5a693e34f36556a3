"""What only one process may do at a time, whatever becomes of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

from anymask.errors import InputError
from anymask.label.database.connection import Database
from anymask.label.database.failures import translate
from anymask.lock import Lock
from anymask.optional import optional

__all__ = ["exclusive"]


@contextmanager
def exclusive(database: Database, project: int, what: str) -> Iterator[None]:
    """Hold a lock that the system, or the server, takes away when this process ends.

    Args:
        database: Whose processes are meant.
        project: The project in it.
        what: Name of what is done.

    Raises:
        InputError: Somebody else is at it.
    """
    taken = InputError(
        f"expected to be the only one at {what}, but somebody else is at it; wait until it is done"
    )
    if database.path is not None:
        lock = Lock(database.path.with_name(f".{database.path.name}.{what}.lock"), str(os.getpid()))
        if not lock.acquire():
            raise taken
        try:
            yield
        finally:
            lock.release()
        return
    digest = hashlib.sha256(f"anymask {project} {what}".encode()).digest()
    number = int.from_bytes(digest[:8], "big", signed=True)
    with _held(database, number) as is_ours:
        if not is_ours:
            raise taken
        yield


@contextmanager
def _held(database: Database, number: int) -> Iterator[bool]:
    """Hold a lock of the server for as long as a connection lasts, without a transaction.

    A transaction of hours would keep the server from clearing up, and if the server went away
    meanwhile, its end would fail after all had been done.
    """
    sa = optional("sqlalchemy", extra="label")
    failed = optional("sqlalchemy.exc", extra="label").DBAPIError
    database.read(lambda t: t.value("SELECT 1"))  # waits for a server that is away
    # Of its own, for the server may have closed one that was kept.
    engine = sa.create_engine(database.engine.url, poolclass=sa.NullPool)
    try:
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        query = sa.text("SELECT pg_try_advisory_lock(:number)")
        found = connection.execute(query, {"number": number})
        is_ours = bool(found.scalar())
    except failed as error:
        raise translate(error, database.shown, database.path, database.patience) from error
    try:
        yield is_ours
    finally:
        connection.invalidate()  # its end is the lock's, too, whether the server is there or not
        connection.close()
