"""Painting without weights: which engine when, and whether what it paints belongs there."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest
from tests.extras.inpaint.conftest import photo, square

from anymask import MissingExtraError
from anymask.extras import inpaint
from anymask.extras.inpaint.classical import Classical, PatchMatch, Telea
from anymask.extras.inpaint.engine import Request

COFFEE = Path(__file__).parents[3] / "docs/pictures/coffee.jpg"
needs_patchmatch = pytest.mark.usefixtures("patchmatch")


@pytest.fixture
def patchmatch() -> None:
    pytest.importorskip("patchmatch_cython")


@needs_patchmatch
def test_a_pattern_goes_on() -> None:
    """Stripes are copied where they belong: more alike than any smooth filling could be."""
    stripes = np.zeros((160, 200, 3), np.uint8)
    stripes[:, np.arange(200) % 10 < 5] = (200, 120, 40)
    mask = square((160, 200), (80, 60, 121, 101))
    painted = inpaint(stripes, mask, engine="patchmatch").pixels
    error = np.abs(painted[mask].astype(int) - stripes[mask]).mean()
    smooth = np.abs(inpaint(stripes, mask, engine="telea").pixels[mask].astype(int) - stripes[mask])
    assert error < 20 < smooth.mean()


@needs_patchmatch
def test_nothing_of_what_is_removed_comes_back() -> None:
    wall = photo((160, 200)) // 2
    mask = square((160, 200), (80, 60, 121, 101))
    wall[mask] = (255, 0, 255)
    for engine in ("patchmatch", "classical", "telea"):
        painted = inpaint(wall, mask, engine=engine).pixels[mask]
        assert painted.max() < 140, engine


@needs_patchmatch
def test_what_is_near_is_preferred() -> None:
    """Where a spoon lay is saucer, which is red, and no wood, though it would fit as well."""
    outline = [(395, 60), (430, 60), (420, 130), (392, 215), (412, 265), (412, 310), (390, 332)]
    outline += [(345, 332), (318, 295), (325, 255), (360, 238), (372, 222), (400, 150)]
    drawn = PIL.Image.new("L", (600, 400))
    PIL.ImageDraw.Draw(drawn).polygon(outline, fill=255)
    mask = np.asarray(drawn) > 0
    painted = inpaint(COFFEE, mask, engine="patchmatch").pixels
    bowl = painted[240:330, 320:410][mask[240:330, 320:410]]
    assert (bowl[:, 1] > 60).mean() < 0.1, "half of it, without a price on distance"


@needs_patchmatch
def test_thin_holes_are_for_telea() -> None:
    thin, thick = square(box=(10, 40, 100, 44)), square(box=(10, 40, 100, 60))
    engine = Classical()
    assert isinstance(engine._choose(thin), Telea)
    assert isinstance(engine._choose(thick), PatchMatch)


def test_without_patchmatch_telea_takes_its_place_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("cv2")
    monkeypatch.setitem(sys.modules, "patchmatch_cython", None)
    with pytest.warns(UserWarning, match=r"Telea, which blurs .* pip install 'anymask\[inpaint\]'"):
        result = inpaint(photo(), square())
    expected = inpaint(photo(), square(), engine="telea")
    np.testing.assert_array_equal(result.pixels, expected.pixels)
    with pytest.raises(MissingExtraError, match=r"'patchmatch_cython'.*anymask\[inpaint\]"):
        inpaint(photo(), square(), engine="patchmatch")


def test_the_core_install_says_which_line_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("patchmatch_cython", "cv2"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"neither is installed; run: pip install 'anymask"):
        inpaint(photo(), square())
    with pytest.raises(MissingExtraError, match=r"'cv2'.*pip install 'anymask\[inpaint\]'"):
        inpaint(photo(), square(), engine="telea")


@needs_patchmatch
def test_a_large_hole_is_painted_in_bounded_time_and_memory() -> None:
    """Beyond so many pixels no further search is made, and beyond a side all is scaled down."""
    calls: list[tuple[int, int]] = []
    hole = square((300, 2600), (100, 100, 2500, 200))
    request = Request(task="remove", progress=lambda done, total: calls.append((done, total)))
    image = photo((300, 2600))
    painted = PatchMatch().paint(image, hole, request)
    assert painted.shape == image.shape
    assert calls[-1] == (calls[-1][1], calls[-1][1])
    within = painted[hole].astype(int)
    assert within.min() >= 0 and abs(within.mean() - image[~hole].mean()) < 30


@needs_patchmatch
def test_a_sky_has_no_seam_where_patches_of_two_sides_meet() -> None:
    y, x = np.mgrid[:160, :200]
    truth = np.stack([60 + 0.5 * x, 40 + 0.4 * y + 0.2 * x, 150 - 0.3 * x], axis=-1)
    image = (truth + np.random.default_rng(0).normal(0, 1.5, truth.shape)).round().astype(np.uint8)
    hole = np.zeros(truth.shape[:2], bool)
    hole[40:120, 70:130] = True
    painted = inpaint(np.where(hole[..., None], np.uint8(255), image), hole, engine="patchmatch")
    off = np.abs(painted.pixels - truth)[hole]
    assert off.mean() < 2  # of which the noise is 1.2; it was 4.3 as the patches are


@needs_patchmatch
def test_an_edge_that_is_more_than_faint_stays() -> None:
    image = np.full((120, 160, 3), 60, np.uint8)
    image[:, 80:] = 130
    hole = np.zeros((120, 160), bool)
    hole[40:80, 60:100] = True
    painted = inpaint(np.where(hole[..., None], np.uint8(255), image), hole, engine="patchmatch")
    across = painted.pixels[hole].reshape(40, 40, 3)[..., 0].astype(int)
    assert (np.diff(across, axis=1).max(axis=1) >= 60).all()  # not smeared over the hole
