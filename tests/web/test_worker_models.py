"""The page's worker drives graphs of other families than the bundled model's, too."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.export.conftest import tiny_weights  # noqa: F401 -- a fixture
from tests.web.worker_page import ISOLATED, WorkerPage, static_host

import anymask
from anymask import Prompt

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
SIZE_HW = (60, 90)
FAMILIES = ("sam2.1-tiny", "efficientvit-sam-l0", "efficient-sam-ti", "medsam", "mobile-sam")


@pytest.fixture(scope="module")
def opened(
    browser: Any,
    tiny_weights: Callable[[str], Path],  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], tuple[WorkerPage, Any]]]:
    """A worker with the graphs of a tiny model, which has encoded an image; and the model."""
    pytest.importorskip("onnx")
    from anymask.export.browser import write_browser_model

    with ExitStack() as stack:

        def make(name: str) -> tuple[WorkerPage, Any]:
            folder = tmp_path_factory.mktemp("host")
            shutil.copytree(ROOT / "src" / "anymask" / "serve" / "page", folder / "page")
            (folder / "index.html").write_text("<!doctype html><title>worker</title>")
            pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
            image = PIL.Image.fromarray(pixels).resize(SIZE_HW[::-1], PIL.Image.Resampling.BICUBIC)
            image.save(folder / "photo.png")
            model = anymask.load(tiny_weights(name), device="cpu")
            write_browser_model(model, folder / "model", ["encoder", "decoder"])
            page = WorkerPage(browser, stack.enter_context(static_host(folder, ISOLATED)))
            stack.callback(page.context.close)
            reply = page.open("encoder", "decoder")
            assert "error" not in reply, reply
            embedding = model.embed(folder / "photo.png")
            file = io.BytesIO()
            embedding.save(file, dtype="float16")
            data = base64.b64encode(file.getvalue()).decode()
            given = f"Uint8Array.from(atob('{data}'), (c) => c.charCodeAt(0)).buffer"
            for request in (
                "{ kind: 'embed', image: 'own', raw: await rgba('photo.png') }",
                f"{{ kind: 'embedding', image: 'given', data: {given} }}",
            ):
                reply = page.ask(request)
                assert "error" not in reply, reply
            return page, (model, embedding)

        yield make


CASES: dict[str, tuple[str, Prompt]] = {
    "click": ("points: [[40, 20, 1]], box: null", Prompt([(40, 20)])),
    "clicks": ("points: [[40, 20, 1], [5, 50, 0]], box: null", Prompt([(40, 20), (5, 50)], [1, 0])),
    "box": ("points: [], box: [10, 5, 60, 44]", Prompt(box=(10, 5, 60, 44))),
    "box and click": (
        "points: [[20, 30, 0]], box: [10, 5, 60, 44]",
        Prompt([(20, 30)], [0], (10, 5, 60, 44)),
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_it_answers_as_the_library_does(
    opened: Callable[[str], tuple[WorkerPage, Any]], name: str
) -> None:
    worker, (model, embedding) = opened(name)
    able = model.variant.capabilities
    asked = 0
    for image, tolerance in (("given", 0.02), ("own", 0.1)):  # weights of 9 bits, and 8
        for said, prompt in CASES.values():
            unable = set(prompt.required_capabilities) - able
            many = len(prompt.points_xy) == 1 and prompt.box is None and "multimask" in able
            options = f"{{ many: {str(many).lower()}, logits: null, keepLogits: true }}"
            request = (
                f"{{ kind: 'predict', image: '{image}', prompt: {{ {said}, mask: null }}, "
                f"options: {options} }}"
            )
            if unable:  # the graph itself would answer all the same
                assert "does not know" in worker.ask(request)["error"]
                continue
            masks, answers = worker.masks(request, SIZE_HW)
            wanted = model.predict(embedding, prompts=prompt, multimask=many)
            assert len(masks) == len(wanted)
            if image == "own" and not many and name.startswith("sam2"):
                asked += 1
                continue  # it chooses among four, which random weights leave all but equal
            scores = np.array([one["score"] for one in answers])
            assert np.allclose(scores, wanted.scores, atol=tolerance)
            found = np.array([one["logits"] for one in answers]).reshape(wanted.logits.shape)
            spread = wanted.logits.std()
            assert np.abs(found - wanted.logits).mean() < tolerance * spread
            if image == "given":
                agree = (masks == wanted.dense()).mean()
                assert agree > 0.99
            asked += 1
    assert asked >= 2
