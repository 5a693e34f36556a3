"""The hub, played by a web server on this machine: what is asked of it, and what it may answer."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import torch
from huggingface_hub import constants
from tests.models.tiny import tiny
from tests.models.weights.conftest import State, state_of

from anymask.errors import OutputError, WeightsError
from anymask.models import variants
from anymask.models.variants import Variant, find
from anymask.models.weights import hub as module
from anymask.models.weights import loading, transformers_layout
from anymask.models.weights import locate as locating
from anymask.models.weights.folder import write_folder
from anymask.models.weights.loading import load_network
from anymask.models.weights.locate import locate

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Repositories by name, each with its files by name."""

    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    facts = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            respond(self, facts)

        def do_GET(self) -> None:
            respond(self, facts)

        def log_message(self, *_: Any) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{web.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield facts
    web.shutdown()
    thread.join()
    web.server_close()


def respond(request: BaseHTTPRequestHandler, hub: Hub) -> None:
    path = unquote(urlsplit(request.path).path).removeprefix("/api/models").strip("/")
    if path.count("/") < 3:  # the front page, and what huggingface_hub asks for itself
        send(request, b"{}")
        return
    org, name, kind, revision, *rest = path.split("/")
    repo, file = f"{org}/{name}", "/".join(rest)
    hub.asked.append(f"{repo}@{revision}:{file}")
    files = hub.repos.get(repo)
    if repo in hub.gated:
        refuse(request, 403, "GatedRepo")
    elif files is None:
        refuse(request, 404, "RepoNotFound")
    elif revision not in ("main", "v1", COMMIT):
        refuse(request, 404, "RevisionNotFound")
    elif kind == "tree":
        tree = [
            {"type": "file", "path": name, "size": len(content), "oid": "0"}
            for name, content in files.items()
        ]
        send(request, json.dumps(tree).encode())
    elif file not in files:
        refuse(request, 404, "EntryNotFound")
    else:
        send(request, files[file])


def send(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_response(200)
    request.send_header("X-Repo-Commit", COMMIT)
    request.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    if request.command == "GET":
        request.wfile.write(content)


def refuse(request: BaseHTTPRequestHandler, status: int, code: str) -> None:
    request.send_response(status)
    request.send_header("X-Error-Code", code)
    request.send_header("X-Repo-Commit", COMMIT)
    request.send_header("Content-Length", "0")
    request.end_headers()


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def saved(state: State) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.fixture
def theirs(hub: Hub, tmp_path: Path) -> State:
    """A SAM in transformers' layout, among the files that such repositories have."""
    variant = tiny(find("sam-vit-b"))
    state = state_of(variant)
    write_folder(tmp_path / "theirs", variant, state, layout="transformers")
    others = {"README.md": b"# SAM", "tf_model.h5": b"...", "pytorch_model.bin": b"older"}
    hub.repos["facebook/sam-tiny"] = {**others, **content_of(tmp_path / "theirs")}
    return state


def test_transformers_layout(hub: Hub, theirs: State, capfd: pytest.CaptureFixture[str]) -> None:
    network, variant, _ = load_network("facebook/sam-tiny")
    assert variant.preprocessing == tiny(find("sam-vit-b")).preprocessing
    torch.testing.assert_close(dict(network.state_dict()), theirs, rtol=0, atol=0)
    files = {line.partition(":")[2] for line in hub.asked}
    assert files == {"", "config.json", "preprocessor_config.json", "model.safetensors"}
    assert capfd.readouterr() == ("", "")


def test_what_was_fetched_is_here_without_a_connection(
    hub: Hub, theirs: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_network("facebook/sam-tiny")
    hub.asked.clear()
    network, _, _ = load_network("facebook/sam-tiny", offline=True)
    assert hub.asked == []
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    network, _, _ = load_network("facebook/sam-tiny")
    torch.testing.assert_close(dict(network.state_dict()), theirs, rtol=0, atol=0)
    with pytest.raises(WeightsError, match=r"facebook/other on the Hugging Face hub, got no conn"):
        load_network("facebook/other")


def test_our_own_layout(hub: Hub, tmp_path: Path) -> None:
    variant = tiny(find("bundled"))
    write_folder(tmp_path / "ours", variant, state_of(variant))
    hub.repos["me/mine"] = content_of(tmp_path / "ours")
    assert load_network("me/mine")[1] == variant


@pytest.mark.parametrize(
    "source", ["me/sam", "me/sam:weights/sam.pth", "me/sam@v1:weights/sam.pth"]
)
def test_the_original_layout(known: tuple[Variant, ...], hub: Hub, source: str) -> None:
    hub.repos["me/sam"] = {"config.json": b"{}", "weights/sam.pth": saved(state_of(known[1]))}
    assert load_network(source)[1] is known[1]
    revision = "v1" if "@v1" in source else "main"
    assert f"me/sam@{revision}:weights/sam.pth" in hub.asked


@pytest.mark.parametrize(
    "name", ["sam2.1-tiny", "sam2-tiny", "sam-hq-vit-b", "efficientvit-sam-l0", "medsam"]
)
@pytest.mark.parametrize("named", [True, False])
def test_the_newer_families(
    hub: Hub, name: str, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By repository, by file, without a connection, and without what lay in the cache."""
    row = tiny(find(name))
    older = "sam2-tiny" if name == "sam2.1-tiny" else "sam2.1-tiny"
    for home in (variants, loading, transformers_layout, locating):
        monkeypatch.setattr(home, "VARIANTS", (row, tiny(find(older))))
    state = state_of(row)
    hub.repos["org/name"] = {"README.md": b"#", "file.pt": saved({"model": state})}
    source = "org/name:file.pt" if named else "org/name"
    for offline in (False, True):
        network, found, _ = load_network(source, offline=offline)
        assert found == row
        torch.testing.assert_close(dict(network.state_dict()), state, rtol=0, atol=0)


def test_weights_in_several_files(known: tuple[Variant, ...], hub: Hub) -> None:
    state = state_of(known[0])
    keys = sorted(state)
    parts = {"a.bin": keys[:9], "b.bin": keys[9:]}
    index = {"weight_map": {key: name for name, some in parts.items() for key in some}}
    files = {name: saved({key: state[key] for key in some}) for name, some in parts.items()}
    hub.repos["me/parts"] = {"pytorch_model.bin.index.json": json.dumps(index).encode(), **files}
    assert load_network("me/parts")[1] is known[0]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("facebook/absent", "got no such path and no such repository; check the name"),
        ("facebook/sam-tiny@v9", "sam-tiny@v9 on .*, got no such revision; check what follows"),
        ("facebook/sam-tiny:other.pth", r"sam-tiny:other\.pth on .*, got no such file in it"),
        ("me/gated", "got a closed door; accept its terms"),
        ("me/choice", r"expected one file of weights in me/choice, got 2 \(a\.pt, b\.pt\)"),
        ("me/empty", "expected weights in me/empty, got none among 1 files"),
        ("me/page:sam.pth", "got a web page"),
        ("me/..", "got a name that cannot be one; write org/name"),
    ],
)
def test_one_sentence(hub: Hub, theirs: State, source: str, words: str) -> None:
    hub.gated.add("me/gated")
    hub.repos["me/choice"] = {"a.pt": b"", "b.pt": b""}
    hub.repos["me/empty"] = {"README.md": b""}
    hub.repos["me/page"] = {"sam.pth": b"<html>"}
    with pytest.raises(WeightsError, match=words) as caught:
        load_network(source)
    assert "\n" not in str(caught.value)


def test_offline_with_nothing_here(hub: Hub) -> None:
    for source in ("me/sam", "me/sam:a.pth"):
        with pytest.raises(WeightsError, match=r"me/sam.* on .*, got nothing here.* \(offline\)"):
            locate(source, offline=True)
    assert hub.asked == []


def test_a_full_disk(hub: Hub, theirs: State, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_get", full)
    with pytest.raises(OutputError, match=r"cannot write the weights .*: No space left .* HF_HOME"):
        load_network("facebook/sam-tiny")


def test_a_local_folder_comes_first(
    known: tuple[Variant, ...], hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(Path("me/sam"), known[0], state_of(known[0]))
    assert load_network("me/sam")[1] == known[0]
    assert hub.asked == []
