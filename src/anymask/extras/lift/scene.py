"""A scene: labelled points in space, and what is known of each object."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anymask.atomic import atomic_write
from anymask.errors import InputError, OutputError
from anymask.extras.lift.objects import SceneObject
from anymask.extras.lift.point_cloud import PointCloud

if TYPE_CHECKING:
    import PIL.Image

    from anymask.extras.lift.picture import Up

__all__ = ["Scene", "check_target"]


@dataclass(frozen=True, eq=False)
class Scene:
    """Labelled points, and what is known of each object.

    Attributes:
        cloud: The points; of one frame all pixels with depth, of several one for each voxel.
        objects: Each object, by its number. Of one frame, these are the masks in their order, those
            without a point, too.
        frames: How many frames it was made of.
        lost: Names of frames that were left out, because their pose is not finite.
        up: Which direction is up in a picture: ``"-y"`` in the frame of a camera, ``"z"`` in the
            world's.
        scan: The vertices of a scan of the same scene, labelled as the points; None: there is none.
    """

    cloud: PointCloud
    objects: tuple[SceneObject, ...]
    frames: int = 1
    lost: tuple[str, ...] = ()
    up: Up = "-y"
    scan: PointCloud | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the statistics as plain values, metres throughout."""
        scan = {}
        if self.scan is not None:
            unlabelled = int(np.count_nonzero(self.scan.labels == -1))
            scan = {"scan": {"points": len(self.scan), "unlabelled": unlabelled}}
        return {
            **scan,
            "points": len(self.cloud),
            "unlabelled": int(np.count_nonzero(self.cloud.labels == -1)),
            "frames": self.frames,
            "lost_frames": list(self.lost),
            "objects": [one.to_dict() for one in self.objects],
        }

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the points as PLY, and the statistics beside them as JSON.

        Args:
            path: Where the points go; its name ends in ``.ply``. The vertices of a scan go beside
                them, with ``-scan`` in the name.

        Returns:
            The files, the points first.

        Raises:
            InputError: The name ends in something else.
            OutputError: A file cannot be written.
        """
        points = check_target(path)
        statistics = points.with_suffix(".json")
        self.cloud.save(points)
        with atomic_write(statistics) as draft:
            draft.write_text(_as_json(self.to_dict()), encoding="utf-8")
        if self.scan is None:
            return [points, statistics]
        scan = points.with_name(f"{points.stem}-scan.ply")
        self.scan.save(scan)
        return [points, statistics, scan]

    def draw(self, *, width: int = 1600) -> PIL.Image.Image:
        """Draw the scene from two sides, above in its own colours, below by objects.

        Args:
            width: Of the picture, in pixels; its height is three quarters of that.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        from anymask.extras.lift.picture import draw

        return draw(self.cloud, self.objects, up=self.up, width=width)

    def view(self, path: str | os.PathLike[str] | None = None) -> None:
        """Show the scene in rerun's viewer, to turn it: its colours, its objects, their boxes.

        Args:
            path: A file that ends in ``.rrd``, for ``rerun FILE.rrd``; None: a window opens.

        Raises:
            InputError: The name ends in something else.
            OutputError: The file cannot be written.
            MissingExtraError: rerun-sdk is not installed.
        """
        from anymask.extras.lift.viewer import view

        view(self.cloud, self.objects, path, up=self.up)


def check_target(path: str | os.PathLike[str]) -> Path:
    """Check that a file name ends in ``.ply``, and that its folder is there.

    Raises:
        InputError: It ends in something else.
        OutputError: There is no such folder.
    """
    target = Path(path)
    if target.suffix.lower() != ".ply":
        raise InputError(f"expected a file name that ends in .ply, got {target.name!r}; change it")
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {str(path)!r}: its folder does not exist; create it first")
    return target


def _as_json(value: dict[str, Any]) -> str:
    """Write plain values with a line for each object."""
    rest = {key: part for key, part in value.items() if key != "objects"}
    objects = ",\n".join(json.dumps(one, allow_nan=False) for one in value["objects"])
    return f'{json.dumps(rest)[:-1]}, "objects": [\n{objects}\n]}}\n'
