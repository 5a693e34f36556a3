from __future__ import annotations

import io
import threading
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.serve.conftest import embed, flat_model, message, png

from anymask import Embedding, Image
from anymask.serve.sessions import name_of


def test_the_same_pixels_are_the_same_session(serve: Any) -> None:
    api = serve(fresh=True)
    first = api.post("/v1/embed", content=png()).json()
    assert first["cached"] is False
    assert first["size_hw"] == [48, 64]
    file = io.BytesIO()
    PIL.Image.open(io.BytesIO(png())).save(file, "WEBP", lossless=True)
    again = api.post("/v1/embed", content=file.getvalue()).json()
    assert again == {**first, "cached": True}
    assert first["session"] == name_of(flat_model(), Image.open(png()))
    assert embed(api, png(1)) != first["session"]


def test_what_counts_is_content_not_the_name_or_the_type(api: Any) -> None:
    plain = embed(api)
    for kind in ("text/html", "image/svg+xml", "application/octet-stream", "image/jpeg"):
        answer = api.post("/v1/embed", content=png(), headers={"content-type": kind})
        assert answer.json()["session"] == plain
    for name in ("a.png", "../../x.html", "a\x00b.php"):
        answer = api.post("/v1/embed", files={"image": (name, png(), "text/html")})
        assert answer.json()["session"] == plain
        assert name not in answer.text


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 422),
        (b"<html><script>alert(1)</script></html>", 422),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422),
        (png()[:60], 422),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 99, 422),
        (b"GIF89a", 422),
        (b"/etc/passwd", 422),
        (b"II*\0" + b"\xff" * 40, 422),
    ],
)
def test_what_is_no_image(api: Any, data: bytes, status: int) -> None:
    assert "<script>" not in message(api.post("/v1/embed", content=data), status)


def test_json_is_not_taken_for_an_image(api: Any) -> None:
    message(api.post("/v1/embed", json={"image": "x"}), 415)
    message(api.post("/v1/embed", files={"picture": b"x"}), 422)
    message(api.post("/v1/embed", data={"image": "text"}), 415)


def test_a_session_can_be_looked_at_and_dropped(api: Any) -> None:
    session = embed(api)
    assert api.get(f"/v1/sessions/{session}").json()["session"] == session
    assert api.delete(f"/v1/sessions/{session}").status_code == 204
    message(api.get(f"/v1/sessions/{session}"), 404)
    message(api.delete(f"/v1/sessions/{session}"), 404)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_the_embedding_can_be_fetched(api: Any, dtype: str) -> None:
    session = embed(api)
    answer = api.get(f"/v1/sessions/{session}/embedding", params={"dtype": dtype})
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["etag"] == f'"{session}-{dtype}"'
    found, wanted = Embedding.load(answer.content), flat_model().embed(Image.open(png()))
    assert found.transform == wanted.transform
    step = {"float32": 0.0, "float16": 2e-3, "int8": 2e-2}[dtype]
    for name, maps in wanted.features.items():
        assert np.allclose(found.features[name], maps, rtol=step, atol=step)
    message(api.get(f"/v1/sessions/{session}/embedding", params={"dtype": "int4"}), 422)


def test_those_who_embed_the_same_at_once_wait_for_one_another(serve: Any) -> None:
    model = flat_model()
    calls, begun, go_on = [], threading.Event(), threading.Event()
    encode = model.network.encode

    def slowly(*arguments: Any) -> Any:
        calls.append(1)
        begun.set()
        assert go_on.wait(20)
        return encode(*arguments)

    model.network.encode = slowly  # type: ignore[method-assign]
    api = serve(model, workers=4)
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(api.post("/v1/embed", content=png())))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    assert begun.wait(20)
    go_on.set()
    for thread in threads:
        thread.join()
    assert [one.status_code for one in answers] == [200] * 3
    assert len(calls) == 1
