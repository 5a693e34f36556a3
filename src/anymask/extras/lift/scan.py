"""Folders of frames in ScanNet's layout: ``color/ depth/ pose/ intrinsics/``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.errors import InputError
from anymask.extras.depth.files import SUFFIXES, read_metres
from anymask.extras.lift.frame import Frame, check_intrinsics, check_pose
from anymask.image.image import Image

__all__ = ["Scan", "ScanFrame", "open_scan"]

_COLOURS = (".jpg", ".jpeg", ".png")
_INTRINSICS = ("intrinsics", "intrinsic")  # Pointcept's name, and that of ScanNet's own exporter
_SAME_SHAPE = 0.01  # how far proportions may differ: ScanNet's 1296 x 968 belong to 640 x 480


@dataclass(frozen=True)
class ScanFrame:
    """A frame of a folder that is not read yet."""

    name: str
    color: Path
    depth: Path
    intrinsics: tuple[float, float, float, float]
    pose: npt.NDArray[np.float64]

    def open(self, depth_scale: float | None = None, max_depth: float | None = None) -> Frame:
        """Read it, the image resized to the size of its depth.

        Raises:
            InputError: A file is damaged, or the two have other proportions.
        """
        depth = read_metres(self.depth, depth_scale, max_depth)
        image = Image.open(self.color)
        (h, w), (depth_h, depth_w) = image.size_hw, depth.shape
        if abs(w * depth_h / (h * depth_w) - 1) > _SAME_SHAPE:
            raise InputError(
                f"expected depth with the proportions of {str(self.color)!r}, {w} x {h}, got "
                f"{depth_w} x {depth_h}; give images that show what the depth shows"
            )
        if (h, w) != (depth_h, depth_w):
            small = image.to_pil().resize((depth_w, depth_h), PIL.Image.Resampling.BILINEAR)
            image = replace(Image.open(small), source=image.source)
        try:
            return Frame(image, depth, self.intrinsics, self.pose)
        except InputError as error:
            raise InputError(f"cannot use {str(self.depth)!r}: {error}") from error


@dataclass(frozen=True)
class Scan:
    """What is in a folder of frames.

    Attributes:
        frames: Those whose place is known, by their numbers.
        lost: Names of those whose pose is not finite: tracking had lost the camera there.
    """

    frames: tuple[ScanFrame, ...]
    lost: tuple[str, ...]


def open_scan(folder: str | os.PathLike[str], *, stride: int = 1) -> Scan:
    """Look through a folder in ScanNet's layout; poses are read, images and depth are not.

    Args:
        folder: It holds ``color/12.jpg``, ``depth/12.png``, ``pose/12.txt`` (from camera to world)
            for each frame, and ``intrinsics/intrinsic_depth.txt``.
        stride: Take every so many frames.

    Raises:
        InputError: A file is missing, or a pose is not rigid.
    """
    if stride < 1:
        raise InputError(f"expected a stride of at least 1, got {stride}; 1 takes every frame")
    root = Path(folder)
    images = _listed(root / "color", _COLOURS)[::stride]
    intrinsics = _read_intrinsics(root)
    frames, lost = [], []
    for image in images:
        pose_file = root / "pose" / f"{image.stem}.txt"
        pose = _read_matrix(pose_file)
        if not np.isfinite(pose).all():
            lost.append(image.stem)
            continue
        pose = check_pose(pose, repr(str(pose_file)))
        depth = _beside(root / "depth", image.stem)
        frames.append(ScanFrame(image.stem, image, depth, intrinsics, pose))
    if not frames:
        raise InputError(
            f"expected frames with a pose in {str(root)!r}, got {len(lost)} without; take another "
            "scan"
        )
    return Scan(tuple(frames), tuple(lost))


def _listed(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """List the files of a folder, by their numbers."""
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() in suffixes]
    except OSError as error:
        raise _no_layout(folder.parent, f"no folder {folder.name}/ in it") from error
    found = [path for path in found if not path.name.startswith(".")]
    if not found:
        raise _no_layout(folder.parent, f"no image in {folder.name}/")
    stems = [path.stem for path in found]
    if len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise InputError(
            f"expected one image for each frame in {str(folder)!r}, got several of {twice!r}; "
            "remove all but one"
        )
    return sorted(found, key=lambda path: (not path.stem.isdecimal(), _number(path), path.stem))


def _number(path: Path) -> int:
    return int(path.stem) if path.stem.isdecimal() else 0


def _beside(folder: Path, stem: str) -> Path:
    for suffix in SUFFIXES:
        if (path := folder / f"{stem}{suffix}").is_file():
            return path
    raise InputError(
        f"expected the depth of frame {stem!r} in {str(folder)!r}, got none; add it or remove its "
        "image"
    )


def _read_intrinsics(root: Path) -> tuple[float, float, float, float]:
    for name in _INTRINSICS:
        path = root / name / "intrinsic_depth.txt"
        if path.is_file():
            return check_intrinsics(_read_matrix(path))
    raise _no_layout(root, "no intrinsics/intrinsic_depth.txt in it")


def _read_matrix(path: Path) -> npt.NDArray[np.float64]:
    try:
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        matrix = np.array([[float(word) for word in row] for row in rows if row])
    except OSError as error:
        raise InputError(
            f"expected a matrix in {str(path)!r}, got {error.strerror}; add it, or remove the "
            "frame's image"
        ) from error
    except ValueError as error:
        raise InputError(
            f"expected a matrix in {str(path)!r}, got something else ({error}); write its rows as "
            "lines of numbers"
        ) from error
    return matrix


def _no_layout(root: Path, got: str) -> InputError:
    return InputError(
        f"expected a folder in ScanNet's layout, color/ depth/ pose/ intrinsics/, got "
        f"{str(root)!r} with {got}; see the page on 3-D"
    )
