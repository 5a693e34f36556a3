from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from anymask import draw
from anymask.errors import InputError
from anymask.image.image import Image
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

SIZE_HW = (60, 80)
GREY = np.full((*SIZE_HW, 3), 128, dtype=np.uint8)
PHOTO = np.random.default_rng(0).integers(1, 256, (*SIZE_HW, 3), dtype=np.uint8)
Y, X = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
LARGE = np.hypot(X - 40, Y - 30) < 25
SMALL = np.hypot(X - 40, Y - 30) < 8


def drawn(masks: Masks, image: np.ndarray = GREY, **options: object) -> np.ndarray:
    picture = draw.overlay(image, masks, **options)  # type: ignore[arg-type]
    assert picture.mode == "RGB"
    assert picture.size == (80, 60)
    return np.asarray(picture).astype(int)


def one(prompt: Prompt) -> Masks:
    return Masks.from_dense(np.zeros(SIZE_HW, dtype=bool), prompts=(prompt,))


# ------------------------------------------------------------------------ overlay


def test_nothing_to_draw_leaves_the_picture() -> None:
    np.testing.assert_array_equal(drawn(Masks.empty(SIZE_HW), PHOTO), PHOTO)
    np.testing.assert_array_equal(drawn(Masks.from_dense(LARGE & False), PHOTO), PHOTO)
    np.testing.assert_array_equal(
        drawn(Masks.from_dense(LARGE), PHOTO, alpha=0, outline=False), PHOTO
    )


@pytest.mark.parametrize("outline", [False, True])
def test_only_the_mask_and_its_edge_change(outline: bool) -> None:
    changed = (drawn(Masks.from_dense(LARGE), outline=outline) != 128).any(axis=2)
    distance = np.hypot(X - 40, Y - 30)
    assert changed[LARGE].all()
    assert not changed[distance > 28].any()


def test_alpha_one_covers_entirely() -> None:
    inside = drawn(Masks.from_dense(LARGE), PHOTO, alpha=1)[SMALL]
    assert len(np.unique(inside, axis=0)) == 1


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_smaller_masks_are_on_top(order: list[int]) -> None:
    picture = drawn(Masks.from_dense(np.stack([LARGE, SMALL])[order]), alpha=1)
    top, below = picture[30, 40], picture[30, 20]
    assert np.abs(top - below).max() > 40


@pytest.mark.parametrize(
    ("of_part", "on_top"),
    [(0.5, "whole"), (0.84, "whole"), (0.86, "part"), (0.95, "part"), (0, "whole")],
)
def test_a_clearly_better_mask_is_on_top_of_its_parts(of_part: float, on_top: str) -> None:
    both = np.stack([LARGE, SMALL])
    picture = drawn(Masks.from_dense(both, meta=[{"ranking": 1}, {"ranking": of_part}]), alpha=1)
    difference = np.abs(picture[30, 40] - picture[30, 20]).max()
    assert difference < 3 if on_top == "whole" else difference > 40
    # One that does not say it leaves all of them in the order of their areas.
    picture = drawn(Masks.from_dense(both, meta=[{"ranking": 1}, {}]), alpha=1)
    assert np.abs(picture[30, 40] - picture[30, 20]).max() > 40


def test_masks_that_touch_differ_in_colour() -> None:
    stripes = np.arange(20)[:, None, None] == X // 4
    row = drawn(Masks.from_dense(stripes), alpha=1, outline=False)[30, 2::4]
    assert (np.abs(np.diff(row, axis=0)).max(axis=1) > 60).all()
    assert len(np.unique(row, axis=0)) > 4


def test_the_line_is_finer_than_pixels() -> None:
    picture = drawn(Masks.from_dense(LARGE), alpha=0)
    strength = np.abs(picture - 128).max(axis=2)
    assert len(np.unique(strength)) > 10
    assert strength[30, 40] == 0


def test_the_same_masks_give_the_same_picture() -> None:
    masks = Masks.from_dense(np.stack([LARGE, SMALL]))
    np.testing.assert_array_equal(drawn(masks), drawn(masks))


def test_prompts_are_marked_by_kind() -> None:
    asked = Prompt(points_xy=[(20, 20), (60, 40)], labels=[1, 0], box=(8, 8, 70, 52))
    picture = drawn(one(asked))
    green, red = picture[20 - 3, 20 - 2], picture[40 - 2, 60]
    assert green[1] > green[0] + 60
    assert red[0] > red[1] + 60
    assert np.abs(picture[30, 8] - 128).max() > 40
    assert (picture[30, 40] == 128).all()


@pytest.mark.parametrize("label", [0, 1])
def test_a_click_is_drawn_round_the_pixel_it_names(label: int) -> None:
    masks = one(Prompt(points_xy=[(30, 20)], labels=[label]))
    marked = (drawn(masks) != 128).any(axis=2)
    assert (X[marked].mean(), Y[marked].mean()) == pytest.approx((30, 20), abs=0.3)


def test_marks_can_be_left_out() -> None:
    masks = one(Prompt(points_xy=[(20, 20)]))
    assert (drawn(masks) != 128).any()
    assert (drawn(masks, prompts=False) == 128).all()


def test_a_crowd_of_prompts_is_drawn_only_on_demand() -> None:
    grid = [Prompt(points_xy=[(x, y)]) for x in range(10, 80, 20) for y in range(10, 60, 12)]
    masks = Masks.concat([one(prompt) for prompt in grid])
    assert (drawn(masks) == 128).all()
    assert (drawn(masks, prompts=True) != 128).any()


def test_three_answers_to_one_prompt_are_not_a_crowd() -> None:
    masks = Masks.concat([one(Prompt(points_xy=[(20, 20)])) for _ in range(20)])
    assert (drawn(masks) != 128).any()


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(points_xy=[(0, 0), (80, 60), (80, 0), (0, 60)], labels=[0, 1, 0, 1]),
        Prompt(box=(-40, -40, 200, 200)),
        Prompt(box=(-40, -40, -30, -30)),
        Prompt(box=(3, 3, 3.5, 50)),
        Prompt(mask=LARGE),
    ],
)
def test_prompts_at_and_over_the_border(prompt: Prompt) -> None:
    drawn(one(prompt))


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 300), (300, 1)])
def test_the_smallest_pictures(size_hw: tuple[int, int]) -> None:
    masks = Masks.from_dense(np.ones(size_hw, dtype=bool), prompts=(Prompt(points_xy=[(0, 0)]),))
    picture = draw.overlay(np.zeros((*size_hw, 3), dtype=np.uint8), masks)
    assert picture.size == size_hw[::-1]


# -------------------------------------------------------------------------- labels


def test_masks_of_one_label_have_one_colour() -> None:
    stripes = np.arange(4)[:, None, None] == X // 20
    masks = Masks.from_dense(stripes, labels=["dog", "cat", "dog", None])
    row = drawn(masks, alpha=1, outline=False, legend=False)[30, 10::20]
    np.testing.assert_array_equal(row[0], row[2])
    assert len(np.unique(row, axis=0)) == 3


def test_labels_are_listed_where_they_hide_least() -> None:
    big = np.zeros((200, 300, 3), dtype=np.uint8)
    y, x = np.mgrid[:200, :300]
    masks = Masks.from_dense((y < 150) & (x < 250), labels=["dog"])
    with_legend, without = (np.asarray(draw.overlay(big, masks, legend=v)) for v in (True, False))
    changed = (with_legend != without).any(axis=2)
    assert changed.any()
    assert not changed[:150, :250].any()
    unnamed = Masks.from_dense((y < 150) & (x < 250))
    np.testing.assert_array_equal(
        draw.overlay(big, unnamed, legend=True), draw.overlay(big, unnamed, legend=False)
    )


# ------------------------------------------------------------------------- cutout


def rgba(image: PIL.Image.Image) -> np.ndarray:
    assert image.mode == "RGBA"
    return np.asarray(image).astype(int)


@given(hnp.arrays(np.bool_, (6, 9)), st.sampled_from([0, 0.5, 1, 4]))
@settings(max_examples=40)
def test_nothing_is_left_outside(mask: np.ndarray, feather: float) -> None:
    cut = rgba(draw.cutout(PHOTO[:6, :9], mask, feather=feather))
    assert (cut[~mask] == 0).all()
    assert (cut[mask][:, 3] >= 63).all()
    np.testing.assert_array_equal(cut[mask][:, :3], PHOTO[:6, :9][mask])


def test_the_edge_is_one_pixel_soft() -> None:
    opacity = rgba(draw.cutout(PHOTO, X >= 40))[30, :, 3]
    assert (opacity[:40] == 0).all()
    assert 90 < opacity[40] < 165
    assert (opacity[41:] > 230).all()
    assert (opacity[42:] == 255).all()


def test_no_feather_means_a_hard_edge() -> None:
    opacity = rgba(draw.cutout(PHOTO, LARGE, feather=0))[..., 3]
    np.testing.assert_array_equal(opacity, 255 * LARGE)


def test_cropping_keeps_what_the_mask_needs() -> None:
    mask = np.zeros(SIZE_HW, dtype=bool)
    mask[10:20, 30:75] = True
    whole, part = draw.cutout(PHOTO, mask), draw.cutout(PHOTO, mask, crop=True)
    assert part.size == (45, 10)
    np.testing.assert_array_equal(rgba(part), rgba(whole)[10:20, 30:75])


def test_several_masks_are_cut_out_together() -> None:
    masks = Masks.from_dense(np.stack([X < 10, X > 70]))
    np.testing.assert_array_equal(
        rgba(masks.cutout(PHOTO)), rgba(draw.cutout(PHOTO, (X < 10) | (X > 70)))
    )


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("masks", [Masks.empty(SIZE_HW), Masks.from_dense(LARGE & False)])
def test_an_empty_mask_leaves_nothing(masks: Masks, crop: bool) -> None:
    cut = draw.cutout(PHOTO, masks, crop=crop)
    assert cut.size == (80, 60)
    assert not rgba(cut).any()


def see_through(alpha: np.ndarray, straight: np.ndarray = PHOTO) -> Image:
    """Give an image as `Image.open` does when it is transparent, on black."""
    shown = (straight.astype(int) * alpha[..., None] // 255).astype(np.uint8)
    return Image(shown, alpha=alpha, straight=straight)


@pytest.mark.parametrize("feather", [0, 1, 3])
def test_what_is_transparent_stays_transparent(feather: float) -> None:
    alpha = np.where(X < 30, 0, np.where(X < 50, 100, 255)).astype(np.uint8)
    cut = rgba(draw.cutout(see_through(alpha), LARGE, feather=feather))
    opaque = rgba(draw.cutout(PHOTO, LARGE, feather=feather))
    np.testing.assert_allclose(cut[..., 3], opaque[..., 3] * alpha / 255, atol=0.5)
    seen = cut[..., 3] > 0
    np.testing.assert_array_equal(cut[seen][:, :3], PHOTO[seen])
    assert (cut[~seen] == 0).all()


def test_a_transparent_file_is_cut_out_as_it_is(tmp_path: Path) -> None:
    colours = np.dstack([PHOTO, np.where(X < 40, 0, np.where(X < 60, 128, 255))]).astype(np.uint8)
    PIL.Image.fromarray(colours).save(tmp_path / "clear.png")
    for image in (tmp_path / "clear.png", colours, PIL.Image.fromarray(colours)):
        cut = rgba(Masks.from_dense(X >= 0).cutout(image, feather=0))
        np.testing.assert_array_equal(cut[:, 40:], colours[:, 40:])
        assert not cut[:, :40].any()


def test_an_overlay_shows_what_a_transparent_image_looks_like() -> None:
    image = see_through(np.where(X < 40, 0, 255).astype(np.uint8))
    picture = np.asarray(draw.overlay(image, Masks.from_dense(SMALL & False)))
    np.testing.assert_array_equal(picture, image.pixels)


# ------------------------------------------------------------------------- errors


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_out_of_range(alpha: float) -> None:
    with pytest.raises(InputError, match="alpha from 0 to 1, got"):
        draw.overlay(GREY, Masks.empty(SIZE_HW), alpha=alpha)


@pytest.mark.parametrize("feather", [-1, float("nan"), float("inf")])
def test_feather_out_of_range(feather: float) -> None:
    with pytest.raises(InputError, match="0 pixels or more, got"):
        draw.cutout(GREY, LARGE, feather=feather)


def test_masks_of_another_image() -> None:
    with pytest.raises(
        InputError, match=r"masks of \(h, w\) = \(60, 80\) like the image, got \(80, 60\)"
    ):
        draw.overlay(GREY, Masks.empty((80, 60)))
    with pytest.raises(InputError, match=r"got \(80, 60\)"):
        draw.cutout(GREY, LARGE.T)


def test_a_soft_cutout_is_cropped_to_what_is_seen() -> None:
    pixels = np.full((60, 80, 3), (20, 60, 190), np.uint8)
    pixels[20:40, 30:50] = (210, 40, 30)
    mask = np.zeros((60, 80), bool)
    mask[20:40, 30:50] = True
    whole = Masks.from_dense(mask).cutout(pixels, soft=True)
    assert whole.size == (80, 60) and whole.getpixel((0, 0)) == (0, 0, 0, 0)
    assert whole.getpixel((40, 30)) == (210, 40, 30, 255)
    cropped = Masks.from_dense(mask).cutout(pixels, soft=True, crop=True)
    left, top, right, bottom = whole.getchannel("A").getbbox()
    assert 20 <= right - left <= 22 and 20 <= bottom - top <= 22
    assert np.array_equal(cropped, np.asarray(whole)[top:bottom, left:right])
    assert Masks.from_dense(mask & False).cutout(pixels, soft=True).getextrema()[3] == (0, 0)
