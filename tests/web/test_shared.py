"""The server encodes, the page decodes; where the page cannot, the server does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.web.conftest import Served, photo
from tests.web.studio_page import StudioPage

import anymask
from anymask import Masks, Prompt, formats
from anymask.serve.studio.project import FOLDER

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def model() -> Any:
    return anymask.load("bundled", device="cpu")


@pytest.fixture
def served(tmp_path: Path, model: Any) -> Iterator[Served]:
    """A studio of the bundled model."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    for i, name in enumerate(("a.png", "b.png", "c.png")):
        photo(tmp_path / "photos" / name, shift=i)
    found = Served(tmp_path / "photos")
    found.start(model)
    yield found
    found.stop()


class Listening(StudioPage):
    """A tab that notes what is asked of the server."""

    def open_tab(self) -> Any:
        page = super().open_tab()
        self.asked: list[str] = []
        page.on("request", lambda one: self.asked.append(f"{one.method} {one.url}"))
        return page

    def decided(self) -> tuple[str, str]:
        """Wait until it is clear who decodes; says who, and why."""
        self.page.locator("body[data-decoder]").wait_for(state="attached", timeout=300_000)
        found = self.page.evaluate(
            "[document.body.dataset.decoder, document.body.dataset.decoderWhy ?? '']"
        )
        return found[0], found[1]

    def predictions(self) -> int:
        return sum("/v1/predict" in one for one in self.asked)


@pytest.fixture
def tab(browser: Any, served: Served) -> Iterator[Callable[[str], Listening]]:
    tabs: list[Listening] = []

    def make(address: str = "/", prepare: Callable[[Any], None] | None = None) -> Listening:
        found = Listening(browser, served)
        tabs.append(found)
        if prepare is not None:
            prepare(found.page)
        return found.go(address)

    yield make
    for one in tabs:
        one.context.close()


def stored(studio: Served) -> Masks:
    return formats.read(studio.folder / FOLDER / "a.png.json")


def clicked(model: Any, image: Path, prompt: Prompt) -> Masks:
    """What the library answers to a prompt that grows click by click, logits fed back."""
    answer = None
    for count in range(1, len(prompt.points_xy) + 1):
        logits = None if answer is None else answer.logits[0]
        so_far = Prompt(prompt.points_xy[:count], prompt.labels[:count], mask_logits=logits)
        answer = model.predict(image, prompts=so_far).best()
    return model.predict(image, prompts=prompt).best() if answer is None else answer


def test_a_click_takes_what_is_on_its_way_for_the_pointer(tab: Any, served: Served) -> None:
    page = tab("/#decoder=server")
    served.trouble.append(lambda method, path: (0, 0.5) if path == "/v1/predict" else None)
    x, y = page.middle("red")
    page.page.mouse.move(x - 60, y)
    page.until(lambda: page.predictions() == 1)
    page.page.mouse.move(x, y)
    page.until(lambda: page.predictions() == 2)
    page.page.mouse.click(x + 2, y + 1)  # before the second one is answered
    page.masks(1)
    page.saved()
    ((px, py),) = stored(served).prompts[0].points_xy
    assert abs(page.place(px + 0.5, 0)[0] - x) < 0.2 and abs(page.place(0, py + 0.5)[1] - y) < 0.2


def test_the_page_decodes_what_the_server_encoded(tab: Any, served: Served, model: Any) -> None:
    page = tab("/#decoder=worker")
    assert page.decided() == ("worker", "asked for")
    # Those of the next images are here, too, before anybody looks at them.
    page.until(lambda: sum("/embedding?dtype=int8" in one for one in page.asked) == 3)
    page.page.wait_for_timeout(300)
    page.click("red")
    page.masks(1)
    page.click("green", button="right")
    page.masks(1)
    page.press("Enter", "w")
    page.drag((100, 260), (420, 440))
    page.masks(2)
    page.saved()
    assert page.predictions() == 0
    assert not any("ort.wasm" in one for one in page.asked)  # the bundled model needs no runtime
    assert page.errors == []
    found = stored(served)
    for i, prompt in enumerate(found.prompts):
        wanted = clicked(model, served.folder / "a.png", prompt)
        a, b = found.dense()[i], wanted.dense()[0]
        assert (a & b).sum() / (a | b).sum() > 0.97, prompt
    page.shot("worker")


def test_a_click_on_what_was_hovered_over_is_there_at_once(tab: Any, served: Served) -> None:
    page = tab("/#decoder=worker")
    page.decided()
    page.hover("blue")
    page.until(lambda: page.colour(260, 350)[3] > 0)
    before = page.predictions()  # some, where the hovering came before the embedding
    page.click("blue")
    page.masks(1)
    assert page.predictions() == before


def damage_runtime(page: Any) -> None:
    """Damage the runtime, for a page that is not told where the weights of its decoder are."""

    def without_places(route: Any) -> None:
        response = route.fetch()
        about = response.json()
        del about["compact"]
        route.fulfill(response=response, json=about)

    page.route("**/v1/studio/model/model.json", without_places)
    page.route("**/page/ort.wasm.gz", lambda route: route.fulfill(body=b"\x1f\x8bnonsense"))


WITHOUT_VECTORS = """
WebAssembly.validate = () => false;
WebAssembly.Module = class { constructor() { throw new WebAssembly.CompileError('no vectors'); } };
"""

REFUSALS: dict[str, Callable[[Any], None]] = {
    "WebAssembly is missing": lambda page: page.route(
        "**/page/worker.js",
        lambda route: route.fulfill(
            response=(answer := route.fetch()),
            body="delete globalThis.WebAssembly;\n" + answer.text(),
        ),
    ),
    "WebAssembly has no vectors": lambda page: page.route(
        "**/page/worker.js",
        lambda route: route.fulfill(
            response=(answer := route.fetch()),
            body=WITHOUT_VECTORS + answer.text(),
        ),
    ),
    "the runtime is damaged": damage_runtime,
    "the weights are damaged": lambda page: page.route(
        "**/model/decoder.weights.gz", lambda route: route.fulfill(body=b"\x1f\x8bnonsense")
    ),
    "the worker cannot be fetched": lambda page: page.route(
        "**/page/worker.js", lambda route: route.abort()
    ),
    "the server has no decoder to give": lambda page: page.route(
        "**/v1/studio/model/*", lambda route: route.fulfill(status=501, json={"error": {}})
    ),
}


@pytest.mark.parametrize("trouble", REFUSALS)
def test_the_server_decodes_where_the_page_cannot(tab: Any, served: Served, trouble: str) -> None:
    page = tab("/", REFUSALS[trouble])
    who, why = page.decided()
    assert who == "server" and why, trouble
    page.click("red")
    page.masks(1)
    assert page.predictions() > 0


def test_a_worker_that_dies_is_replaced_by_the_server(tab: Any, served: Served) -> None:
    page = tab("/#decoder=worker")
    page.decided()
    (worker,) = (one for one in page.page.workers if one.url.endswith("/worker.js"))
    worker.evaluate("() => void setTimeout(() => { throw new Error('out of memory'); })")
    page.page.locator("body[data-decoder=server]").wait_for(state="attached")
    page.click("red")
    page.masks(1)
    assert page.predictions() > 0


def test_code_is_made_from_nothing_but_webassembly(tab: Any, served: Served) -> None:
    page = tab("/#decoder=worker")
    page.decided()
    refused = page.page.evaluate(
        """async () => {
          const found = [];
          const note = (event) => found.push(event.effectiveDirective);
          addEventListener('securitypolicyviolation', note);
          const script = document.createElement('script');
          script.textContent = 'globalThis.injected = 1';
          document.body.append(script);
          await new Promise((resolve) => setTimeout(resolve, 100));
          return [found, globalThis.injected];
        }"""
    )
    assert refused == [["script-src-elem"], None]
    policies = page.page.evaluate(
        """async () => Promise.all(['/', '/page/worker.js', '/page/ort.mjs'].map(
             async (path) => (await fetch(path)).headers.get('content-security-policy')))"""
    )
    assert len(set(policies)) == 1
    script = next(one for one in policies[0].split("; ") if one.startswith("script-src"))
    assert script == "script-src 'self' 'wasm-unsafe-eval'"
    (worker, *_) = page.page.workers
    assert worker.evaluate("() => crossOriginIsolated")


def test_other_models_are_decoded_by_the_server(page: StudioPage) -> None:
    page.page.locator("body[data-decoder=server]").wait_for(state="attached")
    page.click("red")
    page.masks(1)
