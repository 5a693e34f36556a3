"""How the page looks and feels: contrast, names, focus, room in both languages, touch and pen."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.web.conftest import WEB, Served
from tests.web.studio_page import StudioPage

browser_test = pytest.mark.browser

TEXT, SYMBOL = 4.5, 3.0  # contrast that AA asks for

# What stands on what.
PAIRS = [
    *(
        (text, ground, TEXT)
        for text in ("text", "muted")
        for ground in ("ground", "surface", "raised", "accent-soft", "stage")
    ),
    *(("accent", ground, TEXT) for ground in ("surface", "raised", "accent-soft")),
    *(("danger", ground, TEXT) for ground in ("surface", "raised", "danger-soft")),
    ("on-accent", "accent", TEXT),
    ("warn", "surface", TEXT),
    ("good", "surface", SYMBOL),
    ("accent", "ground", SYMBOL),  # the ring of the focus
    ("accent", "stage", SYMBOL),
]


def luminance(colour: tuple[float, ...]) -> float:
    parts = [value / 255 for value in colour[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def themes() -> list[dict[str, tuple[float, ...]]]:
    """The colours of the light theme and of the dark one, from the page's style."""
    css = (WEB / "src" / "studio.css").read_text("utf-8")
    found = re.findall(r"--([\w-]+): light-dark\(#(\w{6}), #(\w{6})\)", css)
    assert len(found) > 10
    parts = [lambda hexes: tuple(int(hexes[i : i + 2], 16) for i in (0, 2, 4))]
    return [{name: parts[0](both[i]) for name, *both in found} for i in (0, 1)]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_all_colours_are_told_apart(theme: int) -> None:
    colours = themes()[theme]
    used = {name for pair in PAIRS for name in pair[:2]}
    assert set(colours) - used <= {"line"}  # a hairline, which carries nothing
    poor = {
        (one, other): round(contrast(colours[one], colours[other]), 2)
        for one, other, least in PAIRS
        if contrast(colours[one], colours[other]) < least
    }
    assert poor == {}


# Texts with what is behind them, as they are on the page; those of disabled controls are left out.
_TEXTS = r"""() => {
    const numbers = (text) => {
        const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
        canvas.fillStyle = text;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = (top, below) =>
        top.map((v, i) => i < 3 ? v * top[3] + below[i] * (1 - top[3]) : 1);
    const unseen = ":disabled, [aria-hidden=true], .skip, .row-actions, datalist, option";
    const found = [];
    for (const one of document.querySelectorAll("body *")) {
        const own = [...one.childNodes].filter((n) => n.nodeType === 3 && n.textContent.trim());
        if (!own.length || one.closest(unseen)) continue;
        if (!one.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
        const box = one.getBoundingClientRect();
        if (!box.width || !box.height) continue;
        let ground = [255, 255, 255, 1], opacity = 1;
        const behind = [];
        for (let at = one; at; at = at.parentElement) {
            behind.push(numbers(getComputedStyle(at).backgroundColor));
            opacity *= Number(getComputedStyle(at).opacity);
            if (at.matches("dialog")) break;
        }
        for (const colour of behind.reverse()) ground = over(colour, ground);
        const ink = numbers(getComputedStyle(one).color);
        ink[3] *= opacity;
        const text = own[0].textContent.trim().slice(0, 30);
        found.push([one.className || one.tagName, text, over(ink, ground), ground]);
    }
    return found;
}"""


def poor_texts(page: StudioPage) -> list[Any]:
    found = page.page.evaluate(_TEXTS)
    assert len(found) > 10
    return [
        (kind, text, round(contrast(ink, ground), 2))
        for kind, text, ink, ground in found
        if contrast(ink, ground) < TEXT - 0.05
    ]


def everything_shown(page: StudioPage) -> list[tuple[str, Callable[[], None]]]:
    """States of the page in which all of its parts are seen; each can be come to from the last."""

    def begun() -> None:
        page.page.locator("#new-class").fill("a class with a long name, really")
        page.press("Enter")
        page.page.locator("#stage").focus()
        page.click("red")
        page.masks(1)
        page.press("Enter")
        page.click("green")
        page.masks(2)
        page.page.locator(".mask .row-action").first.click(force=True)  # hides it
        page.saved()

    def words() -> None:
        page.page.locator("#stage").focus()
        page.press("/")
        page.page.locator("#words").wait_for()

    def brush() -> None:
        page.page.locator("#stage").focus()
        page.press("Escape")
        page.page.locator("#tool-brush").click()

    def paint() -> None:
        page.page.locator("#tool-point").click()
        page.page.locator("#tool-paint").click()
        page.page.locator("#panel-paint").wait_for()

    def painted() -> None:
        page.page.locator(".mask-select").first.click()
        page.page.locator("#paint-go").click()
        page.page.locator("#paint-keep").wait_for()

    def depth() -> None:
        page.page.locator("#paint-discard").click()
        page.page.locator("#tool-depth").click()
        page.page.locator("#panel-depth .card-trouble").wait_for()

    def dialog(opener: str) -> Callable[[], None]:
        def show() -> None:
            page.page.evaluate(
                "document.querySelectorAll('dialog[open]').forEach((d) => d.close())"
            )
            page.page.locator(opener).click()
            page.page.locator("dialog[open]").wait_for()

        return show

    def trouble() -> None:
        page.page.evaluate("document.querySelectorAll('dialog[open]').forEach((d) => d.close())")
        page.studio.trouble.append(lambda method, path: (500, 0) if method == "PUT" else None)
        page.click("blue")
        page.page.locator(".trouble").wait_for()

    def healed() -> None:
        page.studio.trouble.clear()
        page.try_now()
        page.saved()

    return [
        ("masks", begun), ("words", words), ("brush", brush), ("paint", paint),
        ("painted", painted), ("depth", depth), ("help", dialog("#help")),
        ("export", dialog("#export")), ("trouble", trouble), ("healed", healed),
    ]  # fmt: skip


# What is cut off or lies over something else, though it should not.
_CROWDED = r"""() => {
    const found = [];
    const doc = document.documentElement;
    if (doc.scrollWidth > innerWidth || doc.scrollHeight > innerHeight) {
        found.push("the page scrolls");
    }
    const shown = (one) =>
        one.checkVisibility({ opacityProperty: true, visibilityProperty: true })
        && one.getBoundingClientRect().width > 0;
    const texts = "button, h1, h2, h3, label, legend, .status-text, .segment, .action, "
        + ".card-about, .key-row, .review-text";
    const rooms = ".bar, dialog, .side, .card, .toolbar, .middle";
    const ellipsis = (one) => getComputedStyle(one).textOverflow === "ellipsis";
    for (const one of document.querySelectorAll(texts)) {
        if (!shown(one) || one.closest(".skip")) continue;
        const what = `${one.className} ${one.textContent.trim().slice(0, 40)}`;
        const inline = getComputedStyle(one).display === "inline";
        if (one.scrollWidth > one.clientWidth + 1 && !ellipsis(one) && !inline) {
            const inner = [...one.querySelectorAll("*")].some(ellipsis);
            if (!inner) found.push(`cut off: ${what}`);
        }
        const box = one.getBoundingClientRect();
        const room = (one.closest(rooms) ?? document.body).getBoundingClientRect();
        if (one.closest(".classes, .masks, .strip, .depth-list")) continue;
        if (box.left < room.left - 1 || box.right > room.right + 1) found.push(`outside: ${what}`);
    }
    const parts = document.querySelectorAll(".bar-left > *, .bar-middle, .bar-right > *");
    const groups = [...parts].filter(shown);
    groups.forEach((a, i) => groups.slice(i + 1).forEach((b) => {
        const [x, y] = [a.getBoundingClientRect(), b.getBoundingClientRect()];
        const within = a.contains(b) || b.contains(a);
        if (x.left < y.right - 1 && y.left < x.right - 1 && !within) {
            found.push(`over each other: ${a.className} ${b.className}`);
        }
    }));
    return found;
}"""


@browser_test
@pytest.mark.parametrize("locale", ["en", "zh-CN"])
@pytest.mark.parametrize(
    ("scheme", "size"), [("light", (1280, 800)), ("dark", (1024, 768))], ids=["laptop", "tablet"]
)
def test_texts_can_be_read_and_have_room(
    browser: Any, studio: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Any,
    locale: str, scheme: str, size: tuple[int, int],
) -> None:  # fmt: skip
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "none"))
    view = {"width": size[0], "height": size[1]}
    options = {"color_scheme": scheme, "locale": locale, "viewport": view}
    page = StudioPage(browser, studio, **options).go()
    problems = {}
    for name, come in everything_shown(page):
        come()
        page.page.wait_for_timeout(60)
        if poor := poor_texts(page):
            problems[name, "contrast"] = poor
        if crowded := page.page.evaluate(_CROWDED):
            problems[name, "room"] = crowded
        page.shot(f"looks-{locale}-{scheme}-{name}")
    assert problems == {}
    page.close()


@browser_test
def test_every_control_has_a_name_for_those_who_do_not_see_it(
    page: StudioPage, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "none"))
    session = page.context.new_cdp_session(page.page)
    controls = {
        "button", "textbox", "slider", "checkbox", "radio", "link", "combobox", "application",
        "ColorWell", "searchbox", "dialog", "navigation", "group", "radiogroup",
    }  # fmt: skip
    counted, nameless = set(), []
    for state, come in everything_shown(page):
        come()
        page.page.wait_for_timeout(60)
        for node in session.send("Accessibility.getFullAXTree")["nodes"]:
            role = node.get("role", {}).get("value")
            if node.get("ignored") or role not in controls:
                continue
            name = node.get("name", {}).get("value", "")
            counted.add((role, name))
            if not name.strip():
                nameless.append((state, role, json.dumps(node.get("properties", []))[:200]))
    assert len(counted) > 60
    assert nameless == []


@browser_test
def test_the_focus_is_seen_wherever_it_is(page: StudioPage) -> None:
    page.click("red")
    page.masks(1)
    page.press("r")
    page.page.locator("#panel-paint").wait_for()
    page.page.locator("#undo").focus()
    look = """() => {
        const one = document.activeElement;
        const style = getComputedStyle(one);
        const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
        const name = one === document.body ? "BODY" : one.id || one.className || one.tagName;
        return [name, ring || style.boxShadow !== "none", one.checkVisibility()];
    }"""
    seen = {}
    for _ in range(120):
        page.press("Tab")
        name, ring, visible = page.page.evaluate(look)
        seen[name] = ring and visible
    seen.pop("BODY", None)
    assert {"stage", "tool-box", "export", "new-class", "finish", "paint-go", "opacity"} <= set(
        seen
    )
    assert [name for name, ring in seen.items() if not ring] == []


# ------------------------------------------------------------------------ touch and pen


_OVER = """() => {
    const shown = [...document.querySelectorAll(".bar :is(button, input, .bar-title, .save-state)")]
        .filter((one) => one.checkVisibility() && one.getBoundingClientRect().width);
    const nameOf = (one) => one.id || one.title || one.className;
    const boxes = shown.map((one) => [nameOf(one), one.getBoundingClientRect()]);
    const found = [];
    boxes.forEach(([name, a], i) => {
        if (a.left < -1 || a.right > innerWidth + 1) found.push(`outside: ${name}`);
        for (const [other, b] of boxes.slice(i + 1)) {
            const apart = a.right <= b.left + 1 || b.right <= a.left + 1
                || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
            if (!apart) found.push(`${name} over ${other}`);
        }
    });
    return found;
}"""


@browser_test
@pytest.mark.parametrize("size", [(1024, 768), (820, 1180), (600, 960), (390, 844)])
def test_nothing_lies_over_something_else_on_small_screens(
    browser: Any, studio: Served, size: tuple[int, int]
) -> None:
    view = {"width": size[0], "height": size[1]}
    options = {"viewport": view, "has_touch": True, "is_mobile": True}
    page = StudioPage(browser, studio, **options).go()
    page.says("Tap a thing.")
    x, y, w, h = page.page.locator("#stage").bounding_box().values()
    page.page.touchscreen.tap(x + w / 2, y + h / 2)
    page.masks(1)
    page.says("Tap to add")
    for tool in ("point", "brush", "box"):
        page.page.locator(f"#tool-{tool}").tap()
        assert page.page.evaluate(_OVER) == []
    targets = """() => [...document.querySelectorAll("button")].filter((one) =>
        one.checkVisibility() && !one.closest(".classes"))
        .map((one) => [one.id || one.title, one.getBoundingClientRect()])
        .filter(([, { width, height }]) => width && (width < 28 || height < 28))"""
    assert page.page.evaluate(targets) == []
    finish = page.page.locator("#finish")
    finish.tap()
    page.selected(0)
    page.shot(f"small-{size[0]}")
    page.close()


class Fingers:
    """Fingers and a pen on the image, as the browser hears of them."""

    def __init__(self, page: StudioPage) -> None:
        self.session = page.context.new_cdp_session(page.page)
        self.page = page

    def touch(self, kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def pen(self, kind: str, place: tuple[float, float]) -> None:
        x, y = place
        pressed = kind != "mouseReleased" and kind != "hover"
        event = {"type": "mouseMoved" if kind == "hover" else kind, "x": x, "y": y}
        event |= {"pointerType": "pen", "button": "left" if kind != "hover" else "none"}
        event |= {"buttons": 1 if pressed else 0, "clickCount": 1, "force": 0.5}
        self.session.send("Input.dispatchMouseEvent", event)

    def zoom(self) -> str:
        return self.page.page.locator(".bar-percent").evaluate("(one) => one.textContent")


@pytest.fixture
def tablet(browser: Any, studio: Served) -> Any:
    view = {"width": 1024, "height": 768}
    page = StudioPage(browser, studio, has_touch=True, viewport=view).go()
    yield page
    page.close()


@browser_test
def test_with_a_pen_fingers_move_and_the_hand_is_left_alone(tablet: StudioPage) -> None:
    page, hand = tablet, Fingers(tablet)
    hand.touch("touchStart", page.middle("red"))
    hand.touch("touchEnd")
    page.masks(1)  # without a pen, a finger points
    page.press("Enter", "b")
    hand.pen("hover", page.place(300, 300))
    start, end = page.place(420, 330), page.place(560, 330)
    hand.pen("mousePressed", start)
    palm = page.place(500, 450)
    hand.touch("touchStart", palm)  # in the middle of the stroke
    hand.pen("mouseMoved", page.place(490, 330))
    hand.touch("touchMove", (palm[0] + 30, palm[1] + 20))
    hand.pen("mouseMoved", end)
    hand.pen("mouseReleased", end)
    hand.touch("touchEnd")
    page.masks(2)
    drawn = page.stored().dense()[1]
    assert drawn[330, 430:550].all() and not drawn[400:].any()
    # A finger moves the image now, and draws nothing.
    before = page.page.locator("#stage").evaluate(
        "(one) => [...one.getContext('2d').getImageData(0, 0, one.width, one.height).data].reduce("
        "(sum, v, i) => sum + (v ? i % 9973 : 0), 0)"
    )
    hand.touch("touchStart", page.place(300, 250))
    for x in range(300, 400, 20):
        hand.touch("touchMove", page.place(x, 250))
    hand.touch("touchEnd")
    page.page.wait_for_timeout(100)
    after = page.page.locator("#stage").evaluate(
        "(one) => [...one.getContext('2d').getImageData(0, 0, one.width, one.height).data].reduce("
        "(sum, v, i) => sum + (v ? i % 9973 : 0), 0)"
    )
    assert after != before
    page.masks(2)
    assert page.stored().dense()[1].sum() == drawn.sum()


@browser_test
def test_a_finger_that_comes_down_sees_what_it_would_click(tablet: StudioPage) -> None:
    page, hand = tablet, Fingers(tablet)
    x, y = page.middle("red")
    hand.touch("touchStart", (x, y))
    page.until(lambda: page.colour(160, 130)[3] > 0)
    page.masks(0)  # it may become the first of two
    hand.touch("touchStart", (x, y), (x + 60, y))
    page.until(lambda: page.colour(160, 130)[3] == 0)
    hand.touch("touchEnd")
    page.masks(0)
    hand.touch("touchStart", (x, y))
    hand.touch("touchEnd")
    page.masks(1)


@browser_test
def test_two_fingers_zoom_and_one_that_stays_does_no_harm(tablet: StudioPage) -> None:
    page, hand = tablet, Fingers(tablet)
    x, y = page.middle("blue")
    before = hand.zoom()
    hand.touch("touchStart", (x - 40, y), (x + 40, y))
    for gap in range(50, 160, 10):
        hand.touch("touchMove", (x - gap, y), (x + gap, y))
    hand.touch("touchEnd", (x - 150, y))  # one is lifted, the other moves on
    hand.touch("touchMove", (x - 100, y + 20))
    hand.touch("touchEnd")
    assert hand.zoom() != before
    page.masks(0)
    hand.touch("touchStart", (x, y))
    hand.touch("touchEnd")
    page.masks(1)
