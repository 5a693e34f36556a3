"""A room whose points are known: a floor and a box on it, seen from several places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from recipes.lift_room import Box, look, masks_of, render

from anymask.extras.lift import Frame
from anymask.image.image import Image

SIZE_HW = (48, 64)
INTRINSICS = (60.0, 60.0, 31.5, 23.5)
THINGS = [
    Box("floor", (0, 0, -0.1), (3, 3, 0.2), (90, 90, 90)),
    Box("crate", (0.5, 0.2, 0.2), (0.6, 0.4, 0.4), (200, 60, 30)),
    Box("pillar", (-0.6, -0.3, 0.5), (0.3, 0.3, 1.0), (30, 60, 200)),
]


def view(angle: float) -> Frame:
    """Look at the room from an angle in degrees."""
    x, y = 2.2 * np.cos(np.radians(angle)), 2.2 * np.sin(np.radians(angle))
    pose = look(np.array([x, y, 1.6]), np.array([0, 0, 0.2]))
    colors, depth, seen = render(THINGS, pose, INTRINSICS, SIZE_HW)
    depth = (depth * 1000).round() / 1000  # what a file of millimetres can hold
    return Frame(Image.open(colors), depth, INTRINSICS, pose, masks_of(THINGS, seen))


@pytest.fixture(scope="session")
def views() -> list[Frame]:
    """Five frames around it."""
    return [view(angle) for angle in (-90, -70, -50, -30, -10)]


@pytest.fixture
def write_scan(tmp_path: Path, views: list[Frame]) -> Callable[..., Path]:
    """Write frames in ScanNet's layout, the colours larger than the depth as there."""

    def write(intrinsics: str = "intrinsics", enlarge: int = 2) -> Path:
        root = tmp_path / "scan"
        for name in ("color", "depth", "pose", intrinsics, "masks"):
            (root / name).mkdir(parents=True)
        matrix = np.eye(4)
        matrix[[0, 1, 0, 1], [0, 1, 2, 2]] = INTRINSICS
        np.savetxt(root / intrinsics / "intrinsic_depth.txt", matrix)
        h, w = SIZE_HW
        for i, frame in enumerate(views):
            number, pose, masks = i * 5, frame.pose, frame.masks
            assert pose is not None
            assert masks is not None
            large = frame.image.to_pil().resize((w * enlarge, h * enlarge))
            large.save(root / "color" / f"{number}.jpg")
            millimetres = (frame.depth * 1000).round().astype(np.uint16)
            PIL.Image.fromarray(millimetres).save(root / "depth" / f"{number}.png")
            np.savetxt(root / "pose" / f"{number}.txt", pose)
            masks.save(root / "masks" / f"{number}.json")
        return root

    return write
