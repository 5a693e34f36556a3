"""A small table of variants, a cache that is thrown away, and a web server with bad habits."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.models.tiny import tiny
from torch import Tensor

from anymask.models import variants
from anymask.models.build import build
from anymask.models.variants import Variant, find
from anymask.models.weights import download, loading, transformers_layout

State = dict[str, Tensor]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folders of this test; nothing is switched off, and no failure is waited out."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ANYMASK_CACHE", str(folder))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("ANYMASK_OFFLINE", "HF_HUB_OFFLINE", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(download, "PAUSE", 0.0)
    return folder


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> tuple[Variant, ...]:
    """A table of tiny variants in place of the real one: SAM, a wider SAM, the compact model."""
    sam, compact = tiny(find("sam-vit-b")), tiny(find("anymask-compact"))
    sam = replace(sam, name="small", aliases=(), weights=replace(sam.weights, sha256=None))
    encoder = replace(sam.network.encoder, width=64)
    wide = replace(sam, name="wide", network=replace(sam.network, encoder=encoder))
    compact = replace(compact, name="compact", aliases=())
    table = (sam, wide, compact)
    for module in (variants, loading, transformers_layout):
        monkeypatch.setattr(module, "VARIANTS", table)
    return table


def state_of(variant: Variant) -> State:
    torch.manual_seed(0)
    return {key: value.contiguous() for key, value in build(variant).state_dict().items()}


@contextmanager
def foreign(kind: type) -> Iterator[None]:
    """Let a class belong to a package that is gone again afterwards."""
    home, name = "ultralytics.nn.tasks", kind.__module__
    parts = ["ultralytics", "ultralytics.nn", home]
    sys.modules.update({part: types.ModuleType(part) for part in parts})
    setattr(sys.modules[home], kind.__name__, kind)
    kind.__module__ = home
    try:
        yield
    finally:
        kind.__module__ = name
        for part in parts:
            del sys.modules[part]


def below(folder: Path) -> list[str]:
    """List the files below a folder."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@dataclass
class Server:
    """A web server on this machine, and what it has been asked."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    """Content by path."""
    cut: list[int] = field(default_factory=list)
    """Each answer ends after so many bytes, in turn; then they are whole."""
    ranges: bool = True
    """Whether it knows how to go on in the middle."""
    tags: bool = True
    """Whether it says which version of a file it sends."""
    status: dict[str, int] = field(default_factory=dict)
    """Answers other than 200 by path."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and range of each request."""


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self, facts)

        def log_message(self, *_: Any) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    facts = Server(f"http://127.0.0.1:{web.server_port}")
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield facts
    web.shutdown()
    thread.join()
    web.server_close()


def answer(request: BaseHTTPRequestHandler, server: Server) -> None:
    asked = request.headers.get("Range")
    server.asked.append((request.path, asked))
    if request.path in server.status or request.path not in server.files:
        request.send_error(server.status.get(request.path, 404))
        return
    content = server.files[request.path]
    tag = f'"{hash(content)}"'
    start = 0
    same = request.headers.get("If-Range", tag) == tag
    if asked and server.ranges and same:
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
    if start >= len(content) > 0:
        request.send_error(416)
        return
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    if server.tags:
        request.send_header("ETag", tag)
    request.send_header("Content-Length", str(len(content) - start))
    request.end_headers()
    end = start + server.cut.pop(0) if server.cut else len(content)
    request.wfile.write(content[start:end])
