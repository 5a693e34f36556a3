from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from anymask.errors import WeightsError
from anymask.models import cache
from anymask.models.cache import cache_dir, digest, offline


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"ANYMASK_CACHE": "/a/b"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/anymask"),
        ({"ANYMASK_CACHE": "/a", "XDG_CACHE_HOME": "/x"}, "/a"),
        ({}, "/home/someone/.cache/anymask"),
    ],
)
def test_the_place_of_the_cache(
    environment: dict[str, str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANYMASK_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_dir() == Path(place)


@pytest.mark.parametrize(
    ("value", "off"), [("1", True), ("true", True), ("YES", True), ("0", False), ("", False)]
)
@pytest.mark.parametrize("name", ["ANYMASK_OFFLINE", "HF_HUB_OFFLINE"])
def test_the_switch(name: str, value: str, off: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in ("ANYMASK_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(other, raising=False)
    assert not offline()
    monkeypatch.setenv(name, value)
    assert offline() == off


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is large enough for a record, and has not changed for a while."""
    monkeypatch.setenv("ANYMASK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_WORTH_A_RECORD", 4)
    path = tmp_path / "file"
    path.write_bytes(b"weights")
    os.utime(path, (1e9, 1e9))
    return path


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_digest_is_remembered_until_the_file_changes(file: Path) -> None:
    assert digest(file) == sha(b"weights")
    record = next((cache_dir() / "digests").iterdir())
    record.write_text("remembered")
    assert digest(file) == "remembered"
    file.write_bytes(b"changed")
    assert digest(file) == sha(b"changed")
    file.write_bytes(b"Changed")  # perhaps without a newer time
    assert digest(file) == sha(b"Changed")


def test_a_small_file_leaves_no_record(file: Path) -> None:
    file.write_bytes(b"abc")
    assert digest(file) == sha(b"abc")
    assert not cache_dir().exists()


def test_a_cache_that_cannot_be_written_to_costs_only_time(file: Path) -> None:
    cache_dir().touch()
    assert digest(file) == sha(b"weights")


def test_several_files_have_one_digest(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(b"more")
    both = digest(file, other)
    assert both == digest(file, other) != digest(other, file)
    other.write_bytes(b"less")
    assert digest(file, other) != both


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot read the weight file .*; check the path"):
        digest(tmp_path / "absent")
