"""The panels of the studio: depth, painting, finding elsewhere; each tells how far it is."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.extras.depth.conftest import depth_anything  # noqa: F401 -- a fixture
from tests.serve.conftest import URL, Caller, flat_model, message, png

from anymask import Masks, formats
from anymask.image.image import Image
from anymask.masks import rle
from anymask.serve.app import create_app
from anymask.serve.compute import Task
from anymask.serve.config import ServeConfig
from anymask.serve.errors import ApiError
from anymask.serve.studio.api import add_studio
from anymask.serve.studio.project import FOLDER
from anymask.serve.studio.telling import Tell, _lines

SQUARE = np.zeros((48, 64), bool)
SQUARE[10:30, 20:44] = True


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, name in enumerate(("a.png", "b.png")):
        (folder / name).write_bytes(png(i))
    return folder


@pytest.fixture
def begin(photos: Path) -> Iterator[Callable[..., Caller]]:
    opened: list[Caller] = []

    def start(model: Any = None, **settings: Any) -> Caller:
        app = create_app(ServeConfig(**settings), model or flat_model())
        add_studio(app, photos)
        client = Caller(app, base_url=URL)
        client.__enter__()
        opened.append(client)
        return client

    yield start
    for client in opened:
        client.__exit__(None, None, None)


def lengths(mask: np.ndarray = SQUARE) -> dict[str, Any]:
    return {"size": list(mask.shape), "counts": rle.to_string(rle.encode(mask))}


def ids(api: Caller) -> dict[str, str]:
    return {one["name"]: one["id"] for one in api.get("/v1/studio").json()["pictures"]}


def told(api: Caller, path: str, **asked: Any) -> list[dict[str, Any]]:
    answer = api.post(f"/v1/studio/{path}", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert all("result" not in line and "error" not in line for line in lines[:-1])
    return lines


# ------------------------------------------------------------------------------- depth


def test_depth_of_masks_in_metres(
    begin: Callable[..., Caller],
    depth_anything: Path,  # noqa: F811
) -> None:
    api = begin(depth_model=str(depth_anything))
    a = ids(api)["a.png"]
    lines = told(api, f"pictures/{a}/depth", masks=[lengths(), lengths(~SQUARE)])
    assert [line["step"] for line in lines[:-1]] == ["loading", "estimating", "measuring"]
    found = lines[-1]["result"]
    assert found["kind"] == "metric" and 0 < found["near"] < found["far"] <= 21
    depth = api.app.state.server.depth().of(Image.open(png(0)))
    assert found["masks"][0]["median"] == pytest.approx(np.nanmedian(depth.values[SQUARE]), 1e-4)
    assert sorted(found["order"]) == [0, 1]
    # The map is made once; what is asked next is measured on it.
    again = told(api, f"pictures/{a}/depth", masks=[])
    assert [line.get("step") for line in again] == ["measuring", None]
    drawn = api.get(f"/v1/studio/pictures/{a}/depth")
    assert drawn.headers["content-type"] == "image/png"
    assert np.array_equal(PIL.Image.open(io.BytesIO(drawn.content)), depth.draw())


def test_depth_that_is_not_installed_says_what_to_do(
    begin: Callable[..., Caller], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    api = begin()
    a = ids(api)["a.png"]
    error = told(api, f"pictures/{a}/depth")[-1]["error"]
    assert error["status"] in (501, 503) and error["code"] in ("not_installed", "no_weights")
    message(api.get(f"/v1/studio/pictures/{a}/depth"), error["status"])
    assert message(api.post("/v1/studio/pictures/none/depth", json={}), 404)


# ---------------------------------------------------------------------------- painting


def test_what_is_removed_becomes_an_image_of_its_own(
    begin: Callable[..., Caller], photos: Path
) -> None:
    api = begin()
    before = (photos / "a.png").read_bytes()
    a = ids(api)["a.png"]
    assert api.get("/v1/studio/painter").json()["tasks"] == ["remove"]
    lines = told(api, f"pictures/{a}/paint", masks=[lengths()], grow=2)
    assert {line["step"] for line in lines[:-1]} == {"loading", "painting"}
    made = lines[-1]["result"]
    assert (made["name"], made["w"], made["h"]) == ("a-removed.png", 64, 48)
    # So far it is nowhere but in the server.
    assert sorted(path.name for path in photos.iterdir()) == ["a.png", "b.png"]
    shown = api.get(f"/v1/studio/drafts/{made['draft']}").content
    after = np.asarray(PIL.Image.open(io.BytesIO(shown)))
    grown = np.zeros_like(SQUARE)
    grown[8:32, 18:46] = True
    assert np.array_equal(after[~grown], Image.open(before).pixels[~grown])
    assert after[SQUARE].max() < 60
    picture = api.post(f"/v1/studio/drafts/{made['draft']}/picture").json()
    # Who has not heard the answer asks once more, and gets no second image.
    assert api.post(f"/v1/studio/drafts/{made['draft']}/picture").json() == picture
    assert (picture["name"], picture["masks"]) == ("a-removed.png", 0)
    assert (photos / "a-removed.png").read_bytes() == shown
    assert (photos / "a.png").read_bytes() == before
    assert picture["id"] in ids(api).values()
    # Undo, redo: the same again.
    gone = api.delete(f"/v1/studio/drafts/{made['draft']}/picture")
    assert gone.json() == {"id": picture["id"]} and not (photos / "a-removed.png").exists()
    assert message(api.delete(f"/v1/studio/drafts/{made['draft']}/picture"), 404)
    again = api.post(f"/v1/studio/drafts/{made['draft']}/picture").json()
    assert again == picture and ids(api)["a-removed.png"] == picture["id"]
    assert (photos / "a-removed.png").read_bytes() == shown
    api.delete(f"/v1/studio/drafts/{made['draft']}/picture")
    (photos / "a-removed.png").write_bytes(png(9))  # somebody else's by now
    assert (
        api.post(f"/v1/studio/drafts/{made['draft']}/picture").json()["name"] == "a-removed-2.png"
    )
    assert (photos / "a-removed.png").read_bytes() == png(9)


def test_only_what_was_painted_and_nothing_with_masks_is_taken_back(
    begin: Callable[..., Caller], photos: Path
) -> None:
    api = begin()
    a = ids(api)["a.png"]
    draft = told(api, f"pictures/{a}/paint", masks=[lengths()])[-1]["result"]["draft"]
    api.post(f"/v1/studio/drafts/{draft}/picture")
    place = photos / FOLDER / "a-removed.png.json"
    place.parent.mkdir()
    formats.write(place, Masks.from_dense(SQUARE[None]))
    text = message(api.delete(f"/v1/studio/drafts/{draft}/picture"), 422)
    assert "expected no masks" in text and place.exists()
    formats.write(place, Masks.empty((48, 64)))
    (photos / "a-removed.png").write_bytes(png(7) + b"more")
    assert "another file" in message(api.delete(f"/v1/studio/drafts/{draft}/picture"), 422)
    assert (photos / "a-removed.png").exists()
    assert api.delete(f"/v1/studio/drafts/{draft}").status_code == 204
    assert message(api.get(f"/v1/studio/drafts/{draft}"), 404)
    assert message(api.post(f"/v1/studio/drafts/{draft}/picture"), 404)


def test_an_empty_file_of_masks_goes_with_its_image(
    begin: Callable[..., Caller], photos: Path
) -> None:
    api = begin()
    a = ids(api)["a.png"]
    draft = told(api, f"pictures/{a}/paint", masks=[lengths()])[-1]["result"]["draft"]
    picture = api.post(f"/v1/studio/drafts/{draft}/picture").json()
    api.put(
        f"/v1/studio/pictures/{picture['id']}/things", json={"revision": 0, "things": []}
    ).raise_for_status()
    place = photos / FOLDER / "a-removed.png.json"
    assert place.exists()
    assert api.delete(f"/v1/studio/drafts/{draft}/picture").status_code == 200
    assert not place.exists()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"task": "fill", "text": "a bench"}, "diffusion"),
        ({"task": "fill"}, "expected fill as a text"),
        ({"masks": [lengths(np.zeros_like(SQUARE))]}, "covers something"),
        ({"masks": [lengths(np.ones((5, 5), bool))]}, "expected"),
    ],
)
def test_what_cannot_be_painted_is_told(
    begin: Callable[..., Caller], asked: dict[str, Any], says: str
) -> None:
    api = begin()
    words = {"masks": [lengths()], **asked}
    error = told(api, f"pictures/{ids(api)['a.png']}/paint", **words)[-1]["error"]
    assert error["status"] == 422 and says in error["message"]


def test_only_the_last_drafts_are_kept(begin: Callable[..., Caller]) -> None:
    api = begin()
    a = ids(api)["a.png"]
    made = [
        told(api, f"pictures/{a}/paint", masks=[lengths()])[-1]["result"]["draft"] for _ in range(9)
    ]
    assert message(api.get(f"/v1/studio/drafts/{made[0]}"), 404)
    assert api.get(f"/v1/studio/drafts/{made[1]}").status_code == 200


# --------------------------------------------------------------------------- elsewhere


@pytest.fixture
def squares(photos: Path) -> Path:
    pytest.importorskip("cv2")
    from tests.predict.personal.toy import BLUE, RED, photo

    for name, things in {
        "a.png": [(RED, 20, 30)],
        "b.png": [(BLUE, 20, 30)],
        "c.png": [(RED, 150, 90), (RED, 20, 20)],
    }.items():
        PIL.Image.fromarray(photo(*things)).save(photos / name)
    return photos


def test_one_example_is_found_in_the_other_images(
    begin: Callable[..., Caller], squares: Path
) -> None:
    from tests.predict.personal.toy import square, toy

    (squares / "d.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    model = toy()
    api = begin(model)
    known = ids(api)
    example = {"picture": known["a.png"], "rle": lengths(square(20, 30)), "name": "red"}
    embedded = model.network.encoded
    lines = told(api, "elsewhere", examples=[example])
    assert lines[0] == {"done": 0, "total": 2}
    steps = {line["picture"]: line for line in lines[1:-1]}
    assert list(steps) == [known["b.png"], known["c.png"]]
    assert steps[known["b.png"]]["masks"] == []
    found = steps[known["c.png"]]["masks"]
    assert [one["label"] for one in found] == ["red", "red"]
    assert all(one["score"] > 0.3 for one in found)
    assert sorted(one["box"][0] for one in found) == pytest.approx([20, 150], abs=6)
    assert lines[-1]["result"] == {"pictures": 2, "masks": 2}
    assert not (squares / FOLDER).exists()  # nothing is saved
    # What is embedded already is not embedded again.
    first = model.network.encoded - embedded
    for name in ("b.png", "c.png"):
        api.post(f"/v1/studio/pictures/{known[name]}/embed").raise_for_status()
    embedded = model.network.encoded
    told(api, "elsewhere", examples=[example])
    assert model.network.encoded - embedded == first - 2


def test_a_damaged_image_does_not_end_the_search(
    begin: Callable[..., Caller], squares: Path
) -> None:
    from tests.predict.personal.toy import square, toy

    api = begin(toy())
    known = ids(api)
    (squares / "b.png").unlink()
    example = {"picture": known["a.png"], "rle": lengths(square(20, 30))}
    asked = [known["b.png"], known["c.png"]]
    lines = told(api, "elsewhere", examples=[example], pictures=asked)
    assert "not here" in lines[1]["problem"] and len(lines[2]["masks"]) == 2
    settings = {"options": {"threshold": "low"}}
    error = told(api, "elsewhere", examples=[example], **settings)[-1]["error"]
    assert error["status"] == 422


def test_a_model_that_cannot_be_shown_examples_says_so(begin: Callable[..., Caller]) -> None:
    api = begin()
    example = {"picture": ids(api)["a.png"], "rle": lengths()}
    error = told(api, "elsewhere", examples=[example])[-1]["error"]
    assert error["code"] == "capability" and "example" in error["message"]


# ----------------------------------------------------------------------------- telling


class Visitor:
    """Reads for a while, then goes."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, str]:
        await self.left.wait()
        return {"type": "http.disconnect"}


def test_work_ends_when_nobody_reads() -> None:
    stopped = threading.Event()

    async def visit() -> None:
        visitor: Any = Visitor()

        async def work(task: Task, tell: Tell) -> None:
            def steps() -> None:
                try:
                    for i in range(10_000):
                        tell({"done": i})
                        assert not stopped.wait(0.005)
                finally:
                    stopped.set()

            await asyncio.to_thread(steps)

        lines = _lines(visitor, work)
        assert json.loads(await anext(lines)) == {"done": 0}
        visitor.left.set()
        rest = [json.loads(line) async for line in lines]
        assert rest[-1]["error"]["status"] == 499 and len(rest) < 1000
        # As when the server's loop gives the answer up.
        stopped.clear()
        lines = _lines(Visitor(), work)  # type: ignore[arg-type]
        await anext(lines)
        await lines.aclose()
        assert await asyncio.to_thread(stopped.wait, 20)

    asyncio.run(visit())


def test_errors_are_the_last_line_and_show_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    async def last(error: Exception) -> dict[str, Any]:
        async def work(task: Task, tell: Tell) -> None:
            raise error

        lines = [json.loads(line) async for line in _lines(Visitor(), work)]  # type: ignore[arg-type]
        assert len(lines) == 1
        return lines[0]["error"]

    found = asyncio.run(last(ApiError(404, "gone", "no_picture")))
    assert found == {"code": "no_picture", "message": "gone", "status": 404}
    found = asyncio.run(last(ZeroDivisionError("secret")))
    assert found["status"] == 500 and "secret" not in found["message"]
    assert "secret" in caplog.text
