"""Photos of very many pixels in the studio without a server: sharp, or refused in a sentence."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.web.static_site import StaticPage
from tests.web.test_static import page, photos, root, site, written  # noqa: F401 -- fixtures

pytestmark = pytest.mark.browser


def test_a_panorama_of_60_megapixels_is_sharp(
    page: StaticPage,  # noqa: F811
    tmp_path: Path,
) -> None:
    w, h = 30_000, 2_000
    pixels = np.full((h, w), 20, np.uint8)
    ys, xs = np.mgrid[900:1100, 14_900:15_100]
    pixels[ys, xs] = 255 * ((xs + ys) % 2)
    PIL.Image.fromarray(pixels).save(tmp_path / "wide.png", compress_level=1)
    refuse = """() => {
        window.held = window.createImageBitmap;
        window.createImageBitmap = () => Promise.reject(new DOMException("no memory"));
    }"""
    page.page.evaluate(refuse)
    page.add(tmp_path / "wide.png")
    page.says("has 60 megapixels, more than this browser can hold at the moment")
    page.page.evaluate("() => { window.createImageBitmap = window.held; }")
    page.add(tmp_path / "wide.png")
    page.opened("wide.png")
    page.size = (w, h)
    box = page.page.locator("#stage").bounding_box()
    at = page.place(w / 2, h / 2)
    page.page.mouse.move(*at)
    page.press(".")
    page.until(lambda: page.page.locator(".bar-percent").inner_text() == "100%")
    look = """([x, y]) => [...document.querySelector(".stage-image").getContext("2d")
        .getImageData(x, y, 24, 24).data].filter((_, i) => i % 4 === 0)"""
    place = [round(at[0] - box["x"]) - 12, round(at[1] - box["y"]) - 12]

    def fine() -> bool:
        seen = np.reshape(page.page.evaluate(look, place), (24, 24))
        return bool((np.abs(np.diff(seen, axis=1)) == 255).all())

    page.until(fine)  # each pixel by itself
    page.shot("static-panorama")


def test_an_image_of_400_megapixels_is_refused_before_it_is_decoded(
    page: StaticPage,  # noqa: F811
    photos: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    data = (photos / "a.png").read_bytes()
    head = b"IHDR" + (20_000).to_bytes(4, "big") * 2 + data[24:29]
    huge = data[:12] + head + zlib.crc32(head).to_bytes(4, "big") + data[33:]
    (tmp_path / "huge.png").write_bytes(huge)
    page.page.evaluate(
        "() => { window.createImageBitmap = () => { document.title = 'decoded'; }; }"
    )
    page.add(tmp_path / "huge.png")
    page.says("has 400 megapixels, more than the 100 that are possible here; make it smaller")
    assert page.page.title() != "decoded"
