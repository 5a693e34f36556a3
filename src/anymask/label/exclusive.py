"""What only one process may do at a time, whatever becomes of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

from anymask.errors import InputError
from anymask.label.database import Database
from anymask.lock import Lock

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
    with database.transaction(writes=True) as transaction:
        if not transaction.value("SELECT pg_try_advisory_xact_lock(:number)", number=number):
            raise taken
        yield
