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
_TURNS = 9  # about each axis three times
_WORTH = 1e-6  # of the surface: less is no reason to leave the axes


@dataclass(frozen=True, eq=False)
class OrientedBox:
    """The box of the smallest surface around points.

    So a thing with flat sides gets a box along them, of its true size, though only two or three of
    its sides were seen; along the principal axes of what was seen the box would lean.

    Attributes:
        center: float64 (3,), its middle in metres.
        size: float64 (3,), its sides along the axes in metres, the longest first.
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
        axes = _fitted(points - middle)
        along = (points - middle) @ axes.T
        low, high = along.min(axis=0), along.max(axis=0)
        order = np.argsort(low - high, kind="stable")
        axes, low, high = axes[order], low[order], high[order]
        # An axis has two directions: its largest part points up, so that equal points give equal
        # boxes on every machine.
        largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
        signs = np.where(largest < 0, -1, 1)[:, 0]
        signs[2] *= np.sign(np.linalg.det(axes * signs[:, None]))
        center = middle + (low + high) / 2 @ axes
        return cls(center, high - low, axes * signs[:, None])

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


def _fitted(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Find the axes (3, 3) of the smallest box around points whose mean is 0.

    From the principal axes and from those of the frame, along which floors and walls often lie, it
    is turned about one of its own axes after the other, as long as it shrinks.
    """
    principal = np.linalg.eigh(points.T @ points)[1].T
    outer = points[np.unique([(points @ _DIRECTIONS[i]).argmax() for i in range(len(_DIRECTIONS))])]
    best, smallest = principal, _surface(np.ptp(outer @ principal.T, axis=0))
    for axes in (principal, np.eye(3)):
        surface = _surface(np.ptp(outer @ axes.T, axis=0))
        for turn in range(_TURNS):
            turned = _turned(outer, axes, turn % 3)
            found = _surface(np.ptp(outer @ turned.T, axis=0))
            if found < surface * (1 - _WORTH):
                axes, surface = turned, found
        if surface < smallest * (1 - _WORTH):
            best, smallest = axes, surface
    return best


def _turned(
    points: npt.NDArray[np.float64], axes: npt.NDArray[np.float64], about: int
) -> npt.NDArray[np.float64]:
    """Turn a box about one of its axes to where its surface is the smallest."""
    first, second = (about + 1) % 3, (about + 2) % 3
    flat, depth = points @ axes[[first, second]].T, np.ptp(points @ axes[about])
    angles = np.radians(np.arange(90.0))
    for step in (1.0, 0.05):  # degrees, then a finer look around the best
        ways = np.stack([np.cos(angles), np.sin(angles)])
        wide = np.ptp(flat @ ways, axis=0)
        high = np.ptp(flat @ np.stack([-ways[1], ways[0]]), axis=0)
        angle = angles[np.argmin(wide * high + (wide + high) * depth)]
        angles = angle + np.radians(np.arange(-20, 21) * step / 20)
    cos, sin = np.cos(angle), np.sin(angle)
    found = axes.copy()
    found[first] = cos * axes[first] + sin * axes[second]
    found[second] = cos * axes[second] - sin * axes[first]
    return found


def _surface(size: npt.NDArray[np.float64]) -> float:
    return float(size[0] * size[1] + size[1] * size[2] + size[2] * size[0])


def _on_a_sphere(count: int) -> npt.NDArray[np.float64]:
    """Spread directions evenly, on a spiral by the golden angle: float64 (n, 3)."""
    z = 1 - (np.arange(count) + 0.5) * 2 / count
    angle = np.arange(count) * np.pi * (3 - np.sqrt(5))
    around = np.sqrt(1 - z**2)
    return np.stack([around * np.cos(angle), around * np.sin(angle), z], axis=1)


_DIRECTIONS = _on_a_sphere(500)  # in which the outermost points are enough to turn a box by


def _plain(array: npt.NDArray[np.float64]) -> Any:
    return (np.round(array, _DECIMALS) + 0.0).tolist()  # + 0.0: no minus before a zero
