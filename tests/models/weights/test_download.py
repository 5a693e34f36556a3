from __future__ import annotations

import errno
import hashlib
import io
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.models.weights.conftest import Server, below

from anymask.errors import OutputError, WeightsError
from anymask.models.weights import download as module
from anymask.models.weights.download import download


def weights(values: int = 50_000, seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    torch.manual_seed(seed)
    torch.save({"a": torch.randn(values)}, buffer)
    return buffer.getvalue()


CONTENT = weights()
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def place(cache: Path) -> Path:
    return cache / "file.pth"


@pytest.fixture
def url(server: Server) -> str:
    server.files["/file.pth"] = CONTENT
    return f"{server.address}/file.pth"


@pytest.mark.parametrize("sha256", [None, DIGEST, DIGEST[:6]])
def test_a_file_comes_whole(
    url: str, place: Path, sha256: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    download(url, place, sha256)
    assert place.read_bytes() == CONTENT
    assert below(place.parent) == ["file.pth"]
    assert capsys.readouterr() == ("", "")  # quiet where nobody looks


def test_what_is_there_is_not_fetched_again(url: str, server: Server, place: Path) -> None:
    download(url, place, DIGEST)
    download(url, place, DIGEST)
    assert len(server.asked) == 1


@pytest.mark.parametrize("sha256", [None, DIGEST])
def test_a_cut_connection_goes_on_where_it_broke(
    url: str, server: Server, place: Path, sha256: str | None
) -> None:
    server.cut = [70_000, 0, 50_000]
    download(url, place, sha256)
    assert place.read_bytes() == CONTENT
    ranges = [asked for _, asked in server.asked]
    assert ranges == [None, "bytes=70000-", "bytes=70000-", "bytes=120000-"]


@pytest.mark.parametrize("habit", ["ranges", "tags"])
def test_a_server_that_cannot_go_on_starts_again(
    url: str, server: Server, place: Path, habit: str
) -> None:
    setattr(server, habit, False)
    server.cut = [70_000, 100_000]
    download(url, place, DIGEST if habit == "ranges" else None)
    assert place.read_bytes() == CONTENT


def test_a_file_that_changes_on_its_way_is_fetched_anew(
    url: str, server: Server, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.cut = [70_000]
    other = weights(seed=1)
    monkeypatch.setattr(module.time, "sleep", lambda _: server.files.update({"/file.pth": other}))
    download(url, place)
    assert place.read_bytes() == other


def test_a_later_call_goes_on_only_if_it_can_check(url: str, server: Server, place: Path) -> None:
    for sha256, resumed in ((DIGEST, "bytes=70000-"), (None, None)):
        server.cut = [70_000, *[0] * 4]
        with pytest.raises(WeightsError, match="cut after 70,000 of"):
            download(url, place, sha256)
        assert below(place.parent) == ["file.pth.part"]
        server.cut, server.asked = [], []
        download(url, place, sha256)
        assert server.asked == [("/file.pth", resumed)]
        assert place.read_bytes() == CONTENT
        place.unlink()


def test_a_call_that_died_at_the_very_end_is_finished_without_asking(
    url: str, server: Server, place: Path
) -> None:
    place.parent.mkdir()
    place.with_name("file.pth.part").write_bytes(CONTENT)
    download(url, place, DIGEST)
    assert place.read_bytes() == CONTENT
    assert server.asked == []


def test_too_much_of_a_file_is_dropped(url: str, place: Path) -> None:
    place.parent.mkdir()
    place.with_name("file.pth.part").write_bytes(CONTENT + b"more")
    download(url, place, DIGEST)
    assert place.read_bytes() == CONTENT


BAD_CONTENT = {
    "page": (b"<!DOCTYPE html><p>Sign in</p>", "got a web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "text": (b"Not today\n", "got a text"),
    "nothing": (b"", "got an empty one"),
    "half": (CONTENT[:90_000], "got the beginning of one"),
    "other": (weights(seed=1), r"SHA-256 \w{64}\.\.\. from http"),
}


@pytest.mark.parametrize("kind", BAD_CONTENT)
def test_what_is_not_the_file_leaves_nothing(server: Server, place: Path, kind: str) -> None:
    content, words = BAD_CONTENT[kind]
    server.files["/file.pth"] = content
    with pytest.raises(WeightsError, match=words) as caught:
        download(f"{server.address}/file.pth", place, DIGEST)
    assert server.address in str(caught.value)
    assert "\n" not in str(caught.value)
    assert below(place.parent) == []


@pytest.mark.parametrize(
    ("status", "attempts", "words"),
    [
        (404, 1, "got HTTP 404 Not Found; check"),
        (403, 1, "HTTP 403"),
        (503, 4, r"503.*\(4 times\)"),
    ],
)
def test_a_refusal(server: Server, place: Path, status: int, attempts: int, words: str) -> None:
    server.status["/file.pth"] = status
    with pytest.raises(WeightsError, match=words):
        download(f"{server.address}/file.pth", place)
    assert len(server.asked) == attempts
    assert below(place.parent) == []


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (
            "http://127.0.0.1:9/file.pth",
            r"no connection .*refused.* \(4 times\); check the network",
        ),
        ("http://nowhere.invalid/file.pth", "its host is not found"),
    ],
)
def test_no_network(place: Path, address: str, words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        download(address, place, name="sam-vit-b")
    assert below(place.parent) == []


def test_silence_counts_as_a_broken_connection(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setattr(module, "TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"http://127.0.0.1:{mute.getsockname()[1]}/file.pth"
        with pytest.raises(WeightsError, match=r"timed out.*\(4 times\)"):
            download(address, place)


def test_no_room(url: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: Free)
    with pytest.raises(OutputError, match=r"MB of room.*make room, or set ANYMASK_CACHE"):
        download(url, place)
    assert below(place.parent) == []


class Free:
    free = 1000


def test_a_disk_that_fills_up(url: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot write '.*file\.pth': No space left"):
        download(url, place)
    assert below(place.parent) == []


def test_a_cache_that_cannot_be_made(url: str, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(OutputError, match="cannot write"):
        download(url, tmp_path / "taken" / "file.pth")


def test_two_at_once_fetch_it_once(url: str, server: Server, place: Path) -> None:
    threads = [threading.Thread(target=download, args=(url, place, DIGEST)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert place.read_bytes() == CONTENT
    assert below(place.parent) == ["file.pth"]
    assert len(server.asked) == 1


def test_the_environments_proxy_is_used(
    server: Server, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["http://weights.invalid/file.pth"] = CONTENT
    monkeypatch.setenv("http_proxy", server.address)
    download("http://weights.invalid/file.pth", place)
    assert place.read_bytes() == CONTENT


def test_a_terminal_sees_how_far_it_is(
    url: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    download(url, place, name="toy")
    assert "downloading toy" in capsys.readouterr().err
