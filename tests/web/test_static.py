"""The studio without a server: kept by the browser, exported from it, offline."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.web.conftest import H, W, photo
from tests.web.static_site import PLACE, Site, StaticPage

from anymask import Masks, formats
from anymask.formats import coco, voc_folder
from anymask.serve.static import write_static

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("host")
    write_static(root / PLACE, {"model.json": b"{}"})
    found = Site(root)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i, name in enumerate(("a.png", "b.png", "sub/c.png")):
        photo(folder / name, shift=i)
    return folder


@pytest.fixture
def page(browser: Any, site: Site) -> Iterator[StaticPage]:
    found = StaticPage(browser, site).begin()
    yield found
    found.close()


def test_a_first_visit(page: StaticPage, photos: Path) -> None:
    assert page.page.evaluate("() => crossOriginIsolated")
    page.shot("static-empty")
    page.add(photos / "a.png", photos / "b.png")
    page.opened("a.png")
    page.tell("leaf")
    page.stroke("red")
    page.masks(1)
    page.saved()
    page.shot("static-open")
    page.page.reload()
    page.opened("a.png")
    page.masks(1)
    assert page.page.locator(".mask-name").inner_text() == "leaf"
    assert page.page.locator(".strip-button").count() == 2
    found = page.stored()
    assert found.labels == ("leaf",) and found.size_hw == (H, W)
    assert found.dense()[0, 130, 160]
    page.press("z")  # a loaded page has no past
    page.masks(1)
