from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from anymask.atomic import atomic_write, output
from anymask.errors import AnymaskError, InputError, OutputError


def test_it_writes_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with atomic_write(path) as draft:
        assert draft.suffix == ".json"
        assert not path.exists()
        draft.write_text("new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("replaced", [False, True])
def test_it_gives_the_usual_permissions(replaced: bool, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with atomic_write(tmp_path / "a") as draft:
        if replaced:  # as safetensors does
            draft.unlink()
            draft.touch(mode=0o600)
        draft.write_text("new")
    plain, ours = ((tmp_path / name).stat().st_mode for name in ("plain", "a"))
    assert stat.S_IMODE(ours) == stat.S_IMODE(plain)


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), InputError("no")])
def test_a_failure_keeps_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_write(path) as draft:
        draft.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    message = r"a\.json.*No space left on device"
    with pytest.raises(OutputError, match=message), atomic_write(path) as draft:
        draft.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_device_or_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="no regular file"), atomic_write(tmp_path / "pipe"):
        raise AssertionError("never comes here")
    assert (tmp_path / "pipe").is_fifo()


def test_the_content_is_on_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space"), atomic_write(tmp_path / "a") as draft:
        draft.write_text("new")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_really_full_disk(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left"), atomic_write(tmp_path / "a"):
        Path("/dev/full").write_text("x")


def test_a_folder_in_the_way_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"), atomic_write(tmp_path):
        raise AssertionError("never comes here")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"), atomic_write(tmp_path / "none" / "a"):
        raise AssertionError("never comes here")


def test_a_file_as_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="does not exist"), atomic_write(tmp_path / "file" / "a"):
        raise AssertionError("never comes here")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_locked_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"), atomic_write(tmp_path / "a"):
        raise AssertionError("never comes here")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    with atomic_write(tmp_path / "link") as draft:
        draft.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_long_names_work(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250 + ".json")
    with atomic_write(path) as draft:
        draft.write_text("new")
    assert path.read_text() == "new"


def test_its_error_is_an_oserror_of_ours() -> None:
    assert issubclass(OutputError, OSError)
    assert issubclass(OutputError, AnymaskError)


def closed_file() -> io.BytesIO:
    file = io.BytesIO()
    file.close()
    return file


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (io.StringIO(), 'takes text; open it with "wb"'),
        (closed_file(), "got a closed one; give its path"),
        (3, "a path or a file opened for writing bytes, got int"),
        (None, "got NoneType"),
    ],
)
def test_where_nothing_can_be_written(target: Any, message: str) -> None:
    with pytest.raises(InputError, match=message), output(target) as draft:
        draft.write(b"whole")


def test_open_files_get_all_or_nothing(tmp_path: Path) -> None:
    file = io.BytesIO()
    with pytest.raises(KeyError), output(file) as draft:
        draft.write(b"half")
        raise KeyError
    assert file.getvalue() == b""
    with output(file) as draft:
        draft.write(b"whole")
    assert (file.getvalue(), file.closed) == (b"whole", False)
    (tmp_path / "a").write_bytes(b"before")
    with (
        (tmp_path / "a").open("rb") as opened,
        pytest.raises(InputError, match="is for reading"),
        output(opened) as draft,
    ):
        draft.write(b"whole")


def test_a_full_disk_behind_an_open_file() -> None:
    class Full(io.RawIOBase):
        def write(self, content: Any) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"), output(Full()) as draft:  # type: ignore[arg-type]
        draft.write(b"whole")
