"""Drag-in: where a thing lands, what stays as it was, and what cannot be pasted."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

from anymask import Image, InputError, Masks
from anymask.extras import paste
from anymask.extras.inpaint.poisson import membrane


def noise(h: int = 40, w: int = 60, seed: int = 0, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, channels), dtype=np.uint8)


def thing(h: int = 12, w: int = 16, seed: int = 1) -> np.ndarray:
    """An ellipse with a soft edge, on nothing."""
    y, x = np.mgrid[:h, :w]
    radius = np.hypot((x - (w - 1) / 2) / (w / 2), (y - (h - 1) / 2) / (h / 2))
    alpha = np.clip(255 * (1 - radius) * 4, 0, 255).astype(np.uint8)
    return np.dstack([noise(h, w, seed), alpha])


@pytest.mark.parametrize("blend", ["alpha", "poisson"])
@pytest.mark.parametrize("shadow", [False, True])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"scale": 0.6},
        {"scale": 2.3},
        {"rotate": 90},
        {"rotate": -33.0},
        {"scale": 3, "rotate": 200},
        {"at": (0, 0)},
        {"at": (58, 39), "scale": 2},
    ],
)
def test_outside_of_the_pasted_every_bit_stays(how: dict, shadow: bool, blend: str) -> None:
    onto = noise()
    pasted = paste(thing(), onto, **{"at": (30, 20)} | how, blend=blend, shadow=shadow)
    changed = (pasted.image.pixels != onto).any(2)
    covered = (pasted.alpha > 0) | (pasted.shadow > 0)
    assert not (changed & ~covered).any()
    assert pasted.shadow.any() == shadow
    assert pasted.alpha.any() and pasted.masks.size_hw == (40, 60)
    if blend == "alpha" and not shadow:
        assert changed[pasted.alpha == 255].mean() > 0.9


@pytest.mark.parametrize("turns", range(-4, 5))
def test_whole_turns_keep_every_pixel(turns: int) -> None:
    cut = np.dstack([noise(7, 10), np.full((7, 10), 255, np.uint8)])
    cut[0, 0, 3] = 0
    pasted = paste(cut, np.zeros((40, 60, 3), np.uint8), at=(30, 20), rotate=90 * turns)
    x0, y0, x1, y1 = pasted.masks.boxes[0].astype(int)
    part = pasted.image.pixels[y0 : y1 + 1, x0 : x1 + 1]
    expected = np.rot90(cut[..., :3] * (cut[..., 3:] > 0), turns)
    np.testing.assert_array_equal(part, expected)
    assert abs((x0 + x1) / 2 - 30) <= 0.5 and abs((y0 + y1) / 2 - 20) <= 0.5


@pytest.mark.parametrize(("scale", "rotate"), [(1, 0), (2.5, 0), (0.5, 0), (2, 45), (1, 120)])
def test_place_and_size(scale: float, rotate: float) -> None:
    disk = thing(20, 20)
    pasted = paste(disk, np.zeros((90, 120, 3), np.uint8), at=(70, 40), scale=scale, rotate=rotate)
    ys, xs = np.nonzero(pasted.masks.dense()[0])
    assert abs(xs.mean() - 70) < 0.6 and abs(ys.mean() - 40) < 0.6
    area = (disk[..., 3] >= 128).sum() * scale**2
    assert len(xs) == pytest.approx(area, rel=0.12)


def test_a_turn_is_counter_clockwise() -> None:
    bar = np.zeros((21, 21, 4), np.uint8)
    bar[8:13] = 255
    bar[8:13, :5, :3] = (255, 0, 0)  # the left end
    for rotate, (x, y) in {90: (30, 27), 89: (30, 27), -90: (30, 13), 45: (25, 25)}.items():
        red = paste(bar, np.zeros((40, 60, 3), np.uint8), at=(30, 20), rotate=rotate).image
        assert red.pixels[y, x, 0] > 200 and red.pixels[y, x, 1] < 60, rotate


def test_what_reaches_over_the_border_is_cut_off() -> None:
    cut, onto = noise(30, 30), noise(20, 20, 3)
    pasted = paste(cut, onto, at=(0, 19), mask=np.ones((30, 30), bool))
    np.testing.assert_array_equal(pasted.image.pixels[5:, :16], cut[:15, 14:])
    np.testing.assert_array_equal(pasted.image.pixels[:5], onto[:5])
    huge = paste(thing(), onto, at=(10, 10), scale=1000)
    assert (huge.alpha == 255).all() and huge.image.size_hw == (20, 20)


def test_images_of_one_pixel() -> None:
    one = np.zeros((40, 60), bool)
    one[20, 30] = True
    assert paste(noise(), noise(), at=(9, 9), mask=one).alpha[9, 9] > 0
    dot = np.full((1, 1, 4), (9, 8, 7, 128), np.uint8)
    for blend in ("alpha", "poisson"):
        pasted = paste(dot, np.zeros((1, 1, 3), np.uint8), at=(0, 0), blend=blend, shadow=True)
        assert pasted.alpha.tolist() == [[128]]
    assert (paste(dot, noise(), at=(59, 39), scale=9.0, rotate=10).alpha > 0).sum() > 10


def test_a_transparent_background_stays_one() -> None:
    onto = noise(channels=4)
    onto[:20, :, 3] = 0
    photo = Image.open(onto)
    for blend in ("alpha", "poisson"):
        pasted = paste(thing(), photo, at=(30, 20), blend=blend, shadow=True)
        same = (pasted.alpha == 0) & (pasted.shadow == 0)
        for name in ("pixels", "alpha", "straight"):
            before, after = getattr(photo, name), getattr(pasted.image, name)
            np.testing.assert_array_equal(after[same], before[same])
        assert (pasted.image.alpha[pasted.alpha == 255] == 255).all()
        assert (pasted.image.alpha[same & (np.mgrid[:40, :60][0] < 20)] == 0).all()
    alone = paste(thing(), photo, at=(30, 8))
    opaque = alone.alpha == 255
    np.testing.assert_array_equal(alone.image.straight[opaque], alone.image.pixels[opaque])


def test_a_mask_takes_the_place_of_transparency() -> None:
    photo, onto = noise(20, 30, 4), noise()
    mask = np.zeros((20, 30), bool)
    mask[5:15, 8:20] = True
    hard = paste(photo, onto, at=(30, 20), mask=mask, blend="poisson")
    assert hard.masks.areas.tolist() == [120]
    assert paste(photo, onto, at=(30, 20), mask=Masks.from_dense(mask)).masks.areas[0] > 60
    with pytest.raises(InputError, match=r"masks of \(h, w\) = \(20, 30\) like the image"):
        paste(photo, onto, at=(30, 20), mask=np.ones((30, 20), bool))
    with pytest.raises(InputError, match="a mask that covers something, got nothing"):
        paste(photo, onto, at=(30, 20), mask=np.zeros((20, 30), bool))


# ------------------------------------------------------------- gradient domain


def test_a_harmonised_thing_has_its_own_gradients_and_the_light_around_it() -> None:
    texture = np.tile(np.array([[0, 30], [30, 0]], np.uint8), (15, 15))[..., None]
    cut = np.broadcast_to(texture + 150, (30, 30, 3))
    onto = np.full((60, 80, 3), (40, 60, 90), np.uint8)
    everything = np.ones((30, 30), bool)
    pasted = paste(cut, onto, at=(40, 30), mask=everything, blend="poisson").image
    pasted = pasted.pixels[16:44, 26:54].astype(int)
    assert np.abs(pasted.mean((0, 1)) - (40, 60, 90)).max() < 5  # the light of what is around
    assert np.abs(np.diff(pasted[10:18, 10:18], axis=0)).mean() == pytest.approx(30, abs=1.5)


def test_the_seam_is_gone() -> None:
    """Across the edge, a poisson blend has steps like those beside it; an alpha blend has not."""
    ramp = np.repeat(np.linspace(30, 120, 80)[None], 60, 0).astype(np.uint8)
    onto, cut = np.dstack([ramp] * 3), np.dstack([np.clip(ramp[:30, :40] + 100, 0, 255)] * 3)
    steps = {}
    for blend in ("alpha", "poisson"):
        pasted = paste(cut, onto, at=(40, 30), mask=np.ones((30, 40), bool), blend=blend)
        steps[blend] = np.abs(np.diff(pasted.image.pixels[:, :, 0].astype(int), axis=0)).max()
    assert steps["alpha"] > 60 and steps["poisson"] <= 4


def test_the_membrane_is_the_solution_of_laplaces_equation() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    from scipy.sparse.linalg import spsolve

    h, w = 37, 50
    y, x = np.mgrid[:h, :w]
    known = np.abs(np.hypot(x - 25, (y - 18) * 1.3) + 3 * np.sin(x) - 18) < 1
    values = np.random.default_rng(0).uniform(-100, 100, (h, w, 2)).astype(np.float32)
    number = np.arange(h * w).reshape(h, w)
    pairs = [(number[:, :-1], number[:, 1:]), (number[:-1], number[1:])]
    edges = np.concatenate([np.stack([a.ravel(), b.ravel()]) for a, b in pairs], axis=1)
    a, b = np.concatenate([edges, edges[::-1]], axis=1)
    adjacent = sparse.csr_matrix((np.ones(len(a)), (a, b)), (h * w, h * w))
    laplace = (sparse.diags(np.asarray(adjacent.sum(1)).ravel()) - adjacent).tocsr()
    fixed = known.ravel()
    exact = values.reshape(-1, 2).astype(float)
    right = -laplace[~fixed][:, fixed] @ exact[fixed]
    exact[~fixed] = spsolve(laplace[~fixed][:, ~fixed].tocsc(), right)
    found = membrane(values, known)
    assert np.abs(found - exact.reshape(h, w, 2)).max() < 0.25
    np.testing.assert_array_equal(found[known], values[known])


# -------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0}, "expected a scale above 0, got 0"),
        ({"scale": -1}, "scale"),
        ({"scale": float("nan")}, "scale"),
        ({"scale": float("inf")}, "scale"),
        ({"scale": 1e9}, "scale .* from 0 to 1000"),
        ({"scale": 0.001}, "leaves a pixel of the thing, which is 16 x 12, got 0.001"),
        ({"rotate": float("nan")}, "rotate"),
        ({"blend": "multiply"}, "blend"),
        ({"size": 3}, "settings of pasting, scale, rotate, blend, shadow, got 'size'"),
        ({"at": (500, 20)}, "some of the thing lies in the 60 x 40 image, got 500,20; move"),
        ({"at": (-9, 20)}, "lies in the 60 x 40 image"),
        ({"at": (1e300, -1e300), "rotate": 4}, "lies in the 60 x 40 image"),
        ({"at": (float("nan"), 2)}, "a place as two numbers"),
        ({"at": (1, 2, 3)}, "a place as two numbers"),
        ({"at": "here"}, "a place as two numbers"),
    ],
)
def test_what_cannot_be(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        paste(thing(), noise(), **{"at": (30, 20)} | options)


def test_a_cut_out_without_transparency_is_none() -> None:
    for opaque in (noise(), np.dstack([noise(), np.full((40, 60), 255, np.uint8)])):
        with pytest.raises(InputError, match=r"opaque everywhere; cut the thing out first"):
            paste(opaque, noise(), at=(1, 1))
    with pytest.raises(InputError, match="nothing but transparency"):
        paste(PIL.Image.new("RGBA", (5, 5)), noise(), at=(1, 1))
