"""Pictures of the studio for the documentation, taken in Chromium.

    python recipes/docs_studio.py

It opens `anymask studio` on a folder with the photos of docs/pictures/, works as a person would,
and writes docs/pictures/studio*.jpg; then the same as a label project. Needs playwright and
Debian's chromium.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded, in the server

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"


def main() -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        photos = Path(folder) / "photos"
        shutil.copytree(PICTURES / "photos", photos)
        shutil.copy(PICTURES / "coffee.jpg", photos)
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for prepare, use in ((None, work), (make_project, review)):
            if prepare is not None:
                prepare(photos)
            with serving(photos) as address:
                use(browser, address)
        browser.close()


@contextmanager
def serving(photos: Path) -> Iterator[str]:
    """Run the studio of a folder, and give its address."""
    words = [sys.executable, "-m", "anymask", "studio", str(photos), "--no-browser", "--port", "0"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
    finally:
        server.terminate()
        server.wait()


def make_project(photos: Path) -> None:
    """Let a model fill in masks that are rough, a person correct one, and others be at work."""
    import numpy as np

    import anymask
    from anymask.label import Provenance, Store

    with Store.init(photos) as store:
        store.add(photos)
        store.add_classes(["cup", "spoon", "saucer"])
        image = store.image("coffee.jpg")
        model = anymask.load()
        (h, w), embedding = image.size_hw, model.embed(photos / image.name)
        cup = model.predict(embedding, box=(0.26 * w, 0.05 * h, 0.72 * w, 0.76 * h)).best()
        cut = cup.dense().copy()
        cut[:, :, : int(0.42 * w)] = False  # the model missed a part
        rough = anymask.Masks.from_dense(cut, labels=["cup"], scores=cup.scores)
        by_model = Provenance(version="bundled", stage="semi-automatic")
        ((mask, revision),) = store.add_masks(image, rough, by_model)
        whole = anymask.Masks.from_dense(np.asarray(cup.dense()), labels=["cup"])
        store.edit_mask(mask, revision, whole, Provenance(person="Ada", seconds=14))
        store.finish(store.lease(image, "Ada"), seconds=41)
        store.next("Ada")
        store.next("Bob")


def review(browser: Any, address: str) -> None:
    """Look at what Ada has changed."""
    page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page.goto(f"{address}#person=Eve&image=coffee.jpg")
    page.locator("#task-review").click()
    page.locator("#accept:enabled").wait_for()
    page.locator(".mask").first.click()
    page.locator(".revision-look").last.click()
    page.mouse.move(5, 5)
    page.locator(".status:not(.working)").wait_for()
    page.wait_for_timeout(1500)
    shot(page, "studio-label")


def work(browser: Any, address: str) -> None:
    """Make masks, and take pictures on the way."""
    page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page.goto(f"{address}#image=coffee.jpg")
    for name in ("cup", "spoon", "saucer"):
        page.locator("#new-class").fill(name)
        page.keyboard.press("Enter")
    page.locator("#stage").focus()
    idle = page.locator(".status:not(.working)")
    idle.wait_for()
    page.keyboard.press("1")
    page.keyboard.press("w")
    drag(page, (0.29, 0.05), (0.69, 0.75))
    page.keyboard.press("Enter")
    page.keyboard.press("2")
    page.keyboard.press("q")
    for _ in range(3):
        page.keyboard.press("s")  # to the smallest of what may be meant
    move(page, 0.61, 0.72)
    shot(page, "studio")
    page.keyboard.press("d")
    page.wait_for_timeout(500)
    page.goto(f"{address}#image=astronaut.jpg")
    page.reload()
    idle.wait_for()
    page.keyboard.press("g")
    page.locator(".status-text", has_text="Found").wait_for(timeout=600_000)
    click(page, 0.5, 0.75)
    page.wait_for_timeout(500)
    shot(page, "studio-everything")


def move(page: Any, x: float, y: float) -> tuple[float, float]:
    """Point at a place of the stage, as shares of its sides."""
    box = page.locator("#stage").bounding_box()
    place = box["x"] + x * box["width"], box["y"] + y * box["height"]
    page.mouse.move(*place)
    page.wait_for_timeout(1500)
    return place


def click(page: Any, x: float, y: float) -> None:
    page.mouse.click(*move(page, x, y))
    page.wait_for_timeout(800)


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    move(page, *start)
    page.mouse.down()
    move(page, *end)
    page.mouse.up()
    page.wait_for_timeout(800)


def shot(page: Any, name: str) -> None:
    page.screenshot(path=PICTURES / f"{name}.jpg", type="jpeg", quality=88)


if __name__ == "__main__":
    main()
