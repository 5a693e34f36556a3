"""Backgrounds and colours: what changes, what stays, and what makes no sense."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from anymask import Image, InputError, Masks
from anymask.extras import edit
from anymask.extras.edit.recolour import Tint


def photo(h: int = 48, w: int = 64, channels: int = 3) -> np.ndarray:
    """A green thing on a noisy blue ground."""
    image = np.random.default_rng(0).integers(0, 30, (h, w, channels), dtype=np.uint8)
    image[..., 2] += 120
    image[mask(h, w)] += np.array([20, 180, 0, 0][:channels], np.uint8)
    if channels == 4:
        image[..., 3] = 255
        image[: h // 4, :, 3] = 0
        image[h // 4 : h // 2, : w // 2, 3] = 90
    return image


def mask(h: int = 48, w: int = 64) -> np.ndarray:
    y, x = np.mgrid[:h, :w]
    return np.hypot(y - h / 2, x - w / 2) < h / 3


def inner(by: int = 4) -> np.ndarray:
    y, x = np.mgrid[:48, :64]
    return np.hypot(y - 24, x - 32) < 16 - by


BACKGROUNDS = ["blur", "grey", "transparent", "white", "#102030", "image"]


@pytest.mark.parametrize("hard_edges", [False, True])
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_the_thing_stays_as_it_is(background: str, hard_edges: bool) -> None:
    image = photo()
    what = np.full((9, 30, 3), 77, np.uint8) if background == "image" else background
    result = edit(image, mask(), background=what, hard_edges=hard_edges)
    straight = result.pixels if result.straight is None else result.straight
    kept = mask() if hard_edges else inner()
    np.testing.assert_array_equal(straight[kept], image[kept])
    far = ~mask() if hard_edges else np.hypot(*(np.mgrid[:48, :64] - [[[24]], [[32]]])) > 22
    now = result.pixels[far]
    if background == "transparent":
        assert (result.alpha[far] == 0).all() and (result.alpha[kept] == 255).all()
    elif background == "grey":
        luma = np.rint(image[far] @ np.array([0.299, 0.587, 0.114], np.float32))
        np.testing.assert_array_equal(now, np.repeat(luma[:, None], 3, 1))
    elif background == "blur":
        assert now.std(0).max() < 0.5 * image[far].std(0).max()
    else:
        wanted = {"white": 255, "#102030": (16, 32, 48), "image": 77}[background]
        assert (now == wanted).all()


def test_a_blurred_background_has_no_halo_of_the_thing() -> None:
    image = photo()
    result = edit(image, mask(), background="blur", blur=6, hard_edges=True)
    beside = ~mask() & (np.hypot(*(np.mgrid[:48, :64] - [[[24]], [[32]]])) < 19)
    assert result.pixels[beside][:, 1].mean() < 20  # the thing's green is at 190
    strong, weak = (edit(image, mask(), background="blur", blur=b).pixels for b in (12, 1))
    assert strong[~mask()].std() < weak[~mask()].std()


@pytest.mark.parametrize("hard_edges", [False, True])
def test_another_colour_leaves_the_background(hard_edges: bool) -> None:
    image = photo()
    result = edit(image, mask(), colour="#c02040", hard_edges=hard_edges)
    far = ~mask() if hard_edges else np.hypot(*(np.mgrid[:48, :64] - [[[24]], [[32]]])) > 22
    np.testing.assert_array_equal(result.pixels[far], image[far])
    middle = np.median(result.pixels[inner()].astype(int), axis=0)
    assert np.abs(middle - (0xC0, 0x20, 0x40)).max() <= 4
    before, after = (x[inner()].astype(float) @ [0.3, 0.6, 0.1] for x in (image, result.pixels))
    assert np.corrcoef(before, after)[0, 1] > 0.8  # light and shade stay
    both = edit(image, mask(), colour="#c02040", background="white", hard_edges=True)
    np.testing.assert_array_equal(
        both.pixels[inner()], edit(image, mask(), colour="#c02040", hard_edges=True).pixels[inner()]
    )
    assert (both.pixels[~mask()] == 255).all()


@pytest.mark.parametrize("colour", ["black", "white", "grey", "#0000ff", "yellow"])
def test_every_colour_is_met_at_the_median(colour: str) -> None:
    pixels = np.random.default_rng(1).integers(60, 190, (999, 1), dtype=np.uint8).repeat(3, 1)
    wanted = np.array(PIL.ImageColor.getrgb(colour))
    tint = Tint.of(pixels, tuple(wanted))
    middle = np.full((1, 3), np.median(pixels), np.float32)
    assert np.abs(tint.apply(middle) - wanted).max() <= 2
    ends = tint.apply(np.array([[0, 0, 0], [255, 255, 255]], np.float32))
    assert np.isfinite(ends).all() and (ends >= 0).all() and (ends <= 255).all()


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_transparent_images(background: str) -> None:
    before = Image.open(photo(channels=4))
    what = np.full((9, 30, 3), 77, np.uint8) if background == "image" else background
    result = edit(before, mask(), background=what, hard_edges=True)
    if background in ("blur", "grey"):
        np.testing.assert_array_equal(result.alpha, before.alpha)
        np.testing.assert_array_equal(result.straight[mask()], before.straight[mask()])
        np.testing.assert_array_equal(result.pixels[mask()], before.pixels[mask()])
    elif background == "transparent":
        np.testing.assert_array_equal(result.alpha, np.where(mask(), before.alpha, 0))
    else:
        assert result.alpha is None
        hole = mask() & (before.alpha == 0)
        assert hole.any() and len(np.unique(result.pixels[hole])) <= 3  # the background is seen


def test_masks_of_everything_or_nothing_or_of_another_size() -> None:
    image = photo()
    with pytest.raises(InputError, match="a mask that covers something, got an empty one"):
        edit(image, np.zeros((48, 64), bool), background="blur")
    with pytest.raises(InputError, match="a mask that covers something"):
        edit(image, Masks.empty((48, 64)), colour="red")
    with pytest.raises(InputError, match="leaves some background to change, got one of the whole"):
        edit(image, np.ones((48, 64), bool), background="blur")
    assert edit(image, np.ones((48, 64), bool), colour="red").pixels[..., 0].mean() > 150
    with pytest.raises(InputError, match=r"masks of \(h, w\) = \(48, 64\) like the image"):
        edit(image, np.ones((64, 48), bool), background="blur")


@pytest.mark.parametrize("size", [(1, 2), (2, 1), (1, 300)])
@pytest.mark.parametrize("background", BACKGROUNDS[:4])
def test_images_of_hardly_any_pixel(size: tuple[int, int], background: str) -> None:
    image, one = np.full((*size, 3), 9, np.uint8), np.zeros(size, bool)
    one[0, 0] = True
    assert edit(image, one, background=background).size_hw == size
    assert edit(image, one, colour="red").size_hw == size
    with pytest.raises(InputError, match="leaves some background"):
        edit(image[:1, :1], np.ones((1, 1), bool), background=background)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected a background or a colour, got neither"),
        ({"background": "blurr"}, "a background out of blur, grey, transparent, a colour or the"),
        ({"background": "none.jpg"}, "got 'none.jpg'; check the spelling"),
        ({"background": "#ff000080"}, "got '#ff000080'; check the spelling"),
        ({"colour": "rgba(255, 0, 0, 128)"}, "expected a colour for the thing"),
        ({"colour": "reddish"}, "expected a colour for the thing, got 'reddish'"),
        ({"background": "blur", "blur": -1}, "blur"),
        ({"background": "blur", "blur": float("nan")}, "blur"),
        ({"background": "white", "blur": 3}, "along with the background blur, got another"),
        ({"back": "white"}, "settings of editing, background, colour, .* got 'back'"),
    ],
)
def test_what_makes_no_sense(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        edit(photo(), mask(), **options)


def test_a_background_from_a_file_covers_everything(tmp_path: Path) -> None:
    halves = np.zeros((20, 10, 3), np.uint8)
    halves[:, 5:] = 200
    PIL.Image.fromarray(halves).save(tmp_path / "halves.png")
    result = edit(photo(), mask(), background=str(tmp_path / "halves.png"), hard_edges=True)
    assert (result.pixels[0, :10] == 0).all() and (result.pixels[0, 54:] == 200).all()
    (tmp_path / "broken.png").write_bytes(b"none")
    with pytest.raises(InputError):
        edit(photo(), mask(), background=str(tmp_path / "broken.png"))


def test_a_thing_of_one_pixel_is_there() -> None:
    image, one = np.full((30, 40, 3), 90, np.uint8), np.zeros((30, 40), bool)
    one[12, 20] = True
    result = edit(image, one, background="transparent")
    assert result.alpha[12, 20] > 0 and not result.alpha[:5].any()
    assert (edit(image, one, colour="red").pixels != image).any()
