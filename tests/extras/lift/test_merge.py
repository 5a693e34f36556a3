"""The merge has the recorded numbers of Pointcept's, and finds what a known scene holds."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymask import InputError, Masks
from anymask.extras import lift
from anymask.extras.lift import Frame, MergeConfig, PointCloud, merge, refine, transfer
from anymask.extras.lift.merge import adopt, close_up, drop_small, match
from anymask.image.image import Image

SAME_PLACE = 1e-3  # of the points may differ, where two neighbours are equally near
VIEWS = 5


@pytest.fixture(scope="module")
def recorded(shared_dir: Path) -> Any:
    path = shared_dir / "parity" / "cases" / "sam3d_merge" / "room_5_views.npz"
    if not path.is_file():
        pytest.skip(f"no file {path}")
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def recorded_frame(recorded: Any, k: int) -> Frame:
    shape = recorded[f"view{k}_masks_shape"]
    bits = np.unpackbits(recorded[f"view{k}_masks_packed"])[: np.prod(shape)]
    masks = Masks.from_dense(bits.reshape(shape).astype(bool))
    image = Image.open(recorded[f"view{k}_color"])
    depth = recorded[f"view{k}_depth"] / 1000
    return Frame(image, depth, recorded["intrinsics"], recorded[f"view{k}_pose"], masks)


def recorded_cloud(recorded: Any, k: int) -> PointCloud:
    """Lift a view, and number its masks as the reference does: from the last one, closed up."""
    frame = recorded_frame(recorded, k)
    cloud = frame.lift("first_on_top")
    assert frame.masks is not None
    ids = np.where(cloud.labels < 0, -1, len(frame.masks) - 1 - cloud.labels)
    return PointCloud(cloud.points, cloud.colors, close_up(ids))


def assert_nearly_all_equal(found: Any, expected: Any) -> None:
    assert found.shape == expected.shape
    assert np.count_nonzero(found != expected) <= SAME_PLACE * len(expected)


@pytest.mark.parametrize("k", range(VIEWS))
def test_a_view_has_the_recorded_points(recorded: Any, k: int) -> None:
    cloud = recorded_cloud(recorded, k)
    np.testing.assert_allclose(cloud.points[::17], recorded[f"view{k}_coord_sub"], atol=1e-9)
    assert np.array_equal(cloud.labels, recorded[f"view{k}_group"])
    voxels = cloud.voxelize(0.05)
    assert np.array_equal(voxels.labels, recorded[f"view{k}_voxel_group"])
    np.testing.assert_allclose(voxels.points[::9], recorded[f"view{k}_voxel_coord_sub"], atol=1e-9)
    assert np.array_equal(voxels.colors[::5], recorded[f"view{k}_voxel_color_sub"])


def test_a_pair_goes_through_the_recorded_steps(recorded: Any) -> None:
    first, second = (recorded_cloud(recorded, k).voxelize(0.05) for k in range(2))
    earlier, later = drop_small(first.labels, 50), drop_small(second.labels, 50)
    assert np.array_equal(earlier, recorded["pair_group0_small_removed"])
    assert np.array_equal(later, recorded["pair_group1_small_removed"])
    pairs = match(second.points, first.points, 0.075)
    assert_nearly_all_equal(pairs[:, 1], recorded["pair_match_1_to_0"][:, 1])
    later = adopt(later, earlier, pairs, 0.5)
    assert_nearly_all_equal(later, recorded["pair_group1_after"])
    pairs = match(first.points, second.points, 0.075)
    assert_nearly_all_equal(pairs[:, 1], recorded["pair_match_0_to_1"][:, 1])
    earlier = adopt(earlier, later, pairs, 0.5)
    assert_nearly_all_equal(earlier, recorded["pair_group0_after"])
    joined = close_up(np.concatenate([earlier, later]))
    assert_nearly_all_equal(joined, recorded["pair_concatenated"])


def test_all_views_merge_to_the_recorded_groups(recorded: Any) -> None:
    merged = merge(recorded_cloud(recorded, k) for k in range(VIEWS))
    assert_nearly_all_equal(merged.labels, recorded["final_group"])
    np.testing.assert_allclose(merged.points[::9], recorded["round2_0_coord_sub"], atol=1e-9)
    scene = lift([recorded_frame(recorded, k) for k in range(VIEWS)])
    assert np.array_equal(scene.cloud.labels, merged.labels)
    onto = transfer(merged, recorded["scene_coord"])
    assert_nearly_all_equal(onto, recorded["scene_group"])
    refined = refine(recorded["ensemble_input"], recorded["over_segments"])
    assert np.array_equal(refined, recorded["ensemble_group"])


def square(label: int, at: float = 0, n: int = 10) -> PointCloud:
    """A square of n x n points, each in the middle of its voxel, at x."""
    grid = np.stack([*np.mgrid[:n, :n], np.zeros((n, n))], axis=-1).reshape(-1, 3)
    points = grid * 0.05 + 0.025 + [at, 0, 0]
    return PointCloud(points, np.zeros((n * n, 3), np.uint8), np.full(n * n, label))


def test_what_half_overlaps_is_one_and_what_does_less_is_not() -> None:
    far = MergeConfig(reach=0.5)  # only points at the same place meet
    assert len(np.unique(merge([square(3), square(8, at=0.25)], far).labels)) == 1
    assert len(np.unique(merge([square(3), square(8, at=0.30)], far).labels)) == 2


def test_an_unlabelled_point_takes_the_label_at_its_place() -> None:
    merged = merge([square(5), square(-1)])
    assert np.unique(merged.labels).tolist() == [0]


def test_unlabelled_points_do_not_stand_in_the_way_of_a_majority() -> None:
    labels, others = np.zeros(10, np.int32), np.array([4] * 5 + [-1] * 5, np.int32)
    pairs = np.stack([np.arange(10)[::-1], np.arange(10)[::-1]], axis=1)  # -1 is met first
    assert adopt(labels, others, pairs, 0.5).tolist() == [4] * 10


def test_of_equal_partners_the_first_met_wins() -> None:
    labels = np.zeros(8, np.int32)
    others = np.array([7, 2, 7, 2, 7, 2, 7, 2], np.int32)
    pairs = np.stack([np.arange(8), np.arange(8)], axis=1)
    assert set(adopt(labels, others, pairs, 0.5).tolist()) == {7}
    assert set(adopt(labels, others, pairs[::-1], 0.5).tolist()) == {2}


def test_small_objects_are_dropped_at_the_end_and_in_pairs_only() -> None:
    assert merge([square(0, n=7)]).labels.tolist() == [-1] * 49
    assert len(merge([square(0, n=7)], MergeConfig(min_points=49)).labels) == 49
    assert (merge([square(0, n=7)], MergeConfig(min_points=49)).labels == 0).all()


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 11])
def test_the_counter_gives_the_rounds_of_a_pyramid(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs of neighbours, an odd last one passes: by names instead of by clouds."""
    module = importlib.import_module("anymask.extras.lift.merge")  # its name is its function's
    order: list[tuple[int, ...]] = []

    def join(first: PointCloud, second: PointCloud, config: MergeConfig) -> PointCloud:
        joined = PointCloud.concat([first, second])
        order.append(tuple(joined.points[:, 0].astype(int).tolist()))
        return joined

    monkeypatch.setattr(module, "_merge_pair", join)
    clouds = [
        PointCloud(np.array([[i, 0, 0]]), np.zeros((1, 3), np.uint8), np.array([0]))
        for i in range(n)
    ]
    merge(clouds, MergeConfig(min_points=0))
    expected, level = set(), [(i,) for i in range(n)]
    while len(level) > 1:
        pairs = [tuple(level[i : i + 2]) for i in range(0, len(level), 2)]
        level = [sum(pair, ()) for pair in pairs]
        expected |= {group for group, pair in zip(level, pairs, strict=True) if len(pair) == 2}
    assert set(order) == expected


def test_a_known_room_has_its_things(views: list[Frame]) -> None:
    scene = lift(views)
    assert sorted(one.name or "" for one in scene.objects) == ["crate", "floor", "pillar"]
    assert all(one.frames == 5 for one in scene.objects)
    pillar = next(one for one in scene.objects if one.name == "pillar")
    assert pillar.box is not None
    np.testing.assert_allclose(pillar.box.size[0], 1.0, atol=0.12)  # a voxel at each end
    # Only its front is seen, so that its middle lies up to half its depth before the true one.
    np.testing.assert_allclose(pillar.box.center, (-0.6, -0.3, 0.5), atol=0.2)
    of_floor = scene.cloud.labels == next(o.label for o in scene.objects if o.name == "floor")
    np.testing.assert_allclose(scene.cloud.points[of_floor, 2], 0, atol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: merge([]), "expected at least one cloud with points, got none"),
        (lambda: merge([square(0)[:0]]), "expected at least one cloud with points"),
        (lambda: MergeConfig(voxel_size=0), "expected voxel_size as a number of at least"),
        (lambda: MergeConfig(min_overlap=2), "expected min_overlap .* got 2"),
        (lambda: square(0).voxelize(-1), "expected a voxel size above 0 in metres, got -1"),
        (lambda: square(0).voxelize(1e-20), "expected voxels that can be numbered"),
        (lambda: transfer(square(0), [[0, 1]]), r"expected finite points of shape \(n, 3\)"),
        (lambda: transfer(square(0)[:0], [[0, 1, 2]]), "expected a cloud with points"),
        (lambda: refine([0, 1], [0]), "expected labels and segments of one length"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
