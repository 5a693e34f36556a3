"""Who came first writes first, and what was written is on the disk."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from anymask import OutputError
from anymask.label import Store
from anymask.label.database.connection import _prepare_sqlite
from anymask.label.database.turn import _HEAD, Turn

SOURCE = Path(__file__).resolve().parents[3] / "src"
linux = pytest.mark.skipif(sys.platform != "linux", reason="numbers are drawn on Linux only")

# Draws a number, forks a child that lives on, and says so; then gives it back when it is told to.
HOLDER = """
import os, sys, time
from pathlib import Path
from anymask.label.database.turn import Turn

with Turn(Path(sys.argv[1])) as turn:
    assert turn.wait(0)
    child = os.fork() if sys.argv[2] == "fork" else 0
    if sys.argv[2] == "fork" and not child:
        os.close(1)
        os.close(2)
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()
print("given back", flush=True)
sys.stdin.readline()
"""


def holder(path: Path, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )


@linux
def test_who_came_first_goes_first(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with Turn(path) as first, Turn(path) as second, Turn(path) as third:
        assert not second.wait(0) and not third.wait(0.01)
        assert first.wait(0)
        first.__exit__(None, None, None)
        assert not third.wait(0) and second.wait(0) and second.wait(0)
        second.__exit__(None, None, None)
        assert third.wait(0)
        with Turn(path) as late:
            assert not late.wait(0)


@linux
def test_who_is_killed_or_gives_up_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with holder(path, "alone") as process:
        assert process.stdout is not None and process.stdout.readline() == "0\n"
        with Turn(path) as next_one, Turn(path) as last:
            assert not next_one.wait(0) and not last.wait(0)
            process.send_signal(signal.SIGKILL)
            process.wait()
            # Who leaves the line from its middle does not let anybody past those before him.
            next_one.__exit__(None, None, None)
            assert last.wait(5)


@linux
def test_a_child_that_was_forked_meanwhile_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with holder(path, "fork") as process:
        assert process.stdin is not None and process.stdout is not None
        child = int(process.stdout.readline())
        try:
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "given back\n"
            with Turn(path) as turn:
                assert turn.wait(0)
        finally:
            os.kill(child, signal.SIGKILL)
            process.stdin.close()


def test_where_nothing_can_be_drawn_all_take_their_chance(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "file"
    with Turn(path) as one, Turn(path) as another:
        assert one.wait(0) and another.wait(0)


@linux
def test_a_line_that_does_not_move_is_left(photos: Path) -> None:
    """The line is a courtesy: if the file is free, whoever holds a number is not in the way."""
    with Store.init(photos) as store:
        assert store.database.path is not None
        with Turn(store.database.path) as stuck:
            assert stuck.wait(0)
            store.add_classes(["sky"])
        assert [one.name for one in store.classes()] == ["sky"]


@linux
def test_writers_write_in_the_order_in_which_they_came(photos: Path) -> None:
    with Store.init(photos) as store:
        path = store.database.path
        assert path is not None
        wrote: list[int] = []

        def write(number: int) -> None:
            store.database.write(lambda t: wrote.append(number))

        def drawn() -> int:
            head = path.with_name(f".{path.name}.turns").read_bytes()
            return int(_HEAD.unpack(head)[0])

        threads = []
        with store.database.transaction(writes=True):
            before = drawn()
            for number in range(6):
                threads.append(threading.Thread(target=write, args=(number,)))
                threads[-1].start()
                while drawn() == before + number:
                    time.sleep(0.001)
        for thread in threads:
            thread.join()
        assert wrote == [0, 1, 2, 3, 4, 5]


def test_what_a_write_has_returned_was_flushed_outside_of_its_turn(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.init(photos) as store:
        path, seen, fsync = store.database.path, [], os.fsync
        assert path is not None

        def note(file: int) -> None:
            fsync(file)
            log = path.with_name(f"{path.name}-wal").stat()
            with sqlite3.connect(path, timeout=0) as other:  # the file is free, and has the change
                other.execute("BEGIN IMMEDIATE")
                found = other.execute("SELECT name FROM classes").fetchall()
                other.rollback()
            other.close()
            seen.append((os.path.samestat(os.fstat(file), log), found))

        monkeypatch.setattr(os, "fsync", note)
        store.add_classes(["sky"])
        assert seen == [(True, [("sky",)])]
        store.status()
        assert len(seen) == 1


def test_a_disk_that_fails_is_told(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with Store.init(photos) as store:
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OutputError, match="Input/output error"):
            store.next("Ada")


def test_a_log_that_cannot_be_opened_is_told(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refuse(path: Any, *words: Any) -> int:
        if str(path).endswith("-wal"):
            raise OSError(errno.EMFILE, "Too many open files")
        return opened(path, *words)

    with Store.init(photos) as store:
        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(OutputError, match="Too many open files"):
            store.next("Ada")


def test_without_a_log_the_commit_itself_waits_for_the_disk() -> None:
    connection = sqlite3.connect(":memory:")
    _prepare_sqlite(connection, None)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    connection.close()
