"""Lift images with depth and masks to labelled points in space."""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from anymask.atomic import atomic_write
from anymask.errors import InputError, OutputError
from anymask.extras.depth.files import read_metres
from anymask.extras.lift.find_masks import Finder, MaskSource, finder
from anymask.extras.lift.frame import Frame, Order
from anymask.extras.lift.merge import MergeConfig, merge
from anymask.extras.lift.objects import SceneObject, measure
from anymask.extras.lift.point_cloud import PointCloud
from anymask.extras.lift.scan import open_scan
from anymask.formats.files import Source
from anymask.image.image import Image, ImageLike

if TYPE_CHECKING:
    import PIL.Image

    from anymask.extras.lift.picture import Up
    from anymask.predict.segmenter import Segmenter

__all__ = ["Scene", "check_target", "lift"]

Progress = Callable[[int, int], None]


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
    """

    cloud: PointCloud
    objects: tuple[SceneObject, ...]
    frames: int = 1
    lost: tuple[str, ...] = ()
    up: Up = "-y"

    def to_dict(self) -> dict[str, Any]:
        """Give the statistics as plain values, metres throughout."""
        return {
            "points": len(self.cloud),
            "unlabelled": int(np.count_nonzero(self.cloud.labels == -1)),
            "frames": self.frames,
            "lost_frames": list(self.lost),
            "objects": [one.to_dict() for one in self.objects],
        }

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the points as PLY, and the statistics beside them as JSON.

        Args:
            path: Where the points go; its name ends in ``.ply``.

        Returns:
            Both files.

        Raises:
            InputError: The name ends in something else.
            OutputError: A file cannot be written.
        """
        points = check_target(path)
        statistics = points.with_suffix(".json")
        self.cloud.save(points)
        with atomic_write(statistics) as draft:
            draft.write_text(_as_json(self.to_dict()), encoding="utf-8")
        return [points, statistics]

    def draw(self, *, width: int = 1600) -> PIL.Image.Image:
        """Draw the scene from two sides, above in its own colours, below by objects.

        Args:
            width: Of the picture, in pixels; its height is three quarters of that.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        from anymask.extras.lift.picture import draw

        return draw(self.cloud, self.objects, up=self.up, width=width)


def lift(
    source: ImageLike | Sequence[Frame],
    depth: Source | npt.ArrayLike | None = None,
    intrinsics: Any = None,
    masks: MaskSource = None,
    *,
    depth_scale: float | None = None,
    max_depth: float | None = None,
    stride: int = 1,
    model: Segmenter | str = "bundled",
    config: MergeConfig | None = None,
    progress: Progress = lambda done, total: None,
) -> Scene:
    """Lift images with depth and masks to labelled points in space.

    One image gives a point for each pixel whose depth is known, in the camera's frame. Several
    frames with poses give one scene, in which what is the same thing in several frames has one
    number, by the merge of Pointcept's SAM3D (`merge`).

    Args:
        source: An image; or a folder of frames in ScanNet's layout (``color/ depth/ pose/
            intrinsics/``); or `Frame` values, of which those without masks get them here.
        depth: How far the pixels of one image are: a file (PNG of 16 bits, TIFF, NPY, NPZ, EXR
            and the like) or an array (h, w) as large as the image; see `Frame.depth`.
        intrinsics: fx, fy, cx and cy of one image in pixels; or the matrix that holds them.
        masks: `Masks`, or a file of them of any format; for several frames a folder with a file
            for each, or a COCO file of all; None: the model finds everything.
        depth_scale: How many units of the depth are a metre; None: 1000 for whole numbers, which
            are millimetres then, and 1 for others.
        max_depth: What is further away, in metres, is left out; None: nothing.
        stride: Take every so many frames of a folder.
        model: What finds the masks if there are none, or its name.
        config: How frames are merged; None: as SAM3D does.
        progress: Told how many of how many frames are done.

    Raises:
        InputError: Depth or masks have another size, depth is known nowhere, intrinsics or poses
            make no sense, or something is missing.
        MissingExtraError: SciPy is not installed, for several frames.

    Examples:
        >>> from anymask import Masks
        >>> masks = Masks.from_dense(np.ones((4, 6), bool), labels=["wall"])
        >>> image, depth = np.zeros((4, 6, 3), np.uint8), np.arange(1, 25).reshape(4, 6) / 10
        >>> scene = lift(image, depth, (5, 5, 3, 2), masks)
        >>> scene.cloud, scene.objects[0].name, scene.objects[0].points
        (PointCloud(24 points, 1 object), 'wall', 24)
    """
    folder = isinstance(source, str | os.PathLike) and Path(source).is_dir()
    several = folder or isinstance(source, list | tuple)
    find = finder(masks, model, several=several)
    if not several:
        image = Image.open(source)  # type: ignore[arg-type]
        metres = read_metres(_given(depth, "depth"), depth_scale, max_depth)
        scene = _lift_one(Frame(image, metres, _given(intrinsics, "intrinsics")), find)
        progress(1, 1)
        return scene
    if depth is not None or intrinsics is not None:
        raise InputError(
            "expected several frames to bring their own depth and intrinsics, got further ones; "
            "leave them out"
        )
    if isinstance(source, list | tuple):
        _check_frames(source)
        named = ((str(number), frame) for number, frame in enumerate(source))
        return _lift_many(named, len(source), find, config, progress)
    scan = open_scan(source, stride=stride)  # type: ignore[arg-type]
    if scan.lost:
        warnings.warn(
            f"frames without a finite pose are left out: {_shortened(scan.lost)}", stacklevel=2
        )
    opened = ((frame.name, frame.open(depth_scale, max_depth)) for frame in scan.frames)
    scene = _lift_many(opened, len(scan.frames), find, config, progress)
    return replace(scene, lost=scan.lost)


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


def _lift_one(frame: Frame, find: Finder) -> Scene:
    """Lift an image: every mask is an object, and parts lie on top of what they are parts of."""
    if frame.masks is None:
        frame = replace(frame, masks=find(frame.image, Path(frame.image.source or "0").stem))
    assert frame.masks is not None
    cloud = frame.lift("smallest_on_top")
    names = dict(enumerate(frame.masks.labels))
    return Scene(cloud, measure(cloud, names, dict.fromkeys(names, 1)))


def _lift_many(
    frames: Iterator[tuple[str, Frame]],
    total: int,
    find: Finder,
    config: MergeConfig | None,
    progress: Progress,
) -> Scene:
    """Lift frames and merge them, each read when its turn comes."""
    seen: list[tuple[int, str | None]] = []  # the frame and the name of each mask

    def clouds() -> Iterator[PointCloud]:
        for number, (name, frame) in enumerate(frames):
            progress(number, total)
            if frame.masks is None:
                frame = replace(frame, masks=find(frame.image, name))
            assert frame.masks is not None
            first = len(seen)
            seen.extend((number, label) for label in frame.masks.labels)
            yield _number_masks(frame.lift(_ORDER), first, len(frame.masks))

    cloud = merge(clouds(), config)
    progress(total, total)
    names, counts = _vote(cloud, seen)
    return Scene(cloud, measure(cloud, names, counts), total, up="z")


_ORDER: Order = "first_on_top"  # SAM3D paints the list of masks from its end


def _number_masks(cloud: PointCloud, first: int, count: int) -> PointCloud:
    """Count masks on from those of the frames before, and objects from the last mask, as SAM3D."""
    own, none = cloud.labels, cloud.labels == -1
    return replace(
        cloud,
        labels=np.where(none, -1, count - 1 - own).astype(np.int32),
        masks=np.where(none, -1, first + own).astype(np.int32),
    )


def _vote(
    cloud: PointCloud, seen: Sequence[tuple[int, str | None]]
) -> tuple[dict[int, str | None], dict[int, int]]:
    """Find what most points of each object are called, and in how many frames it was seen."""
    assert cloud.masks is not None
    known = (cloud.labels != -1) & (cloud.masks != -1)
    pairs = np.stack([cloud.labels[known], cloud.masks[known]], axis=1)
    names: dict[int, Counter[str]] = {}
    frames: dict[int, set[int]] = {int(label): set() for label in np.unique(cloud.labels)}
    frames.pop(-1, None)
    for (label, mask), points in zip(*np.unique(pairs, axis=0, return_counts=True), strict=True):
        frame, name = seen[mask]
        frames[int(label)].add(frame)
        if name is not None:
            names.setdefault(int(label), Counter())[name] += int(points)
    winners = {label: votes.most_common(1)[0][0] for label, votes in names.items()}
    return {**winners}, {label: len(found) for label, found in frames.items()}


def _given(value: Any, name: str) -> Any:
    if value is None:
        raise InputError(
            f"expected {name} of the image, got none; give depth and intrinsics, or a folder of "
            "frames"
        )
    return value


def _check_frames(frames: Sequence[Any]) -> None:
    if not frames or not all(isinstance(one, Frame) for one in frames):
        raise InputError(
            f"expected at least one Frame in the list, got {len(frames)} of "
            f"{type(frames[0]).__name__ if frames else 'nothing'}; make them: Frame(image, depth, "
            "intrinsics, pose)"
        )
    if len(frames) > 1 and any(frame.pose is None for frame in frames):
        raise InputError(
            "expected a pose for each of several frames, got one without; give Frame(pose=...)"
        )


def _shortened(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _as_json(value: dict[str, Any]) -> str:
    """Write plain values with a line for each object."""
    rest = {key: part for key, part in value.items() if key != "objects"}
    objects = ",\n".join(json.dumps(one, allow_nan=False) for one in value["objects"])
    return f'{json.dumps(rest)[:-1]}, "objects": [\n{objects}\n]}}\n'
