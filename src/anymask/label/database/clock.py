"""What time it is: by the database's own clock, or by one that nobody can set back.

Several machines share a server of PostgreSQL, so its clock counts for all. A file of SQLite is
shared by the processes of one machine, which have a clock in common that only runs forwards, from
some moment on (``time.monotonic``); the file remembers how the two belong together.
"""

from __future__ import annotations

import time

from anymask.label.database.connection import Transaction

__all__ = ["lease_time", "wall_time"]

_SERVER = "SELECT CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


def lease_time(transaction: Transaction, project: int, *, keep: bool = True) -> float:
    """Give the time that leases go by, in seconds; it never goes back.

    The machine's own clock counts only when the file is used for the first time since the machine
    was started.

    Args:
        transaction: Where it is asked for.
        project: Whose clock.
        keep: Note it, so that it is not behind later; the transaction must be one that may write.
    """
    if not transaction.is_sqlite:
        return float(transaction.value(_SERVER))
    found = transaction.row("SELECT clock, ticks FROM projects WHERE id = :id", id=project)
    ticks, clock = time.monotonic(), max(float(found.clock), time.time())
    if 0 < found.ticks <= ticks:
        clock = found.clock + (ticks - found.ticks)
    if keep:
        transaction.run(
            "UPDATE projects SET clock = :clock, ticks = :ticks WHERE id = :id",
            clock=clock,
            ticks=ticks,
            id=project,
        )
    return clock


def wall_time(transaction: Transaction) -> float:
    """Give the date and time, in seconds since 1970, to tell people when something happened."""
    return time.time() if transaction.is_sqlite else float(transaction.value(_SERVER))
