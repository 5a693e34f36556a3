"""Locks between processes and threads, which end with their holder."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from anymask import lock as module
from anymask.errors import OutputError
from anymask.lock import Lock

SOURCE = Path(__file__).resolve().parents[1] / "src"

HOLD = """
import sys, time
from pathlib import Path
from anymask.lock import Lock
lock = Lock(Path(sys.argv[1]), "mine")
assert lock.acquire()
print("held", flush=True)
time.sleep(30)
"""


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert not Lock(path).acquire()
        assert path.read_text() == "mine"
        holder.kill()
    mine = Lock(path)
    assert mine.acquire(timeout=30)
    mine.release()
    assert not path.exists()


def test_waiting_ends_by_time_or_by_word(tmp_path: Path) -> None:
    held = Lock(tmp_path / "lock")
    assert held.acquire()
    assert not Lock(tmp_path / "lock").acquire(timeout=0.1)

    def enough() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Lock(tmp_path / "lock").acquire(timeout=1000, check=enough)
    held.release()
    held.release()  # again does no harm
    assert held.acquire()
    held.release()


def test_a_lock_whose_file_was_deleted_meanwhile_is_none(tmp_path: Path) -> None:
    """Else two could hold one: by the old file and by a new one of the same name."""
    path = tmp_path / "lock"
    first = Lock(path)
    assert first.acquire()
    waiting = path.open("a+b")  # as a waiting process has it
    first.release()
    second = Lock(path)
    assert second.acquire()
    assert not Lock(path)._owns(waiting)
    waiting.close()
    second.release()


def test_the_folder_is_made(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "a" / "b" / "lock")
    assert lock.acquire()
    lock.release()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot"):
        Lock(tmp_path / "file" / "lock").acquire()


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module, "_lock", refuse)
    lock = Lock(tmp_path / "lock")
    with pytest.warns(UserWarning, match="has no locks; let one process at a time"):
        assert lock.acquire()
    assert not lock.real
    lock.release()
