"""The page as a person uses it, for the tests in a browser."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.web.conftest import THINGS, H, Served, W

from anymask import Masks, formats
from anymask.serve.studio.project import FOLDER

# Keeps all that the line below the image has said, in the order in which it was said.
_LISTEN = """(() => {
    window.said = [];
    window.heard = 0;
    const listen = (root) => new MutationObserver(() => {
        const text = root.querySelector('.status-text')?.textContent.toLowerCase();
        if (text && text !== said.at(-1)) said.push(text);
    }).observe(root, { childList: true, characterData: true, subtree: true });
    listen(document);
    const attach = Element.prototype.attachShadow;
    Element.prototype.attachShadow = function (options) {
        const root = attach.call(this, options);
        listen(root); // of a widget
        return root;
    };
})();"""

_HEARD = """([text, since]) => {
    const wanted = text.toLowerCase();
    const at = said.findIndex((one, i) => i >= since && one.includes(wanted));
    if (at < 0) return false;
    heard = at;
    return true;
}"""

_FRAMES = """async (count) => {
    for (let i = 0; i < count; i++) await new Promise((go) => requestAnimationFrame(go));
}"""

SHOTS = os.environ.get("ANYMASK_SHOTS")


class StudioPage:
    """One tab."""

    def __init__(self, browser: Any, studio: Served, **options: Any) -> None:
        self.studio = studio
        size = {"width": 1280, "height": 800}
        self.context = browser.new_context(**{"viewport": size, "locale": "en", **options})
        self.context.add_init_script(_LISTEN)
        self.errors: list[str] = []
        self.page = self.open_tab()

    def open_tab(self) -> Any:
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._hear)
        page.set_default_timeout(120_000)  # a busy machine is no fault
        return page

    def _hear(self, message: Any) -> None:
        # A failed request is what some tests are about; anything else is a fault of the page.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.errors.append(message.text)

    def go(self, address: str = "/") -> StudioPage:
        self.page.goto(self.studio.url + address)
        self.ready()
        return self

    def ready(self) -> None:
        """Wait until the image can be clicked on, also one that has been asked for just now."""
        self.page.evaluate(_FRAMES, 3)  # before them the line still speaks of the image before
        self.page.locator(".status:not(.working)").wait_for()

    def close(self) -> None:
        assert self.errors == []
        self.context.close()

    # ----------------------------------------------------------------------- pointing

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Find where a pixel of the image is on the fitted screen."""
        box = self.page.locator("#stage").bounding_box()
        w, h = self.size
        scale = min((box["width"] - 32) / w, (box["height"] - 66) / h, 8)
        left = box["x"] + (box["width"] - w * scale) / 2
        top = box["y"] + 16 + (box["height"] - 66 - h * scale) / 2
        return left + x * scale, top + y * scale

    size = (W, H)

    def middle(self, name: str) -> tuple[float, float]:
        (x0, y0, x1, y1), _ = THINGS[name]
        return self.place((x0 + x1) / 2, (y0 + y1) / 2)

    def hover(self, name: str) -> None:
        self.page.mouse.move(*self.middle(name))

    def click(self, name: str, **options: Any) -> None:
        self.page.mouse.click(*self.middle(name), **options)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag between pixels of the image."""
        mouse = self.page.mouse
        mouse.move(*self.place(*start))
        mouse.down()
        mouse.move(*self.place(*end), steps=4)
        mouse.up()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    # ------------------------------------------------------------------------- seeing

    def masks(self, count: int) -> Any:
        """Wait until the list has so many masks, none of which waits for an answer."""
        self._painted()
        rows = self.page.locator(".mask")
        if count:
            rows.nth(count - 1).wait_for()
        self.until(lambda: rows.count() == count)
        self.until(lambda: self.page.locator(".mask.waiting").count() == 0)
        return rows

    def selected(self, count: int) -> None:
        self.until(lambda: self.page.locator(".mask.selected").count() == count)

    def try_now(self) -> None:
        """Ask for saving at once, unless the page has just done so by itself."""
        button = ".trouble[data-kind=retrying] .button"
        self.page.evaluate("(found) => document.querySelector(found)?.click()", button)

    def _painted(self) -> None:
        """Wait until the page shows what has been done on it."""
        self.page.evaluate(_FRAMES, 1)

    def saved(self) -> None:
        self._painted()
        self.page.locator(".save-state[data-kind=saved]").wait_for()

    def says(self, text: str) -> None:
        """Wait until the page says something, unless it has since what was waited for last.

        A notice goes after some seconds, which on a busy machine may pass before a test looks.
        """
        self.until(lambda: bool(self.page.evaluate(_HEARD, [text, self.page.evaluate("heard")])))

    def shows(self, text: str) -> None:
        """Wait until the page says something now, such as of work that goes on."""
        self.page.locator(".status-text", has_text=text).wait_for()

    @contextmanager
    def hears(self, text: str) -> Iterator[None]:
        """Wait until the page has said what was not said before, also if it is gone by then."""
        since = self.page.evaluate("said.length")
        yield
        self.until(lambda: bool(self.page.evaluate(_HEARD, [text, since])))

    def until(self, holds: Callable[[], bool], tries: int = 2400) -> None:
        for _ in range(tries):  # as long as the page's own waits
            if holds():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError("it did not become so")

    def colour(self, x: float, y: float) -> tuple[int, int, int, int]:
        """Look at what is painted over a pixel of the image."""
        box = self.page.locator("#stage").bounding_box()
        px, py = self.place(x, y)
        look = "document.querySelector('#stage').getContext('2d').getImageData(x, y, 1, 1)"
        found = self.page.evaluate(
            f"([x, y]) => [...{look}.data]", [round(px - box["x"]), round(py - box["y"])]
        )
        return tuple(found)  # type: ignore[return-value]

    def stored(self, name: str = "a.png") -> Masks:
        """Read what was saved, as the library does."""
        self.saved()
        path = self.studio.folder / FOLDER / f"{name}.json"
        return formats.read(path) if path.exists() else Masks.empty((H, W))

    def classes(self) -> list[str]:
        self.saved()
        path = self.studio.folder / FOLDER / "anymask-studio.json"
        known = json.loads(path.read_text("utf-8"))["classes"] if path.exists() else []
        return [one["name"] for one in known]

    def shot(self, name: str) -> None:
        """Keep a picture of the page where ANYMASK_SHOTS says, to be looked at."""
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SHOTS) / f"{name}.png")
