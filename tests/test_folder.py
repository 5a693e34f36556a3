"""Folders that can be resumed: one purpose, whole files, and what is done."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from anymask.errors import InputError, OutputError
from anymask.folder import ResumableFolder, differences

SOURCE = Path(__file__).resolve().parents[1] / "src"


def visible(path: Path) -> list[str]:
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())


def test_the_purpose_is_noted_and_another_refused(tmp_path: Path) -> None:
    folder = ResumableFolder(tmp_path / "out", {"model": "a", "loop": {"lr": 1}})
    assert folder.saved() is None
    folder.begin()
    folder.begin()
    assert json.loads((tmp_path / "out" / "run.json").read_text()) == folder.identity
    other = ResumableFolder(tmp_path / "out", {"model": "a", "loop": {"lr": 2}})
    with pytest.raises(InputError, match=r"got others in loop\.lr: 1, now 2; start anew"):
        other.begin()
    ResumableFolder(tmp_path / "out", other.identity, free=("loop",)).begin()
    (tmp_path / "out" / "run.json").write_text("")
    with pytest.raises(InputError, match="damaged file that cannot be read"):
        folder.begin()
    folder.forget()
    other.begin()


@pytest.mark.parametrize(
    ("before", "now", "free", "expected"),
    [
        ({"a": 1}, {"a": 1}, (), []),
        ({"a": 1}, {"b": 2}, (), ["b: None, now 2", "a: 1, now None"]),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, (), ["a.b.c: 1, now 2"]),
        ({"a": {"b": 1}, "ab": 1}, {"a": {"b": 2}, "ab": 2}, ("a",), ["ab: 1, now 2"]),
        ({"a": {}}, {"a": {"b": 1}}, (), ["a.b: None, now 1", "a: {}, now None"]),
        ({"a": "0" * 64}, {"a": "1" * 64}, (), [f"a: '{'0' * 29}..., now '{'1' * 29}..."]),
    ],
)
def test_differences(before: dict, now: dict, free: tuple[str, ...], expected: list[str]) -> None:
    assert differences(before, now, free) == expected


def test_what_is_done_is_listed_and_damage_is_not_done(tmp_path: Path) -> None:
    folder = ResumableFolder(tmp_path)
    for key in ("b", "a/b", "a"):
        folder.record(key, {"key": key})
    assert folder.done() == ["a", "a/b", "b"]
    assert folder.read("a/b") == {"key": "a/b"}
    (tmp_path / ".anymask" / "done" / "a" / "b.json").write_text('{"key": "a')
    assert folder.read("a/b") is None
    folder.drop("a")
    folder.drop("a")
    assert folder.read("a") is None


def test_files_are_whole_or_not_there(tmp_path: Path) -> None:
    folder = ResumableFolder(tmp_path)
    with folder.writing("x.txt") as draft:
        assert draft.suffix == ".txt"
        draft.write_text("old")
    with pytest.raises(RuntimeError), folder.writing("x.txt") as draft:
        draft.write_text("new")
        raise RuntimeError
    assert (tmp_path / "x.txt").read_text() == "old"
    assert visible(tmp_path) == ["x.txt"]


def test_a_full_disk_is_one_sentence_with_its_number(tmp_path: Path) -> None:
    folder = ResumableFolder(tmp_path)
    with pytest.raises(OutputError, match="No space left") as full, folder.writing("x"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert full.value.errno == errno.ENOSPC
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="it is a folder"), folder.writing("folder") as draft:
        draft.touch()


def test_links_stay_links_also_to_other_disks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder = ResumableFolder(tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    replace = os.replace

    def other_disk(source: Path, target: Path) -> None:
        if ".anymask/drafts" in str(source):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(source, target)

    with folder.writing("sub/x") as draft:
        draft.write_text("one")
    monkeypatch.setattr(os, "replace", other_disk)
    with folder.writing("sub/x") as draft:
        draft.write_text("two")
    assert (tmp_path / "elsewhere" / "x").read_text() == "two"
    assert (tmp_path / "out" / "sub").is_symlink()


def test_only_those_with_the_same_purpose_share_a_folder(tmp_path: Path) -> None:
    mine, same, other = (ResumableFolder(tmp_path, {"point": i}) for i in (1, 1, 2))
    with mine.at_work(alone=False):
        with same.at_work(alone=False):
            pass
        with pytest.raises(InputError, match="with other settings; wait until"):
            other.at_work(alone=False).__enter__()
        with pytest.raises(InputError, match=f"got process {os.getpid()} on"):
            same.at_work(alone=True).__enter__()
    with mine.at_work(alone=True), pytest.raises(InputError, match="nobody else"):
        same.at_work(alone=False).__enter__()
    with other.at_work():
        pass
    assert list(tmp_path.iterdir()) == []


WORK = """
import sys, time
from pathlib import Path
from anymask.folder import ResumableFolder
folder = ResumableFolder(Path(sys.argv[1]), {"point": 1})
with folder.at_work(alone=False), folder.writing("x") as draft:
    draft.write_text("half")
    lock = folder.lock("x")
    assert lock.acquire()
    print("at work", flush=True)
    time.sleep(30)
"""


def test_what_a_killed_process_left_is_taken_away(tmp_path: Path) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORK, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        text=True,
    )
    other = ResumableFolder(tmp_path, {"point": 2})
    with worker:
        assert worker.stdout is not None and worker.stdout.readline() == "at work\n"
        with pytest.raises(InputError, match=f"got process {worker.pid} on"):
            other.at_work(alone=False).__enter__()
        # Whoever shares the folder leaves the other's drafts alone.
        with ResumableFolder(tmp_path, {"point": 1}).at_work(alone=False):
            pass
        assert len(list((tmp_path / ".anymask" / "drafts").iterdir())) == 1
        worker.kill()
    with other.at_work(alone=False):
        assert not (tmp_path / ".anymask" / "drafts").exists()
        lock = other.lock("x")
        assert lock.acquire()
        lock.release()
