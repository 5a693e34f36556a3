"""Make a synthetic room of frames with depth, poses and masks, to try `anymask lift` on.

    python recipes/lift_room.py room/
    anymask lift room/ --masks room/masks --picture -o room.ply

A camera goes around a table in a room; rays meet boxes and balls. The folder has ScanNet's layout
(color/ depth/ pose/ intrinsics/), and the true masks beside it, with names. Depth has the noise and
the gaps of a depth camera. truth.json says where each thing is.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
import tyro
from tyro.conf import Positional

from anymask import Masks

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """What to make."""

    folder: Positional[Path]
    """The new folder."""
    views: int = 12
    """How many frames."""
    width: int = 640
    """Of a frame, in pixels; its height is three quarters of that."""
    seed: int = 0
    """Of the noise."""


@dataclass(frozen=True)
class Box:
    """A box that may be turned around the vertical."""

    name: str
    center: tuple[float, float, float]
    size: tuple[float, float, float]
    color: tuple[int, int, int]
    degrees: float = 0

    def meet(self, origin: Array, rays: Array) -> tuple[Array, Array]:
        """Find how far away each ray enters, and how light the place is."""
        angle = np.radians(self.degrees)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        start, along = origin - self.center, rays.copy()
        start[:2], along[..., :2] = turn @ start[:2], along[..., :2] @ turn.T
        with np.errstate(divide="ignore", invalid="ignore"):
            near = (-np.sign(along) * np.array(self.size) / 2 - start) / along
            far = (np.sign(along) * np.array(self.size) / 2 - start) / along
        enter, leave = near.max(axis=-1), far.min(axis=-1)
        light = np.array([0.8, 0.65, 1.0])[near.argmax(axis=-1)]
        return np.where((enter < leave) & (enter > 0), enter, np.inf), light


@dataclass(frozen=True)
class Ball:
    """A ball."""

    name: str
    center: tuple[float, float, float]
    radius: float
    color: tuple[int, int, int]

    def meet(self, origin: Array, rays: Array) -> tuple[Array, Array]:
        """Find how far away each ray enters, and how light the place is."""
        start = origin - self.center
        a, b = (rays**2).sum(axis=-1), rays @ start
        inside = b**2 - a * (start @ start - self.radius**2)
        enter = (-b - np.sqrt(np.maximum(inside, 0))) / a
        normal = (start + rays * enter[..., None]) / self.radius
        light = 0.7 + 0.3 * normal @ np.array([0.3, 0.2, 0.93])
        return np.where((inside > 0) & (enter > 0), enter, np.inf), light


def room() -> list[Box | Ball]:
    """List the things in the room; z points up, metres. Those of one name are one thing."""
    brown, white = (150, 105, 70), (225, 222, 212)
    legs = [(x, y) for x in (-0.5, 0.5) for y in (-0.3, 0.3)]
    return [
        Box("floor", (0, 0, -0.05), (6, 6, 0.1), (170, 150, 125)),
        Box("wall", (0, 3.05, 1.2), (6, 0.1, 2.5), white),
        Box("other wall", (-3.05, 0, 1.2), (0.1, 6, 2.5), white),
        Box("table", (0, 0, 0.72), (1.4, 0.8, 0.06), brown),
        *[Box("table", (x, y, 0.345), (0.07, 0.07, 0.69), brown) for x, y in legs],
        Box("book", (-0.35, 0.1, 0.78), (0.3, 0.22, 0.06), (60, 90, 170), 25),
        Ball("ball", (0.25, -0.05, 0.87), 0.12, (215, 80, 60)),
        Box("cupboard", (-2.6, 1.4, 0.9), (0.6, 1.2, 1.8), (120, 140, 120)),
        Box("stool", (1.2, 0.7, 0.23), (0.4, 0.4, 0.46), (235, 180, 60), 40),
        Box("chest", (-1.2, 2.3, 0.3), (1.0, 0.55, 0.6), (110, 80, 120), -15),
    ]


def look(position: Array, target: Array) -> Array:
    """Give the pose (4, 4) of a camera, x right, y down, z forward, that looks at a place."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(forward, right), forward, position], axis=1)
    return pose


def render(
    things: list[Box | Ball], pose: Array, k: tuple[float, ...], size_hw: tuple[int, int]
) -> tuple[npt.NDArray[np.uint8], Array, npt.NDArray[np.int64]]:
    """Give colours (h, w, 3), depth in metres (h, w), 0 for none, and the thing seen (h, w)."""
    fx, fy, cx, cy = k
    v, u = np.mgrid[: size_hw[0], : size_hw[1]]
    rays = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones(size_hw)], axis=-1) @ pose[:3, :3].T
    depth, seen = np.full(size_hw, np.inf), np.full(size_hw, -1)
    colors = np.full((*size_hw, 3), 60.0)
    for number, thing in enumerate(things):
        distance, light = thing.meet(pose[:3, 3], rays)
        front = distance < depth
        depth[front], seen[front] = distance[front], number
        colors[front] = light[front, None] * np.array(thing.color)
    floor = (seen == 0)[..., None]
    tiles = np.floor((pose[:3, 3] + rays * np.where(seen < 0, 0, depth)[..., None])[..., :2] * 2)
    colors = np.where(floor & (tiles.sum(axis=-1) % 2 == 0)[..., None], colors * 0.88, colors)
    return colors.astype(np.uint8), np.where(np.isinf(depth), 0, depth), seen


def masks_of(things: list[Box | Ball], seen: npt.NDArray[np.int64]) -> Masks:
    """Give the masks of what is seen, by name."""
    names = list(dict.fromkeys(thing.name for thing in things))
    of_thing = np.array([names.index(thing.name) for thing in things])
    found = np.where(seen < 0, -1, of_thing[seen])
    present = [number for number in np.unique(found).tolist() if number >= 0]
    dense = np.stack([found == number for number in present])
    return Masks.from_dense(dense, labels=[names[number] for number in present])


def main(options: Options) -> None:
    """Make the folder."""
    rng = np.random.default_rng(options.seed)
    size_hw = options.width * 3 // 4, options.width
    f = 0.9 * options.width
    k = (f, f, (options.width - 1) / 2, (size_hw[0] - 1) / 2)
    for name in ("color", "depth", "pose", "intrinsics", "masks"):
        (options.folder / name).mkdir(parents=True)
    matrix = np.eye(4)
    matrix[[0, 1, 0, 1], [0, 1, 2, 2]] = k
    np.savetxt(options.folder / "intrinsics" / "intrinsic_depth.txt", matrix, "%.6f")
    things = room()
    for number, angle in enumerate(np.linspace(-75, 15, options.views)):
        x, y = 2.9 * np.cos(np.radians(angle)), 2.9 * np.sin(np.radians(angle))
        pose = look(np.array([x, y, 1.7]), np.array([-0.5, 0.5, 0.6]))
        colors, depth, seen = render(things, pose, k, size_hw)
        noisy = depth + rng.normal(0, 0.002, size_hw) * depth
        noisy[(rng.random(size_hw) < 0.01) | (depth == 0)] = 0
        save = options.folder
        PIL.Image.fromarray(colors).save(save / "color" / f"{number}.jpg", quality=95)
        millimetres = (noisy * 1000).round().astype(np.uint16)
        PIL.Image.fromarray(millimetres).save(save / "depth" / f"{number}.png")
        np.savetxt(save / "pose" / f"{number}.txt", pose, "%.8f")
        masks_of(things, seen).save(save / "masks" / f"{number}.json")
    truth = [{"name": thing.name, "center": thing.center} for thing in things]
    (options.folder / "truth.json").write_text(json.dumps(truth, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
