"""What is known of each object in space: how many points, where, how large, how turned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.extras.lift.point_cloud import PointCloud

__all__ = ["OrientedBox", "SceneObject", "measure"]

_DECIMALS = 6  # of metres


@dataclass(frozen=True, eq=False)
class OrientedBox:
    """The box around points along their principal axes.

    Attributes:
        center: float64 (3,), its middle in metres.
        size: float64 (3,), its sides along the axes in metres. The axis along which points spread
            most is the first.
        axes: float64 (3, 3), unit vectors, one in each row, right-handed.
    """

    center: npt.NDArray[np.float64]
    size: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]

    @classmethod
    def around(cls, points: npt.NDArray[np.float64]) -> OrientedBox:
        """Find the box around points (n, 3), of which there is at least one.

        Examples:
            >>> OrientedBox.around(np.array([[0, 0, 0], [0, 3, 4]])).size.tolist()
            [5.0, 0.0, 0.0]
        """
        middle = points.mean(axis=0)
        spread = (points - middle).T @ (points - middle)
        axes = np.linalg.eigh(spread)[1].T[::-1]
        # An axis has two directions: its largest part points up, so that equal points give equal
        # boxes on every machine.
        largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
        axes = axes * np.where(largest < 0, -1, 1)
        axes[2] = np.cross(axes[0], axes[1])
        along = (points - middle) @ axes.T
        low, high = along.min(axis=0), along.max(axis=0)
        return cls(middle + (low + high) / 2 @ axes, high - low, axes)

    def corners(self) -> npt.NDArray[np.float64]:
        """List its corners: float64 (8, 3), those that differ in one bit of their number joined."""
        signs = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)]) - 0.5
        found: npt.NDArray[np.float64] = self.center + (signs * self.size) @ self.axes
        return found


@dataclass(frozen=True, eq=False)
class SceneObject:
    """One object in space.

    Attributes:
        label: Its number, that of its points in `PointCloud.labels`.
        name: What it is called; None: not known.
        points: How many points it has.
        frames: In how many frames it was seen.
        centroid: float64 (3,), the mean of its points in metres; None without points.
        box: The box around it; None without points.
    """

    label: int
    name: str | None
    points: int
    frames: int
    centroid: npt.NDArray[np.float64] | None
    box: OrientedBox | None

    def to_dict(self) -> dict[str, Any]:
        """Give what is known as plain values, as `Scene.save` writes them."""
        found: dict[str, Any] = {
            "label": self.label,
            "name": self.name,
            "points": self.points,
            "frames": self.frames,
            "centroid": None if self.centroid is None else _plain(self.centroid),
            "box": None,
        }
        if self.box is not None:
            parts = ("center", "size", "axes")
            found["box"] = {part: _plain(getattr(self.box, part)) for part in parts}
        return found


def measure(
    cloud: PointCloud, names: Mapping[int, str | None], frames: Mapping[int, int]
) -> tuple[SceneObject, ...]:
    """Measure every object, those without points too.

    Args:
        cloud: Labelled points.
        names: What objects are called, by their number.
        frames: In how many frames each was seen, for every object that there is.
    """
    order = np.argsort(cloud.labels, kind="stable")
    ordered = cloud.labels[order]
    found = []
    for label in sorted(frames):
        first, end = np.searchsorted(ordered, [label, label + 1])
        points = cloud.points[order[first:end]]
        has_points = len(points) > 0
        found.append(
            SceneObject(
                label=label,
                name=names.get(label),
                points=len(points),
                frames=frames[label],
                centroid=points.mean(axis=0) if has_points else None,
                box=OrientedBox.around(points) if has_points else None,
            )
        )
    return tuple(found)


def _plain(array: npt.NDArray[np.float64]) -> Any:
    return (np.round(array, _DECIMALS) + 0.0).tolist()  # + 0.0: no minus before a zero
