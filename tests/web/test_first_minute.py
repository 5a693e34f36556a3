"""Opening, hovering, clicking, undoing, everything, words, classes, saving: as a person does it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.web.conftest import THINGS, H, Served, W
from tests.web.studio_page import StudioPage

from anymask import Masks

pytestmark = pytest.mark.browser


def truth(*names: str) -> np.ndarray:
    mask = np.zeros((H, W), bool)
    for name in names:
        (x0, y0, x1, y1), _ = THINGS[name]
        mask[y0:y1, x0:x1] = True
    return mask


def iou(masks: Masks, i: int, *names: str) -> float:
    found, wanted = masks.dense()[i], truth(*names)
    return float((found & wanted).sum() / (found | wanted).sum())


def test_the_folder_opens_with_its_first_image(page: StudioPage) -> None:
    assert page.page.title() == "a.png · anymask studio"
    assert page.page.locator(".strip-button").count() == 3
    assert page.page.locator(".strip-button[aria-current]").get_attribute("title") == "a.png"
    page.says("Click a thing")
    page.shot("open")


def test_a_mask_shows_under_the_pointer_and_a_click_keeps_it(page: StudioPage) -> None:
    page.hover("red")
    page.until(lambda: page.colour(100, 100)[3] > 0)
    assert page.colour(500, 100)[3] == 0
    page.masks(0)
    page.shot("hover")
    page.click("red")
    page.masks(1)
    assert iou(page.stored(), 0, "red") > 0.8
    assert page.stored().prompts[0].points_xy.tolist() == [pytest.approx([159.5, 129.5], abs=1)]
    page.shot("click")


def test_clicks_go_on_with_the_selected_thing(page: StudioPage) -> None:
    page.click("green")
    page.masks(1)
    page.click("blue", button="right")
    page.masks(1)
    prompt = page.stored().prompts[0]
    assert prompt.labels.tolist() == [1, 0]
    page.page.keyboard.down("Alt")
    page.click("red")
    page.page.keyboard.up("Alt")
    page.masks(1)
    assert page.stored().prompts[0].labels.tolist() == [1, 0, 0]
    page.press("Enter")
    page.selected(0)
    page.click("red")
    page.masks(2)
    page.page.keyboard.down("Shift")  # begins another at once
    page.click("blue")
    page.page.keyboard.up("Shift")
    page.masks(3)
    found = page.stored()
    assert [iou(found, i, name) > 0.8 for i, name in enumerate(("green", "red", "blue"))]


def test_the_right_button_takes_away_from_what_it_is_on(page: StudioPage) -> None:
    page.click("blue")
    page.masks(1)
    page.press("Enter")
    page.click("red", button="right")
    page.says("Select a mask first")
    page.click("blue", button="right")
    page.selected(1)
    page.masks(1)
    assert page.stored().prompts[0].labels.tolist() == [1, 0]


def test_t_turns_clicks_round(page: StudioPage) -> None:
    page.click("red")
    page.masks(1)
    page.press("t")
    page.says("Clicks mean: background")
    page.click("blue")
    page.masks(1)
    assert page.stored().prompts[0].labels.tolist() == [1, 0]


def test_a_box_finds_what_is_in_it(page: StudioPage) -> None:
    page.press("w")
    (x0, y0, x1, y1), _ = THINGS["green"]
    page.drag((x0 - 10, y0 - 10), (x1 + 10, y1 + 10))
    page.masks(1)
    found = page.stored()
    assert iou(found, 0, "green") > 0.8
    box = found.prompts[0].box
    assert box.tolist() == pytest.approx([x0 - 10, y0 - 10, x1 + 10, y1 + 10], abs=1)


def test_whole_part_and_detail(page: StudioPage) -> None:
    page.click("red")
    page.masks(1)
    areas = []
    for _ in range(3):
        page.press("s")
        page.page.wait_for_timeout(350)
        areas.append(int(page.stored().areas[0]))
    assert areas == sorted(areas, reverse=True)
    assert page.page.locator(".segment", has_text="Detail").get_attribute("aria-pressed") == "true"


def test_everything_is_undone_and_redone_to_the_start_and_back(page: StudioPage) -> None:
    page.click("red")
    page.masks(1)
    page.click("blue", button="right")
    page.masks(1)
    page.press("Enter")
    page.click("green")
    page.masks(2)
    page.page.locator("#new-class").fill("leaf")
    page.press("Enter")
    page.until(lambda: page.stored().labels == (None, "leaf"))
    page.page.locator("#stage").focus()
    page.press("Delete")
    page.masks(1)
    page.until(lambda: len(page.stored()) == 1)
    undo = page.page.locator("#undo")
    assert undo.get_attribute("aria-label") == "Undo: delete"
    page.press("Control+z")
    page.masks(2)
    page.until(lambda: page.stored().labels == (None, "leaf"))
    for _ in range(4):
        page.press("z")
    page.masks(0)
    assert undo.is_disabled()
    page.until(lambda: len(page.stored()) == 0 and page.classes() == [])
    for _ in range(5):
        page.press("Control+Shift+z")
    page.masks(1)
    page.until(lambda: page.classes() == ["leaf"] and len(page.stored()) == 1)
    assert page.page.locator("#redo").is_disabled()
    assert page.stored().prompts[0].labels.tolist() == [1, 0]


def test_undo_goes_to_the_image_that_it_changes(page: StudioPage) -> None:
    page.click("red")
    page.masks(1)
    page.press("d")
    page.ready()
    page.until(lambda: page.page.title().startswith("b.png"))
    page.masks(0)
    page.press("z")
    page.until(lambda: page.page.title().startswith("a.png"))
    page.masks(0)


def test_everything_mode_finds_picks_and_deletes_many(page: StudioPage) -> None:
    page.press("g")
    page.says("Found")
    rows = page.page.locator(".mask")
    count = rows.count()
    assert count >= 3
    assert page.page.locator("#tool-pick").get_attribute("aria-pressed") == "true"
    page.hover("green")
    page.page.locator(".mask.hovered").wait_for()
    page.click("green")
    page.selected(1)
    page.page.keyboard.down("Shift")
    page.click("blue")
    page.page.keyboard.up("Shift")
    page.selected(2)
    page.shot("everything")
    page.press("Delete")
    page.masks(count - 2)
    page.press("g")  # those that are there already are not added again
    page.masks(count)
    page.press("z", "z", "z")
    page.masks(0)


def test_words_name_what_they_find(page: StudioPage) -> None:
    page.press("/")
    page.page.keyboard.type("dog")
    page.shot("words")
    with page.hears("Found nothing"):  # there is no dog
        page.press("Enter")
    page.press("Escape")
    page.click("red")  # the keys are the image's again
    page.masks(1)
    page.press("Delete")
    page.masks(0)


def test_the_main_subject_is_a_button(page: StudioPage) -> None:
    page.page.locator("#tool-subject").click()
    page.until(lambda: "Found" in page.page.locator(".status-text").inner_text())


def test_classes_have_colours_and_digits(page: StudioPage) -> None:
    for name in ("rose", "leaf"):
        page.page.locator("#new-class").fill(name)
        page.press("Enter")
    page.page.locator("#stage").focus()
    page.press("1")
    page.click("red")
    page.masks(1)
    page.press("Enter", "2")
    page.click("green")
    page.masks(2)
    assert page.stored().labels == ("rose", "leaf")
    page.press("1")
    page.until(lambda: page.stored().labels == ("rose", "rose"))
    page.press("0")
    page.until(lambda: page.stored().labels == ("rose", None))
    page.page.locator(".class", has_text="rose").hover()
    page.page.get_by_label("Rename rose").click()
    page.page.locator(".class .class-input").fill("tulip")
    page.press("Enter")
    page.until(lambda: page.stored().labels == ("tulip", None))
    assert page.classes() == ["tulip", "leaf"]
    page.page.locator("input[type=color]").first.fill("#123456")
    page.page.locator(".mask .swatch").first.wait_for()
    page.until(
        lambda: (
            "18, 52, 86" in (page.page.locator(".mask .swatch").first.get_attribute("style") or "")
        )
    )
    page.page.locator(".class", has_text="tulip").hover()
    page.page.get_by_label("Remove tulip").click()
    page.until(lambda: page.classes() == ["leaf"] and page.stored().labels == (None, None))
    page.shot("classes")


def test_all_is_there_after_a_reload(page: StudioPage) -> None:
    page.page.locator("#new-class").fill("rose")
    page.press("Enter")
    page.page.locator("#stage").focus()
    page.click("red")
    page.masks(1)
    page.press("d")
    page.ready()
    page.click("blue")
    page.masks(1)
    page.saved()
    page.page.reload()
    page.ready()
    page.until(lambda: page.page.title().startswith("b.png"))
    page.masks(1)
    page.press("a")
    page.masks(1)
    assert page.page.locator(".mask-name").inner_text() == "rose"
    page.page.locator(".mask-select").click()
    page.click("blue", button="right")  # goes on where it was
    page.masks(1)
    assert page.stored().prompts[0].labels.tolist() == [1, 0]


def test_the_keys_are_listed(page: StudioPage) -> None:
    page.press("?")
    page.page.locator("dialog[open] .key-row").first.wait_for()
    page.shot("help")
    assert page.page.locator("dialog[open] .key-row").count() > 30
    page.press("q", "g")  # belong to nobody while it is open
    page.press("Escape")
    page.masks(0)
    page.click("red")
    page.masks(1)


def test_light_dark_and_chinese(browser: Any, studio: Served) -> None:
    page = StudioPage(browser, studio, color_scheme="dark", locale="zh-CN").go()
    page.says("点击物体")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.page.evaluate(f"() => {ground}")
    page.shot("chinese")
    page.page.get_by_label("浅色或深色").click()
    assert page.page.evaluate(f"() => {ground}") != dark
    page.page.get_by_label("English").click()
    page.says("Click a thing")
    page.page.reload()
    page.says("Click a thing")
    page.close()


def test_masks_are_hidden_as_long_as_the_key_is_held(page: StudioPage) -> None:
    page.click("red")
    page.masks(1)
    page.until(lambda: page.colour(100, 100)[3] > 0)
    page.page.keyboard.down("h")
    page.until(lambda: page.colour(100, 100)[3] == 0)
    page.page.keyboard.up("h")
    page.until(lambda: page.colour(100, 100)[3] > 0)
    page.page.get_by_label("Hide Mask 1").click(force=True)
    page.until(lambda: page.colour(100, 100)[3] == 0)


def test_zoom_stays_sharp(page: StudioPage) -> None:
    page.click("red")
    page.masks(1)
    page.press("Escape")
    page.page.mouse.move(*page.place(80, 60))
    for _ in range(8):
        page.page.mouse.wheel(0, -240)
    page.page.wait_for_timeout(300)
    page.shot("zoom")
    assert page.page.locator(".bar-percent").inner_text() != "100%"
    page.press("f")
    page.hover("green")
    page.until(lambda: page.colour(340, 100)[3] > 0)
