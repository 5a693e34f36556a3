"""The page's worker encodes and decodes as the library does, from files alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.web.worker_page import ISOLATED, WorkerPage, static_host

import anymask
from anymask import Prompt

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "docs" / "pictures" / "coffee.jpg"
SIZE_HW = (400, 600)
SIDE = 6


@pytest.fixture(scope="module")
def model() -> Any:
    return anymask.load("bundled", device="cpu")


@pytest.fixture(scope="module")
def embedding(model: Any) -> Any:
    return model.embed(PHOTO)


@pytest.fixture(scope="module")
def host(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from anymask.export.browser import write_browser_model

    folder = tmp_path_factory.mktemp("host")
    shutil.copytree(ROOT / "src" / "anymask" / "serve" / "page", folder / "page")
    (folder / "index.html").write_text("<!doctype html><title>worker</title>")
    shutil.copy(PHOTO, folder / "photo.jpg")
    write_browser_model(model, folder / "model")
    about = json.loads((folder / "model" / "model.json").read_text("utf-8"))
    about["variant"]["generate"]["points_per_side"] = SIDE  # of a grid that does not take minutes
    (folder / "model" / "model.json").write_text(json.dumps(about), encoding="utf-8")
    shutil.copytree(folder / "model", folder / "graph")
    del about["compact"]
    (folder / "graph" / "model.json").write_text(json.dumps(about), encoding="utf-8")
    with static_host(folder, ISOLATED) as url:
        yield url


@pytest.fixture(scope="module")
def worker(browser: Any, host: str) -> Iterator[WorkerPage]:
    """A worker that has encoded the photo by itself."""
    page = WorkerPage(browser, host)
    assert "error" not in page.open("encoder", "decoder")
    reply = page.ask("{ kind: 'embed', image: 'photo', raw: await rgba('photo.jpg') }")
    assert "error" not in reply
    yield page
    page.context.close()


def request_of(
    prompt: str, *, many: bool = False, logits: str = "null", image: str = "photo"
) -> str:
    options = f"{{ many: {str(many).lower()}, logits: {logits}, keepLogits: true }}"
    return f"{{ kind: 'predict', image: '{image}', prompt: {prompt}, options: {options} }}"


def ious(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    both, either = (a & b).sum(axis=(1, 2)), (a | b).sum(axis=(1, 2))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


CASES = {
    "click": ("points: [[320, 200, 1]], box: null, mask: null", {"points": [(320, 200)]}, True),
    "clicks": (
        "points: [[320, 200, 1], [60, 60, 0]], box: null, mask: null",
        {"points": [(320, 200), (60, 60)], "labels": [1, 0]},
        False,
    ),
    "box": (
        "points: [], box: [170, 15, 412, 310], mask: null",
        {"box": (170, 15, 412, 310)},
        False,
    ),
    "box and click": (
        "points: [[200, 100, 0]], box: [170, 15, 412, 310], mask: null",
        {"points": [(200, 100)], "labels": [0], "box": (170, 15, 412, 310)},
        False,
    ),
}


ASKED_OF_BOTH = [request_of(f"{{ {said} }}", many=many) for said, _, many in CASES.values()]


@pytest.mark.parametrize("case", CASES)
def test_an_image_of_its_own_is_answered_nearly_as_by_the_library(
    worker: WorkerPage, model: Any, embedding: Any, case: str
) -> None:
    said, words, many = CASES[case]
    masks, answers = worker.masks(request_of(f"{{ {said} }}", many=many), SIZE_HW)
    wanted = model.predict(
        embedding,
        prompts=Prompt(words.get("points"), words.get("labels"), words.get("box")),
        multimask=many,
    )
    assert len(masks) == len(wanted)
    # The encoder's weights have 8 bits here, so that two answers of about one score may swap.
    best = np.array([ious(masks, one[None]).max() for one in wanted.dense()])
    assert best.mean() > 0.9, best
    scores = [one["score"] for one in answers]
    assert scores == sorted(scores, reverse=True)


def test_a_second_worker_answers_of_what_the_first_one_encoded(worker: WorkerPage) -> None:
    click = request_of("{ points: [[320, 200, 1]], box: null, mask: null }", many=True)
    wanted = worker.ask(click)["answers"]
    found = worker.page.evaluate(
        f"""async () => {{
            const first = ask;
            const {{ features }} = await first({{ kind: 'features', image: 'photo' }});
            const images = features.maps.filter(({{ data }}) => data.length).length;
            await open('model/', ['decoder'], 1);
            await ask({{ kind: 'handed', image: 'photo', features }});
            const said = plain(await ask({click}));
            globalThis.ask = first;
            return [images, said];
        }}"""
    )
    assert found[0] == 8  # what the decoder reads; the boundary is not sent
    assert found[1]["answers"] == wanted
    assert worker.ask(click)["answers"] == wanted  # the first one still has it


def give(worker: WorkerPage, embedding: Any) -> None:
    """Give the worker what the library encoded, as a server sends it."""
    import base64
    import io

    file = io.BytesIO()
    embedding.save(file, dtype="int8")
    assert len(file.getvalue()) < 1_500_000
    data = base64.b64encode(file.getvalue()).decode()
    bytes_ = f"Uint8Array.from(atob('{data}'), (c) => c.charCodeAt(0)).buffer"
    reply = worker.ask(f"{{ kind: 'embedding', image: 'given', data: {bytes_} }}")
    assert "error" not in reply


@pytest.mark.parametrize("case", CASES)
def test_an_embedding_is_answered_as_by_the_server(
    worker: WorkerPage, model: Any, embedding: Any, case: str
) -> None:
    give(worker, embedding)
    said, words, many = CASES[case]
    asked = request_of(f"{{ {said} }}", many=many, image="given")
    masks, answers = worker.masks(asked, SIZE_HW)
    prompt = Prompt(words.get("points"), words.get("labels"), words.get("box"))
    wanted = model.predict(embedding, prompts=prompt, multimask=many)
    assert ious(masks, wanted.dense()).min() > 0.98
    assert ious(masks, wanted.dense()).mean() > 0.99
    # The decoder's weights have 9 bits here, and the maps that it reads have 8.
    assert np.allclose([one["score"] for one in answers], wanted.scores, atol=0.02)


def test_the_decoder_of_its_own_answers_as_its_graph(worker: WorkerPage, embedding: Any) -> None:
    give(worker, embedding)
    answers = {}
    for place in ("model", "graph"):
        # Without being told where weights are, it takes the graph and the runtime.
        answers[place] = worker.page.evaluate(
            f"""async () => {{
                const first = ask;
                const {{ features }} = await first({{ kind: 'features', image: 'given' }});
                await open('{place}/', ['decoder'], 1);
                await ask({{ kind: 'handed', image: 'photo', features }});
                const said = [];
                for (const one of [{", ".join(ASKED_OF_BOTH)}]) said.push(plain(await ask(one)));
                globalThis.ask = first;
                return said.map(({{ answers }}) => answers);
            }}"""
        )
    for own, graph in zip(answers["model"], answers["graph"], strict=True):
        assert len(own) == len(graph) > 0
        for one, other in zip(own, graph, strict=True):
            assert abs(one["score"] - other["score"]) < 1e-3
            assert np.abs(np.subtract(one["logits"], other["logits"])).max() < 1e-2


def test_rough_masks_and_logits_are_understood_as_by_the_library(
    worker: WorkerPage, model: Any, embedding: Any
) -> None:
    from anymask.masks import rle

    give(worker, embedding)
    rough = np.zeros(SIZE_HW, bool)
    rough[40:280, 200:390] = True
    counts = rle.encode(rough).tolist()
    mask = f"Uint32Array.from({counts})"
    prompt = f"{{ points: [], box: null, mask: {mask} }}"
    masks, answers = worker.masks(request_of(prompt, image="given"), SIZE_HW)
    wanted = model.predict(embedding, mask=rough)
    assert ious(masks, wanted.dense()).min() > 0.99

    logits = f"{{ shape: [], dtype: 'float32', data: Float32Array.from({answers[0]['logits']}) }}"
    prompt = "{ points: [[320, 200, 1], [230, 260, 0]], box: null, mask: null }"
    masks, _ = worker.masks(request_of(prompt, logits=logits, image="given"), SIZE_HW)
    fed = model.predict(
        embedding,
        points=[(320, 200), (230, 260)],
        labels=[1, 0],
        mask_logits=wanted.logits[0],
    )
    assert ious(masks, fed.dense()).min() > 0.98
    scribble = np.zeros(SIZE_HW, bool)
    scribble[150:152, 250:380] = True
    mask = f"Uint32Array.from({rle.encode(scribble).tolist()})"
    asked = request_of(f"{{ points: [], box: null, mask: {mask} }}", image="given")
    masks, _ = worker.masks(asked, SIZE_HW)
    assert ious(masks, model.predict(embedding, mask=scribble).dense()).min() > 0.98


def test_what_is_wrong_is_said(worker: WorkerPage) -> None:
    reply = worker.ask(request_of("{ points: [], box: [1, 2, 3, 4], mask: null }", image="other"))
    assert "read again" in reply["error"]


def search_of(search: str, text: str = "", image: str = "photo") -> str:
    return f"{{ kind: 'search', search: '{search}', image: '{image}', text: '{text}' }}"


def test_everything_finds_about_what_the_library_finds(worker: WorkerPage, model: Any) -> None:
    masks, answers = worker.masks(search_of("everything"), SIZE_HW)
    progress = worker.page.evaluate("progress")
    total = progress[-1][1]
    assert SIDE**2 <= total <= SIDE**2 + 100  # and boxes of the detector
    assert [done for done, _ in progress] == sorted({done for done, _ in progress})
    assert progress[-1] == [total, total]
    wanted = model.generate(PHOTO, points_per_side=SIDE)
    assert len(wanted) > 5
    assert abs(len(masks) - len(wanted)) <= 0.25 * len(wanted)
    best = np.array([ious(masks, one[None]).max() for one in wanted.dense()])
    assert (best > 0.8).mean() >= 0.75, best
    assert ious(masks[:1], wanted.dense()[:1])[0] > 0.8 or best[0] > 0.9
    assert all(0 < one["stability"] <= 1 for one in answers)


def test_words_find_what_the_library_finds(worker: WorkerPage, model: Any) -> None:
    masks, answers = worker.masks(search_of("words", "the Cups. dog"), SIZE_HW)
    wanted = model.predict(PHOTO, text="the Cups. dog")
    assert [one["label"] for one in answers] == list(wanted.labels) == ["cups"]
    assert ious(masks, wanted.dense()).min() > 0.9
    assert np.allclose([one["score"] for one in answers], wanted.scores, atol=0.1)


def test_unknown_words_are_named(worker: WorkerPage) -> None:
    reply = worker.ask(search_of("words", "cup, zebra"))
    assert reply["unknown"] == ["zebra"]


def test_the_main_subject_is_that_of_the_library(worker: WorkerPage, model: Any) -> None:
    masks, answers = worker.masks(search_of("subject"), SIZE_HW)
    wanted = model.subject(PHOTO)
    assert [one["label"] for one in answers] == ["subject"]
    assert ious(masks, wanted.dense()).min() > 0.93
    assert abs(answers[0]["score"] - wanted.scores[0]) < 0.05


def test_a_click_goes_before_a_search_which_can_be_stopped(worker: WorkerPage) -> None:
    click = request_of("{ points: [[320, 200, 1]], box: null, mask: null }", many=True)
    order = worker.page.evaluate(
        f"""async () => {{
          const order = [];
          const search = ask({search_of("everything")}).then((reply) => order.push(reply.error));
          const number = latest;
          order.push((await ask({click})).answers.length);
          await ask({{ kind: 'cancel', request: number }});
          await search;
          return order;
        }}"""
    )
    assert order == [3, "cancelled"]
