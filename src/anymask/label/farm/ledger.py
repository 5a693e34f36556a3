"""What a farm knows: the names of the source, and what came of each content, in one SQLite file.

Every name has a number, in the order of the names when they were first seen; names that come later
get later numbers. Every content has at most one result. The first name of a content stands for it,
and its number is that of the image. One process writes, the farm's; all it is told is on disk when
a call returns, so that a kill loses nothing.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from anymask.atomic import cannot_write
from anymask.errors import InputError
from anymask.label.farm.sink import Left
from anymask.label.farm.source import Entry
from anymask.label.farm.task import Outcome, Task

__all__ = ["Counts", "Ledger", "Row", "digest_of"]

_VERSION = 2
_AT_ONCE = 1000
_CACHE = 64 << 10  # KiB
_SCHEMA = """
CREATE TABLE names (
    number INTEGER PRIMARY KEY,
    name BLOB NOT NULL UNIQUE,
    stamp TEXT NOT NULL,
    sha256 BLOB,                -- NULL: the content is not known
    first INTEGER,              -- number of the name that stands for the content
    error TEXT                  -- why it cannot be read
);
CREATE INDEX names_sha256 ON names (sha256, number);
CREATE INDEX names_unread ON names (number) WHERE sha256 IS NULL;
CREATE TABLE results (
    sha256 BLOB PRIMARY KEY,
    masks INTEGER NOT NULL,
    seconds REAL NOT NULL,
    error TEXT,                 -- why its masks cannot be found
    record BLOB NOT NULL
);
CREATE TABLE shards (
    format TEXT NOT NULL,
    number INTEGER NOT NULL,
    digest TEXT NOT NULL,       -- of what lies in it
    errors TEXT NOT NULL,       -- JSON: why images are not in it, by their numbers, see Left
    PRIMARY KEY (format, number)
);
"""
_UNREAD = "sha256 IS NULL AND error IS NULL"
_TODO = """sha256 IS NOT NULL AND first = number AND error IS NULL
    AND NOT EXISTS (SELECT 1 FROM results WHERE results.sha256 = names.sha256)"""


@dataclass(frozen=True)
class Counts:
    """How far a farm is.

    Attributes:
        names: Files that the source has or had.
        images: Different contents among them that are labelled.
        masks: In all of these.
        duplicates: Names whose content has another name before them.
        failed: Names that could not be read, or whose masks could not be found.
    """

    names: int
    images: int
    masks: int
    duplicates: int
    failed: int


@dataclass(frozen=True)
class Row:
    """What is known of a name.

    Attributes:
        number: Its number.
        name: The name.
        sha256: Digest of the content, in bytes; none while that is unknown.
        first: Number of the name that stands for the content.
        error: Why there are no masks; nothing if there are, or if nobody has looked yet.
        masks: Number of masks; None: nobody has looked.
        record: The masks, see `Labelling`; only where it is asked for.
    """

    number: int
    name: str
    sha256: bytes
    first: int
    error: str
    masks: int | None
    record: bytes = b""

    @property
    def is_image(self) -> bool:
        """Whether the name stands for a content whose masks are known."""
        return self.first == self.number and self.masks is not None and not self.error


class Ledger:
    """The file of what a farm knows; a context manager.

    Args:
        path: The file; its folder must exist.

    Raises:
        InputError: It is damaged, or was written by a newer version.
        OutputError: It cannot be written to, such as on a full disk (by every method that writes).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._understood():
            # Another thread reads it while shards are written, by a ledger of its own.
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(f"PRAGMA cache_size = -{_CACHE}")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > _VERSION:
                raise InputError(
                    f"expected {str(path)!r} in version {_VERSION}, got {version}; update anymask"
                )
            if version == 0:
                with self._whole():
                    for statement in _SCHEMA.split(";"):
                        self._db.execute(statement)
                    self._db.execute(f"PRAGMA user_version = {_VERSION}")
            if version == 1:  # knew less of images that were left out, so shards are looked at anew
                with self._whole():
                    self._db.execute("DELETE FROM shards")
                    self._db.execute(f"PRAGMA user_version = {_VERSION}")

    def __enter__(self) -> Ledger:
        """Use it in a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._db.close()

    # -------------------------------------------------------------------- names

    def scan(self, entries: Iterable[Entry]) -> None:
        """Take in what the source holds now.

        Files that changed are unknown again, what failed is tried again, and what has gone before
        anybody could read it fails.
        """
        with self._understood():
            self._db.execute("DROP TABLE IF EXISTS temp.listed")
            self._db.execute(
                "CREATE TEMP TABLE listed (name BLOB PRIMARY KEY, stamp TEXT, error TEXT)"
            )
            waiting = ((_encoded(one.name), one.stamp, one.error or None) for one in entries)
            while rows := list(islice(waiting, _AT_ONCE)):
                with self._whole():
                    self._db.executemany("INSERT OR REPLACE INTO listed VALUES (?, ?, ?)", rows)
            with self._whole():
                self._db.execute("DELETE FROM results WHERE error IS NOT NULL")
                self._db.execute("UPDATE names SET error = NULL WHERE error IS NOT NULL")
                self._db.execute(
                    """UPDATE names
                    SET stamp = l.stamp, error = l.error, sha256 = NULL, first = NULL
                    FROM temp.listed AS l WHERE l.name = names.name
                        AND (l.stamp != names.stamp OR l.error IS NOT NULL)"""
                )
                self._db.execute(
                    "UPDATE names SET error = ? WHERE sha256 IS NULL AND error IS NULL "
                    "AND name NOT IN (SELECT name FROM temp.listed)",
                    (_GONE,),
                )
                self._db.execute(
                    """INSERT INTO names (name, stamp, error)
                    SELECT name, stamp, error FROM temp.listed
                    WHERE name NOT IN (SELECT name FROM names) ORDER BY name"""
                )
                self._db.execute("DROP TABLE temp.listed")

    def unread(self) -> Iterator[Task]:
        """List the names whose content is unknown, by number."""
        for number, name, _ in self._paged("number, name, NULL", _UNREAD):
            yield Task(number, _decoded(name))

    def count_unread(self) -> int:
        """Count them."""
        return self._count(f"SELECT count(*) FROM names WHERE {_UNREAD}")

    def note_content(self, outcomes: Iterable[Outcome]) -> None:
        """Note the contents of some names, or why they cannot be read."""
        with self._understood(), self._whole():
            self._db.executemany(
                "UPDATE names SET sha256 = ?, error = ? WHERE number = ?",
                [(one.sha256 or None, one.error or None, one.number) for one in outcomes],
            )

    def match(self) -> int:
        """Find the name that stands for each content; give how many are to be labelled.

        It is the first one when the content is met, and stays it: the number is the image's.
        """
        with self._understood(), self._whole():
            self._db.execute(
                """UPDATE names SET first = f.chosen FROM (
                    SELECT sha256,
                        coalesce(min(CASE WHEN first = number THEN number END), min(number))
                        AS chosen
                    FROM names WHERE sha256 IS NOT NULL AND error IS NULL GROUP BY sha256
                ) AS f WHERE f.sha256 = names.sha256 AND names.first IS NOT f.chosen"""
            )
        return self._count(f"SELECT count(*) FROM names WHERE {_TODO}")

    # ------------------------------------------------------------------ results

    def todo(self) -> Iterator[Task]:
        """List the contents that are to be labelled, by the number of their first name."""
        for number, name, sha256 in self._paged("number, name, sha256", _TODO):
            yield Task(number, _decoded(name), sha256)

    def todo_by_shard(self, size: int) -> dict[int, int]:
        """Count them by the shard that their image belongs to."""
        query = f"SELECT (number - 1) / ?, count(*) FROM names WHERE {_TODO} GROUP BY 1"
        with self._understood():
            return dict(self._db.execute(query, (size,)).fetchall())

    def note_result(self, outcome: Outcome) -> bool:
        """Note what came of a content, unless that is known already; tell whether it was not."""
        with self._understood(), self._whole():
            if outcome.fault == "name" and outcome.error:
                done = self._db.execute(
                    "UPDATE names SET error = ?, sha256 = NULL, first = NULL WHERE number = ?",
                    (outcome.error, outcome.number),
                )
            else:
                done = self._db.execute(
                    "INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?, ?)",
                    (
                        outcome.sha256,
                        outcome.masks,
                        outcome.seconds,
                        outcome.error or None,
                        outcome.record,
                    ),
                )
        return done.rowcount > 0

    def counts(self) -> Counts:
        """Count all that is known."""
        names = self._count("SELECT count(*) FROM names")
        first = "FROM names JOIN results USING (sha256) WHERE first = number AND names.error IS "
        return Counts(
            names=names,
            images=self._count(f"SELECT count(*) {first} NULL AND results.error IS NULL"),
            masks=self._count(f"SELECT coalesce(sum(masks), 0) {first} NULL"),
            duplicates=self._count("SELECT count(*) FROM names WHERE first != number"),
            failed=self._count("SELECT count(*) FROM names WHERE error IS NOT NULL")
            + self._count(
                "SELECT count(*) FROM names JOIN results USING (sha256) "
                "WHERE names.error IS NULL AND results.error IS NOT NULL"
            ),
        )

    # ------------------------------------------------------------------- shards

    def last_number(self) -> int:
        """Give the highest number of a name."""
        return self._count("SELECT coalesce(max(number), 0) FROM names")

    def rows(self, start: int, end: int, *, records: bool = False) -> Iterator[Row]:
        """List what is known of the names with some numbers, from ``start`` to before ``end``."""
        record = "coalesce(record, x'')" if records else "x''"
        query = f"""SELECT number, name, coalesce(names.sha256, x''), coalesce(first, number),
                coalesce(names.error, results.error, ''), masks, {record}
            FROM names LEFT JOIN results ON results.sha256 = names.sha256
            WHERE number >= ? AND number < ? ORDER BY number"""
        with self._understood():
            for number, name, *rest in self._db.execute(query, (start, end)):
                yield Row(number, _decoded(name), *rest)

    def shard(self, format: str, number: int) -> tuple[str, dict[int, Left]]:
        """Give the digest of what was last written as a shard, and why images are not there."""
        query = "SELECT digest, errors FROM shards WHERE format = ? AND number = ?"
        with self._understood():
            found = self._db.execute(query, (format, number)).fetchone()
        if found is None:
            return "", {}
        return found[0], {int(image): Left(*why) for image, why in json.loads(found[1]).items()}

    def note_shard(self, format: str, number: int, digest: str, left: Mapping[int, Left]) -> None:
        """Note that a shard is written, of what, and why images are not in it."""
        why = {image: [one.why, one.sentence] for image, one in left.items()}
        with self._understood(), self._whole():
            self._db.execute(
                "INSERT OR REPLACE INTO shards VALUES (?, ?, ?, ?)",
                (format, number, digest, json.dumps(why)),
            )

    # ----------------------------------------------------------------- plumbing

    def _count(self, query: str) -> int:
        with self._understood():
            (number,) = self._db.execute(query).fetchone()
        return int(number)

    def _paged(self, columns: str, where: str) -> Iterator[tuple[int, bytes, bytes]]:
        """List rows of names without holding them: they change while they are worked on."""
        last = 0
        query = f"SELECT {columns} FROM names WHERE number > ? AND {where} ORDER BY number LIMIT ?"
        while True:
            with self._understood():
                rows = self._db.execute(query, (last, _AT_ONCE)).fetchall()
            yield from rows
            if not rows:
                return
            last = rows[-1][0]

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Do all that is in the block, or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Say in one sentence what is wrong with the file."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise cannot_write(self.path, OSError(_reason(error))) from error
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"expected {str(self.path)!r} to be what a farm knows, got a damaged file "
                f"({error}); start anew (--overwrite), or choose another folder (-o)"
            ) from error


_GONE = "cannot read it: it is no longer in the source; put it back, or leave it out"


def _reason(error: sqlite3.OperationalError) -> str:
    return "the disk is full" if "full" in str(error) else str(error)


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def digest_of(rows: Iterable[Row]) -> str:
    """Tell what lies in a shard from what might lie there: the images and their records."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(b"%d %s\n" % (row.number, row.sha256.hex().encode()))
    return digest.hexdigest()
