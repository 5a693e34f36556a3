from __future__ import annotations

import numpy as np
import pytest

import anymask
from anymask.errors import InputError
from anymask.extras.depth import DepthMap, draw, measure
from anymask.masks.masks import Masks


@pytest.mark.parametrize("kind", ["metric", "relative"])
def test_order_and_occlusions_of_a_known_scene(scene, kind) -> None:
    metres, masks = scene
    values = metres if kind == "metric" else 40 / metres - 3  # any scale and zero
    found = measure(DepthMap(values, kind), masks)
    assert [masks.labels[i] for i in found.order] == ["front", "back", "floor", "wall"]
    assert [one.rank for one in found.depths] == [4, 3, 2, 1]
    hints = {(masks.labels[o.front], masks.labels[o.behind]) for o in found.occlusions}
    # The boxes hide what is behind; floor and wall meet, though their slopes differ.
    assert ("floor", "wall") not in hints and ("wall", "floor") not in hints
    assert {("front", "back"), ("front", "wall"), ("back", "wall"), ("front", "floor")} <= hints
    assert not any((behind, front) in hints for front, behind in hints)


@pytest.mark.parametrize("seed", range(3))
def test_a_slanted_surface_in_two_masks_hides_nothing(seed) -> None:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:50, :70]
    inverse = 0.2 + 0.01 * x + 0.005 * y + rng.normal(0, 1e-3, x.shape)
    masks = np.stack([x < 35, x >= 35])
    assert measure(DepthMap(1 / inverse, "metric"), Masks.from_dense(masks)).occlusions == ()
    inverse = inverse + 0.2 * (x >= 35)
    (hint,) = measure(DepthMap(1 / inverse, "metric"), Masks.from_dense(masks)).occlusions
    assert (hint.front, hint.behind) == (1, 0)
    assert hint.share == 1


def test_a_plane_in_space_is_fitted_exactly_whatever_the_camera() -> None:
    y, x = np.mgrid[:40, :60].astype(float)
    inverse = 0.3 + 0.004 * x - 0.002 * y
    mask = np.zeros((40, 60), bool)
    mask[5:30, 10:50] = True
    metric = measure(DepthMap(1 / inverse, "metric"), Masks.from_dense(mask)).depths[0].plane
    assert metric.a == pytest.approx(0.004, rel=1e-4)
    assert metric.b == pytest.approx(-0.002, rel=1e-4)
    assert metric.c == pytest.approx(0.3, rel=1e-4)
    assert metric.residual < 1e-5
    assert metric.explained == pytest.approx(1)
    relative = measure(DepthMap(100 * inverse - 7), Masks.from_dense(mask)).depths[0].plane
    assert relative.a == pytest.approx(0.4, rel=1e-4)
    assert relative.residual < 1e-4


def test_the_residual_is_in_metres() -> None:
    rng = np.random.default_rng(0)
    metres = 4 + rng.normal(0, 0.05, (60, 60))
    (one,) = measure(DepthMap(metres, "metric"), Masks.from_dense(np.ones((60, 60), bool))).depths
    assert one.plane.residual == pytest.approx(0.05, rel=0.05)
    assert one.plane.explained < 0.05
    assert one.median == pytest.approx(4, abs=0.01)
    assert one.p10 == pytest.approx(4 - 1.2816 * 0.05, abs=0.01)
    assert one.p90 == pytest.approx(4 + 1.2816 * 0.05, abs=0.01)


def test_unknown_pixels_empty_masks_and_lines_of_pixels() -> None:
    metres = np.full((20, 30), 2.0)
    metres[:, 15:] = np.nan
    metres[0, 0] = 3
    masks = np.zeros((4, 20, 30), bool)
    masks[0, 5:10, 10:20] = True  # half known
    masks[1, 5:10, 20:25] = True  # unknown
    masks[3, 12, 2:9] = True  # a line: no plane
    found = measure(DepthMap(metres, "metric"), Masks.from_dense(masks))
    half, unknown, empty, line = found.depths
    assert (half.median, half.known) == (2, 0.5)
    assert half.plane.explained is None
    assert (unknown.median, unknown.known, unknown.rank, unknown.plane) == (None, 0, None, None)
    assert empty == unknown
    assert (line.median, line.plane) == (2, None)
    assert found.order == (0, 3, 1, 2)
    assert found.occlusions == ()


def test_records_hold_it_and_survive_a_file(scene, tmp_path) -> None:
    metres, masks = scene
    found = measure(DepthMap(metres, "metric", source="d.npy"), masks)
    found.masks.save(tmp_path / "masks.json")
    again = anymask.read(tmp_path / "masks.json")
    assert again.meta[3]["depth"]["median"] == 2
    assert again.meta[3]["depth"]["rank"] == 1
    about = again.image_meta["depth"]
    assert (about["kind"], about["unit"], about["order"]) == ("metric", "m", [3, 2, 1, 0])
    assert {"front", "behind", "border", "share", "jump"} == set(about["occlusions"][0])
    assert [one.labels[0] for one in found.sorted] == ["front", "back", "floor", "wall"]


def test_depth_of_another_size_is_said_or_refused(scene) -> None:
    metres, masks = scene
    depth = DepthMap(metres[::2, ::2], "metric")
    with pytest.warns(UserWarning, match="40 x 30 pixels and the image 80 x 60"):
        assert measure(depth, masks).depths[3].median == pytest.approx(2, abs=0.01)
    with pytest.raises(InputError, match="proportions, got 80 x 50"):
        measure(DepthMap(metres[:50], "metric"), masks)
    with pytest.raises(InputError, match="min_jump"):
        measure(depth, masks, min_jump=0)


def test_the_picture_shows_near_things_light_and_over_far_ones(scene) -> None:
    metres, masks = scene
    photo = np.full((60, 80, 3), 120, np.uint8)
    depth = DepthMap(metres, "metric")
    found = measure(depth, masks)
    picture = np.asarray(draw(photo, found, numbers=False)).astype(int)
    assert picture.shape[0] == 120  # enlarged, so that letters can be read
    coloured = np.asarray(depth.draw()).astype(int).sum(axis=2)
    assert coloured[40, 40] > coloured[20, 15] > coloured[5, 5]
    third = picture[:, -160:].sum(axis=2)
    assert third[80, 80] > third[40, 30] > third[10, 10]
    two = DepthMap(metres, "metric")
    assert draw(photo, two).width < picture.shape[1]
