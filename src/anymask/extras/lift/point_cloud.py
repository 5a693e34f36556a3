"""Points in space, each with a colour and the number of its object."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.extras.lift import ply
from anymask.formats.files import Source

__all__ = ["PointCloud"]

# FNV-1a, the hash by which Pointcept orders voxels: the order decides which ids come first.
_FNV_OFFSET = 14695981039346656037
_FNV_PRIME = 1099511628211

_COLUMNS = ("x", "y", "z", "red", "green", "blue", "label")
_VERTEX = np.dtype([*((name, "<f4") for name in "xyz"), *((name, "u1") for name in _COLUMNS[3:6])])
_LABELLED = np.dtype([*_VERTEX.descr, ("label", "<i4")])


@dataclass(frozen=True, eq=False, repr=False)
class PointCloud:
    """Points in space, each with a colour and the number of its object.

    Two clouds are equal only if they are the same object.

    Attributes:
        points: float64 (n, 3), x y z in metres. In the camera's frame x points to the right, y
            down and z forward.
        colors: uint8 (n, 3), RGB.
        labels: int32 (n,), the number of the object, from 0; -1: none.
        masks: int32 (n,), the number of the mask that a point came from, counted through all
            frames; -1: none. `merge` carries it along; files do not keep it.

    Raises:
        InputError: Lengths or types do not fit, or points are not finite.

    Examples:
        >>> PointCloud(np.zeros((2, 3)), np.zeros((2, 3), np.uint8), np.array([0, -1]))
        PointCloud(2 points, 1 object)
    """

    points: npt.NDArray[np.float64]
    colors: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32]
    masks: npt.NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        """Check the arrays."""
        points = np.asarray(self.points, np.float64)
        if points.ndim != 2 or points.shape[1] != 3:
            raise InputError(
                f"expected points of shape (n, 3), got {points.shape}; give x, y and z of each"
            )
        if not np.isfinite(points).all():
            raise InputError("expected finite points, got NaN or infinity; leave these points out")
        n = len(points)
        colors = np.asarray(self.colors)
        if colors.dtype != np.uint8 or colors.shape != (n, 3):
            raise InputError(
                f"expected colors as uint8 of shape ({n}, 3), got {colors.dtype} of shape "
                f"{colors.shape}; give red, green and blue of each point"
            )
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "colors", colors)
        object.__setattr__(self, "labels", _numbers("labels", self.labels, n))
        masks = None if self.masks is None else _numbers("masks", self.masks, n)
        object.__setattr__(self, "masks", masks)

    def __len__(self) -> int:
        """Count the points."""
        return len(self.points)

    def __repr__(self) -> str:
        """Give the numbers of points and of objects."""
        n = len(np.unique(self.labels[self.labels >= 0]))
        return f"PointCloud({len(self):,} points, {n} object{'s' * (n != 1)})"

    def __getitem__(self, index: slice | npt.NDArray[Any]) -> PointCloud:
        """Give some of the points: by a slice, numbers or a bool array."""
        masks = None if self.masks is None else self.masks[index]
        return PointCloud(self.points[index], self.colors[index], self.labels[index], masks)

    @classmethod
    def concat(cls, clouds: Sequence[PointCloud]) -> PointCloud:
        """Join clouds in order; ``labels`` and ``masks`` stay what they are.

        Raises:
            InputError: There is none at all.
        """
        if not clouds:
            raise InputError("expected at least one PointCloud to join, got none; give some")
        known = [cloud.masks for cloud in clouds if cloud.masks is not None]
        return cls(
            np.concatenate([cloud.points for cloud in clouds]),
            np.concatenate([cloud.colors for cloud in clouds]),
            np.concatenate([cloud.labels for cloud in clouds]),
            np.concatenate(known) if len(known) == len(clouds) else None,
        )

    def voxelize(self, voxel_size: float) -> PointCloud:
        """Keep the first point of each voxel, the voxels in the order of Pointcept's hash.

        Args:
            voxel_size: Side of a voxel in metres.

        Raises:
            InputError: It is not above 0, or so small that voxels cannot be numbered.

        Examples:
            >>> points = np.array([[0, 0, 0], [0.01, 0, 0], [1, 0, 0]])
            >>> cloud = PointCloud(points, np.zeros((3, 3), np.uint8), np.arange(3))
            >>> sorted(cloud.voxelize(0.05).labels.tolist())
            [0, 2]
        """
        if not (np.isfinite(voxel_size) and voxel_size > 0):
            raise InputError(
                f"expected a voxel size above 0 in metres, got {voxel_size}; 0.05 is usual"
            )
        if not len(self):
            return self
        cells = np.floor(self.points / voxel_size)
        cells -= cells.min(axis=0)
        if cells.max() >= 2**53:  # where float64 no longer tells neighbours apart
            raise InputError(
                f"expected voxels that can be numbered, got a size of {voxel_size} m for a scene "
                f"of {np.ptp(self.points, axis=0).max():.3g} m; take larger ones"
            )
        keys = np.full(len(self), _FNV_OFFSET, np.uint64)
        for axis in range(3):
            keys *= np.uint64(_FNV_PRIME)
            keys ^= cells[:, axis].astype(np.uint64)
        _, first = np.unique(keys, return_index=True)
        return self[first]

    def save(self, target: str | os.PathLike[str] | Any) -> None:
        """Write a binary PLY file: x y z float, red green blue uchar, label int.

        Args:
            target: A path, or a file opened for writing bytes.

        Raises:
            OutputError: It cannot be written; what was there before is untouched.

        Examples:
            >>> import io
            >>> file = io.BytesIO()
            >>> PointCloud(np.eye(3), np.zeros((3, 3), np.uint8), np.arange(3)).save(file)
            >>> PointCloud.read(file.getvalue()).points.tolist()
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        """
        rows = np.empty(len(self), _LABELLED)
        columns = [*self.points.T, *self.colors.T, self.labels]
        for name, column in zip(_COLUMNS, columns, strict=True):
            rows[name] = column
        ply.write(target, rows)

    @classmethod
    def read(cls, source: Source) -> PointCloud:
        """Read the vertices of a PLY file, ours or another program's.

        Args:
            source: A path, the bytes of a file, or a file opened for reading bytes. Points without
                a colour become grey, points without a label get -1; faces are left out.

        Raises:
            InputError: It is missing, damaged, or holds no points.
        """
        rows = ply.read(source)
        names = rows.dtype.names or ()
        if not {"x", "y", "z"} <= set(names):
            raise InputError(
                f"expected vertices with x, y and z, got {', '.join(names) or 'none'}; check "
                "that it is a file of points"
            )
        points = np.stack([rows[name] for name in "xyz"], axis=1)
        colors = np.full((len(rows), 3), 128, np.uint8)
        if {"red", "green", "blue"} <= set(names):
            colors = np.stack([rows[name] for name in ("red", "green", "blue")], axis=1)
            if colors.dtype.kind == "f":  # shares of 1
                colors = (colors.clip(0, 1) * 255).round()
        labels = rows["label"] if "label" in names else np.full(len(rows), -1)
        return cls(points.astype(np.float64), colors.astype(np.uint8), labels.astype(np.int32))


def _numbers(name: str, values: Any, n: int) -> npt.NDArray[np.int32]:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.shape != (n,):
        raise InputError(
            f"expected {name} as integers of shape ({n},), got {array.dtype} of shape "
            f"{array.shape}; give a number for each point"
        )
    return array.astype(np.int32, copy=False)
