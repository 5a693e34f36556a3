"""The page of a label project as a person uses it, for the tests in a browser."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.web.conftest import THINGS, H, Served, W
from tests.web.studio_page import StudioPage

from anymask import Masks
from anymask.label import Provenance, Store


class ServedProject(Served):
    """A running studio of a label project."""

    store: Any = None

    def prepare(self) -> None:
        from anymask.serve.label.api import add_label

        if self.store is None:
            self.store = Store.open(self.folder)
        add_label(self.app, self.store)

    def kill(self) -> None:
        """Stop without a word, as when the process is killed; the store is opened anew."""
        self.stop()
        self.store.close()
        self.store = None


class LabelPage(StudioPage):
    """One tab of one person."""

    def __init__(self, browser: Any, studio: Served, person: str, **options: Any) -> None:
        super().__init__(browser, studio, **options)
        self.person = person

    def go(self, address: str = "/") -> LabelPage:
        self.page.goto(f"{self.studio.url}{address}#person={self.person}")
        self.ready()
        return self

    def shows(self, name: str) -> None:
        """Wait until an image can be worked on."""
        self.until(lambda: self.page.locator(".bar-name").inner_text() == name)
        self.ready()
        self.page.locator("#accept:enabled").wait_for()
        self.until(lambda: self.page.locator(".side-empty").is_visible() or self.rows > 0)

    @property
    def rows(self) -> int:
        return self.page.locator(".mask").count()

    @property
    def name(self) -> str:
        return str(self.page.locator(".bar-name").inner_text())

    def reviews(self) -> list[str]:
        """What is said of each mask in the list."""
        found = self.page.locator(".mask").evaluate_all("all => all.map(one => one.dataset.review)")
        return list(found)

    def nothing(self, text: str) -> None:
        """Wait until the page says that there is no image."""
        self.page.locator("#nothing", has_text=text).wait_for()


def things(*names: str, grown: int = 0) -> Masks:
    """The masks of things on a test image, as a model may find them."""
    dense = np.zeros((len(names), H, W), bool)
    for mask, name in zip(dense, names, strict=True):
        (x0, y0, x1, y1), _ = THINGS[name]
        mask[y0 - grown : y1 + grown, x0 - grown : x1 + grown] = True
    return Masks.from_dense(dense, labels=list(names), scores=[0.9] * len(names))


FILLED_IN = Provenance(version="bundled", stage="semi-automatic")
