"""The verb: lift images with depth and masks to labelled points in space."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.extras.depth.files import read_metres
from anymask.extras.lift.find_masks import Finder, MaskSource, finder
from anymask.extras.lift.frame import Frame, Order
from anymask.extras.lift.merge import MergeConfig, merge
from anymask.extras.lift.objects import measure
from anymask.extras.lift.point_cloud import PointCloud
from anymask.extras.lift.scan import open_scan
from anymask.extras.lift.scene import Scene
from anymask.extras.lift.surface import ScanLike, SegmentsLike, Surface
from anymask.formats.files import Source
from anymask.image.image import Image, ImageLike

if TYPE_CHECKING:
    from anymask.predict.segmenter import Segmenter

__all__ = ["lift"]

Progress = Callable[[int, int], None]


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
    scan: ScanLike | None = None,
    segments: SegmentsLike | None = None,
    max_distance: float = 0.6,
    min_vertices: int = 20,
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
        scan: A scan of the same scene, a PLY file or a `PointCloud`, whose vertices get labels,
            too; see `Scene.scan`.
        segments: An over-segmentation of the scan, so that small surfaces decide together: int
            (n,), or a file of it; see `label_scan`.
        max_distance: Vertices further away from all points, in metres, get no label.
        min_vertices: With segments: objects of fewer vertices are left out.
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
    if scan is None and segments is not None:
        raise InputError(
            "expected a scan along with its segments, got none; give its vertices (--scan)"
        )
    surface = None if scan is None else Surface.open(scan, segments)  # before the work
    folder = isinstance(source, str | os.PathLike) and Path(source).is_dir()
    several = folder or isinstance(source, list | tuple)
    find = finder(masks, model, several=several)
    if several:
        _check_alone(depth, intrinsics)
        frames = _opened(source, stride, depth_scale, max_depth)  # type: ignore[arg-type]
        scene = _lift_many(frames, find, config, progress)
    else:
        image = Image.open(source)  # type: ignore[arg-type]
        metres = read_metres(_given(depth, "depth"), depth_scale, max_depth)
        scene = _lift_one(Frame(image, metres, _given(intrinsics, "intrinsics")), find)
        progress(1, 1)
    if surface is None:
        return scene
    how: dict[str, Any] = {"max_distance": max_distance, "min_vertices": min_vertices}
    return replace(scene, scan=surface.labelled(scene.cloud, **how))


class _Frames(NamedTuple):
    """Frames with their names, each read when its turn comes."""

    named: Iterator[tuple[str, Frame]]
    total: int
    lost: tuple[str, ...] = ()


def _opened(
    source: str | os.PathLike[str] | Sequence[Frame],
    stride: int,
    depth_scale: float | None,
    max_depth: float | None,
) -> _Frames:
    """Get frames ready, of a list or of a folder."""
    if not isinstance(source, str | os.PathLike):
        _check_frames(source)
        named = ((str(number), frame) for number, frame in enumerate(source))
        return _Frames(named, len(source))
    scan = open_scan(source, stride=stride)
    if scan.lost:
        warnings.warn(
            f"frames without a finite pose are left out: {_shortened(scan.lost)}", stacklevel=3
        )
    opened = ((frame.name, frame.open(depth_scale, max_depth)) for frame in scan.frames)
    return _Frames(opened, len(scan.frames), scan.lost)


def _lift_one(frame: Frame, find: Finder) -> Scene:
    """Lift an image: every mask is an object, and parts lie on top of what they are parts of."""
    if frame.masks is None:
        frame = replace(frame, masks=find(frame.image, Path(frame.image.source or "0").stem))
    assert frame.masks is not None
    cloud = frame.lift("smallest_on_top")
    names = dict(enumerate(frame.masks.labels))
    return Scene(cloud, measure(cloud, names, dict.fromkeys(names, 1)))


def _lift_many(
    frames: _Frames,
    find: Finder,
    config: MergeConfig | None,
    progress: Progress,
) -> Scene:
    """Lift frames and merge them, each read when its turn comes."""
    seen: list[tuple[int, str | None]] = []  # the frame and the name of each mask
    total = frames.total

    def clouds() -> Iterator[PointCloud]:
        for number, (name, frame) in enumerate(frames.named):
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
    return Scene(cloud, measure(cloud, names, counts), total, frames.lost, up="z")


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


def _check_alone(depth: object, intrinsics: object) -> None:
    if depth is not None or intrinsics is not None:
        raise InputError(
            "expected several frames to bring their own depth and intrinsics, got further ones; "
            "leave them out"
        )


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
