"""One frame: an image, how far each pixel is, and where the camera was."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.extras.lift.point_cloud import PointCloud
from anymask.image.image import Image
from anymask.masks.masks import Masks

__all__ = ["Frame", "Order", "check_intrinsics", "check_pose"]

Order: TypeAlias = Literal["smallest_on_top", "largest_on_top", "first_on_top"]

_RIGID = 1e-3  # how far a rotation, written with few digits, may be from a true one


@dataclass(frozen=True, eq=False, repr=False)
class Frame:
    """One frame: an image, how far each pixel is, and where the camera was.

    Attributes:
        image: The image, h x w pixels.
        depth: float64 (h, w), metres along the camera's axis (not along the ray); 0, NaN and
            infinity: not known.
        intrinsics: fx, fy, cx and cy in pixels, the middle of the first pixel at (0, 0); or the
            (3, 3) or (4, 4) matrix that holds them.
        pose: float64 (4, 4), from the camera's frame (x right, y down, z forward) to the world's,
            in metres; None: the camera's frame is the world's.
        masks: What was found in the image; None: not known yet.

    Raises:
        InputError: Sizes differ, no depth is known, intrinsics or the pose make no sense.

    Examples:
        >>> image = Image.open(np.zeros((2, 2, 3), np.uint8))
        >>> depth = np.array([[1, 2], [0, np.nan]])
        >>> Frame(image, depth, (1, 1, 0, 0)).lift().points.tolist()
        [[0.0, 0.0, 1.0], [2.0, 0.0, 2.0]]
    """

    image: Image
    depth: npt.NDArray[np.float64]
    intrinsics: tuple[float, float, float, float]
    pose: npt.NDArray[np.float64] | None = None
    masks: Masks | None = None

    def __post_init__(self) -> None:
        """Check that all fits together."""
        depth = np.asarray(self.depth, np.float64)
        h, w = self.image.size_hw
        if depth.shape != (h, w):
            size = " x ".join(str(side) for side in depth.shape[1::-1]) or "no size"
            raise InputError(
                f"expected depth of the image's size, {w} x {h}, got {size}; resize one of them, "
                "depth without smoothing, and scale the intrinsics along"
            )
        if self.masks is not None and self.masks.size_hw != (h, w):
            mask_h, mask_w = self.masks.size_hw
            raise InputError(
                f"expected masks of the image's size, {w} x {h}, got {mask_w} x {mask_h}; give "
                "those of this image"
            )
        object.__setattr__(self, "depth", _check_depth(depth))
        object.__setattr__(self, "intrinsics", check_intrinsics(self.intrinsics))
        if self.pose is not None:
            object.__setattr__(self, "pose", check_pose(self.pose))

    def __repr__(self) -> str:
        """Give the image and how much of its depth is known."""
        share = np.count_nonzero(self.depth) / self.depth.size
        return f"Frame({self.image!r}, depth of {share:.0%}, {self.masks!r})"

    def lift(self, order: Order = "smallest_on_top") -> PointCloud:
        """Give the pixels with known depth as points, labelled by the masks.

        Args:
            order: Which mask a pixel belongs to where several overlap.

        Returns:
            The points row by row, in the world's frame; a label is the number of a mask.
        """
        v, u = np.nonzero(self.depth)
        z = self.depth[v, u]
        fx, fy, cx, cy = self.intrinsics
        points = np.stack([(u - cx) * z / fx, (v - cy) * z / fy, z], axis=1)
        if self.pose is not None:
            points = points @ self.pose[:3, :3].T + self.pose[:3, 3]
        painted = np.full(self.depth.shape, -1, np.int32)
        if self.masks is not None:
            painted = self.masks.label_map(order) - 1
        labels = painted[v, u].astype(np.int32)
        return PointCloud(points, self.image.pixels[v, u], labels, labels)


def check_intrinsics(given: Any) -> tuple[float, float, float, float]:
    """Give fx, fy, cx and cy, of four numbers or of a matrix.

    Raises:
        InputError: They are too few or too many, not finite, or a focal length is not above 0.

    Examples:
        >>> check_intrinsics([[500, 0, 320], [0, 500, 240], [0, 0, 1]])
        (500.0, 500.0, 320.0, 240.0)
    """
    try:
        array = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape in ((3, 3), (4, 4)):
        if not np.allclose(array[[0, 1, 2, 2], [1, 0, 0, 1]], 0, atol=1e-6) or array[2, 2] != 1:
            raise InputError(
                f"expected a matrix of fx, fy, cx and cy without skew, got {array.tolist()}; "
                "give the four numbers"
            )
        array = array[[0, 1, 0, 1], [0, 1, 2, 2]]
    if array.shape != (4,):
        raise InputError(
            f"expected four intrinsics, fx, fy, cx and cy, got {given!r}; read them from the "
            "camera's calibration"
        )
    fx, fy, cx, cy = array.tolist()
    if not np.isfinite(array).all() or fx <= 0 or fy <= 0:
        raise InputError(
            f"expected finite intrinsics with fx and fy above 0, got {fx:g}, {fy:g}, {cx:g} and "
            f"{cy:g}; read them from the camera's calibration"
        )
    return fx, fy, cx, cy


def check_pose(given: Any, name: str = "") -> npt.NDArray[np.float64]:
    """Give a pose as float64 (4, 4).

    Args:
        given: A rotation, a translation beside it, and 0 0 0 1 below.
        name: What it is called in errors, a file's name.

    Raises:
        InputError: It is no such matrix.
    """
    where = f" in {name}" if name else ""
    try:
        pose = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        pose = np.empty(0)
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise InputError(
            f"expected a pose of 4 x 4 finite numbers{where}, got shape {pose.shape} or such that "
            "are not finite; leave out a frame whose place is not known"
        )
    turn = pose[:3, :3]
    off = max(np.abs(turn @ turn.T - np.eye(3)).max(), np.abs(pose[3] - (0, 0, 0, 1)).max())
    if off > _RIGID or np.linalg.det(turn) < 0:
        raise InputError(
            f"expected a rigid pose{where}, a rotation and a translation, but it also stretches, "
            f"mirrors or projects (off by {off:.2g}); give the matrix from camera to world"
        )
    return pose


def _check_depth(depth: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give depth with 0 for all that is not known."""
    known = np.where(np.isfinite(depth), depth, 0)
    if known.min() < 0:
        raise InputError(
            f"expected depth of 0 or more, got {known.min():g}; turn its sign if the camera looks "
            "along -z"
        )
    values = known[known > 0]
    if not len(values):
        raise InputError(
            "expected depth that is known somewhere, got only zeros and NaN; check the file and "
            "its scale"
        )
    if len(values) > 1 and values.min() == values.max():
        warnings.warn(
            f"all depth is {values[0]:g} m, which is a wall straight ahead, or no depth at all",
            stacklevel=4,
        )
    return known
