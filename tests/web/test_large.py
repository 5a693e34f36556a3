"""Photos of 24 megapixels and more: sharp at every zoom, and a frame that does not cost more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.web.conftest import THINGS, H, Served, W
from tests.web.studio_page import StudioPage

pytestmark = pytest.mark.browser

SCALE = 9  # 5760 x 4320: 24.9 megapixels
FINE = (3000, 2600, 3600, 3000)  # where each pixel differs from its neighbours

# Adds up how many pixels of images are looked at in each frame, and how many corners are drawn.
_COUNTING = """
window.looked = []; window.corners = [];
const draw = CanvasRenderingContext2D.prototype.drawImage;
CanvasRenderingContext2D.prototype.drawImage = function (image, ...at) {
  const whole = image.width * image.height;
  const seen = at.length === 8 ? at[2] * at[3] : whole;
  if (this.canvas.className === "stage-image") window.looked.push(seen);
  return draw.call(this, image, ...at);
};
const line = Path2D.prototype.lineTo;
Path2D.prototype.lineTo = function (...at) { window.corners.push(1); return line.apply(this, at); };
"""


@pytest.fixture
def large(browser: Any, studio: Served) -> Iterator[StudioPage]:
    """The page with a photo of 24.9 megapixels that has a part as fine as pixels are."""
    pixels = np.full((H * SCALE, W * SCALE, 3), 20, np.uint8)
    for (x0, y0, x1, y1), color in THINGS.values():
        pixels[y0 * SCALE : y1 * SCALE, x0 * SCALE : x1 * SCALE] = color
    x0, y0, x1, y1 = FINE
    ys, xs = np.mgrid[y0:y1, x0:x1]
    pixels[y0:y1, x0:x1] = (255 * ((xs + ys) % 2))[..., None]
    for path in studio.folder.iterdir():
        path.unlink()
    PIL.Image.fromarray(pixels).save(studio.folder / "large.png", compress_level=1)
    page = StudioPage(browser, studio)
    page.page.add_init_script(_COUNTING)
    page.size = (W * SCALE, H * SCALE)
    page.go()
    page.until(lambda: seen(page, 100, 100)[3] > 0)
    yield page
    page.close()


def seen(page: StudioPage, x: int, y: int, w: int = 1, h: int = 1) -> np.ndarray:
    """What the image's canvas shows: RGBA, (h, w, 4), or of one pixel (4,)."""
    look = f"""() => [...document.querySelector(".stage-image").getContext("2d")
        .getImageData({x}, {y}, {w}, {h}).data]"""
    found = np.array(page.page.evaluate(look), np.uint8).reshape(h, w, 4)
    return found[0, 0] if w == h == 1 else found


def settled(page: StudioPage) -> None:
    """Wait until the smaller copies of the image are made, and all is drawn."""
    page.page.wait_for_timeout(300)
    page.until(lambda: page.page.evaluate("window.looked.splice(0).length") == 0)


def centre(page: StudioPage) -> tuple[int, int]:
    x0, y0, x1, y1 = FINE
    box = page.page.locator("#stage").bounding_box()
    px, py = page.place((x0 + x1) / 2, (y0 + y1) / 2)
    page.page.mouse.move(px, py)
    return round(px - box["x"]), round(py - box["y"])


def test_it_is_sharp_at_every_zoom(large: StudioPage) -> None:
    page = large
    x, y = centre(page)
    settled(page)
    small = seen(page, x - 8, y - 8, 16, 16)[..., 0].astype(int)
    assert abs(small.mean() - 127) < 12 and small.std() < 12  # no false patterns where it is small
    page.press(".")  # 100 %
    page.until(lambda: page.page.locator(".bar-percent").inner_text() == "100%")
    # Each pixel by itself, once they are painted.
    page.until(lambda: set(np.unique(seen(page, x - 20, y - 20, 40, 40)[..., 0])) == {0, 255})
    whole = seen(page, x - 20, y - 20, 40, 40)[..., 0].astype(int)
    assert (np.abs(np.diff(whole, axis=1)) == 255).all()
    page.shot("24-megapixels")
    for _ in range(6):
        page.page.mouse.wheel(0, -240)
    page.page.wait_for_timeout(200)
    scale = float(page.page.locator(".bar-percent").inner_text().rstrip("%")) / 100
    assert scale > 6
    blocks = seen(page, x - 60, y, 120, 1)[0, :, 0].astype(int)
    edges = np.flatnonzero(np.abs(np.diff(blocks)) > 128)
    assert set(np.unique(blocks)) <= {0, 255} or np.isin(blocks, [0, 255]).mean() > 0.8
    assert np.diff(edges) == pytest.approx(scale, abs=1.01)
    page.shot("24-megapixels-close")


def test_outlines_are_drawn_at_the_resolution_of_the_screen(large: StudioPage) -> None:
    page = large
    page.page.mouse.click(*page.place(160 * SCALE, 130 * SCALE))
    page.masks(1)
    page.press("Enter", "w")  # a tool without a preview
    top = int(np.flatnonzero(page.stored("large.png").dense()[0, :, 160 * SCALE])[0])
    at = page.place(160 * SCALE, top)
    page.page.mouse.move(*at)
    for _ in range(12):
        page.page.mouse.wheel(0, -240)
    page.page.wait_for_timeout(300)
    page.shot("24-megapixels-edge")
    look = """(x) => {
        const canvas = document.querySelector("#stage");
        return [...canvas.getContext("2d").getImageData(x, 0, 1, canvas.height).data];
    }"""
    left = page.page.locator("#stage").bounding_box()["x"]
    column = np.array(page.page.evaluate(look, round(at[0] - left) + 20)).reshape(-1, 4)[:, 3]
    steps = np.flatnonzero(np.abs(np.diff(column.astype(int))) > 60)
    assert len(steps) and np.ptp(steps) < 8  # a thin line, not a block of enlarged pixels


def test_a_frame_costs_no_more_than_the_screen(large: StudioPage) -> None:
    page = large
    page.page.mouse.click(*page.place(160 * SCALE, 130 * SCALE))
    page.masks(1)
    settled(page)
    box = page.page.locator("#stage").bounding_box()
    screen = box["width"] * box["height"]
    corners = page.page.evaluate("window.corners.splice(0).length")
    assert corners < 4000  # of a mask whose outline is 10,000 pixels long
    page.page.mouse.move(*page.place(2000, 1500))
    for turns in (-240,) * 10 + (240,) * 10:
        page.page.mouse.wheel(0, turns)
        page.page.wait_for_timeout(30)
        looked = page.page.evaluate("window.looked.splice(0)")
        assert all(one <= 4.3 * screen for one in looked), turns
    page.page.keyboard.down("Space")
    page.drag((1000, 1000), (3000, 2500))
    page.page.keyboard.up("Space")
    looked = page.page.evaluate("window.looked.splice(0)")
    assert looked and all(one <= 4.3 * screen for one in looked)
    assert page.stored("large.png").size_hw == (H * SCALE, W * SCALE)


def test_an_image_that_is_too_large_is_refused_in_a_sentence(browser: Any, tmp_path: Path) -> None:
    PIL.Image.fromarray(np.zeros((120, 100, 3), np.uint8)).save(tmp_path / "huge.png")
    studio = Served(tmp_path)
    studio.start(max_pixels=10_000)
    page = StudioPage(browser, studio)
    page.page.goto(studio.url)
    page.page.evaluate("location.hash = '#image=huge.png'")
    page.page.reload()
    trouble = page.page.locator(".stage-trouble", has_text="expected an image of at most 10000")
    trouble.wait_for()
    page.shot("too-large")
    page.close()
    studio.stop()
