"""The connection to the database of a store: transactions that are tried again, and plain errors.

Everything that differs between SQLite and PostgreSQL is here, in `clock` and in `migrate`.
"""

from __future__ import annotations

import functools
import os
import random
import secrets
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from anymask.errors import InputError, OutputError
from anymask.label.database.failures import AWAY, BUSY, kind_of, translate
from anymask.label.database.tables import tables
from anymask.label.database.turn import Turn
from anymask.optional import optional

__all__ = ["Database", "Transaction"]

Result = TypeVar("Result")
Row = Any
"""A row of a result: its columns are attributes."""

_WRITES = "anymask_writes"
_SIGN = (
    "INSERT INTO requests (project_id, token, answer) VALUES (:project, :token, :answer) "
    "ON CONFLICT (project_id, token) DO UPDATE SET answer = excluded.answer "
    "WHERE requests.answer <> excluded.answer"
)
_PARTS = 16  # of a sum
_PAUSE = 0.01  # seconds before the second attempt; each further one waits twice as long
_LONGEST_PAUSE = 1.0
_BUSY_MS = 2  # SQLite itself waits so long for others before it says that it is locked
_ASK = 0.001, 0.008  # seconds between two questions whether the file is free
_LOOK = 1.0  # seconds of waiting for one's turn, after which one asks whether the file is free


class Transaction:
    """What happens whole or not at all: statements with named parameters."""

    def __init__(
        self,
        connection: Any,
        *,
        is_sqlite: bool,
        part: str = "",
        people: dict[str, int] | None = None,
    ) -> None:
        self.connection, self.is_sqlite = connection, is_sqlite
        self.part = part
        """What the name of a sum ends in, see `counters`."""
        self.people = {} if people is None else people
        """Numbers of people that are known to be in the database."""

    def run(self, sql: str, rows: Sequence[Mapping[str, Any]] = (), **named: Any) -> int:
        """Run a statement, once or for each of several rows of values; count the rows it met."""
        found = self.connection.execute(_text(sql), named or list(rows) or {})
        return int(found.rowcount)

    def rows(self, sql: str, **named: Any) -> list[Row]:
        """Run a query."""
        found: list[Row] = self.connection.execute(_text(sql), named).all()
        return found

    def stream(self, sql: str, **named: Any) -> Iterator[Row]:
        """Run a query whose rows need not fit into memory."""
        options = {"stream_results": True, "max_row_buffer": 1000}
        return iter(self.connection.execute(_text(sql), named, execution_options=options))

    def row(self, sql: str, **named: Any) -> Any:
        """Give the first row of a query, or None."""
        return self.connection.execute(_text(sql), named).first()

    def value(self, sql: str, **named: Any) -> Any:
        """Give the first value of the first row; None if there is none."""
        return self.connection.execute(_text(sql), named).scalar()

    def insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows, which must all have the same columns."""
        if rows:
            self.connection.execute(tables().tables[table].insert(), list(rows))

    def insert_numbered(self, table: str, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """Add rows, and give the numbers that they get, in their order."""
        if not rows:
            return []
        target = tables().tables[table]
        insert = target.insert().returning(target.c.id, sort_by_parameter_order=True)
        return [int(number) for number in self.connection.execute(insert, list(rows)).scalars()]

    def lock_project(self, project: int) -> None:
        """Let nobody else do this in the same project until the transaction ends."""
        if not self.is_sqlite:
            query = "SELECT id FROM projects WHERE id = :project FOR NO KEY UPDATE"
            self.value(query, project=project)

    @property
    def lock(self) -> str:
        """What ends a query that locks its rows; SQLite's writers have the whole file anyway."""
        return "" if self.is_sqlite else " FOR UPDATE"

    @property
    def skip_locked(self) -> str:
        """The same, without the rows that others have locked."""
        return "" if self.is_sqlite else " FOR UPDATE SKIP LOCKED"


@functools.lru_cache(maxsize=500)  # some have numbers in them, such as of images to skip
def _text(sql: str) -> Any:
    return optional("sqlalchemy", extra="label").text(sql)


class Database:
    """A database that may be used from several threads and processes at once.

    Args:
        url: As SQLAlchemy takes it; ``postgresql://`` goes through psycopg.
        patience: Seconds for which a transaction is tried again while others keep the database
            busy, or while the server is away.

    Raises:
        InputError: The address is of no database that is known here.
        MissingExtraError: A package is not installed.
    """

    def __init__(self, url: str, patience: float = 30.0) -> None:
        self.patience = patience
        self._url = _checked(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self.path = Path(self._url.database) if self.is_sqlite else None
        self.shown = str(self.path) if self.is_sqlite else self._url.render_as_string()
        self.project: int | None = None
        """The project in use, once it is known; from then on nothing is written twice."""
        self._client = secrets.token_hex(8)
        self._people: dict[str, int] = {}
        self.engine = self._make_engine()

    def read(self, work: Callable[[Transaction], Result]) -> Result:
        """Do what only reads, in one transaction; see `write`."""
        return self._run(work, writes=False)

    def write(self, work: Callable[[Transaction], Result]) -> Result:
        """Do something in one transaction, and do it again if others were in the way.

        Args:
            work: What to do. It may be called several times, so it must do nothing else. When this
                method returns, the work is on the disk, once: if the server goes away while it
                says so, it is asked later whether it was done.

        Raises:
            OutputError: The database stays busy or away, or cannot be written to.
            InputError: The database is damaged.
        """
        return self._run(work, writes=True)

    def close(self) -> None:
        """Close all connections; the next transaction opens new ones."""
        self.engine.dispose()

    @contextmanager
    def transaction(self, *, writes: bool) -> Iterator[Transaction]:
        """Run one transaction, without trying again, such as a migration."""
        try:
            with self._begin(writes) as connection:
                yield self._transaction(connection)
        except optional("sqlalchemy.exc", extra="label").DBAPIError as error:
            raise translate(error, self.shown, self.path, self.patience) from error

    def _run(self, work: Callable[[Transaction], Result], *, writes: bool) -> Result:
        end, pause = time.monotonic() + self.patience, _PAUSE
        failed = optional("sqlalchemy.exc", extra="label").DBAPIError
        receipt = secrets.token_hex(8) if writes else None
        found: list[Result] = []
        while True:
            try:
                with self._begin(writes) as connection:
                    transaction = self._transaction(connection)
                    if receipt is None or self._sign(transaction, receipt):
                        found = [work(transaction)]
                return found[0]
            except failed as error:
                if kind_of(error) not in (BUSY, AWAY) or time.monotonic() >= end:
                    raise translate(error, self.shown, self.path, self.patience) from error
                if kind_of(error) == AWAY:  # it may come back with what was put back from a copy
                    self._people = {}
            # Of unequal length, or the same two would meet again.
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _transaction(self, connection: Any) -> Transaction:
        # A file may be put back from a copy, in which people have other numbers; and is asked fast.
        people = {} if self.is_sqlite else self._people
        return Transaction(connection, is_sqlite=self.is_sqlite, part=self._part, people=people)

    @property
    def _part(self) -> str:
        """Say which part of a sum this thread adds to; a file of SQLite has one writer anyway."""
        who = f"{self._client} {threading.get_ident()}".encode()
        return "" if self.is_sqlite else f"#{zlib.crc32(who) % _PARTS}"

    def _sign(self, transaction: Transaction, receipt: str) -> bool:
        """Leave a receipt with what is about to be written; return whether it was not there yet.

        It waits for a transaction that left the same one and is not over. Each thread keeps one.
        A file of SQLite needs none: its commits fail whole.
        """
        if self.is_sqlite or self.project is None:
            return True
        writer = f"writer {self._client} {threading.get_ident()}"
        return transaction.run(_SIGN, project=self.project, token=writer, answer=f'"{receipt}"') > 0

    @contextmanager
    def _begin(self, writes: bool) -> Iterator[Any]:
        with self.engine.connect() as connection:
            if self.path is None or not writes:
                with connection.begin():
                    yield connection
                return
            with Turn(self.path) as turn:
                wait = {_WRITES: (turn, self.patience)}
                with connection.execution_options(**wait).begin():
                    yield connection
            _flush(self.path)

    def _make_engine(self) -> Any:
        sa = optional("sqlalchemy", extra="label")
        if not self.is_sqlite:
            optional("psycopg", extra="label")
            # Not asked before each transaction whether a connection is still there: with one that
            # the server has closed, the transaction fails, and is tried again on a new one.
            return sa.create_engine(self._url, connect_args={"connect_timeout": 10})
        engine = sa.create_engine(self._url)
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine


def _checked(url: str) -> Any:
    sa = optional("sqlalchemy", extra="label")
    try:
        found = sa.engine.make_url(url)
    except sa.exc.ArgumentError as error:
        raise InputError(
            f"expected the address of a database, got {url[:80]!r}; write it like "
            "postgresql://user@host/name"
        ) from error
    if found.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return found.set(drivername="postgresql+psycopg")
    if found.drivername == "sqlite" and found.database not in (None, "", ":memory:"):
        return found
    raise InputError(
        "expected a database of PostgreSQL or a file of SQLite, got "
        f"{found.render_as_string()!r}; write postgresql://user@host/name or name a folder"
    )


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    """Let several processes read while one writes, and let nothing be acknowledged too early."""
    connection.isolation_level = None  # SQLAlchemy says when transactions begin, see below
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 5000")  # several may make the file at once
    (mode,) = cursor.execute("PRAGMA journal_mode = WAL").fetchone()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    # With a log, the disk is waited for after the commit, see `_flush`; some places have none.
    cursor.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA cache_size = -65536")  # KiB
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    """Begin a transaction; who is to write takes his turn at once, for halfway he could only fail.

    Others may write without waiting for their turn, such as another program. So whoever's turn it
    is asks again after a short while that varies: SQLite's own waiting asks less and less often.
    """
    wait = connection.get_execution_options().get(_WRITES)
    if wait is None:
        connection.exec_driver_sql("BEGIN")
        return
    turn, patience = wait
    end, failed = time.monotonic() + patience, optional("sqlalchemy.exc").DBAPIError
    while True:
        turn.wait(min(_LOOK, max(0.0, end - time.monotonic())))
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            return
        except failed as error:
            if kind_of(error) != BUSY or time.monotonic() >= end:
                raise
        time.sleep(random.uniform(*_ASK))


def _flush(path: Path) -> None:
    """Wait until what was committed is on the disk, so that not even a power cut can take it away.

    SQLite itself would wait before it lets the next one write. Here all who have written meanwhile
    wait for the disk together, which is most of the time that a small change takes.
    """
    try:
        file = os.open(path.with_name(f"{path.name}-wal"), os.O_RDWR)
    except FileNotFoundError:  # without a log, the commit has waited
        return
    except OSError as error:  # such as too many open files
        raise _unsafe(path, error) from error
    try:
        os.fsync(file)
    except OSError as error:
        raise _unsafe(path, error) from error
    finally:
        os.close(file)


def _unsafe(path: Path, error: OSError) -> OutputError:
    """Say that a change was made, but may be gone after a power cut."""
    reason = error.strerror or str(error)
    return OutputError(
        f"cannot keep the last change of the store {str(path)!r} safe: {reason}; it is there, but "
        "a power cut may take it: make room, then do it again with the same token, which changes "
        "nothing twice"
    )
