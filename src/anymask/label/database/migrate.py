"""Bringing a database to the layout that this version of anymask knows."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from anymask.errors import InputError
from anymask.label.database.connection import Database
from anymask.label.database.failures import copy_whole, damaged
from anymask.optional import optional

__all__ = ["check_store", "is_store", "upgrade"]

_FOLDER = Path(__file__).with_name("migrations")
_TABLE = "alembic_version"
_LOCK = 0x616E796D  # a number that PostgreSQL knows our upgrades by
_CHECKED = 1 << 24  # bytes of a file of SQLite that is read through when it is opened


@functools.cache
def _steps() -> Any:
    config = optional("alembic.config", extra="label").Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = optional("alembic.script", extra="label")
    return config, script.ScriptDirectory.from_config(config)


def is_store(database: Database) -> bool:
    """Return whether there is a store in a database; it may be of any version."""
    return _version(database) is not None


def check_store(database: Database) -> None:
    """Refuse a damaged file, and a database that a newer version of anymask wrote.

    Raises:
        InputError: It is one of these.
    """
    _, steps = _steps()
    version = _version(database)
    known = {step.revision for step in steps.walk_revisions()}
    if version is not None and version not in known:
        raise InputError(
            f"expected a store of a version up to {steps.get_current_head()!r} in "
            f"{database.shown!r}, got {version!r}, which a newer anymask wrote; update anymask: "
            "pip install -U 'anymask[label]'"
        )
    path = database.path
    if path is not None and path.exists() and 0 < path.stat().st_size <= _CHECKED:
        wrong = database.read(lambda t: t.value("PRAGMA quick_check(1)"))
        if wrong != "ok":
            raise damaged(path, str(wrong).partition("\n")[0])


def upgrade(database: Database) -> None:
    """Make the tables, or bring them up to date; a file of SQLite is copied before.

    Raises:
        InputError: As for `check_store`.
        OutputError: The database cannot be written to.
    """
    check_store(database)
    config, steps = _steps()
    head, version = steps.get_current_head(), _version(database)
    if version == head:
        return
    environment = optional("alembic.runtime.environment", extra="label").EnvironmentContext

    def to_head(now: Any, _: Any) -> Any:
        return steps._upgrade_revs(head, now)

    with database.transaction(writes=True) as transaction:
        if not database.is_sqlite:  # SQLite has one writer anyway
            transaction.value(f"SELECT pg_advisory_xact_lock({_LOCK})")
        elif version is not None and _found(transaction) == version:
            assert database.path is not None
            copy_whole(database.path, f"before-{head}")  # who waited for his turn finds it done
        with environment(config, steps, fn=to_head) as context:
            context.configure(
                connection=transaction.connection,
                transactional_ddl=True,
                transaction_per_migration=False,
            )
            context.run_migrations()


def _found(transaction: Any) -> str | None:
    found: str | None = transaction.value(f"SELECT version_num FROM {_TABLE}")
    return found


def _version(database: Database) -> str | None:
    if database.path is not None and not database.path.exists():
        return None

    def look(transaction: Any) -> str | None:
        inspector = optional("sqlalchemy", extra="label").inspect(transaction.connection)
        if not inspector.has_table(_TABLE):
            return None
        return _found(transaction)

    return database.read(look)
