"""A server of the smallest network there is, in this process."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.models.numpy_network import VARIANT, FlatColours

from anymask import Segmenter
from anymask.serve.app import create_app
from anymask.serve.config import ServeConfig
from anymask.serve.notes import collect_warnings

try:
    import fastapi  # noqa: F401
    import prometheus_client  # noqa: F401
    from starlette.testclient import TestClient
except (ImportError, RuntimeError):  # without the extra or a client of HTTP, none of these
    TestClient, collect_ignore_glob = object, ["test_*.py"]

URL = "http://127.0.0.1:8000"


def flat_model() -> Segmenter:
    return Segmenter(VARIANT, FlatColours(), "0" * 64)


def png(seed: int = 0, size_hw: tuple[int, int] = (48, 64)) -> bytes:
    """A picture of a bright square on a dark ground that no other seed has."""
    pixels = np.full((*size_hw, 3), 10 + seed % 40, np.uint8)
    pixels[10:30, 20:44] = (200, 220, 40 + seed // 40)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class Caller(TestClient):
    """Calls with warnings collected as in a process of its own: pytest resets them in each test."""

    def request(self, *arguments: Any, **options: Any) -> Any:
        with collect_warnings():
            return super().request(*arguments, **options)


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., TestClient]]:
    """Start servers of the given settings, one for each for the tests of a file."""
    opened: dict[Any, TestClient] = {}

    def start(model: Any = None, *, fresh: bool = False, **settings: Any) -> TestClient:
        key = object() if fresh or model else tuple(sorted(settings.items()))
        if key not in opened:
            app = create_app(ServeConfig(**settings), model or flat_model())
            opened[key] = Caller(app, base_url=URL)
            opened[key].__enter__()
        return opened[key]

    yield start
    for client in reversed(opened.values()):
        client.__exit__(None, None, None)


@pytest.fixture
def api(serve: Callable[..., TestClient]) -> TestClient:
    """A server with the usual settings, which may have answered other tests before."""
    return serve()


def embed(client: Any, data: bytes | None = None) -> str:
    answer = client.post("/v1/embed", content=png() if data is None else data)
    assert answer.status_code == 200, answer.text
    return answer.json()["session"]


def message(answer: Any, status: int) -> str:
    """Check that an answer is an error of this status in the one form; give its sentence."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert sorted(answer.json()["error"]) == ["code", "message"]
    text = answer.json()["error"]["message"]
    assert "Traceback" not in text and "\n" not in text
    return text


def held(model: Any) -> tuple[threading.Event, threading.Event]:
    """Let a model wait in the middle of its work: it has begun; it may go on."""
    begun, go_on = threading.Event(), threading.Event()
    encode = model.network.encode

    def slowly(*arguments: Any) -> Any:
        begun.set()
        assert go_on.wait(60)
        return encode(*arguments)

    model.network.encode = slowly
    return begun, go_on
