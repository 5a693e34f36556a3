"""Make the picture of the page about depth: a made-up room, whose depth is known exactly.

    python recipes/docs_depth.py

The room (a floor, a wall and four balls) is computed ray by ray, so its depth is true and not
estimated; the masks are the bundled model's, by a click on each ball, as Session reads them.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

from pathlib import Path

import numpy as np

import anymask
from anymask.extras import depth

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SIZE_HW = 360, 480
FOCAL = 430.0
EYE = 1.1  # metres above the floor
WALL = 7.0  # metres away
LIGHT = np.array([-0.45, -0.75, -0.5]) / np.linalg.norm([-0.45, -0.75, -0.5])
# Middle (right, down, away) and radius in metres, and colour.
BALLS = [
    ((-0.55, 0.65, 2.6), 0.45, (205, 62, 48)),
    ((-0.05, 0.55, 3.7), 0.55, (60, 120, 205)),
    ((1.0, 0.75, 3.2), 0.35, (232, 178, 52)),
    ((1.45, 0.3, 5.6), 0.8, (70, 160, 96)),
]


def render() -> tuple[np.ndarray, np.ndarray]:
    """Follow a ray through each pixel: image, uint8 (h, w, 3), and depth in metres, (h, w)."""
    h, w = SIZE_HW
    y, x = np.mgrid[:h, :w].astype(float)
    rays = np.stack([(x - w / 2) / FOCAL, (y - 0.36 * h) / FOCAL, np.ones((h, w))], axis=-1)
    floor = np.where(rays[..., 1] > 0, EYE / np.maximum(rays[..., 1], 1e-9), np.inf)
    away = np.minimum(floor, WALL)
    at = rays * away[..., None]
    planks = np.where((np.floor(at[..., 0] / 0.4) + np.floor(at[..., 2] / 1.3)) % 2, 0.92, 1.0)
    on_floor = (floor < WALL)[..., None]
    colours = np.where(on_floor, np.array([172, 138, 104]) * planks[..., None], (206, 208, 214.0))
    normals = np.where(on_floor, (0, -1.0, 0), (0, 0, -1.0))
    for middle, radius, colour in BALLS:
        b = rays @ np.array(middle)
        a, c = (rays**2).sum(axis=-1), np.dot(middle, middle) - radius**2
        root = b**2 - a * c
        near = np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
        hit = near < away
        away = np.where(hit, near, away)
        colours[hit] = colour
        normals[hit] = (rays[hit] * near[hit][:, None] - middle) / radius
    at = rays * away[..., None]
    shade = 0.35 + 0.65 * np.maximum(normals @ LIGHT, 0) * lit(at + 1e-4 * normals)
    return np.clip(colours * shade[..., None] * 1.15, 0, 255).astype(np.uint8), away


def lit(at: np.ndarray) -> np.ndarray:
    """Say of each point whether no ball is between it and the light: float (h, w), 0 or 1."""
    free = np.ones(at.shape[:2])
    for middle, radius, _ in BALLS:
        gap = np.array(middle) - at
        along = gap @ LIGHT
        beside = (gap**2).sum(axis=-1) - along**2
        free[(along > 0) & (beside < radius**2) & ((gap**2).sum(axis=-1) > radius**2)] = 0.0
    return free


def main() -> None:
    """Click on each ball, measure, draw."""
    image, metres = render()
    session = depth.Session(image, depth=depth.DepthMap(metres, "metric"))
    masks = []
    for (x, y, z), _, _ in BALLS:
        at = FOCAL * x / z + SIZE_HW[1] / 2, FOCAL * y / z + 0.36 * SIZE_HW[0]
        reading = session.click(*at)
        print(f"ball {z} m away: {reading}")
        masks.append(reading.mask)
        session.reset()
    found = depth.measure(session.depth, anymask.Masks.concat(masks))
    print(found.order, found.occlusions)
    depth.draw(image, found).save(PICTURES / "depth-room.jpg", quality=88, optimize=True)


if __name__ == "__main__":
    main()
