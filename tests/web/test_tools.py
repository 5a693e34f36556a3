"""Brush, lasso, shapes, files, keyboard and touch; undo of all of it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.web.conftest import THINGS, H, Served, W
from tests.web.studio_page import StudioPage

from anymask import Masks
from anymask.formats import coco

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Any, studio: Served) -> Iterator[StudioPage]:
    found = StudioPage(browser, studio, permissions=["clipboard-read", "clipboard-write"]).go()
    yield found
    found.close()


def test_brush_and_eraser_undo_stroke_by_stroke(page: StudioPage) -> None:
    page.press("b")
    page.drag((100, 440), (300, 440))
    page.masks(1)
    first = int(page.stored().areas[0])
    assert first > 200 * 20
    page.shot("brush")
    page.drag((300, 440), (300, 300))
    page.until(lambda: int(page.stored().areas[0]) > first)
    page.press("x")
    page.drag((200, 400), (200, 479))
    page.until(lambda: not page.stored().dense()[0, 440, 200])
    page.press("z")
    page.until(lambda: bool(page.stored().dense()[0, 440, 200]))
    page.press("z", "z")
    page.masks(0)


def test_the_brush_has_a_size(page: StudioPage) -> None:
    page.press("b")
    page.drag((100, 440), (300, 440))
    page.masks(1)
    before = int(page.stored().areas[0])
    page.press("Enter", *["]"] * 4)
    page.drag((100, 240), (300, 240))
    page.masks(2)
    assert page.stored().areas[1] > 1.8 * before


def test_clicks_go_on_with_what_was_painted(page: StudioPage) -> None:
    page.press("b")
    page.drag((130, 340), (380, 340))
    page.masks(1)
    page.press("q")
    page.click("blue")
    page.masks(1)
    found = page.stored()
    assert found.prompts[0] is not None and found.dense()[0, 300, 300]


def test_a_lasso_is_a_rough_mask(page: StudioPage) -> None:
    page.press("l")
    corners = [(310, 70), (570, 70), (570, 250), (310, 250), (310, 70)]
    mouse = page.page.mouse
    mouse.move(*page.place(*corners[0]))
    mouse.down()
    for corner in corners[1:]:
        mouse.move(*page.place(*corner), steps=5)
    page.shot("lasso")
    mouse.up()
    page.masks(1)
    dense = page.stored().dense()[0]
    assert dense[160, 440] and not dense[350, 260]


def test_shapes_are_changed_and_joined(page: StudioPage) -> None:
    for name in ("red", "green"):
        page.click(name)
        page.press("Enter")
    page.masks(2)
    page.press("v")
    page.click("red")
    page.selected(1)
    before = int(page.stored().areas[0])
    page.page.get_by_text("Grow", exact=True).click()
    page.until(lambda: int(page.stored().areas[0]) > before)
    page.page.get_by_text("Shrink", exact=True).click()
    page.until(lambda: abs(int(page.stored().areas[0]) - before) < 30)
    page.page.locator("#stage").focus()
    page.press("Control+a")
    page.selected(2)
    page.press("j")
    page.masks(1)
    merged = page.stored().dense()[0]
    assert merged[130, 160] and merged[160, 440]
    page.page.get_by_text("Largest", exact=True).click()
    page.until(lambda: not page.stored().dense()[0, 130, 160])
    page.press("z", "z")
    page.masks(2)


def test_one_mask_is_taken_away_from_another(page: StudioPage) -> None:
    page.click("blue")
    page.masks(1)
    page.press("Enter", "b")
    page.drag((100, 350), (420, 350))
    page.masks(2)
    page.press("v")
    page.page.mouse.click(*page.place(200, 400))
    page.page.keyboard.down("Shift")
    page.page.mouse.click(*page.place(200, 350))
    page.page.keyboard.up("Shift")
    page.selected(2)
    page.press("k")
    page.until(lambda: not page.stored().dense()[0, 350, 200])
    assert page.stored().dense()[0, 400, 200] and page.stored().dense()[1, 350, 200]


def test_masks_are_imported_and_refined(page: StudioPage, tmp_path: Path) -> None:
    mask = np.zeros((1, H, W), bool)
    mask[0, 70:190, 90:230] = True
    file = tmp_path / "masks.json"
    Masks.from_dense(mask, labels=["rose"]).save(file)
    with page.page.expect_file_chooser() as chooser:
        page.page.get_by_label("Import masks").click()
    chooser.value.set_files(file)
    page.masks(1)
    page.until(lambda: page.classes() == ["rose"])
    page.page.keyboard.down("Control")
    page.click("red")
    page.page.keyboard.up("Control")
    page.selected(1)
    page.click("red")
    page.masks(1)
    found = page.stored()
    assert found.labels == ("rose",) and found.prompts[0] is not None
    wrong = tmp_path / "wrong.json"
    Masks.from_dense(mask[:, :100]).save(wrong)
    with page.page.expect_file_chooser() as chooser:
        page.page.get_by_label("Import masks").click()
    chooser.value.set_files(wrong)
    page.says("expected masks of 640 x 480 like the image")


def test_the_library_reads_what_is_exported(page: StudioPage, tmp_path: Path) -> None:
    page.click("red")
    page.masks(1)
    page.press("d")
    page.ready()
    page.click("blue")
    page.masks(1)
    page.page.locator("#export").click()
    for name in ("yolo", "labelme", "sa1b", "voc", "png", "cutout"):
        page.page.locator(f"input[name={name}]").check()
    page.shot("export")
    with page.page.expect_download() as download:
        page.page.locator("#export-go").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(tmp_path / "out")
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert tops == {"coco", "yolo", "labelme", "sa1b", "voc", "png", "cutout"}
    found = coco.read_all(tmp_path / "out" / "coco" / "annotations.json")
    assert [one.source for one in found] == ["a.png", "b.png"]
    assert [len(one) for one in found] == [1, 1]


def test_the_cutout_goes_to_the_clipboard(page: StudioPage) -> None:
    page.click("red")
    page.masks(1)
    page.press("c")
    page.says("clipboard")
    read = """async () => {
        const [item] = await navigator.clipboard.read();
        const blob = await item.getType("image/png");
        return [...new Uint8Array(await blob.arrayBuffer())];
    }"""
    image = PIL.Image.open(io.BytesIO(bytes(page.page.evaluate(read))))
    box = page.stored().boxes[0]
    assert image.size == (box[2] - box[0] + 1, box[3] - box[1] + 1)
    assert image.mode == "RGBA" and image.getpixel((image.width // 2, 20)) == (255, 20, 20, 255)


def test_an_image_is_pasted(page: StudioPage) -> None:
    page.click("red")
    page.masks(1)
    page.press("c")
    page.says("clipboard")
    page.press("Control+v")
    page.until(lambda: page.page.locator(".strip-button").count() == 4)
    page.until(lambda: page.page.title().startswith("image"))


def test_all_of_it_goes_by_keyboard_alone(page: StudioPage) -> None:
    for _ in range(60):
        page.press("Tab")
        if page.page.evaluate("() => document.activeElement.id") == "stage":
            break
    assert page.page.evaluate("() => document.activeElement.id") == "stage"
    for _ in range(14):  # from the middle of the image to the green one
        page.press("ArrowRight")
    for _ in range(8):
        page.press("ArrowUp")
    page.until(lambda: page.colour(340, 100)[3] > 0)
    page.shot("keyboard")
    page.press("Space")
    page.masks(1)
    page.press("Shift+ArrowLeft", "Alt+Space")
    page.masks(1)
    assert page.stored().prompts[0].labels.tolist() == [1, 0]
    page.press("Enter", "d")
    page.ready()
    page.until(lambda: page.page.title().startswith("b.png"))


def test_touch_points_and_two_fingers_zoom(browser: Any, studio: Served) -> None:
    page = StudioPage(browser, studio, has_touch=True, viewport={"width": 1024, "height": 768}).go()
    page.page.touchscreen.tap(*page.middle("red"))
    page.masks(1)
    page.shot("tablet")
    before = page.page.locator("#stage").bounding_box()
    session = page.context.new_cdp_session(page.page)
    x, y = before["x"] + before["width"] / 2, before["y"] + before["height"] / 2

    def touch(kind: str, gap: float) -> None:
        points = [{"x": x - gap, "y": y, "id": 0}, {"x": x + gap, "y": y, "id": 1}]
        touching = {"type": kind, "touchPoints": [] if kind == "touchEnd" else points}
        session.send("Input.dispatchTouchEvent", touching)

    touch("touchStart", 40)
    for gap in range(50, 160, 10):
        touch("touchMove", gap)
    touch("touchEnd", 0)
    page.masks(1)  # two fingers are no click
    page.press("f")
    page.page.touchscreen.tap(*page.middle("blue"))
    page.until(lambda: len(page.stored().prompts[0].points_xy) == 2)
    page.masks(1)
    page.close()


def test_all_kinds_of_steps_are_undone_to_the_start_and_redone(
    page: StudioPage, tmp_path: Path
) -> None:
    mask = np.zeros((1, H, W), bool)
    mask[0, 300:400, 420:600] = True
    file = tmp_path / "masks.json"
    Masks.from_dense(mask, labels=["rose"]).save(file)
    states: list[Any] = []

    def state() -> Any:
        masks = page.stored()
        pixels = [one.tobytes() for one in masks.dense()]
        return sorted(zip(pixels, map(str, masks.labels), strict=True)), page.classes()

    def settled() -> Any:
        """Wait until the page has nothing to do any more; give what is stored then."""
        page.page.locator(".status:not(.working)").wait_for()
        page.until(lambda: page.page.locator(".mask.waiting").count() == 0)
        return state()

    def step(*keys: str, act: Any = None) -> None:
        page.page.locator("#stage").focus()
        page.press(*keys)
        if act is not None:
            act()
        page.until(lambda: settled() != states[-1])
        states.append(settled())

    def imported() -> None:
        with page.page.expect_file_chooser() as chooser:
            page.page.get_by_label("Import masks").click()
        chooser.value.set_files(file)

    def lasso() -> None:
        mouse = page.page.mouse
        mouse.move(*page.place(110, 270))
        mouse.down()
        for place in ((410, 270), (410, 430), (110, 430)):
            mouse.move(*page.place(*place), steps=3)
        mouse.up()

    def renamed() -> None:
        page.page.get_by_label("Rename rose").click(force=True)
        page.page.locator(".class .class-input").fill("tulip")
        page.press("Enter")

    states.append(state())
    (x0, y0, x1, y1), _ = THINGS["green"]
    step(act=lambda: page.click("red"))
    step(act=lambda: page.click("blue", button="right"))
    step("Enter", "w", act=lambda: page.drag((x0 - 10, y0 - 10), (x1 + 10, y1 + 10)))
    step("Enter", "l", act=lasso)
    step("b", act=lambda: page.drag((420, 350), (500, 350)))
    step("x", act=lambda: page.drag((150, 350), (200, 350)))
    step(act=imported)
    step("1")
    step(act=renamed)
    grow = page.page.locator(".action").get_by_text("Grow", exact=True)
    step(act=lambda: grow.click())
    step("Control+a", "j")
    step("Delete")
    step("g", act=lambda: page.page.locator(".mask").first.wait_for())
    for i in reversed(range(len(states) - 1)):
        page.page.locator("#stage").focus()
        page.press("z")
        page.until(lambda i=i: state() == states[i])
    assert page.page.locator("#undo").is_disabled()
    for i in range(1, len(states)):
        page.press("y")
        page.until(lambda i=i: state() == states[i])
    assert page.page.locator("#redo").is_disabled()
