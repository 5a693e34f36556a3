"""From the points of frames to the vertices of a scan of the same scene, such as its mesh."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.extras.lift.merge import labels_at, refine
from anymask.extras.lift.point_cloud import PointCloud

__all__ = ["ScanLike", "SegmentsLike", "Surface", "label_scan"]

ScanLike: TypeAlias = "PointCloud | str | os.PathLike[str]"
"""The vertices of a scan: a `PointCloud`, or a PLY file, whose faces are left out."""
SegmentsLike: TypeAlias = "npt.ArrayLike | str | os.PathLike[str]"
"""An over-segmentation: an array, or a file of it."""

_KEY = "segIndices"  # what ScanNet's *.segs.json call it


@dataclass(frozen=True, eq=False)
class Surface:
    """The vertices of a scan, and which small surface each belongs to, if that is known.

    Attributes:
        vertices: The vertices.
        segments: int (n,), the number of the surface of each, counted from 0.
    """

    vertices: PointCloud
    segments: npt.NDArray[np.int64] | None = None

    @classmethod
    def open(cls, scan: ScanLike, segments: SegmentsLike | None = None) -> Surface:
        """Read both; see `label_scan`.

        Raises:
            InputError: A file cannot be read, or there is not one segment for each vertex.
        """
        found = scan if isinstance(scan, PointCloud) else PointCloud.read(scan)
        return cls(found, None if segments is None else _read_segments(segments, len(found)))

    def labelled(self, cloud: PointCloud, *, max_distance: float, min_vertices: int) -> PointCloud:
        """Give the vertices with labels; see `label_scan`."""
        labels = labels_at(cloud, self.vertices.points, max_distance)
        if self.segments is not None:
            values, counts = np.unique(labels[labels >= 0], return_counts=True)
            kept = values[counts >= min_vertices]
            refined = refine(labels, self.segments, min_points=min_vertices)
            numbers = np.append(kept, -1)  # refine counts what it keeps from 0
            labels = numbers[np.where(refined < len(kept), refined, -1)].astype(np.int32)
        return replace(self.vertices, labels=labels)


def label_scan(
    cloud: PointCloud,
    scan: ScanLike,
    segments: SegmentsLike | None = None,
    *,
    max_distance: float = 0.6,
    min_vertices: int = 20,
) -> PointCloud:
    """Label the vertices of a scan by the nearest point of a merged scene.

    With an over-segmentation, its small surfaces decide together, as SAM3D's ensemble does
    (`refine`); of a surface that belongs to no object, no vertex has a label.

    Args:
        cloud: Of `lift` or `merge`, in the scan's frame.
        scan: The vertices, in metres.
        segments: The number of the surface of each vertex, int (n,); or a file of them: NPY, a
            number a line, or JSON with ``segIndices``, as ScanNet has it.
        max_distance: What is further away than this, in metres, gets no label.
        min_vertices: With segments: objects of fewer vertices are dropped before.

    Returns:
        The vertices in their order, labelled with the numbers of ``cloud``; -1: none.

    Raises:
        InputError: A file cannot be read, there is not one segment for each vertex, or a number is
            not what it should be.
        MissingExtraError: SciPy is not installed.

    Examples:
        >>> points = np.stack([np.arange(8), np.zeros(8), np.zeros(8)], axis=1) / 10
        >>> grey = np.zeros((8, 3), np.uint8)
        >>> cloud = PointCloud(points[:4], grey[:4], np.array([5, 5, 5, 9]))
        >>> label_scan(cloud, PointCloud(points, grey, np.full(8, -1))).labels.tolist()
        [5, 5, 5, 9, 9, 9, 9, 9]
    """
    surface = Surface.open(scan, segments)
    return surface.labelled(cloud, max_distance=max_distance, min_vertices=min_vertices)


def _read_segments(segments: SegmentsLike, count: int) -> npt.NDArray[np.int64]:
    """Read the surface of each vertex, counted from 0."""
    named = isinstance(segments, str | os.PathLike)
    name = repr(os.fspath(segments)) if named else "the array"  # type: ignore[arg-type]
    try:
        values = _read_file(Path(segments)) if named else np.asarray(segments)  # type: ignore[arg-type]
    except OSError as error:
        raise InputError(
            f"expected segments in {name}, got {error.strerror or error}; check the name"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"expected segments in {name} as NPY, a number a line, or JSON with {_KEY}, got "
            f"something else ({error}); write one number for each vertex"
        ) from error
    if values.shape != (count,) or values.dtype.kind not in "iu":
        raise InputError(
            f"expected whole numbers of {count:,} segments, one for each vertex of the scan, got "
            f"{values.dtype} of shape {values.shape} in {name}; take those of this scan"
        )
    return np.unique(values, return_inverse=True)[1]


def _read_file(path: Path) -> npt.NDArray[Any]:
    if path.suffix.lower() == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    text = path.read_text(encoding="utf-8")
    if path.suffix.lower() == ".json":
        return np.asarray(json.loads(text)[_KEY])
    return np.array([int(word) for word in text.split()])
