"""Soft edges: they lie where the image has them, whatever the mask missed by a little."""

from __future__ import annotations

import numpy as np
import pytest

from anymask.masks import matting
from anymask.masks.matting import soften

RED, BLUE = np.array([210, 40, 30]), np.array([20, 60, 190])


def mixed(alpha: np.ndarray) -> np.ndarray:
    """Lay red over blue."""
    return np.rint(alpha[..., None] * RED + (1 - alpha[..., None]) * BLUE).astype(np.uint8)


def strands() -> np.ndarray:
    """Draw a body with fine hairs on its right, between which the background shows."""
    y, x = np.mgrid[:200, :300]
    hair = (0.5 + 0.5 * np.cos(y * 2 * np.pi / 7)) * np.clip((156 - x) / 6, 0, 1)
    return np.where(x < 150, 1.0, hair)


def test_hair_comes_out_strand_by_strand() -> None:
    alpha = strands()
    mask = alpha > 0.9  # as a model sees it: without a single hair
    found = soften(mixed(alpha), mask)
    near = (alpha > 0) & (alpha < 1)
    error = np.abs(found.alpha / 255 - alpha)[near].mean()
    assert error < 0.4 * np.abs(mask - alpha)[near].mean()


def test_no_background_stays_in_the_colours() -> None:
    alpha = strands()
    pixels = mixed(alpha)
    found = soften(pixels, alpha > 0.9)
    half = (found.alpha > 80) & (found.alpha < 180)
    assert half.sum() > 50
    halo = np.abs(pixels[half].astype(int) - RED).mean()
    assert np.abs(found.colours[half].astype(int) - RED).mean() < 0.3 * halo


def test_a_hard_edge_moves_to_where_it_is_and_stays_hard() -> None:
    truth = np.zeros((200, 300))
    truth[50:150, 80:220] = 1
    missed = np.roll(truth > 0, (1, 2), axis=(0, 1))
    alpha = soften(mixed(truth), missed).alpha
    assert ((alpha >= 128) == (truth > 0)).mean() > 0.9995
    assert ((alpha > 10) & (alpha < 245)).mean() < 0.001


def test_where_the_sides_look_alike_the_mask_decides() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(90, 160, (120, 160, 3), dtype=np.uint8)
    mask = np.zeros((120, 160), bool)
    mask[40:80, 50:110] = True
    alpha = soften(pixels, mask).alpha.astype(float) / 255
    inner, outer = np.zeros_like(mask), np.ones_like(mask)
    inner[42:78, 52:108], outer[38:82, 48:112] = True, False
    assert alpha[inner].min() > 0.85 and alpha[outer].max() < 0.15


def test_what_looks_like_the_object_further_off_is_not_it() -> None:
    truth = np.zeros((200, 300))
    truth[80:120, 100:140] = 1
    also = truth.copy()
    also[80:120, 180:220] = 1
    alpha = soften(mixed(also), truth > 0).alpha
    assert alpha[:, 160:].max() == 0


def test_a_mask_has_no_edge_at_the_border() -> None:
    truth = np.zeros((100, 150))
    truth[40:, :90] = 1
    alpha = soften(mixed(truth), truth > 0).alpha
    assert alpha[45:, :85].min() == 255
    assert alpha[-1, 0] == alpha[60, 0] == alpha[-1, 80] == 255


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 9), (8, 8), (2, 3000), (3000, 2)])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_any_size(size_hw: tuple[int, int], share: float) -> None:
    places = np.arange(size_hw[0] * size_hw[1]).reshape(size_hw)
    mask = places < share * places.size
    pixels = mixed(mask.astype(float))
    found = soften(pixels, mask)
    assert ((found.alpha >= 128) == mask).mean() > 0.9
    assert found.colours.shape == pixels.shape
    if share in (0, 1):
        assert set(np.unique(found.alpha)) == {int(255 * share)}
        assert np.array_equal(found.colours, pixels)


def test_tiles_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    alpha = strands()
    whole = soften(mixed(alpha), alpha > 0.9)
    monkeypatch.setattr(matting, "_TILE", 37)
    tiled = soften(mixed(alpha), alpha > 0.9)
    assert np.abs(whole.alpha.astype(int) - tiled.alpha).max() <= 1
    assert np.abs(whole.colours.astype(int) - tiled.colours).max() <= 1


def test_what_it_is_given_stays_as_it_is() -> None:
    pixels, mask = mixed(strands()), strands() > 0.9
    before = pixels.copy(), mask.copy()
    pixels.flags.writeable = mask.flags.writeable = False
    soften(pixels, mask)
    assert np.array_equal(pixels, before[0]) and np.array_equal(mask, before[1])
