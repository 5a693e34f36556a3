"""A cloud from two sides, as the image shows it and by objects."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.draw.palette import colours_of_labels
from anymask.errors import InputError
from anymask.extras.lift.objects import SceneObject
from anymask.extras.lift.point_cloud import PointCloud
from anymask.optional import optional

__all__ = ["Up", "colours_by_object", "draw"]

Up: TypeAlias = Literal["-y", "z"]

_MOST = 50_000  # points that are drawn: more do not look different
_DPI = 100
_GREY = (190, 190, 190)
_NAMED = 12  # largest objects, which get a box and their name
_ROOM = 0.5  # of the scene's extent, from which an object is part of the room, not in it
_SIDES = {"-y": ((12, -80), (28, -35)), "z": ((30, -60), (30, 30))}  # elevation, azimuth
_EDGES = [(a, a | bit) for a in range(8) for bit in (1, 2, 4) if not a & bit]  # of a box


def draw(
    cloud: PointCloud,
    objects: Sequence[SceneObject] = (),
    *,
    up: Up = "-y",
    width: int = 1600,
) -> PIL.Image.Image:
    """Draw a cloud from two sides: above in its own colours, below by objects.

    Args:
        cloud: The points.
        objects: The largest get their name or number and, unless they are walls or the like, their
            oriented box.
        up: Which direction is up: ``"-y"`` in the frame of a camera, ``"z"`` in that of a room.
        width: Of the picture, in pixels; its height is three quarters of that.

    Raises:
        InputError: There is no point, or the width is below 200.
        MissingExtraError: matplotlib is not installed.
    """
    if not len(cloud) or width < 200:
        raise InputError(
            f"expected points and a width of at least 200 pixels, got {len(cloud)} points and "
            f"{width} pixels; give more"
        )
    optional("matplotlib", extra="lift")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = cloud[np.random.default_rng(0).permutation(len(cloud))[:_MOST]]
    points = _upright(shown.points, up)
    dot = (width / 1600) ** 2 * 250_000 / max(len(shown), 10_000)
    size = width / _DPI
    figure = Figure(figsize=(size, size * 0.75), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    for row, colors in enumerate((shown.colors, colours_by_object(shown.labels))):
        for column, (elevation, azimuth) in enumerate(_SIDES[up]):
            place = (column / 2, (1 - row) / 2, 0.5, 0.5)
            axes: Any = figure.add_axes(place, projection="3d", computed_zorder=False)
            axes.scatter(
                *points.T,
                c=colors / 255,
                s=dot,
                marker="s",
                linewidths=0,
                depthshade=False,
                clip_on=False,
            )
            if row:
                _draw_boxes(axes, objects, points, up, width / 1600)
            _frame(axes, points)
            axes.view_init(elev=elevation, azim=azimuth)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return PIL.Image.open(buffer).convert("RGB")


def _frame(axes: Any, points: npt.NDArray[np.float64]) -> None:
    """Show all points and nothing around them, a metre as long in each direction."""
    low, high = points.min(axis=0), points.max(axis=0)
    sides = np.maximum(high - low, max(1e-3, 1e-3 * (high - low).max()))
    middle = (low + high) / 2
    axes.set(
        **{
            f"{name}lim": (middle[i] - sides[i] / 2, middle[i] + sides[i] / 2)
            for i, name in enumerate("xyz")
        }
    )
    axes.set_box_aspect(sides, zoom=1.2)
    axes.set_axis_off()


def _draw_boxes(
    axes: Any,
    objects: Sequence[SceneObject],
    points: npt.NDArray[np.float64],
    up: Up,
    scale: float,
) -> None:
    extent = np.ptp(points, axis=0).max()
    largest = sorted(objects, key=lambda one: -one.points)[:_NAMED]
    for one in largest:
        if one.box is None:
            continue
        corners = _upright(one.box.corners(), up)
        colour = np.array(_colours([one.label])[one.label]) / 255 * 0.6
        is_room = one.box.size[0] > _ROOM * extent  # a box around a wall hides what is before it
        for a, b in [] if is_room else _EDGES:
            axes.plot(*corners[[a, b]].T, color=colour, linewidth=scale, zorder=2)
        text = one.name or str(one.label)
        axes.text(
            *corners[:, :2].mean(axis=0),
            corners[:, 2].max(),
            text.replace("$", r"\$"),
            fontsize=9 * scale,
            ha="center",
            zorder=3,
            bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1.5 * scale},
        )


def _upright(points: npt.NDArray[np.float64], up: Up) -> npt.NDArray[np.float64]:
    """Turn points so that z is up, as matplotlib has it."""
    return points if up == "z" else np.stack([points[:, 0], points[:, 2], -points[:, 1]], axis=1)


def colours_by_object(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """Give each number (n,) a colour of its own, and grey to -1: uint8 (n, 3)."""
    known, inverse = np.unique(labels, return_inverse=True)
    table = _colours(known.tolist())
    colors = [table[label] if label >= 0 else _GREY for label in known.tolist()]
    return np.array(colors, np.uint8)[inverse]


def _colours(labels: Sequence[int]) -> dict[int, tuple[int, int, int]]:
    """Give each number a colour of its own, whatever others there are."""
    highest = max(labels, default=0)
    names = [f"{label:06d}" for label in range(highest + 1)]
    table = colours_of_labels(names)
    return {label: table[names[label]] for label in labels if label >= 0}
