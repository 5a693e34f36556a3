"""Nothing is lost: a server that is ill, slow or gone, a second window, a full disk, bad images."""

from __future__ import annotations

import os
import zipfile
from typing import Any

import pytest
from tests.web.conftest import Served, photo
from tests.web.studio_page import StudioPage

pytestmark = pytest.mark.browser


def test_what_cannot_be_saved_stays_in_the_page_and_is_saved_later(
    page: StudioPage, studio: Served
) -> None:
    asked: list[str] = []

    def ill(method: str, path: str) -> tuple[int, float] | None:
        if method != "PUT":
            return None
        asked.append(path)
        return 500, 0

    studio.trouble.append(ill)
    page.click("red")
    page.masks(1)
    page.page.locator(".trouble", has_text="the server is ill").wait_for()
    assert page.page.locator("#save-state").inner_text() == "Not saved"
    page.shot("not-saved")
    page.press("Enter")
    page.click("green")
    page.masks(2)
    before = len(asked)
    page.page.get_by_text("Try now").click()  # which stays as long as the server is ill
    page.until(lambda: len(asked) > before)
    studio.trouble.clear()
    page.try_now()
    page.saved()
    assert len(page.stored()) == 2


def test_a_server_that_was_killed_comes_back(page: StudioPage, studio: Served) -> None:
    page.click("red")
    page.masks(1)
    page.saved()
    studio.stop()
    page.press("Enter")
    page.page.mouse.move(*page.place(20, 20))
    page.click("green")
    page.page.locator(".trouble, .status.error").first.wait_for()
    page.says("the server does not answer; trying again")
    studio.start()
    page.masks(2)
    page.saved()
    assert len(page.stored()) == 2


def test_a_full_disk_is_told(page: StudioPage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        page.click("red")
        page.page.locator(".trouble", has_text="No space left on device").wait_for()
    page.try_now()
    page.saved()
    assert len(page.stored()) == 1


def test_answers_may_be_slow_and_clicks_quick(page: StudioPage, studio: Served) -> None:
    studio.trouble.append(lambda method, path: (0, 0.4) if path == "/v1/predict" else None)
    for name in ("red", "green", "blue"):
        page.click(name)
        page.press("Enter")
    page.masks(3)
    assert len(page.stored()) == 3
    page.press("z", "z")
    page.masks(1)


def test_an_answer_that_fails_is_told_and_leaves_nothing_behind(
    page: StudioPage, studio: Served
) -> None:
    studio.trouble.append(lambda method, path: (500, 0) if path == "/v1/predict" else None)
    page.page.mouse.move(*page.place(20, 20))
    with page.hears("the server is ill"):
        page.click("red")
    page.masks(0)
    studio.trouble.clear()
    page.click("red")
    page.masks(1)


@pytest.mark.parametrize(
    ("choice", "count"), [("Keep both", 2), ("Keep mine", 1), ("Take theirs", 1)]
)
def test_two_windows_see_each_other(browser: Any, studio: Served, choice: str, count: int) -> None:
    one, other = StudioPage(browser, studio).go(), StudioPage(browser, studio).go()
    one.click("red")
    one.masks(1)
    one.saved()
    other.click("green")
    other.masks(1)
    other.page.locator(".trouble", has_text="also changed in another window").wait_for()
    other.shot("conflict")
    other.page.get_by_text(choice, exact=True).click()
    other.masks(count)
    other.saved()
    assert len(other.stored()) == count
    red = other.stored().dense()[:, 130, 160].any()
    assert bool(red) == (choice != "Keep mine")
    if choice != "Keep mine":  # which is a step, too
        other.press("z")
        other.until(lambda: not other.stored().dense()[:, 130, 160].any())
        other.masks(1)
    one.close()
    other.close()


def test_a_window_beside_this_one_is_seen_when_this_one_is_taken_up_again(
    browser: Any, studio: Served
) -> None:
    one, other = StudioPage(browser, studio).go(), StudioPage(browser, studio).go()
    other.click("green")
    other.masks(1)
    other.saved()
    assert one.page.locator(".mask").count() == 0  # nothing of it was hidden meanwhile
    with one.page.expect_download() as download:  # all images are all that there is
        one.page.locator("#export").click()
        one.page.locator("#export-go").click()
    assert "coco/annotations.json" in zipfile.ZipFile(download.value.path()).namelist()
    one.masks(1)
    other.press("Delete")
    other.masks(0)
    other.saved()
    one.page.evaluate("() => window.dispatchEvent(new Event('focus'))")
    one.masks(0)
    one.close()
    other.close()


def test_what_is_said_is_not_cut_off_on_a_narrow_screen(browser: Any, studio: Served) -> None:
    page = StudioPage(browser, studio, viewport={"width": 390, "height": 844}, has_touch=True).go()
    page.page.touchscreen.tap(*page.middle("red"))
    page.masks(1)
    text = page.page.locator(".status-text")
    assert text.inner_text().endswith("Done.")
    held = text.evaluate(
        "(one) => [one.scrollWidth - one.clientWidth, one.parentElement.offsetLeft]"
    )
    assert held[0] <= 0 <= held[1]
    page.press("/")
    page.page.locator(".words-input").wait_for()
    assert page.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    page.close()


def test_damaged_images_say_why_and_the_others_work(browser: Any, studio: Served) -> None:
    (studio.folder / "0-broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    (studio.folder / "d.png").write_bytes(photo(studio.folder / "d.png").read_bytes()[:900])
    page = StudioPage(browser, studio).go()
    assert page.page.title().startswith("a.png")
    page.page.get_by_title("0-broken.png").click()
    page.page.locator(".stage-trouble", has_text="cannot be shown").wait_for()
    page.shot("broken")
    page.page.get_by_title("b.png").click()
    page.ready()
    page.click("red")
    page.masks(1)
    page.close()


def test_names_and_labels_are_text_and_never_markup(browser: Any, studio: Served) -> None:
    name = "<img src=x onerror=alert(1)>.png"
    photo(studio.folder / name)
    page = StudioPage(browser, studio).go(f"/#image={name}")
    page.page.locator("#new-class").fill("<b onmouseover=alert(1)>x</b>")
    page.press("Enter")
    page.page.locator("#stage").focus()
    page.click("red")
    page.masks(1)
    assert page.page.locator(".mask-name").inner_text() == "<b onmouseover=alert(1)>x</b>"
    assert page.page.locator(".mask-name b, .bar-name img").count() == 0
    page.close()


def test_without_images_there_is_a_way_to_begin(browser: Any, tmp_path: Any) -> None:
    pytest.importorskip("uvicorn")
    studio = Served(tmp_path / "none-yet")
    studio.start()
    page = StudioPage(browser, studio)
    page.page.goto(studio.url)
    page.page.locator("#example").wait_for()
    page.shot("empty")
    page.page.locator("#example").click()
    page.ready()
    page.until(lambda: page.page.title().startswith("example.jpg"))
    page.close()
    studio.stop()


def test_the_token_leaves_the_address_at_once(browser: Any, tmp_path: Any) -> None:
    pytest.importorskip("uvicorn")
    photo(tmp_path / "photos" / "a.png")
    studio = Served(tmp_path / "photos")
    studio.start(token="0123456789abcdef")
    page = StudioPage(browser, studio)
    page.page.goto(studio.url)
    page.page.locator("body[data-trouble]").wait_for()
    assert "token" in page.page.locator("body").get_attribute("data-trouble")
    page.page.goto("about:blank")
    page.go("/#token=0123456789abcdef")
    assert "0123456789abcdef" not in page.page.url
    page.click("red")
    page.masks(1)
    page.saved()
    page.page.reload()
    page.ready()
    page.masks(1)
    page.close()
    studio.stop()


KEPT = """async () => {
    if (!(await indexedDB.databases()).some(({ name }) => name === 'anymask-studio')) return 0;
    const asked = (request) =>
        new Promise((done) => { request.onsuccess = () => done(request.result); });
    const database = await asked(indexedDB.open('anymask-studio'));
    const [kept] = await asked(database.transaction('unsaved').objectStore('unsaved').getAll());
    database.close();
    return kept?.length ?? 0;
}"""
"""How many masks the browser has kept of an image."""


def test_what_was_not_saved_is_back_when_the_page_was_closed(
    page: StudioPage, studio: Served
) -> None:
    page.click("red")
    page.masks(1)
    page.saved()
    studio.trouble.append(lambda method, path: (503, 0) if method == "PUT" else None)
    page.press("Enter")
    page.click("green")
    page.masks(2)
    page.page.locator(".trouble").wait_for()
    page.until(lambda: page.page.evaluate(KEPT) == 2)
    page.context.set_offline(True)  # or the page may try once more just then
    page.page.close()  # without a word, as when the browser is killed
    studio.trouble.clear()
    page.context.set_offline(False)
    page.page = page.open_tab()
    page.go()
    page.says("Changes that had not been saved are back")
    page.masks(2)
    page.saved()
    assert len(page.stored()) == 2
    page.until(lambda: page.page.evaluate(KEPT) == 0)
    page.press("z")
    page.masks(1)
    page.saved()
    page.page.reload()
    page.ready()
    page.masks(1)


def test_what_was_stored_without_an_answer_is_nothing_to_bring_back(page: StudioPage) -> None:
    def lose_the_answer(route: Any) -> None:
        if route.request.method != "PUT":
            return route.continue_()
        route.fetch()
        route.abort()

    page.click("red")
    page.masks(1)
    page.saved()
    page.page.route("**/things", lose_the_answer)
    page.press("Enter")
    page.click("green")
    page.masks(2)
    page.until(lambda: page.page.evaluate(KEPT) == 2)
    page.context.set_offline(True)
    page.page.close()
    page.context.set_offline(False)
    page.page = page.open_tab()
    page.go()
    page.masks(2)
    page.until(lambda: page.page.evaluate(KEPT) == 0)
    assert page.page.locator("#undo").is_disabled()


def test_a_window_that_comes_back_shows_what_others_did(page: StudioPage, studio: Served) -> None:
    other = page.open_tab()
    other.goto(studio.url)
    other.locator(".status:not(.working)").wait_for()
    page.click("red")
    page.masks(1)
    page.saved()
    assert other.locator(".mask").count() == 0
    other.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    other.locator(".mask").first.wait_for()
    other.mouse.click(*page.middle("green"))
    other.locator(".mask").nth(1).wait_for()
    page.until(lambda: len(page.stored()) == 2)
    other.locator(".save-state[data-kind=saved]").wait_for()
    other.close()


def test_a_slow_start_tells_how_long_it_takes_and_forgets_no_click(
    browser: Any, studio: Served
) -> None:
    slow = ("/embed", "/image", "/thumbnail", "/things")
    studio.trouble.append(lambda method, path: (0, 1.2) if path.endswith(slow) else None)
    page = StudioPage(browser, studio)
    page.page.goto(studio.url)
    page.says("Reading the image")
    page.shot("slow-start")
    page.until(lambda: page.page.evaluate("document.title").startswith("a.png"))
    page.until(lambda: page.page.locator(".side-empty").is_visible())  # the masks are known
    page.click("red")  # before the image is embedded
    page.masks(1)
    assert len(page.stored()) == 1
    page.press("Enter", "d", "a")
    page.ready()
    page.masks(1)
    page.close()


def test_what_is_done_before_the_masks_are_known_waits_for_them(
    page: StudioPage, studio: Served
) -> None:
    held: list[Any] = []
    page.page.route("**/things", lambda route: held.append(route))
    page.press("d")
    page.until(lambda: page.page.title().startswith("b.png") and bool(held))
    page.press("b")  # brush
    page.drag((420, 350), (520, 400))
    page.press("Enter", "q")  # another one, point
    page.click("red")
    page.press("/")
    page.page.keyboard.type("dog")
    page.press("Enter")
    page.until(lambda: "Looking for" in page.page.locator(".status-text").inner_text())
    assert page.page.locator(".mask").count() == 0
    with page.hears("Found nothing"):
        for route in held:
            route.continue_()
    page.masks(2)
    page.page.unroute("**/things")
    page.until(lambda: len(page.stored("b.png")) == 2)


def test_a_search_that_is_cut_off_is_told(page: StudioPage, studio: Served) -> None:
    page.click("red")
    page.masks(1)
    asked: list[Any] = []
    page.page.route("**/v1/studio/elsewhere", lambda route: asked.append(route))
    cut = '{"done": 0, "total": 2}\n{"done": 1, "tot'
    for end in (
        lambda route: route.abort("connectionreset"),
        lambda route: route.fulfill(body=cut, content_type="application/x-ndjson"),
    ):
        page.press("i")
        page.until(lambda: len(asked) == 1)
        page.shows("Looking in the other images")  # so what was said before is gone
        with page.hears("the server does not answer"):
            end(asked.pop())
    page.masks(1)
