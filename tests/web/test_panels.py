"""Depth, painting over things, and finding them elsewhere, on the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.extras.depth.conftest import depth_anything  # noqa: F401 -- a fixture
from tests.web.conftest import THINGS, H, Served, W, photo
from tests.web.studio_page import StudioPage

from anymask.image.image import Image
from anymask.serve.studio.project import FOLDER

pytestmark = pytest.mark.browser


@pytest.fixture
def measured(
    browser: Any,
    tmp_path: Path,
    depth_anything: Path,  # noqa: F811
) -> Iterator[StudioPage]:
    """The page of a studio with a depth model."""
    pytest.importorskip("uvicorn")
    photo(tmp_path / "photos" / "a.png")
    studio = Served(tmp_path / "photos")
    studio.start(depth_model=str(depth_anything))
    page = StudioPage(browser, studio).go()
    yield page
    page.close()
    studio.stop()


def pixel(page: StudioPage, x: float, y: float) -> list[int]:
    """What the image's canvas shows at a pixel of the image."""
    box = page.page.locator("#stage").bounding_box()
    px, py = page.place(x, y)
    look = "document.querySelector('.stage-image').getContext('2d').getImageData(x, y, 1, 1)"
    at = [round(px - box["x"]), round(py - box["y"])]
    return page.page.evaluate(f"([x, y]) => [...{look}.data].slice(0, 3)", at)


# ------------------------------------------------------------------------------- depth


def test_the_depth_of_what_is_clicked(measured: StudioPage) -> None:
    page = measured
    for name in ("red", "green"):
        page.click(name)
        page.press("Enter")
    page.masks(2)
    plain = pixel(page, 20, 20)
    page.press("p")
    card = page.page.locator("#panel-depth")
    card.get_by_text("In metres from the camera").wait_for()
    assert card.locator(".depth-value").count() == 2
    depth = page.studio.app.state.server.depth().of(Image.open(page.studio.folder / "a.png"))
    stored = page.stored()
    wanted = sorted(float(np.nanmedian(depth.values[one.dense()[0]])) for one in stored)
    said = [
        float(text.removesuffix(" m")) for text in card.locator(".depth-value").all_inner_texts()
    ]
    assert said == pytest.approx(wanted, rel=0.01)
    # The map lies over the image, and goes with its switch.
    page.until(lambda: pixel(page, 20, 20) != plain)
    page.shot("depth")
    page.page.locator("#depth-shown").uncheck()
    page.until(lambda: pixel(page, 20, 20) == plain)
    # A click while the panel is open says how far away that is.
    page.click("blue")
    page.until(lambda: card.locator(".depth-value").count() == 1)
    page.press("Enter")
    page.until(lambda: card.locator(".depth-value").count() == 3)
    page.press("p")
    card.wait_for(state="hidden")


def test_without_a_depth_model_the_card_says_what_to_install(
    page: StudioPage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "none"))
    page.page.locator("#tool-depth").click()
    trouble = page.page.locator("#panel-depth .card-trouble")
    trouble.wait_for()
    assert 'pip install "anymask[depth]"' in trouble.inner_text()
    page.shot("depth-missing")
    page.press("Escape")
    trouble.wait_for(state="hidden")


def test_measuring_depth_can_be_cancelled(page: StudioPage, studio: Served) -> None:
    studio.trouble.append(lambda method, path: (0, 30) if path.endswith("/depth") else None)
    page.press("p")
    page.says("Estimating the depth")
    page.page.locator(".status .text-button").click()
    page.page.locator("#panel-depth", has_text="was not estimated").wait_for()


# ---------------------------------------------------------------------------- painting


def test_what_is_removed_is_compared_kept_undone_and_redone(
    page: StudioPage, studio: Served
) -> None:
    original = (studio.folder / "a.png").read_bytes()
    page.click("red")
    page.masks(1)
    page.press("r")
    card = page.page.locator("#panel-paint")
    card.get_by_text("1 selected").wait_for()
    assert card.get_by_text("Fill", exact=True).is_disabled()  # which takes a diffusion model
    page.page.locator("#paint-go").click()
    page.page.locator("#paint-keep").wait_for()
    page.shot("paint-compare")
    x, y = 160, 130
    slider = page.page.locator("#paint-share")
    slider.fill("0")
    page.until(lambda: max(pixel(page, x, y)) < 60)  # the ground
    slider.fill("100")
    page.until(lambda: pixel(page, x, y) == [255, 20, 20])
    slider.fill("0")
    hold = page.page.locator("#paint-hold")
    hold.hover()
    page.page.mouse.down()
    page.until(lambda: pixel(page, x, y) == [255, 20, 20])
    page.page.mouse.up()
    page.until(lambda: max(pixel(page, x, y)) < 60)
    hold.focus()
    page.page.keyboard.down("Space")
    page.until(lambda: pixel(page, x, y) == [255, 20, 20])
    page.page.keyboard.up("Space")
    # What was painted waits while another image is shown.
    page.page.locator("#stage").focus()
    page.press("d")
    page.ready()
    page.until(lambda: page.page.title().startswith("b.png"))
    page.press("a")
    page.ready()
    page.page.locator("#paint-keep").click()
    page.until(lambda: page.page.title().startswith("a-removed.png"))
    new = studio.folder / "a-removed.png"
    pixels = np.asarray(PIL.Image.open(new))
    assert pixels[y, x].max() < 60 and pixels[300, 300].tolist() == [20, 20, 255]
    assert (studio.folder / "a.png").read_bytes() == original
    # It is an image like any other.
    page.ready()
    page.click("blue")
    page.masks(1)
    page.saved()
    assert len(page.stored("a-removed.png")) == 1
    page.page.locator("#stage").focus()
    page.press("z", "z")
    page.until(lambda: not new.exists())
    assert not (studio.folder / FOLDER / "a-removed.png.json").exists()
    page.until(lambda: page.page.locator(".strip-button").count() == 3)
    page.press("y")
    page.until(new.exists)
    page.until(lambda: page.page.locator(".strip-button").count() == 4)
    page.press("y")
    page.until(lambda: page.page.title().startswith("a-removed.png"))
    page.masks(1)
    page.saved()
    assert len(page.stored("a-removed.png")) == 1
    assert np.array_equal(np.asarray(PIL.Image.open(new)), pixels)


def test_what_was_painted_is_discarded(page: StudioPage, studio: Served) -> None:
    page.click("green")
    page.masks(1)
    page.press("r")
    page.page.locator("#paint-go").click()
    page.page.locator("#paint-discard").click()
    page.page.locator("#paint-go").wait_for()
    (x0, y0, x1, y1), color = THINGS["green"]
    page.until(lambda: pixel(page, (x0 + x1) / 2, (y0 + y1) / 2) == list(color))
    assert sorted(one.name for one in studio.folder.glob("*.png")) == ["a.png", "b.png", "c.png"]


def test_painting_can_be_cancelled_and_failing_is_told(page: StudioPage, studio: Served) -> None:
    page.click("red")
    page.masks(1)
    page.press("r")
    studio.trouble.append(lambda method, path: (0, 30) if path.endswith("/paint") else None)
    page.page.locator("#paint-go").click()
    page.says("Painting")
    page.page.locator("#stage").focus()
    page.press("Escape")
    page.until(lambda: page.page.locator(".status.working").count() == 0)
    studio.trouble[:] = [lambda method, path: (500, 0) if path.endswith("/paint") else None]
    page.page.locator("#paint-go").click()
    page.says("the server is ill")
    studio.trouble.clear()
    page.page.locator("#paint-go").click()
    page.page.locator("#paint-keep").wait_for()


def test_what_was_painted_is_there_after_a_reload(page: StudioPage, studio: Served) -> None:
    page.click("red")
    page.masks(1)
    page.press("r")
    page.page.locator("#paint-go").click()
    page.page.locator("#paint-keep").wait_for()
    page.saved()
    page.until(lambda: page.page.evaluate(UNDECIDED) == 1)
    page.page.reload()
    page.ready()
    page.page.locator("#paint-share").fill("0")
    page.until(lambda: max(pixel(page, 160, 130)) < 60)
    page.page.locator("#paint-keep").click()
    page.until(lambda: page.page.title().startswith("a-removed.png"))
    page.until(lambda: page.page.evaluate(UNDECIDED) == 0)
    # One that the server has let go meanwhile is told.
    page.page.locator("#stage").focus()
    page.press("a")
    page.until(lambda: page.page.title().startswith("c.png"))
    page.ready()
    page.click("green")
    page.masks(1)
    page.page.locator("#paint-go").click()
    page.page.locator("#paint-keep").wait_for()
    page.saved()
    page.until(lambda: page.page.evaluate(UNDECIDED) == 1)
    studio.stop()
    studio.start()
    page.page.reload()
    page.says("paint it again")
    page.page.locator("#paint-go").wait_for()
    page.until(lambda: page.page.evaluate(UNDECIDED) == 0)


UNDECIDED = """() => new Promise((resolve) => {
    const request = indexedDB.open("anymask-studio-undecided", 1);
    request.onsuccess = () => {
        const store = request.result.transaction("unsaved").objectStore("unsaved");
        const counted = store.count();
        counted.onsuccess = () => { request.result.close(); resolve(counted.result); };
    };
})"""
"""Of how many images the browser keeps what nobody has decided about."""


# --------------------------------------------------------------------------- elsewhere


@pytest.fixture
def squares(browser: Any, tmp_path: Path) -> Iterator[StudioPage]:
    """Coloured squares on three images, and a model that knows them again."""
    pytest.importorskip("uvicorn")
    pytest.importorskip("cv2")
    from tests.predict.personal.toy import BLUE, RED, toy
    from tests.predict.personal.toy import photo as scene

    folder = tmp_path / "photos"
    folder.mkdir()
    for name, things in {
        "a.png": [(RED, 20, 30)],
        "b.png": [(RED, 150, 90), (RED, 20, 20)],
        "c.png": [(BLUE, 20, 30)],
        "d.png": [(RED, 100, 60)],
    }.items():
        PIL.Image.fromarray(scene(*things)).save(folder / name)
    studio = Served(folder)
    studio.start(toy())
    page = StudioPage(browser, studio)
    page.size = (256, 192)
    page.go()
    yield page
    page.close()
    studio.stop()


def found(page: StudioPage, *counts: int) -> None:
    """Wait until the images of the strip have so many candidates each."""
    badges = page.page.locator(".badge.found")
    wanted = [f"? {count}" if count else "" for count in counts]
    page.until(
        lambda: (
            [
                badges.nth(i).inner_text() if badges.nth(i).is_visible() else ""
                for i in range(badges.count())
            ]
            == wanted
        )
    )


def find_bricks(page: StudioPage) -> None:
    page.page.locator("#new-class").fill("brick")
    page.press("Enter")
    page.page.mouse.click(*page.place(50, 60))
    page.masks(1)
    page.press("i")
    page.says("Found 3. O accepts, N rejects.")
    found(page, 0, 2, 0, 1)


def test_found_elsewhere_accepted_rejected_undone(squares: StudioPage) -> None:
    page = squares
    find_bricks(page)
    page.shot("elsewhere-found")
    review = page.page.locator(".review")
    page.page.locator("#go-on").click()
    page.until(lambda: page.page.title().startswith("b.png"))
    review.get_by_text("Is this one? 2 here, 3 in all").wait_for()
    page.shot("elsewhere-review")
    assert len(page.stored("b.png")) == 0  # they are not masks yet
    page.page.locator("#stage").focus()
    page.press("o")
    page.masks(1)
    found(page, 0, 1, 0, 1)
    assert page.stored("b.png").labels == ("brick",)
    page.press("n")  # the last one here: on to the next image
    page.until(lambda: page.page.title().startswith("d.png"))
    page.press("o")
    page.masks(1)
    review.wait_for(state="hidden")
    page.saved()
    assert len(page.stored("d.png")) == 1
    undo = page.page.locator("#undo")
    for what in ("accept", "reject", "accept"):
        page.until(lambda what=what: undo.get_attribute("aria-label") == f"Undo: {what}")
        page.press("z")
    page.until(lambda: page.page.title().startswith("b.png"))
    found(page, 0, 2, 0, 1)
    page.masks(0)
    page.press("z")
    page.until(lambda: page.page.title().startswith("a.png"))
    found(page, 0, 0, 0, 0)
    page.press("y")
    found(page, 0, 2, 0, 1)
    page.page.locator("#go-on").click()
    page.page.locator("#accept-all").click()
    page.until(lambda: len(page.stored("b.png")) == 2)
    areas = sorted(page.stored("b.png").areas.tolist())
    assert areas == pytest.approx([3600, 3600], rel=0.2)


def test_candidates_are_there_after_a_reload(squares: StudioPage) -> None:
    page = squares
    find_bricks(page)
    page.saved()
    page.until(lambda: page.page.evaluate(UNDECIDED) == 2)
    page.page.reload()
    page.ready()
    found(page, 0, 2, 0, 1)
    page.press("z")  # that they are there is no step
    found(page, 0, 2, 0, 1)
    page.page.locator("#go-on").click()
    page.until(lambda: page.page.title().startswith("b.png"))
    page.ready()
    page.page.locator("#stage").focus()
    page.press("o")
    page.masks(1)
    page.press("n")
    page.until(lambda: page.page.title().startswith("d.png"))
    page.until(lambda: page.page.evaluate(UNDECIDED) == 1)
    page.saved()
    page.page.close()  # also with a server that was away
    page.studio.stop()
    page.studio.start(page.studio.app.state.server.model)
    page.page = page.open_tab()
    page.go()
    found(page, 0, 0, 0, 1)
    assert page.stored("b.png").labels == ("brick",)
    assert len(page.stored("d.png")) == 0


def test_the_search_can_be_cancelled_and_goes_on_beside_other_work(squares: StudioPage) -> None:
    page = squares
    page.press("i")
    page.says("Select a mask first")
    page.page.mouse.click(*page.place(50, 60))
    page.masks(1)
    page.studio.trouble.append(lambda method, path: (0, 30) if "elsewhere" in path else None)
    page.press("i")
    page.shows("Looking in the other images")
    page.press("d")  # another image does not end it
    page.until(lambda: page.page.title().startswith("b.png"))
    page.shows("Looking in the other images")
    page.press("Escape")
    page.until(lambda: page.page.locator(".status.working").count() == 0)
    page.studio.trouble.clear()
    # What is here already is not asked about again.
    page.page.mouse.click(*page.place(180, 120))
    page.masks(1)
    page.press("a")
    page.ready()
    page.page.locator(".mask-select").first.click()
    page.press("i")
    page.says("Found 2.")
    found(page, 0, 1, 0, 1)


def test_a_model_that_cannot_be_shown_examples_says_so(page: StudioPage) -> None:
    page.click("red")
    page.masks(1)
    page.press("i")
    page.says("example")


assert (W, H) == (640, 480)
