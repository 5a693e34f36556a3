"""A scene in rerun's viewer, where it can be turned."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anymask.atomic import atomic_write
from anymask.errors import InputError
from anymask.extras.lift.objects import SceneObject
from anymask.extras.lift.picture import Up, colours_by_object
from anymask.extras.lift.point_cloud import PointCloud
from anymask.optional import optional

__all__ = ["view"]

_SIZE = 1.5  # of a point, in pixels of the window


def view(
    cloud: PointCloud,
    objects: Sequence[SceneObject] = (),
    path: str | os.PathLike[str] | None = None,
    *,
    up: Up = "-y",
) -> None:
    """Show a cloud in rerun's viewer: ``colors``, ``objects`` and their ``boxes``, to switch on.

    Args:
        cloud: The points.
        objects: What gets a box and its name.
        path: A file that ends in ``.rrd``, for ``rerun FILE.rrd``; None: a window opens.
        up: Which direction is up: ``"-y"`` in the frame of a camera, ``"z"`` in that of a room.

    Raises:
        InputError: The name ends in something else.
        OutputError: The file cannot be written.
        MissingExtraError: rerun-sdk is not installed.
    """
    if path is not None and Path(path).suffix.lower() != ".rrd":
        raise InputError(
            f"expected a file name that ends in .rrd, got {Path(path).name!r}; change it"
        )
    rerun: Any = optional("rerun", extra="viewer")
    stream = rerun.RecordingStream("anymask", recording_id=None)
    if path is None:
        stream.spawn()
        _tell(rerun, stream, cloud, objects, up)
        return
    with atomic_write(path) as draft:
        stream.save(draft)
        _tell(rerun, stream, cloud, objects, up)
        stream.flush()
        stream.disconnect()


def _tell(
    rerun: Any, stream: Any, cloud: PointCloud, objects: Sequence[SceneObject], up: Up
) -> None:
    frame = rerun.ViewCoordinates.RIGHT_HAND_Z_UP if up == "z" else rerun.ViewCoordinates.RDF
    stream.log("scene", frame, static=True)
    radius = rerun.Radius.ui_points(_SIZE)
    for name, colors in (
        ("colors", cloud.colors),
        ("objects", colours_by_object(cloud.labels)),
    ):
        points = rerun.Points3D(cloud.points, colors=colors, radii=radius)
        stream.log(f"scene/{name}", points, static=True)
    boxes = [(one, one.box) for one in objects if one.box is not None]
    if not boxes:
        return
    shown = rerun.Boxes3D(
        centers=[box.center for _, box in boxes],
        half_sizes=[box.size / 2 for _, box in boxes],
        quaternions=[rerun.Quaternion(xyzw=_quaternion(box.axes)) for _, box in boxes],
        labels=[one.name or str(one.label) for one, _ in boxes],
        colors=colours_by_object(np.array([one.label for one, _ in boxes], np.int32)),
    )
    stream.log("scene/boxes", shown, static=True)


def _quaternion(axes: Any) -> list[float]:
    """Give the rotation that turns x, y and z to these axes, the rows, as x y z w."""
    turn = np.asarray(axes).T
    # The largest eigenvector of Bar-Itzhack's matrix (2000) is it, without a case of its own for
    # each sign.
    xx, xy, xz, yx, yy, yz, zx, zy, zz = turn.ravel()
    matrix = np.array(
        [
            [xx - yy - zz, yx + xy, zx + xz, zy - yz],
            [yx + xy, yy - xx - zz, zy + yz, xz - zx],
            [zx + xz, zy + yz, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    found: list[float] = np.linalg.eigh(matrix)[1][:, -1].tolist()
    return found
