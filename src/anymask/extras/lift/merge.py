"""Many frames to one scene, as Pointcept's SAM3D merges what SAM found in each of them.

SAM3D: "Segment Anything in 3D Scenes" (Yang et al., 2023), section 3. Clouds are merged in pairs,
then pairs of pairs, until one is left. It has nothing to do with Meta's SAM 3D, which guesses the
shape of a thing from one photo (`anymask.extras.lift.write_sam3d_objects`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.extras.lift.point_cloud import PointCloud
from anymask.optional import optional
from anymask.plain import check_number

__all__ = [
    "MergeConfig",
    "adopt",
    "close_up",
    "drop_small",
    "labels_at",
    "match",
    "merge",
    "refine",
    "transfer",
]

Labels = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class MergeConfig:
    """How objects of different frames become one."""

    voxel_size: float = 0.05
    """Side of a voxel in metres: of all points in one, the first stays."""
    min_points: int = 50
    """Objects of fewer points are dropped before two clouds meet, and at the end."""
    min_overlap: float = 0.5
    """Two objects are one if this share of the smaller one's points lies in the other."""
    reach: float = 1.5
    """How far away, in voxels, a point of the other cloud may be to count as the same place."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_number(self, "voxel_size", 1e-6)
        check_number(self, "min_points", 0, whole=True)
        check_number(self, "min_overlap", 1e-6, 1)
        check_number(self, "reach", 1e-6)


def merge(clouds: Iterable[PointCloud], config: MergeConfig | None = None) -> PointCloud:
    """Merge the clouds of frames to one, in which an object has one number.

    Clouds are taken one by one, and only as many are kept as the number of frames has binary
    digits.

    Args:
        clouds: In the same frame, the world's; each labelled by itself. Neighbours should see the
            same things.
        config: How; None: as SAM3D does.

    Returns:
        One point for each voxel; objects are numbered from 0 without gaps.

    Raises:
        InputError: There is no cloud, or none with a point.
        MissingExtraError: SciPy is not installed.

    Examples:
        >>> grid = np.stack([*np.mgrid[0:10, 0:10], np.zeros((10, 10))], -1).reshape(-1, 3) * 0.05
        >>> grey = np.zeros((100, 3), np.uint8)
        >>> clouds = [PointCloud(grid + 0.01, grey, np.full(100, label)) for label in (3, 7)]
        >>> merge(clouds)
        PointCloud(100 points, 1 object)
    """
    config = config or MergeConfig()
    # A pyramid like a binary counter: two of a level make one of the next. Whatever is left is
    # merged from the end, which is where an odd last one of a round ends up, too.
    waiting: list[tuple[int, PointCloud]] = []
    for cloud in clouds:
        labelled = replace(cloud, labels=close_up(cloud.labels))
        waiting.append((0, labelled.voxelize(config.voxel_size)))
        while len(waiting) > 1 and waiting[-1][0] == waiting[-2][0]:
            level, second = waiting.pop()
            waiting[-1] = level + 1, _merge_pair(waiting[-1][1], second, config)
    while len(waiting) > 1:
        _, second = waiting.pop()
        waiting[-1] = waiting[-1][0], _merge_pair(waiting[-1][1], second, config)
    if not waiting or not len(waiting[0][1]):
        raise InputError("expected at least one cloud with points, got none; check depth and poses")
    merged = waiting[0][1]
    return replace(merged, labels=close_up(drop_small(merged.labels, config.min_points)))


def transfer(
    cloud: PointCloud, points: npt.ArrayLike, *, max_distance: float = 0.6
) -> npt.NDArray[np.int32]:
    """Give each point of a scan the label of the nearest point of a cloud.

    Args:
        cloud: What `merge` found.
        points: float (n, 3), the vertices of a mesh of the same scene, in metres.
        max_distance: What is further away gets -1, in metres.

    Returns:
        int32 (n,), numbered from 0 without gaps.

    Raises:
        InputError: There are no points, they are not three finite numbers each, or the distance is
            not above 0.
        MissingExtraError: SciPy is not installed.

    Examples:
        >>> cloud = PointCloud(np.zeros((1, 3)), np.zeros((1, 3), np.uint8), np.array([4]))
        >>> transfer(cloud, [[0, 0, 0.5], [0, 0, 0.7]]).tolist()
        [0, -1]
    """
    return close_up(labels_at(cloud, points, max_distance))


def labels_at(cloud: PointCloud, points: npt.ArrayLike, max_distance: float) -> Labels:
    """Do what `transfer` does, but leave the numbers as they are in the cloud."""
    if not max_distance > 0:
        raise InputError(f"expected a distance above 0 in metres, got {max_distance}; 0.6 is usual")
    given = np.asarray(points, np.float32)
    if given.ndim != 2 or given.shape[1] != 3 or not np.isfinite(given).all():
        raise InputError(
            f"expected finite points of shape (n, 3), got {given.shape} or such that are not "
            "finite; give the vertices of a scan"
        )
    if not len(cloud):
        raise InputError("expected a cloud with points, got an empty one; merge frames first")
    distance, nearest = _tree(cloud.points.astype(np.float32)).query(given)
    found: Labels = np.where(distance > max_distance, -1, cloud.labels[nearest]).astype(np.int32)
    return found


def refine(
    labels: npt.ArrayLike, segments: npt.ArrayLike, *, min_points: int = 20
) -> npt.NDArray[np.int32]:
    """Let small surfaces decide together: SAM3D's ensemble with an over-segmentation.

    Args:
        labels: int (n,), such as `transfer` gives; -1: none.
        segments: int (n,), from 0: the small surface that each point belongs to.
        min_points: Objects of fewer points are dropped before.

    Returns:
        int32 (n,): a segment that shares half of its points (or of the object's, if that is
        smaller) with its best object has that one's number, other segments numbers of their own
        behind those of the objects.

    Raises:
        InputError: They are not of one length.

    Examples:
        >>> refine([0, 0, 0, -1], [0, 0, 0, 0], min_points=2).tolist()
        [0, 0, 0, 0]
    """
    known, surfaces = np.asarray(labels), np.asarray(segments)
    if known.ndim != 1 or known.shape != surfaces.shape:
        raise InputError(
            f"expected labels and segments of one length, got shapes {known.shape} and "
            f"{surfaces.shape}; give one of each for every point"
        )
    identity = np.arange(len(known))
    kept = close_up(drop_small(known.astype(np.int32), min_points))
    return adopt(surfaces.astype(np.int32), kept, np.stack([identity, identity], axis=1), 0.5)


def close_up(labels: npt.NDArray[Any]) -> Labels:
    """Number objects from 0 without gaps, in the order of their numbers; -1 stays.

    Examples:
        >>> close_up(np.array([7, -1, 3])).tolist()
        [1, -1, 0]
    """
    known = np.unique(labels[labels != -1])
    return np.where(labels == -1, -1, np.searchsorted(known, labels)).astype(np.int32)


def drop_small(labels: Labels, min_points: int) -> Labels:
    """Take their number from objects of fewer points."""
    values, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.where(counts < min_points, -1, values)[inverse].astype(np.int32)


def match(
    points: npt.NDArray[np.float64], others: npt.NDArray[np.float64], radius: float
) -> npt.NDArray[np.int64]:
    """Find the nearest of other points for each point: int64 (m, 2), if it is within a radius."""
    _, nearest = _tree(others).query(points, distance_upper_bound=radius)
    near = np.flatnonzero(nearest < len(others))
    return np.stack([near, nearest[near]], axis=1)


def adopt(
    labels: Labels, others: Labels, pairs: npt.NDArray[np.int64], min_overlap: float
) -> Labels:
    """Let objects take the numbers of those in another cloud that they are the same as.

    Each looks only at the object that it meets most, of equal ones at the one that it met first;
    unlabelled points do not count. Sizes are those before unlabelled points take the label of the
    point at their place.

    Args:
        labels: int32 (n,), the objects that may change.
        others: int32 (m,), those of the other cloud.
        pairs: int64 (k, 2), which point is at the place of which other point.
        min_overlap: The share of the smaller object's points at which both are one.

    Returns:
        int32 (n,): numbers of ``others``, or such as none of them has.
    """
    shift = others.max(initial=-1) + 1
    own = np.where(labels == -1, -1, labels + shift).astype(np.int32)
    sizes, other_sizes = _sizes(own), _sizes(others)
    first, second = own[pairs[:, 0]], others[pairs[:, 1]]
    result = own.copy()
    result[pairs[first == -1, 0]] = second[first == -1]
    met = np.stack([first, second], axis=1)[(first != -1) & (second != -1)]
    kinds, began, counts = np.unique(met, axis=0, return_index=True, return_counts=True)
    order = np.lexsort([began, -counts, kinds[:, 0]])
    _, best = np.unique(kinds[order, 0], return_index=True)
    renamed = own.copy()
    for place in order[best]:
        (mine, theirs), count = kinds[place], counts[place]
        if count / min(sizes[mine], other_sizes[theirs]) >= min_overlap:
            renamed[own == mine] = theirs
    return np.where(own == -1, result, renamed)


def _merge_pair(first: PointCloud, second: PointCloud, config: MergeConfig) -> PointCloud:
    if not len(first) or not len(second):
        return second if not len(first) else first
    radius, share = config.reach * config.voxel_size, config.min_overlap
    earlier = drop_small(first.labels, config.min_points)
    later = drop_small(second.labels, config.min_points)
    later = adopt(later, earlier, match(second.points, first.points, radius), share)
    earlier = adopt(earlier, later, match(first.points, second.points, radius), share)
    joined = PointCloud.concat([first, second])
    labels = close_up(np.concatenate([earlier, later]))
    return replace(joined, labels=labels).voxelize(config.voxel_size)


def _sizes(labels: Labels) -> dict[int, int]:
    values, counts = np.unique(labels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _tree(points: npt.NDArray[Any]) -> Any:
    return optional("scipy.spatial", extra="lift").cKDTree(points)
