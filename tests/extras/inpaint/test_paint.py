"""What every engine has to keep: each bit outside of the mask, the size, what is transparent."""

from __future__ import annotations

import io
import warnings

import numpy as np
import PIL.Image
import pytest
from tests.extras.inpaint.conftest import photo, square

from anymask import CapabilityError, Image, InputError, Masks
from anymask.extras import inpaint
from anymask.extras.inpaint import InpaintConfig
from anymask.extras.inpaint.engine import Engine
from anymask.extras.inpaint.region import grown


class Painter:
    """Paints one colour, and remembers what it was shown."""

    tasks = frozenset({"remove", "fill", "replace"})
    identity = {"engine": "painter"}  # noqa: RUF012

    def __init__(self, colour: int = 255) -> None:
        self.colour = colour
        self.seen: list[tuple] = []

    def paint(self, pixels, hole, request):
        self.seen.append((pixels, hole, request))
        return np.full_like(pixels, self.colour)


# ------------------------------------------------------------------ every engine


@pytest.mark.parametrize(("grow", "feather"), [(0, 0), (4, 0), (0, 5), (3, 4), (-3, 2)])
def test_no_pixel_outside_changes(engine: Engine, grow: int, feather: int) -> None:
    image, mask = photo(), square()
    result = inpaint(image, mask, engine=engine, grow=grow, feather=feather, steps=steps_of(engine))
    allowed = grown(grown(mask, grow), feather)
    np.testing.assert_array_equal(result.pixels[~allowed], image[~allowed])
    assert (result.pixels[grown(mask, grow)] != image[grown(mask, grow)]).any()
    assert result.size_hw == (80, 110) and result.alpha is None


def steps_of(engine: Engine) -> int | None:
    return 2 if "fill" in engine.tasks else None


def test_alpha_stays_outside_too(engine: Engine) -> None:
    image, mask = photo(channels=4, seed=1), square()
    before = Image.open(PIL.Image.fromarray(image), background=(9, 99, 199))
    result = inpaint(before, mask, engine=engine, steps=steps_of(engine))
    for name in ("pixels", "straight", "alpha"):
        after = getattr(result, name)
        np.testing.assert_array_equal(after[~mask], getattr(before, name)[~mask])
    file = io.BytesIO()
    result.save(file, "png")
    again = np.asarray(PIL.Image.open(file))
    np.testing.assert_array_equal(again[~mask], image[~mask])


def test_a_photo_that_is_turned_and_one_of_16_bits(engine: Engine) -> None:
    """Outside of the mask they are what `Image.open` gives: upright, 8 bits."""
    turned = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(photo((110, 80))).save(turned, "png", exif=exif)
    deep = (photo(channels=1)[..., 0].astype(np.uint16) * 257) ^ 77
    for source in (turned.getvalue(), deep):
        before, mask = Image.open(source), square()
        after = inpaint(source, mask, engine=engine, steps=steps_of(engine))
        assert after.size_hw == (80, 110)
        np.testing.assert_array_equal(after.pixels[~mask], before.pixels[~mask])


HOLES = {
    "one pixel": (slice(40, 41), slice(50, 51)),
    "touches all borders": None,
    "all but a corner": (slice(None), slice(None)),
    "a corner": (slice(0, 9), slice(0, 9)),
    "a column": (slice(None), slice(30, 33)),
}


@pytest.mark.parametrize("name", HOLES)
def test_odd_holes(engine: Engine, name: str) -> None:
    image = photo()
    mask = np.zeros(image.shape[:2], bool)
    if HOLES[name] is None:
        mask[38:42] = mask[:, 50:54] = True
    else:
        mask[HOLES[name]] = True
    if name == "all but a corner":
        mask[:3, :3] = False
    result = inpaint(image, mask, engine=engine, steps=steps_of(engine))
    np.testing.assert_array_equal(result.pixels[~mask], image[~mask])


@pytest.mark.parametrize("size", [(1, 2), (2, 1), (3, 3), (1, 40), (6, 5), (9, 30)])
def test_the_smallest_images(engine: Engine, size: tuple[int, int]) -> None:
    image, mask = photo(size), np.zeros(size, bool)
    mask[-1, -1] = True
    result = inpaint(image, mask, engine=engine, steps=steps_of(engine))
    np.testing.assert_array_equal(result.pixels[~mask], image[~mask])


def test_an_engine_that_is_told_to_work_smaller(engine: Engine) -> None:
    image, mask = photo((150, 200)), square((150, 200), (80, 60, 130, 100))
    result = inpaint(image, mask, engine=engine, size=64, steps=steps_of(engine))
    np.testing.assert_array_equal(result.pixels[~mask], image[~mask])
    assert (result.pixels[mask] != image[mask]).mean() > 0.5


def test_a_seed_means_the_same_again(engine: Engine) -> None:
    results = [
        inpaint(photo(), square(), engine=engine, seed=seed, steps=steps_of(engine)).pixels
        for seed in (5, 5)
    ]
    np.testing.assert_array_equal(*results)


# --------------------------------------------------------------------- the verb


def test_an_engine_sees_the_surroundings_only() -> None:
    image, painter = photo((900, 1200)), Painter()
    mask = square((900, 1200), (600, 500, 640, 530))
    mask[100, 100] = True
    inpaint(image, mask, engine=painter, margin=50)
    shapes = [pixels.shape for pixels, _, _ in painter.seen]
    assert shapes == [(101, 101, 3), (130, 140, 3)]
    assert [hole.sum() for _, hole, _ in painter.seen] == [1, 1200]
    assert painter.seen[1][1][50:80, 50:90].all()


def test_the_margin_follows_the_size_of_the_hole() -> None:
    painter = Painter()
    inpaint(photo((900, 1200)), square((900, 1200), (500, 400, 510, 410)), engine=painter)
    assert painter.seen[-1][0].shape == (266, 266, 3)
    inpaint(photo((900, 1200)), square((900, 1200), (300, 300, 700, 600)), engine=painter)
    assert painter.seen[-1][0].shape == (698, 798, 3)


def test_what_is_painted_when() -> None:
    image, mask = photo(), square()
    for task, words in (("remove", True), ("fill", "a bench"), ("replace", "a beach")):
        painter = Painter()
        result = inpaint(image, mask, engine=painter, **{task: words})
        changed = ~mask if task == "replace" else mask
        assert (result.pixels[changed] == 255).all()
        np.testing.assert_array_equal(result.pixels[~changed], image[~changed])
        request = painter.seen[0][2]
        assert request.task == task and request.prompt == ("" if words is True else words)


def test_feather_mixes_outside_of_the_mask() -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    mask = square((60, 60), (20, 20, 40, 40))
    row = inpaint(image, mask, engine=Painter(), feather=3).pixels[30, :, 0]
    assert row[15:21].tolist() == [0, 0, 64, 128, 191, 255]


def test_a_feather_larger_than_the_mask_covers_it_still() -> None:
    mask = square((60, 60), (30, 30, 31, 31))
    result = inpaint(np.zeros((60, 60, 3), np.uint8), mask, engine=Painter(), feather=25)
    assert result.pixels[30, 30].tolist() == [255, 255, 255]
    assert result.pixels[30, 3].tolist() == [0, 0, 0]


def test_what_a_model_found_grows_and_what_is_given_does_not() -> None:
    image, mask = photo((200, 300)), square((200, 300))
    for model, growth in ((None, 0), ("some-model", 3)):
        masks = Masks.from_dense(mask, model=model)
        result = inpaint(image, masks, engine=Painter(3))
        changed = (result.pixels != image).any(2) | (image == 3).all(2)
        np.testing.assert_array_equal(changed | grown(mask, growth), grown(mask, growth))
        assert changed[30 - growth, 50]
    kept = inpaint(image, masks, engine=Painter(3), replace="a beach").pixels
    np.testing.assert_array_equal(kept[mask], image[mask])


def test_several_masks_count_together() -> None:
    dense = np.stack([square(), square(box=(5, 5, 9, 9))])
    for masks in (dense, Masks.from_dense(dense)):
        result = inpaint(photo(), masks, engine=Painter())
        assert ((result.pixels == 255).all(2) == dense.any(0)).all()


def test_where_a_thing_is_removed_it_becomes_as_transparent_as_around() -> None:
    rgba = np.full((60, 80, 4), 200, np.uint8)
    rgba[..., 3] = 0
    rgba[20:40, 30:50] = (10, 20, 30, 255)
    mask = square((60, 80), (28, 18, 52, 42))
    removed = inpaint(PIL.Image.fromarray(rgba), mask, engine=Painter())
    assert removed.alpha is not None and not removed.alpha.any()
    filled = inpaint(PIL.Image.fromarray(rgba), mask, engine=Painter(7), fill="a bench")
    np.testing.assert_array_equal(filled.alpha, mask * np.uint8(255))
    assert (filled.pixels[mask] == 7).all() and (filled.pixels[~mask] == 255).all()


def test_colours_that_cannot_be_seen_are_not_shown_to_an_engine() -> None:
    rgba = np.full((60, 80, 4), 200, np.uint8)
    rgba[:, 50:] = (0, 255, 0, 0)
    painter = Painter()
    inpaint(PIL.Image.fromarray(rgba), square((60, 80), (40, 20, 50, 40)), engine=painter)
    assert (painter.seen[0][0] == 200).all()


def test_what_an_image_knows_stays() -> None:
    image = Image(photo(), source="truck.jpg")
    assert inpaint(image, square(), engine=Painter()).source == "truck.jpg"


def test_progress_is_told_and_may_end_the_work(engine: Engine) -> None:
    told: list[tuple[int, int]] = []
    inpaint(
        photo(),
        square(),
        engine=engine,
        steps=steps_of(engine),
        progress=lambda done, total: told.append((done, total)),
    )
    assert all(0 <= done <= total for done, total in told)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    if told:
        with pytest.raises(KeyboardInterrupt):
            inpaint(photo(), square(), engine=engine, progress=stop)


# --------------------------------------------------------------------- bad input

BAD = {
    "empty": ({"masks": np.zeros((80, 110), bool)}, "covers something, got an empty one"),
    "no masks": ({"masks": Masks.empty((80, 110))}, "covers something, got an empty one"),
    "whole": ({"masks": np.ones((80, 110), bool)}, "leaves some of the image around"),
    "grown to the whole": ({"grow": 200}, "leaves some of the image around"),
    "feathered to the whole": ({"feather": 200}, "leaves some of the image around"),
    "shrunk to nothing": ({"grow": -50}, "gone when it shrinks by 50 pixels"),
    "nothing to replace": (
        {"masks": np.ones((80, 110), bool), "replace": "a beach"},
        "leaves some background",
    ),
    "other size": ({"masks": square((40, 55), (1, 1, 5, 5))}, r"\(80, 110\), got \(40, 55\)"),
    "masks of other size": (
        {"masks": Masks.from_dense(np.ones((4, 5), bool))},
        r"\(80, 110\), got \(4, 5\)",
    ),
    "numbers": ({"masks": square().astype(np.uint8)}, "bool array .* got uint8"),
    "one dimension": ({"masks": np.ones(110, bool)}, "size|bool array"),
    "two wishes": ({"remove": True, "fill": "a bench"}, "got remove and fill"),
    "no words": ({"fill": "  "}, "says what to paint, got '  '"),
    "feather": ({"feather": -1}, "feather as a whole number of at least 0"),
    "margin": ({"margin": 0}, "margin as a whole number of at least 8"),
    "size": ({"size": 3}, "size as a whole number of at least 64"),
    "strength": ({"strength": 2.0}, "strength as a number from 0 to 1"),
    "unknown": ({"dilate": 15}, "settings of inpainting, grow, .* got 'dilate'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_sentence(name: str) -> None:
    options, message = BAD[name]
    masks = options.get("masks", square())
    rest = {key: value for key, value in options.items() if key != "masks"}
    painter = Painter()
    with pytest.raises(InputError, match=message):
        inpaint(photo(), masks, engine=painter, **rest)
    assert not painter.seen


def test_words_need_an_engine_that_knows_them(tiny_lama: Engine) -> None:
    with pytest.raises(CapabilityError, match=r"can paint 'a bench', got none; name one"):
        inpaint(photo(), square(), fill="a bench")
    for engine, name in ((tiny_lama, "lama"), ("telea", "telea")):
        with pytest.raises(CapabilityError, match=f"replace by text, got {name}, which can only"):
            inpaint(photo(), square(), replace="a beach", engine=engine)


@pytest.mark.parametrize(
    "given", [{"negative": "people"}, {"steps": 3}, {"strength": 0.5}, {"guidance": 0.0}]
)
def test_settings_that_an_engine_does_not_know_are_not_dropped(
    engine: Engine, given: dict[str, object]
) -> None:
    (name,) = given
    if "fill" in engine.tasks:
        pytest.skip("diffusion knows them")
    with pytest.raises(CapabilityError, match=f"expected no {name} for the engine .*; leave it"):
        inpaint(photo(), square(), engine=engine, **given)


def test_an_engine_that_gives_something_else() -> None:
    class Wrong(Painter):
        def paint(self, pixels, hole, request):
            return pixels[1:]

    with pytest.raises(InputError, match=r"expected uint8 \(80, 110, 3\) from Wrong.paint"):
        inpaint(photo(), square(), engine=Wrong())
    with pytest.raises(InputError, match="method paint, got int"):
        inpaint(photo(), square(), engine=3)


def test_settings_as_a_whole() -> None:
    painter = Painter()
    inpaint(photo(), square(), engine=painter, config=InpaintConfig(seed=3), negative="people")
    assert painter.seen[0][2].seed == 3 and painter.seen[0][2].negative == "people"


def test_nothing_is_warned_about_where_all_is_installed() -> None:
    pytest.importorskip("patchmatch_cython")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inpaint(photo(), square())
