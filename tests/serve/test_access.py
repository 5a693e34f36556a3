from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.serve.conftest import embed, message, png

from anymask import InputError
from anymask.serve.config import ServeConfig

TOKEN = "0123456789abcdefghij"
RIGHT = {"authorization": f"Bearer {TOKEN}"}

Serve = Callable[..., Any]


def test_without_a_token_this_machine_may_come_in(api: Any) -> None:
    assert api.get("/v1/model").status_code == 200


def test_the_token_stands_in_the_header(serve: Serve) -> None:
    api = serve(token=TOKEN)
    assert api.get("/v1/model", headers=RIGHT).status_code == 200
    assert api.get("/healthz").json() == {"status": "ok"}
    assert api.get("/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": f"Bearer {TOKEN.upper()}"},
        {"authorization": "Bearer \u00e9\u00e9".encode("latin-1")},
        {"x-api-key": TOKEN},
        {"cookie": f"token={TOKEN}"},
        {"proxy-authorization": f"Bearer {TOKEN}"},
        [("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer other")],
    ],
)
@pytest.mark.parametrize("path", ["/v1/model", "/metrics", "/v1/openapi.json", "/nothing"])
def test_a_token_in_the_wrong_place(serve: Serve, headers: Any, path: str) -> None:
    answer = serve(token=TOKEN).get(path, headers=headers)
    message(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("name", ["token", "access_token", "api_key", "Token", "%74oken"])
def test_a_token_in_the_address_is_refused_even_with_the_right_header(
    serve: Serve, name: str
) -> None:
    answer = serve(token=TOKEN).get(f"/v1/model?{name}={TOKEN}", headers=RIGHT)
    text = message(answer, 400)
    assert "logs" in text
    assert TOKEN not in text


def test_a_token_in_the_body_is_none(serve: Serve) -> None:
    message(serve(token=TOKEN).post("/v1/predict", json={"token": TOKEN}), 401)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8000", 200),
        ("192.168.3.4:8000", 200),
        ("proxy.example:443", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8000", 421),
        ("localhost.evil.example", 421),
        ("", 421),
        ("localhost@evil.example", 421),
    ],
)
def test_names_that_are_not_the_servers(serve: Serve, host: str, status: int) -> None:
    answer = serve(allow_host=("proxy.example",)).get("/v1/model", headers={"host": host})
    assert answer.status_code == status
    if status != 200:
        message(answer, status)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9000"},
        {"origin": "https://page.example.evil"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        [("origin", "https://page.example"), ("origin", "https://evil.example")],
    ],
)
def test_pages_of_other_origins_stay_outside(serve: Serve, headers: Any) -> None:
    api = serve(allow_origin=("https://page.example",))
    answer = api.get("/v1/model", headers=headers)
    message(answer, 403)
    assert "access-control-allow-origin" not in answer.headers
    kind = [("content-type", "text/plain")]
    listed = list(headers.items()) if isinstance(headers, dict) else headers
    message(api.post("/v1/embed", content=png(), headers=[*listed, *kind]), 403)


def test_pages_that_are_listed_may_call(serve: Serve) -> None:
    api = serve(allow_origin=("https://page.example",), token=TOKEN)
    page = {"origin": "https://page.example", "sec-fetch-site": "cross-site"}
    asked = {**page, "access-control-request-method": "POST"}
    before = api.options("/v1/predict", headers=asked)
    assert before.status_code == 204
    assert "Authorization" in before.headers["access-control-allow-headers"]
    answer = api.get("/v1/model", headers={**page, **RIGHT})
    assert answer.headers["access-control-allow-origin"] == "https://page.example"
    assert answer.headers["vary"] == "Origin"
    refused = api.get("/v1/model", headers=page)
    message(refused, 401)
    assert refused.headers["access-control-allow-origin"] == "https://page.example"


def test_its_own_pages_may_call(api: Any) -> None:
    own = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
    assert api.get("/v1/model", headers=own).status_code == 200


def test_by_itself_no_page_may_call(api: Any) -> None:
    asked = {"origin": "https://page.example", "access-control-request-method": "POST"}
    message(api.options("/v1/predict", headers=asked), 403)


@pytest.mark.parametrize("path", ["/v1/model", "/nothing", "/healthz", "/v1/sessions/x"])
def test_every_answer_has_the_headers_of_safety(api: Any, path: str) -> None:
    headers = api.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


def test_unexpected_errors_show_no_trace(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    api = serve()
    session = embed(api)

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret of /home/someone")

    monkeypatch.setattr("anymask.predict.segmenter.Segmenter.generate", broken)
    text = message(api.post("/v1/everything", json={"session": session}), 500)
    assert "secret" not in text
    assert "secret" in caplog.text
    assert api.get("/v1/model").status_code == 200


def test_websockets_are_closed(api: Any) -> None:
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), api.websocket_connect("/v1/model"):
        pass


def test_metrics_count_by_route_not_by_address(serve: Serve) -> None:
    api = serve(fresh=True)
    session = embed(api)
    api.get(f"/v1/sessions/{session}")
    api.get("/secret-path-of-someone")
    text = api.get("/metrics").text
    assert 'route="/v1/sessions/{session}",status="200"} 1.0' in text
    assert session not in text
    assert "secret" not in text
    assert re.search(r"^anymask_sessions 1.0$", text, re.MULTILINE)


@pytest.mark.parametrize(
    "settings",
    [
        {"token": "short"},
        {"token": "with space and long enough"},
        {"allow_origin": ("*",)},
        {"allow_origin": ("https://example.org/path",)},
        {"port": 70000},
        {"workers": 0},
        {"timeout": 0},
        {"images": ("/no/such/folder",)},
    ],
)
def test_settings_that_are_none(settings: dict[str, Any]) -> None:
    from pathlib import Path

    if "images" in settings:
        settings = {"images": tuple(map(Path, settings["images"]))}
    with pytest.raises(InputError):
        ServeConfig(**settings)


def test_folders_need_names_of_their_own(tmp_path: Any) -> None:
    for place in ("a/photos", "b/photos"):
        (tmp_path / place).mkdir(parents=True)
    with pytest.raises(InputError, match="names of their own"):
        ServeConfig(images=(tmp_path / "a/photos", tmp_path / "b/photos"))
