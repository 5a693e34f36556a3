"""The notebook's widget in a browser: mounted as anywidget does, with a kernel in Python."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serve.conftest import flat_model
from tests.web.conftest import H, W, photo
from tests.web.studio_page import StudioPage

from anymask import Masks
from anymask.notebook import _PAGE, Desk

pytestmark = pytest.mark.browser

# A notebook around it: keys and styles of its own, which must not mix with the widget's.
_NOTEBOOK = """<!doctype html><meta charset="utf-8"><title>Notebook</title>
<style>button { background: rgb(255, 0, 255) !important; } * { box-sizing: content-box; }</style>
<body data-jp-theme-light="true"><h1 id="cell">In [1]</h1><button id="own">Run</button>
<div id="output" style="width: WIDTHpx"></div>
<script type="module">
import widget from "/widget.js";
window.heard = [];
document.addEventListener("keydown", (event) => window.heard.push(event.key));
const listeners = new Set();
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
window.model = {
  get: (name) => ({ height: 600 })[name],
  on: (name, listener) => listeners.add(listener),
  off: (name, listener) => listeners.delete(listener),
  send: async (content) => {
    const { reply, data } = JSON.parse(await window.kernel(JSON.stringify(content)));
    const buffers = data.map((one) => new DataView(bytes(one).buffer));
    for (const listener of listeners) listener(reply, buffers);
  },
};
window.listeners = listeners;
window.leave = widget.render({ model: window.model, el: document.getElementById("output") });
</script></body>"""


class WidgetPage(StudioPage):
    """A notebook with the widget."""

    def __init__(self, browser: Any, desk: Desk, width: int = 1100) -> None:
        self.desk = desk
        super().__init__(browser, None)  # type: ignore[arg-type]
        self.page.expose_function("kernel", self._kernel)
        html = _NOTEBOOK.replace("WIDTH", str(width))
        self.page.route("http://notebook.test/", lambda route: self._send(route, html, "text/html"))
        module = _PAGE.read_text("utf-8")
        self.page.route(
            "http://notebook.test/widget.js",
            lambda route: self._send(route, module, "text/javascript"),
        )
        self.page.goto("http://notebook.test/")
        self.ready()

    @staticmethod
    def _send(route: Any, body: str, kind: str) -> None:
        route.fulfill(body=body, content_type=f"{kind}; charset=utf-8")

    def _kernel(self, message: str) -> str:
        reply, data = self.desk.answer(json.loads(message))
        texts = [base64.b64encode(one).decode() for one in data]
        return json.dumps({"reply": reply, "data": texts})

    def stored(self, name: str = "a.png") -> Masks:
        self.saved()
        return self.desk.masks


@pytest.fixture
def widget(browser: Any, tmp_path: Path) -> Iterator[WidgetPage]:
    page = WidgetPage(browser, Desk(photo(tmp_path / "a.png"), flat_model()))
    yield page
    page.close()


def test_clicks_in_a_notebook_become_masks(widget: WidgetPage) -> None:
    page = widget
    page.hover("red")
    page.click("red")
    page.masks(1)
    assert page.stored().dense()[0, 130, 160]
    page.click("blue", button="right")
    page.masks(1)
    assert page.stored().prompts[0].labels.tolist() == [1, 0]
    page.shot("widget")
    page.press("Enter")
    page.click("green")
    page.masks(2)
    page.page.locator("#new-class").fill("leaf")
    page.press("Enter")
    page.until(lambda: page.stored().labels == (None, "leaf"))
    page.page.locator("#stage").focus()
    page.press("z", "z")
    page.masks(1)
    assert len(page.stored()) == 1
    page.press("g")
    page.until(lambda: len(page.stored()) > 2)
    page.page.locator("#help").click()
    page.page.locator("dialog[open]").wait_for()
    page.shot("widget-help")
    page.press("Escape")


def test_the_notebook_keeps_its_title_address_keys_and_style(widget: WidgetPage) -> None:
    page = widget
    assert page.page.title() == "Notebook" and page.page.url == "http://notebook.test/"
    page.click("red")
    page.press("x", "Enter")
    assert page.page.evaluate("window.heard") == []  # X would have cut a cell
    page.page.locator("#own").focus()
    page.press("x")
    assert page.page.evaluate("window.heard") == ["x"]
    colour = "(one) => getComputedStyle(one).backgroundColor"
    assert page.page.locator("#own").evaluate(colour) == "rgb(255, 0, 255)"
    assert page.page.locator("#undo").evaluate(colour) != "rgb(255, 0, 255)"
    assert page.page.locator("#cell").evaluate("(one) => getComputedStyle(one).fontSize") == "32px"
    for gone in ("#export", ".strip", ".bar-logo"):
        assert not page.page.locator(gone).is_visible()


def test_what_is_on_the_page_is_sent_when_it_loses_the_focus(widget: WidgetPage) -> None:
    page = widget
    page.click("red")
    page.masks(1)
    page.page.locator("#own").focus()  # as whoever runs the next cell
    page.until(lambda: len(page.desk.masks) == 1)


def test_given_masks_are_there_and_another_view_shows_the_same(
    browser: Any, tmp_path: Path
) -> None:
    mask = np.zeros((1, H, W), bool)
    mask[0, 60:200, 80:240] = True
    desk = Desk(photo(tmp_path / "a.png"), flat_model(), Masks.from_dense(mask, labels=["rose"]))
    page = WidgetPage(browser, desk, width=820)
    page.masks(1)
    assert page.page.locator(".class-text").inner_text() == "rose"
    page.click("blue")
    page.masks(2)
    page.saved()
    page.shot("widget-narrow")
    assert page.page.evaluate("window.leave(), window.listeners.size") == 0
    assert page.page.locator("#stage").count() == 0
    page.page.reload()
    page.ready()
    page.masks(2)
    page.close()


def test_errors_of_the_kernel_are_told(widget: WidgetPage) -> None:
    page = widget
    page.desk._model = None

    def broken(*words: Any, **more: Any) -> Any:
        from anymask import InputError

        raise InputError("expected a kernel that works, got one that does not; restart it")

    page.desk._embedding = None
    page.desk._model = flat_model()
    page.desk._model.network.decode = broken
    page.click("red")
    page.says("expected a kernel that works")
    page.masks(0)
