"""Scenes: of one image, of folders, what is written and drawn, and the folder for SAM 3D."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import anymask
from anymask import InputError, Masks, MissingExtraError, OutputError
from anymask.extras import lift
from anymask.extras.lift import Frame, PointCloud, write_sam3d_objects
from anymask.extras.lift.objects import OrientedBox
from anymask.formats import coco

WriteScan = Callable[..., Path]
K = (5.0, 5.0, 3.0, 2.0)


def test_one_image_has_an_object_for_each_mask() -> None:
    dense = np.zeros((3, 4, 6), bool)
    dense[0, :, :3], dense[1, 0, 5], dense[2, 3, 3:] = True, True, True
    depth = np.arange(1.0, 25).reshape(4, 6)
    depth[0, 5] = 0
    masks = Masks.from_dense(dense, labels=["cup", "spoon", None])
    scene = lift(np.zeros((4, 6, 3), np.uint8), depth, K, masks)
    assert [(o.label, o.name, o.points) for o in scene.objects] == [
        (0, "cup", 12),
        (1, "spoon", 0),
        (2, None, 3),
    ]
    assert scene.objects[1].box is None  # all its depth is missing
    assert scene.objects[1].to_dict()["centroid"] is None
    assert np.count_nonzero(scene.cloud.labels == -1) == 23 - 15
    points = scene.cloud.points[scene.cloud.labels == 2]
    np.testing.assert_allclose(scene.objects[2].centroid, points.mean(axis=0))  # type: ignore[arg-type]


def test_no_masks_at_all_leave_points_without_objects() -> None:
    depth = np.arange(1.0, 25).reshape(4, 6)
    scene = lift(np.zeros((4, 6, 3), np.uint8), depth, K, Masks.empty((4, 6)))
    assert (len(scene.cloud), scene.objects) == (24, ())


def test_a_box_is_found_however_it_is_turned() -> None:
    rng = np.random.default_rng(3)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    corners = np.array([[x, y, z] for x in (0, 4) for y in (0, 2) for z in (0, 1)], float)
    box = OrientedBox.around(corners @ turn.T + [7, 8, 9])
    np.testing.assert_allclose(box.size, [4, 2, 1], atol=1e-9)
    np.testing.assert_allclose(box.center, turn @ [2, 1, 0.5] + [7, 8, 9], atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(box.axes), 1)
    found = {tuple(p.round(6)) for p in box.corners()}
    assert found == {tuple(p.round(6)) for p in corners @ turn.T + [7, 8, 9]}


@pytest.mark.parametrize("sides", [3, 2])
def test_a_box_of_which_few_sides_are_seen_has_its_size(sides: int) -> None:
    rng = np.random.default_rng(sides)
    points = rng.random((sides, 2000, 3)) * (3, 2, 1)
    for axis in range(sides):
        points[axis, :, axis] = 0  # on one side of the box
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    box = OrientedBox.around(points.reshape(-1, 3) @ turn.T)
    np.testing.assert_allclose(box.size, [3, 2, 1], atol=0.02)
    np.testing.assert_allclose(np.abs(box.axes @ turn), np.eye(3), atol=0.01)
    np.testing.assert_allclose(np.linalg.det(box.axes), 1)


def test_the_middle_of_a_box_is_not_the_mean_of_its_points() -> None:
    box = OrientedBox.around(np.array([[5, 0, 0], [5, 0, 1], [5, 0, 4.0]]))
    np.testing.assert_allclose(box.center, [5, 0, 2], atol=1e-12)


def test_the_box_of_one_point_is_that_point() -> None:
    box = OrientedBox.around(np.array([[1.0, 2, 3]]))
    assert (box.center.tolist(), box.size.tolist()) == ([1, 2, 3], [0, 0, 0])


@pytest.mark.parametrize("intrinsics", ["intrinsics", "intrinsic"])
def test_a_folder_in_the_layout_of_scannet(
    write_scan: WriteScan, views: list[Frame], intrinsics: str
) -> None:
    folder = write_scan(intrinsics)
    scene = lift(folder, masks=folder / "masks")
    same = lift(views)
    assert [(o.name, o.frames) for o in scene.objects] == [(o.name, o.frames) for o in same.objects]
    assert np.array_equal(scene.cloud.points, same.cloud.points)
    assert np.array_equal(scene.cloud.labels, same.cloud.labels)


def test_frames_without_a_place_are_left_out_and_told(write_scan: WriteScan) -> None:
    folder = write_scan()
    (folder / "pose" / "5.txt").write_text("-inf -inf -inf -inf\n" * 4)
    with pytest.warns(UserWarning, match="frames without a finite pose are left out: 5"):
        scene = lift(folder, masks=folder / "masks")
    assert (scene.frames, scene.lost, scene.to_dict()["lost_frames"]) == (4, ("5",), ["5"])


def test_frames_come_by_number_and_with_a_stride(write_scan: WriteScan) -> None:
    folder, seen = write_scan(), []
    for name in (".hidden.jpg", "notes.txt"):
        (folder / "color" / name).write_text("no frame")
    scene = lift(folder, masks=folder / "masks", stride=2, progress=lambda *n: seen.append(n))
    assert scene.frames == 3
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_masks_of_the_size_of_the_images_are_taken_too(
    write_scan: WriteScan, views: list[Frame]
) -> None:
    folder = write_scan()
    for path in (folder / "masks").iterdir():
        masks = anymask.read(path)
        large = masks.dense().repeat(2, axis=1).repeat(2, axis=2)
        Masks.from_dense(large, labels=masks.labels).save(path)
    scene = lift(folder, masks=folder / "masks")
    assert np.array_equal(scene.cloud.labels, lift(views).cloud.labels)


def test_one_coco_file_has_the_masks_of_all_frames(
    write_scan: WriteScan, views: list[Frame], tmp_path: Path
) -> None:
    folder, together = write_scan(enlarge=1), tmp_path / "all.json"
    masks = [anymask.read(folder / "masks" / f"{5 * i}.json") for i in range(5)]
    coco.write(together, [replace(one, source=f"{5 * i}.jpg") for i, one in enumerate(masks)])
    labels = lift(views).cloud.labels
    assert np.array_equal(lift(folder, masks=together).cloud.labels, labels)
    with pytest.raises(InputError, match="masks for each of several frames, got those of one"):
        lift(folder, masks=masks[0])
    one = lift(folder / "color" / "5.jpg", views[1].depth, K, together)
    assert [thing.points for thing in one.objects] == [
        np.count_nonzero(mask.dense()[0] & (views[1].depth > 0)) for mask in masks[1]
    ]
    with pytest.raises(InputError, match="masks of the image's size, 64 x 48, got 128 x 96"):
        lift(folder / "color" / "5.jpg", views[1].depth, K, Masks.empty((96, 128)))


class _Everything:
    """Finds the left half of each image."""

    def generate(self, image: Any) -> Masks:
        h, w = image.size_hw
        return Masks.from_dense(np.arange(w)[None].repeat(h, 0) < w // 2)


def test_without_masks_the_model_finds_them(write_scan: WriteScan) -> None:
    folder = write_scan()
    assert len(lift(folder, model=_Everything()).objects) >= 1  # type: ignore[arg-type]


def _spoil(folder: Path, what: str) -> None:
    if what == "no color":
        for path in (folder / "color").iterdir():
            path.unlink()
    elif what == "no intrinsics":
        (folder / "intrinsics" / "intrinsic_depth.txt").unlink()
    elif what == "no pose":
        (folder / "pose" / "10.txt").unlink()
    elif what == "no depth":
        (folder / "depth" / "10.png").unlink()
    elif what == "stretched":
        np.savetxt(folder / "pose" / "10.txt", np.diag([2, 2, 2, 1]))
    elif what == "words":
        (folder / "pose" / "10.txt").write_text("a b c\n")
    elif what == "short":
        (folder / "pose" / "10.txt").write_text("1 0 0 0\n")
    elif what == "all lost":
        for path in (folder / "pose").iterdir():
            path.write_text("inf inf inf inf\n" * 4)
    elif what == "tall":
        PIL.Image.new("RGB", (64, 64)).save(folder / "color" / "10.jpg")
    elif what == "no masks":
        (folder / "masks" / "10.json").unlink()
    elif what == "small masks":
        Masks.empty((24, 32)).save(folder / "masks" / "10.json")
    elif what == "no known depth":
        PIL.Image.fromarray(np.zeros((48, 64), np.uint16)).save(folder / "depth" / "10.png")
    elif what == "twice":
        PIL.Image.new("RGB", (64, 48)).save(folder / "color" / "10.png")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no color", r"a folder in ScanNet's layout.* with no image in color/"),
        ("no intrinsics", "with no intrinsics/intrinsic_depth.txt"),
        ("no pose", r"a matrix in '.*10.txt', got No such file"),
        ("no depth", "expected the depth of frame '10'"),
        ("stretched", "a rigid pose in '.*10.txt'"),
        ("words", "expected a matrix in '.*10.txt', got something else"),
        ("short", "a pose of 4 x 4 finite numbers in '.*10.txt'"),
        ("all lost", "expected frames with a pose in .*, got 5 without"),
        ("tall", "depth with the proportions of '.*10.jpg', 64 x 64, got 64 x 48"),
        ("no masks", "masks of frame '10' in .*, got no 10.json"),
        ("small masks", "masks of 64 x 48 pixels, got 32 x 24"),
        ("no known depth", "cannot use '.*10.png': expected depth that is known somewhere"),
        ("twice", "one image for each frame in .*, got several of '10'"),
    ],
)
def test_spoilt_folders_are_refused_in_a_sentence(
    write_scan: WriteScan, what: str, message: str
) -> None:
    folder = write_scan()
    _spoil(folder, what)
    with pytest.raises(InputError, match=message):
        lift(folder, masks=folder / "masks")


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.zeros((4, 6, 3), np.uint8),), {}, "expected depth of the image, got none"),
        ((np.zeros((4, 6, 3), np.uint8), np.ones((4, 6))), {}, "expected intrinsics of the image"),
        (([],), {"masks": None}, "at least one Frame in the list, got 0"),
        (([1, 2],), {"masks": None}, "at least one Frame in the list, got 2 of int"),
        ((".", np.ones((4, 6))), {"masks": None}, "several frames to bring their own depth"),
        ((".",), {"masks": None}, "a folder in ScanNet's layout"),
        ((".",), {"masks": None, "stride": 0}, "a stride of at least 1"),
        (("nowhere/",), {}, "nowhere"),
        (("none.png", np.ones((4, 6)), K), {}, "none.png"),
        ((".",), {"masks": "none.json"}, "expected masks at 'none.json', got no such file"),
    ],
)
def test_bad_calls_are_refused_in_a_sentence(
    arguments: Any, options: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        lift(*arguments, **{"masks": Masks.empty((4, 6))} | options)


def test_several_frames_need_poses(views: list[Frame]) -> None:
    one = views[0]
    with pytest.raises(InputError, match="expected a pose for each of several frames"):
        lift([one, Frame(one.image, one.depth, one.intrinsics, None, one.masks)])


def test_what_is_written(views: list[Frame], tmp_path: Path) -> None:
    scene = lift(views)
    files = scene.save(tmp_path / "room.ply")
    assert [file.name for file in files] == ["room.ply", "room.json"]
    assert np.array_equal(PointCloud.read(files[0]).labels, scene.cloud.labels)
    said = json.loads(files[1].read_text())
    assert said == json.loads(json.dumps(scene.to_dict()))
    assert said["points"] == len(scene.cloud)
    assert sum(one["points"] for one in said["objects"]) + said["unlabelled"] == said["points"]
    with pytest.raises(InputError, match=r"ends in \.ply, got 'room.txt'"):
        scene.save(tmp_path / "room.txt")
    with pytest.raises(OutputError, match="its folder does not exist"):
        scene.save(tmp_path / "none" / "room.ply")


def test_a_picture_shows_colours_above_and_objects_below(views: list[Frame]) -> None:
    pytest.importorskip("matplotlib")
    scene = lift(views)
    picture = np.asarray(scene.draw(width=400))
    assert picture.shape == (300, 400, 3)
    for half in (picture[:150], picture[150:]):
        for side in (half[:, :200], half[:, 200:]):
            assert 0.03 < (side < 250).any(axis=2).mean() < 0.9
    assert not np.array_equal(picture[:150], picture[150:])
    with pytest.raises(InputError, match="width of at least 200 pixels"):
        scene.draw(width=20)


@pytest.mark.parametrize("module", ["scipy", "matplotlib"])
def test_a_missing_package_is_named_with_its_line(
    views: list[Frame], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = lift(views[:1])  # alone, it needs neither
    names = [name for name in sys.modules if name.partition(".")[0] == module]
    for name in names:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Without(module), *sys.meta_path])
    with pytest.raises(MissingExtraError, match=r"pip install 'anymask\[lift\]'"):
        lift(views) if module == "scipy" else scene.draw()


class _Without:
    """Behaves as if a package were not installed."""

    def __init__(self, module: str) -> None:
        self.module = module

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == self.module:
            raise ModuleNotFoundError(f"No module named {name!r}", name=self.module)


def test_the_folder_for_sam_3d(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    dense = np.zeros((2, 4, 6), bool)
    dense[0, :2], dense[1, 1:, 3:] = True, True
    folder = tmp_path / "mug"
    files = write_sam3d_objects(folder, pixels, Masks.from_dense(dense))
    assert sorted(file.name for file in folder.iterdir()) == ["0.png", "1.png", "image.png"]
    assert [file.name for file in files] == ["image.png", "0.png", "1.png"]
    assert np.array_equal(np.asarray(PIL.Image.open(files[0])), pixels)
    for mask, file in zip(dense, files[1:], strict=True):
        layers = np.asarray(PIL.Image.open(file))
        assert np.array_equal(layers[..., -1] > 0, mask)
        assert np.array_equal(layers[mask][:, :3], pixels[mask])
    with pytest.raises(OutputError, match="no empty folder"):
        write_sam3d_objects(folder, pixels, Masks.from_dense(dense))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (Masks.empty((4, 6)), "masks with pixels in them, got none"),
        (Masks.from_dense(np.zeros((1, 4, 6), bool)), "got an empty one"),
        (Masks.from_dense(np.ones((1, 6, 4), bool)), "masks of the image's size, 6 x 4, got 4 x 6"),
    ],
)
def test_masks_that_sam_3d_cannot_take_are_refused(
    masks: Masks, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        write_sam3d_objects(tmp_path / "new", np.zeros((4, 6, 3), np.uint8), masks)
    assert list(tmp_path.iterdir()) == []
