"""What the static page does when its worker dies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.web.conftest import photo
from tests.web.static_site import PLACE, Site, StaticPage

import anymask
from anymask.export.browser import browser_model
from anymask.serve.studio.static import write_static

pytestmark = pytest.mark.browser

MORTAL = """
window.workers = [];
window.Worker = class {
    constructor() {
        this.asked = [];
        this.isFirst = workers.push(this.asked) === 1;
    }
    postMessage({ id, kind }) {
        this.asked.push(kind);
        setTimeout(() => {
            if (this.isFirst && kind === 'embed') this.onerror?.({ message: 'out of memory' });
            else this.onmessage?.({ data: { id, answers: [], features: { maps: [] } } });
        });
    }
    terminate() { this.onmessage = this.onerror = null; }
};
"""
"""A worker that dies over its first image, as where memory is short; and others that do not."""


def test_a_worker_that_died_is_replaced(browser: Any, tmp_path: Path) -> None:
    write_static(tmp_path / "site" / PLACE, browser_model(anymask.load(), ["decoder"]))
    site = Site(tmp_path / "site")
    photo(tmp_path / "a.png")
    page = StaticPage(browser, site, silent=False)
    page.context.add_init_script(MORTAL)
    page.begin()
    page.add(tmp_path / "a.png")
    page.opened("a.png")
    page.until(lambda: page.page.evaluate("workers.length > 1 && workers[1].length > 1"))
    assert page.page.evaluate("workers[1].slice(0, 2)") == ["start", "embed"]
    page.ready()
    assert page.page.locator(".status.error").count() == 0
    page.close()
    site.stop()
