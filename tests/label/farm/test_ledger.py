from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from anymask import InputError, OutputError
from anymask.label.farm.ledger import Ledger
from anymask.label.farm.sink import Left
from anymask.label.farm.source import Entry
from anymask.label.farm.task import Outcome


def filled(path: Path, names: str) -> Ledger:
    """A ledger of files whose content is their name's first letter."""
    ledger = Ledger(path)
    ledger.scan([Entry(name, "1") for name in names.split()])
    ledger.note_content([Outcome(task.number, task.name[:1].encode()) for task in ledger.unread()])
    return ledger


def test_numbers_follow_the_names_not_the_listing(tmp_path: Path) -> None:
    with filled(tmp_path / "one", "b c a") as one, filled(tmp_path / "two", "a c b") as two:
        assert [row.name for row in one.rows(1, 9)] == ["a", "b", "c"]
        assert list(one.rows(1, 9)) == list(two.rows(1, 9))
        one.scan([Entry("aa", "1"), Entry("a", "1"), Entry("b", "1"), Entry("c", "1")])
        assert [(row.number, row.name) for row in one.rows(3, 9)] == [(3, "c"), (4, "aa")]


def test_the_first_name_stands_for_a_content(tmp_path: Path) -> None:
    with filled(tmp_path / "x", "a1 a2 b1 a3") as ledger:
        assert ledger.match() == 2
        assert [(task.name, task.sha256) for task in ledger.todo()] == [("a1", b"a"), ("b1", b"b")]
        assert ledger.todo_by_shard(2) == {0: 1, 1: 1}
        assert ledger.note_result(Outcome(1, error="gone", fault="name"))
        assert ledger.match() == 2
        assert [task.name for task in ledger.todo()] == ["a2", "b1"]


def test_a_content_has_one_result(tmp_path: Path) -> None:
    with filled(tmp_path / "x", "a b") as ledger:
        ledger.match()
        assert ledger.note_result(Outcome(1, b"a", b"first", 2))
        assert not ledger.note_result(Outcome(1, b"a", b"second", 3))
        assert next(ledger.rows(1, 2, records=True)).record == b"first"
        assert ledger.counts().masks == 2


def test_what_failed_is_tried_again_and_what_is_done_is_not(tmp_path: Path) -> None:
    with filled(tmp_path / "x", "a b c") as ledger:
        ledger.match()
        ledger.note_result(Outcome(1, b"a", b"record", 2))
        ledger.note_result(Outcome(2, b"b", error="broken"))
        ledger.note_result(Outcome(3, error="gone", fault="name"))
        assert ledger.counts().failed == 2 and ledger.match() == 0
        ledger.scan([Entry(name, "1") for name in "abc"])
        assert ledger.match() == 1 and [task.name for task in ledger.unread()] == ["c"]


def test_a_file_that_changed_is_unknown_again(tmp_path: Path) -> None:
    with filled(tmp_path / "x", "a1 a2") as ledger:
        ledger.match()
        ledger.note_result(Outcome(1, b"a", b"record", 2))
        ledger.scan([Entry("a1", "2"), Entry("a2", "1")])
        assert [task.name for task in ledger.unread()] == ["a1"]
        ledger.note_content([Outcome(1, b"z")])
        assert ledger.match() == 1
        assert [row.first for row in ledger.rows(1, 9)] == [1, 2]


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    with Ledger(tmp_path / "x") as ledger:
        ledger.scan([Entry(name, "1")])
        assert [task.name for task in ledger.unread()] == [name]


def test_more_names_than_are_read_at_once(tmp_path: Path) -> None:
    names = [f"{n:05}" for n in range(2500)]
    with Ledger(tmp_path / "x") as ledger:
        ledger.scan(Entry(name, "1") for name in reversed(names))
        assert ledger.count_unread() == 2500
        # While they are read, what is known of them changes.
        for task in ledger.unread():
            ledger.note_content([Outcome(task.number, task.name.encode())])
        assert ledger.match() == 2500
        assert [task.name for task in ledger.todo()] == names


def test_what_is_no_ledger_is_said_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(InputError, match=r"got a damaged file .*--overwrite"):
        Ledger(path)
    newer = tmp_path / "newer"
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match="in version 2, got 99; update anymask"):
        Ledger(newer)


def test_a_full_disk_is_said_in_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    with filled(tmp_path / "x", "a b") as ledger:
        ledger.match()
        ledger.note_result(Outcome(1, b"a", b"record", 2))
        (pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
        ledger._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(OutputError, match="the disk is full"):
            ledger.note_result(Outcome(2, b"b", bytes(1 << 20), 2))
    with Ledger(tmp_path / "x") as ledger:
        assert ledger.counts().images == 1


def test_no_query_of_the_work_reads_the_whole_table(tmp_path: Path) -> None:
    """A farm of millions asks these again and again."""
    with filled(tmp_path / "x", "a b") as ledger:
        said: list[str] = []
        ledger._db.set_trace_callback(said.append)
        ledger.note_result(Outcome(1, b"a", b"record", 2))
        list(ledger.todo())
        list(ledger.unread())
        list(ledger.rows(1, 2))
        ledger.shard("sa1b", 0)
        ledger._db.set_trace_callback(None)
        queries = [one for one in said if one.lstrip().startswith(("SELECT", "INSERT", "UPDATE"))]
        assert len(queries) >= 5
        for query in queries:
            for *_, step in ledger._db.execute(f"EXPLAIN QUERY PLAN {query}"):
                assert not step.startswith("SCAN") or "USING INDEX" in step, (query, step)


def test_shards_of_an_older_version_are_looked_at_anew(tmp_path: Path) -> None:
    path = tmp_path / "farm.sqlite"
    with Ledger(path) as ledger:
        ledger.scan([Entry("a.jpg", "1")])
        ledger.note_shard("sa1b", 0, "digest", {7: Left("leased", "somebody has it")})
        assert ledger.shard("sa1b", 0) == ("digest", {7: Left("leased", "somebody has it")})
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE shards SET errors = ?", (json.dumps({"7": "it is gone"}),))
        db.execute("PRAGMA user_version = 1")
    for _ in range(2):
        with Ledger(path) as ledger:
            assert ledger.shard("sa1b", 0) == ("", {}) and ledger.last_number() == 1
