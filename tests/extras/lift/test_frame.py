"""Frames lift their pixels to the right places, and refuse what makes no sense."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anymask import InputError, Masks
from anymask.extras.lift import Frame
from anymask.extras.lift.frame import check_intrinsics, check_pose
from anymask.image.image import Image

IMAGE = Image.open(np.arange(24, dtype=np.uint8).reshape(2, 4, 3))
DEPTH = np.array([[1.0, 2, 0, np.nan], [4, np.inf, 0.5, 1]])
K = (2.0, 4.0, 1.0, 0.5)


def test_pixels_with_depth_become_points_in_the_frame_of_the_camera() -> None:
    cloud = Frame(IMAGE, DEPTH, K).lift()
    # x = (u - 1) z / 2, y = (v - 0.5) z / 4
    expected = [[-0.5, -0.125, 1], [0, -0.25, 2], [-2, 0.5, 4], [0.25, 0.0625, 0.5], [1, 0.125, 1]]
    assert cloud.points.tolist() == expected
    assert cloud.colors.tolist() == IMAGE.pixels[[0, 0, 1, 1, 1], [0, 1, 0, 2, 3]].tolist()
    assert cloud.labels.tolist() == [-1] * 5


def test_a_pose_leads_to_the_frame_of_the_world() -> None:
    pose = np.array([[0, 0, 1, 10], [-1, 0, 0, 20], [0, -1, 0, 30], [0, 0, 0, 1.0]])
    cloud = Frame(IMAGE, DEPTH, K, pose).lift()
    assert cloud.points[0].tolist() == [11, 20.5, 30.125]


def test_the_mask_on_top_says_what_a_pixel_belongs_to() -> None:
    dense = np.zeros((2, 2, 4), bool)
    dense[0], dense[1, :, :2] = True, True
    frame = Frame(IMAGE, np.arange(1.0, 9).reshape(2, 4), K, masks=Masks.from_dense(dense))
    assert frame.lift().labels.tolist() == [1, 1, 0, 0] * 2
    assert frame.lift("first_on_top").labels.tolist() == [0] * 8


def test_intrinsics_come_as_numbers_or_as_a_matrix() -> None:
    matrix = np.eye(4)
    matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2] = K
    assert check_intrinsics(matrix) == check_intrinsics(matrix[:3, :3]) == check_intrinsics(K) == K


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((1, 2, 3), "expected four intrinsics"),
        ((1, 2, 3, 4, 5), "expected four intrinsics"),
        (None, "expected four intrinsics"),
        (("a", 2, 3, 4), "expected four intrinsics"),
        ((0, 1, 2, 3), "with fx and fy above 0, got 0, 1, 2 and 3"),
        ((1, -1, 2, 3), "with fx and fy above 0"),
        ((1, 1, np.nan, 3), "expected finite intrinsics"),
        (np.zeros((3, 3)), "without skew"),
        ([[1, 0.5, 0], [0, 1, 0], [0, 0, 1]], "without skew"),
    ],
)
def test_intrinsics_that_make_no_sense_are_refused(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Frame(IMAGE, DEPTH, given)


@pytest.mark.parametrize(
    ("pose", "message"),
    [
        (np.full((4, 4), -np.inf), "4 x 4 finite numbers"),
        (np.eye(3), "4 x 4 finite numbers"),
        ("a", "4 x 4 finite numbers"),
        (np.diag([2, 2, 2, 1.0]), "a rigid pose"),
        (np.diag([1, 1, -1, 1.0]), "mirrors"),
        (np.diag([1, 1, 1, 2.0]), "a rigid pose"),
        (np.zeros((4, 4)), "a rigid pose"),
    ],
)
def test_poses_that_are_not_rigid_are_refused(pose: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_pose(pose)


def test_a_pose_of_few_digits_is_rigid() -> None:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    pose = np.eye(4)
    pose[:3, :3] = (turn * np.sign(np.linalg.det(turn))).round(4)
    assert check_pose(pose).shape == (4, 4)


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        (np.ones((4, 2)), "depth of the image's size, 4 x 2, got 2 x 4"),
        (np.ones((2, 4, 3)), "depth of the image's size"),
        (np.zeros((2, 4)), "known somewhere, got only zeros and NaN"),
        (np.full((2, 4), np.nan), "known somewhere"),
        (-DEPTH, "depth of 0 or more, got -4; turn its sign"),
    ],
)
def test_depth_that_makes_no_sense_is_refused(depth: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Frame(IMAGE, depth, K)


def test_depth_that_is_equal_everywhere_is_told() -> None:
    with pytest.warns(UserWarning, match="all depth is 2 m"):
        Frame(IMAGE, np.full((2, 4), 2.0), K)


def test_masks_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="masks of the image's size, 4 x 2, got 3 x 2"):
        Frame(IMAGE, DEPTH, K, masks=Masks.empty((2, 3)))
