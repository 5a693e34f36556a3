from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.serve.conftest import flat_model, png

import anymask
from anymask import (
    CapabilityError,
    Client,
    Embedding,
    Image,
    InputError,
    Masks,
    MissingExtraError,
    Prompt,
    WeightsError,
)
from anymask.client import ServerError
from anymask.serve.app import create_app
from anymask.serve.config import ServeConfig

pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")

TOKEN = "0123456789abcdefghij"
POINT = [(30, 20)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("server")
    (folder / "photos").mkdir()
    for i in range(2):
        (folder / "photos" / f"{i}.png").write_bytes(png(i))
    return folder


@pytest.fixture(scope="module")
def app(place: Path) -> Any:
    config = ServeConfig(
        token=TOKEN, images=(place / "photos",), results=place / "out", session_mb=0.1
    )
    (place / "out").mkdir()
    return create_app(config, flat_model())


@pytest.fixture(scope="module")
def address(app: Any) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, TOKEN, timeout=60) as client:
        yield client


def same(found: Masks, wanted: Masks) -> bool:
    kept = ("scores", "stability", "boxes", "areas")
    return (
        found.rle() == wanted.rle()
        and found.labels == wanted.labels
        and found.prompts == wanted.prompts
        and found.model == wanted.model
        and all(np.array_equal(getattr(found, n), getattr(wanted, n), True) for n in kept)
    )


def test_the_verbs_answer_as_the_library_does(client: Client) -> None:
    model, image = flat_model(), Image.open(png())
    remote = client.embed(png())
    assert remote.size_hw == (48, 64)
    prompt = Prompt(POINT)
    assert same(client.predict(remote, prompts=prompt), model.predict(image, prompts=prompt))
    prompts = [Prompt(POINT), Prompt(box=(1, 1, 20, 30)), Prompt([(2, 2), (30, 20)], [0, 1])]
    found = client.predict(remote, prompts=prompts)
    wanted = model.predict(image, prompts=prompts)
    assert all(same(a, b) for a, b in zip(found, wanted, strict=True))
    direct = client.predict(remote, points=POINT, box=(18, 8, 46, 32), multimask=False)
    assert direct.rle() == model.predict(image, points=POINT, box=(18, 8, 46, 32)).rle()
    everything = client.generate(remote, points_per_side=3)
    assert everything.rle() == model.generate(image, points_per_side=3).rle()
    assert everything.dropped == model.generate(image, points_per_side=3).dropped


def test_lists_of_images(client: Client) -> None:
    images = [png(0), Image.open(png(5)), np.asarray(Image.open(png(6)).pixels)]
    groups = [[Prompt(POINT)], [], [Prompt(POINT), Prompt([(2, 2)])]]
    found = client.predict(images, prompts=groups)
    assert [len(one) for one in found] == [1, 0, 2]
    wanted = flat_model().predict(Image.open(png(6)), prompts=Prompt([(2, 2)]))
    assert found[2][1].rle() == wanted.rle()


def test_any_kind_of_image(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(3))
    kinds = [path, str(path), png(3), PIL.Image.open(path), Image.open(path)]
    assert len({client.embed(kind).session for kind in kinds}) == 1
    with pytest.raises(InputError, match="does not exist"):
        client.embed(tmp_path / "none.png")
    with pytest.raises(InputError, match="image"):
        client.embed(b"no image")


def test_logits_masks_and_words(client: Client) -> None:
    model, image = flat_model(), Image.open(png())
    first = client.predict(png(), points=POINT, logits=True)
    wanted = model.predict(image, points=POINT)
    assert np.array_equal(first.logits, wanted.logits)
    again = client.predict(png(), points=POINT, mask_logits=first.logits[0])
    assert again.rle() == model.predict(image, points=POINT, mask_logits=wanted.logits[0]).rle()
    rough = wanted.best().dense()[0]
    assert client.predict(png(), mask=rough).rle() == model.predict(image, mask=rough).rle()
    assert len(client.predict(png(), text="dog")) == 0
    assert [len(one) for one in client.predict([png(), png(1)], text=["dog", "car"])] == [0, 0]
    assert len(client.detect(png(), "dog", threshold={"dog": 0.5})) == 0
    assert client.subject(png()).labels in ((), ("subject",))


def test_images_that_change_and_files(client: Client) -> None:
    masks = client.predict(png(), points=POINT).best()
    clean = client.inpaint(png(), masks, engine="telea", grow=2)
    assert clean.size_hw == (48, 64)
    assert clean.pixels[15, 30].max() < 60
    assert anymask.read(client.export(png(), masks, "coco"), "coco").rle() == masks.rle()
    found = client.embedding(png(), "float32")
    assert isinstance(found, Embedding)
    assert found.signature == flat_model().embed(Image.open(png())).signature


def test_a_session_that_had_to_go_is_made_again(client: Client, app: Any) -> None:
    remote = client.embed(png(20))
    for seed in range(21, 27):
        client.embed(png(seed))
    assert remote.session not in app.state.server.sessions
    assert len(client.predict(remote, points=POINT)) == 3
    assert remote.session in app.state.server.sessions


def test_jobs(client: Client, place: Path) -> None:
    said: list[str] = []
    job = client.process("photos", "mine", prompts=Prompt(POINT))
    state = job.wait(lambda now: said.append(now["status"]))
    assert (state["status"], state["done"]) == ("done", 2)
    assert said[-1] == "done"
    names = [file for one in job.results for file in one["files"]]
    assert job.fetch(names[0]) == (place / "out" / "mine" / names[0]).read_bytes()
    assert job.cancel()["status"] == "done"
    with pytest.raises(InputError, match="below"):
        client.process("photos", "../mine")


def test_errors_are_the_librarys(client: Client, address: str) -> None:
    with pytest.raises(InputError, match="inside"):
        client.predict(png(), points=[(900, 2)])
    with pytest.raises(InputError, match="both"):
        client.predict(png(), points=POINT, prompts=Prompt(POINT))
    with pytest.raises(CapabilityError, match="example"):
        mask = np.eye(48, 64, dtype=bool)
        client.personalize(png(), mask, names="line").find(png(1))
    with pytest.raises((WeightsError, MissingExtraError)):
        client.depth(png())
    with Client(address) as other, pytest.raises(ServerError, match="token") as caught:
        other.embed(png())
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")
    with pytest.raises(ServerError, match="anymask serve"):
        Client("http://127.0.0.1:9", timeout=2).embed(png())
    assert TOKEN not in repr(client)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", "http://", "http://x/?token=1"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(InputError, match="address"):
        Client(url)


def test_what_the_server_warns_of_is_a_warning(client: Client) -> None:
    with pytest.warns(UserWarning, match="shares"):
        client.predict(png(), points=[(0.5, 0.5)])
