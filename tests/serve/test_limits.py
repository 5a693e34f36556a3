from __future__ import annotations

import asyncio
import io
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.serve.conftest import embed, flat_model, held, message, png

from anymask.serve.app import create_app
from anymask.serve.batching import Batcher
from anymask.serve.config import ServeConfig


def test_bodies_with_a_length_are_refused_before_they_come(serve: Callable[..., Any]) -> None:
    api = serve(request_mb=0.01)
    assert "MB" in message(api.post("/v1/embed", content=b"x" * 10_001), 413)
    message(api.post("/v1/predict", json={"session": "x" * 2600}), 413)  # a quarter


def test_bodies_in_chunks_are_refused_while_they_come(serve: Callable[..., Any]) -> None:
    sent = []

    def pieces() -> Iterator[bytes]:
        for i in range(100):
            sent.append(i)
            yield b"x" * 1000

    api = serve(request_mb=0.01)
    message(api.post("/v1/embed", content=pieces()), 413)
    kind = {"content-type": "multipart/form-data; boundary=b"}
    message(api.post("/v1/embed", content=pieces(), headers=kind), 413)
    message(api.post("/v1/predict", content=pieces()), 413)


def scope(path: str, method: str = "POST", **headers: str) -> dict[str, Any]:
    kind = "application/octet-stream" if path == "/v1/embed" else "application/json"
    named = {"host": "127.0.0.1", "content-type": kind, **headers}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


async def call(
    app: Any, path: str, body: list[bytes], gone: asyncio.Event | None = None, **headers: str
) -> tuple[int | None, bytes, int]:
    """Call an application: the status, the body, and how many pieces it took."""
    waiting, taken = list(body), 0
    said: dict[str, Any] = {"status": None, "body": b""}

    async def receive() -> dict[str, Any]:
        nonlocal taken
        if waiting:
            taken += 1
            piece = waiting.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(waiting)}
        if gone is None:
            await asyncio.Event().wait()
        else:
            await gone.wait()
        return {"type": "http.disconnect"}

    async def send(event: dict[str, Any]) -> None:
        said["status"] = event.get("status", said["status"])
        said["body"] += event.get("body", b"")

    await app(scope(path, **headers), receive, send)
    return said["status"], said["body"], taken


def test_no_more_is_taken_than_allowed() -> None:
    app = create_app(ServeConfig(request_mb=0.01), flat_model())
    status, _, taken = asyncio.run(call(app, "/v1/embed", [b"x" * 1000] * 50))
    assert (status, taken) == (413, 11)


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "9" * 30])
def test_lengths_that_are_none(length: str) -> None:
    app = create_app(ServeConfig(), flat_model())
    status, _, taken = asyncio.run(call(app, "/v1/embed", [b"x"], **{"content-length": length}))
    assert (status, taken) == (400, 0)


def test_a_body_that_never_ends_is_given_up() -> None:
    app = create_app(ServeConfig(timeout=0.2), flat_model())

    async def slowly() -> tuple[int | None, bytes]:
        said: dict[str, Any] = {"status": None, "body": b""}

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0.05)
            return {"type": "http.request", "body": b"x", "more_body": True}

        async def send(event: dict[str, Any]) -> None:
            said["status"] = event.get("status", said["status"])
            said["body"] += event.get("body", b"")

        await app(scope("/v1/embed"), receive, send)
        return said["status"], said["body"]

    assert asyncio.run(slowly())[0] == 408


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that says it has so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_too_many_pixels_are_refused_before_they_are_decoded(serve: Callable[..., Any]) -> None:
    api = serve(max_pixels=10_000)
    assert api.post("/v1/embed", content=png()).status_code == 200
    assert "pixels" in message(api.post("/v1/embed", content=bomb(60_000)), 422)
    assert "pixels" in message(api.post("/v1/embed", content=png(0, (101, 100))), 422)


def test_sessions_go_by_memory_the_longest_unused_first(serve: Callable[..., Any]) -> None:
    api = serve(session_mb=0.05)  # two of 21,504 bytes
    first, second = embed(api, png(1)), embed(api, png(2))
    assert api.get(f"/v1/sessions/{first}").status_code == 200  # used
    third = embed(api, png(3))
    message(api.get(f"/v1/sessions/{second}"), 404)
    for session in (first, third):
        assert api.get(f"/v1/sessions/{session}").status_code == 200
    server = api.app.state.server
    assert server.sessions.nbytes == 2 * 21504 <= server.config.session_bytes
    assert server.sessions.evicted == 1
    assert embed(api, png(2)) == second
    message(api.post("/v1/embed", content=png(4, (200, 300))), 422)
    assert len(server.sessions) == 2


@pytest.mark.parametrize("several", [False, True])
def test_what_was_cut_out_is_answered_though_its_session_had_to_go(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    api = serve(fresh=True)
    session, sessions = embed(api), api.app.state.server.sessions
    predict = Batcher.predict

    async def and_then_it_goes(*arguments: Any) -> Any:
        found = await predict(*arguments)
        assert sessions.drop(session)
        return found

    monkeypatch.setattr(Batcher, "predict", and_then_it_goes)
    one = {"points": [[30, 20]]}
    asked = {"session": [session], "prompts": [[one]]} if several else {"session": session, **one}
    assert api.post("/v1/predict", json=asked).status_code == 200
    message(api.post("/v1/predict", json=asked), 404)


def test_too_many_at_a_time_are_told_to_come_back(serve: Callable[..., Any]) -> None:
    model = flat_model()
    begun, go_on = held(model)
    api = serve(model, max_requests=1)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(api.post("/v1/embed", content=png())))
    thread.start()
    assert begun.wait(30)
    busy = api.get("/v1/model")
    watched = [api.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")]
    go_on.set()
    thread.join()
    message(busy, 503)
    assert watched == [200, 200, 200]
    assert busy.headers["retry-after"] == "1"
    assert answers[0].status_code == 200
    assert api.get("/v1/model").status_code == 200


def test_a_request_that_takes_too_long_ends_the_work_at_its_next_step(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = serve(fresh=True, timeout=0.3)
    session = embed(api)
    steps, ended = [], threading.Event()

    def endless(self: Any, image: Any, config: Any, *, progress: Any, **_: Any) -> Any:
        try:
            while True:
                steps.append(1)
                progress(len(steps), 10**9)
                time.sleep(0.01)
        finally:
            ended.set()

    monkeypatch.setattr("anymask.predict.segmenter.Segmenter.generate", endless)
    answer = api.post("/v1/everything", json={"session": session})
    assert "0.3 seconds" in message(answer, 504)
    assert ended.wait(10)
    count = len(steps)
    time.sleep(0.1)
    assert len(steps) == count


def test_a_client_that_goes_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(ServeConfig(), flat_model())
    begun, ended = threading.Event(), threading.Event()

    def endless(self: Any, image: Any, config: Any, *, progress: Any, **_: Any) -> Any:
        try:
            while True:
                begun.set()
                progress(1, 2)
                time.sleep(0.01)
        finally:
            ended.set()

    monkeypatch.setattr("anymask.predict.segmenter.Segmenter.generate", endless)

    async def go() -> None:
        status, body, _ = await call(app, "/v1/embed", [png()])
        assert status == 200
        session = body.decode().split('"session": "')[1][:64]
        gone = asyncio.Event()
        asked = f'{{"session": "{session}"}}'.encode()
        asking = asyncio.create_task(call(app, "/v1/everything", [asked], gone))
        await asyncio.to_thread(begun.wait, 30)
        gone.set()
        await asyncio.wait_for(asking, 10)
        assert await asyncio.to_thread(ended.wait, 10)

    asyncio.run(go())


@pytest.mark.parametrize("pieces", [0, 1])
@pytest.mark.parametrize(
    ("path", "kind", "piece"),
    [
        ("/v1/embed", "image/png", b"\x89PNG"),
        ("/v1/embed", "multipart/form-data; boundary=b", b"--b\r\n"),
        ("/v1/predict", "application/json", b"{"),
        ("/v1/jobs", "application/json", b"{"),
    ],
)
def test_a_client_that_goes_while_it_sends(
    caplog: pytest.LogCaptureFixture, path: str, kind: str, piece: bytes, pieces: int
) -> None:
    """It is no failure of the server: nothing is answered, and no trace fills the log."""
    app = create_app(ServeConfig(), flat_model())
    said: list[dict[str, Any]] = []

    async def go() -> None:
        waiting = [piece] * pieces

        async def receive() -> dict[str, Any]:
            if waiting:
                return {"type": "http.request", "body": waiting.pop(0), "more_body": True}
            return {"type": "http.disconnect"}

        async def send(event: dict[str, Any]) -> None:
            said.append(event)

        asked = scope(path)
        asked["headers"] = [(b"host", b"127.0.0.1"), (b"content-type", kind.encode())]
        await app(asked, receive, send)

    asyncio.run(go())
    assert not said and not caplog.records
    counted = asyncio.run(call_metrics(app))
    assert 'status="499"' in counted and 'status="500"' not in counted


async def call_metrics(app: Any) -> str:
    said = b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event: dict[str, Any]) -> None:
        nonlocal said
        said += event.get("body", b"")

    await app(scope("/metrics", "GET"), receive, send)
    return said.decode()


def test_what_is_asked_of_a_form_is_bounded(serve: Callable[..., Any]) -> None:
    api = serve()
    many = [("image", (f"{i}.png", io.BytesIO(png()), "image/png")) for i in range(3)]
    answer = api.post("/v1/embed", files=many)
    message(answer, answer.status_code)
    assert answer.status_code in (400, 422)


def test_a_request_has_one_limit_of_time_for_all_that_it_does(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = serve(fresh=True, timeout=2.0)
    sessions = [embed(api, png(seed)) for seed in range(6)]
    model = api.app.state.server.model
    decode = model.network.decode

    def slowly(*given: Any) -> Any:
        time.sleep(0.5)
        return decode(*given)

    monkeypatch.setattr(model.network, "decode", slowly)
    asked = {"session": sessions, "prompts": [[{"points": [[30, 20]]}]] * 6}
    # Each of the six would be in time by itself.
    assert "within 2 seconds" in message(api.post("/v1/predict", json=asked), 504)
    few = {"session": sessions[:1], "prompts": [[{"points": [[30, 20]]}]]}
    assert api.post("/v1/predict", json=few).status_code == 200


def test_writing_a_file_has_a_limit_of_time_and_holds_up_no_click(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from anymask.serve.routes import verbs

    api = serve(fresh=True, timeout=0.5)
    session = embed(api)
    whole, go_on = verbs.as_content, threading.Event()

    def slowly(masks: Any, image: Any, format: str, **kinds: Any) -> Any:
        assert format == "json" or go_on.wait(30)
        return whole(masks, image, format, **kinds)

    monkeypatch.setattr(verbs, "as_content", slowly)
    asked = {"session": session, "points": [[30, 20]]}
    answers = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(api.post("/v1/predict", json={**asked, "format": "zip"}))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    assert api.post("/v1/predict", json=asked).status_code == 200
    for thread in threads:
        thread.join()
    assert [one.status_code for one in answers] == [504] * 3
    go_on.set()
