"""Clips with a known answer: cut-outs that move over photos, for `benchmarks/track.py`.

Everything follows from the kind of a clip and its number, so that a clip is the same on every
computer. Things and backgrounds are photos of the validation sets in ``../shared/data``: clips with
even numbers take those with even numbers, so that settings can be chosen on the ones (even) and
measured on the others (odd).

    move       a thing wanders over a background that pans, turning, bending and changing its size
    occlusion  something else passes over all of it
    leave      it leaves the image, and comes back from another side
    scale      it grows from a half to twice its size, or shrinks
    fast       it moves by up to a tenth of the image's width from frame to frame
    twins      two of the same kind, one mirrored, cross; one passes in front of the other
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image

KINDS = ("move", "occlusion", "leave", "scale", "fast", "twins")
SIZE_HW = (480, 854)
LENGTH = 48

_THINGS = ("voc-animals-val", "voc-objects-val", "coco-person-val")
_GROUNDS = ("bsds500-val", "street-val", "coco-mini-val")
_BEND = 0.05  # of a thing's size, how far it bends
_NOISE = 2.0  # of 255


@dataclass(frozen=True)
class Clip:
    """Frames, and which thing each pixel shows.

    Attributes:
        name: Kind and number.
        frames: uint8 (h, w, 3) each.
        truth: uint8 (h, w) each, 0 background, 1 and 2 the things.
        count: How many things there are.
    """

    name: str
    frames: list[npt.NDArray[np.uint8]]
    truth: list[npt.NDArray[np.uint8]]
    count: int


@dataclass(frozen=True)
class Sprite:
    """A thing, cut out: uint8 (h, w, 3), and float32 (h, w), 0 to 1."""

    pixels: npt.NDArray[np.uint8]
    cover: npt.NDArray[np.float32]


def make_clips(
    data: Path, numbers: range, kinds: tuple[str, ...] = KINDS, length: int = LENGTH
) -> Iterator[Clip]:
    """Make clips of all kinds with these numbers."""
    for number in numbers:
        for kind in kinds:
            yield make_clip(data, kind, number, length)


def make_clip(data: Path, kind: str, number: int, length: int = LENGTH) -> Clip:
    """Make a clip."""
    rng = np.random.default_rng([KINDS.index(kind), number])
    things = [_sprite(data, rng, number % 2)]
    twins = kind == "twins"
    if twins:
        things.append(Sprite(things[0].pixels[:, ::-1].copy(), things[0].cover[:, ::-1].copy()))
    ground = _ground(data, rng, number % 2)
    paths = _twin_paths(rng, length) if twins else [_path(kind, rng, length)]
    cover = _sprite(data, rng, number % 2) if kind == "occlusion" else None
    pan = _smooth(rng, length, 2)
    frames, truth = [], []
    phase = rng.uniform(0, 2 * np.pi, 4)
    for t in range(length):
        frame = _window(ground, pan[t])
        labels = np.zeros(SIZE_HW, np.uint8)
        for i, (thing, path) in enumerate(zip(things, paths, strict=True), start=1):
            _paste(frame, labels, i, thing, path[t], phase + 0.25 * t)
        if cover is not None:
            across = (t - 0.5 * length) / (0.17 * length)  # in the middle at half time
            if abs(across) < 1.6:
                x, y, size, _ = paths[0][t]
                place = np.array([x + across * 2 * size, y, 2.3 * size, 0.0])
                _paste(frame, labels, 0, cover, place, phase, upright=True)
        light = 1 + 0.12 * np.sin(phase[0] + 2 * np.pi * t / length)
        noisy = frame * light + rng.normal(0, _NOISE, frame.shape)
        frames.append(np.clip(noisy, 0, 255).astype(np.uint8))
        truth.append(labels)
    return Clip(f"{kind}-{number}", frames, truth, len(things))


# --------------------------------------------------------------------------- paths
# A path has (x, y, size, angle) for each frame: middle and height in pixels, degrees.


def _smooth(rng: np.random.Generator, length: int, count: int) -> npt.NDArray[Any]:
    """Wander smoothly between -1 and 1: (length, count)."""
    t = np.linspace(0, 2 * np.pi, length)[:, None]
    phase, speed = rng.uniform(0, 2 * np.pi, (2, count)), rng.uniform(0.4, 1.1, (2, count))
    return 0.6 * np.sin(speed[0] * t + phase[0]) + 0.4 * np.sin(2 * speed[1] * t + phase[1])


def _path(kind: str, rng: np.random.Generator, length: int) -> npt.NDArray[Any]:
    h, w = SIZE_HW
    wander = _smooth(rng, length, 4)
    size = rng.uniform(0.3, 0.5) * h
    x, y = w * (0.5 + 0.28 * wander[:, 0]), h * (0.5 + 0.2 * wander[:, 1])
    height = size * 1.25 ** wander[:, 2]
    angle = 12 * wander[:, 3]
    if kind == "scale":
        height = size * 2.0 ** np.linspace(-1, 1, length)[:: rng.choice([1, -1])]
    if kind == "leave":
        t = np.linspace(0, 1, length)
        side = rng.choice([-1, 1])
        out = np.where(t < 0.5, np.clip((t - 0.15) / 0.25, 0, 1), np.clip((0.85 - t) / 0.25, 0, 1))
        leaves = np.where(t < 0.5, side, rng.choice([side, -side]))
        x = w * (0.5 + 0.15 * wander[:, 0] + leaves * 0.95 * out)
    if kind == "fast":
        t = np.arange(length)
        x = w * (0.5 + 0.36 * np.sin(0.27 * t + rng.uniform(0, 6)))
        y = h * (0.5 + 0.22 * np.sin(0.41 * t + rng.uniform(0, 6)))
    return np.stack([x, y, height, angle], axis=1)


def _twin_paths(rng: np.random.Generator, length: int) -> list[npt.NDArray[Any]]:
    h, w = SIZE_HW
    t = np.linspace(-1, 1, length)
    size = rng.uniform(0.3, 0.45) * h
    sway = 0.05 * _smooth(rng, length, 4)
    one = [w * (0.5 + 0.3 * t + sway[:, 0]), h * (0.5 + sway[:, 1])]
    other = [w * (0.5 - 0.3 * t + sway[:, 2]), h * (0.55 + sway[:, 3])]
    steady = np.ones(length)
    return [
        np.stack([*one, size * steady, 80 * sway[:, 0]], axis=1),
        np.stack([*other, 1.1 * size * steady, 80 * sway[:, 1]], axis=1),
    ]


# --------------------------------------------------------------------------- photos


def _pick(data: Path, sets: tuple[str, ...], rng: np.random.Generator, parity: int) -> Path:
    folder = data / sets[rng.integers(len(sets))] / "images"
    photos = sorted(folder.glob("*.jpg"))[parity::2]
    return photos[rng.integers(len(photos))]


def _sprite(data: Path, rng: np.random.Generator, parity: int) -> Sprite:
    """Cut out a thing that is neither small nor cut off by the border of its photo."""
    while True:
        photo = _pick(data, _THINGS, rng, parity)
        labels = np.array(PIL.Image.open(photo.parents[1] / "masks" / f"{photo.stem}.0.png"))
        masks = [labels == label for label in np.unique(labels) if label]
        mask = masks[rng.integers(len(masks))]
        touched = sum(bool(side.any()) for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
        if 0.04 < mask.mean() < 0.5 and touched <= 1:
            break
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    place = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Sprite(
        np.array(PIL.Image.open(photo).convert("RGB"))[place], mask[place].astype(np.float32)
    )


def _ground(data: Path, rng: np.random.Generator, parity: int) -> npt.NDArray[np.uint8]:
    """Take a photo as background, a little larger than the frames."""
    h, w = (round(1.12 * side) for side in SIZE_HW)
    photo = PIL.Image.open(_pick(data, _GROUNDS, rng, parity)).convert("RGB")
    scale = max(h / photo.height, w / photo.width)
    size = (round(photo.width * scale), round(photo.height * scale))
    return np.array(photo.resize(size, PIL.Image.Resampling.BICUBIC))[:h, :w]


def _window(ground: npt.NDArray[np.uint8], pan: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    h, w = SIZE_HW
    spare = np.array([ground.shape[1] - w, ground.shape[0] - h])
    x, y = (spare * (0.5 + 0.5 * np.clip(pan, -1, 1))).astype(int)
    return ground[y : y + h, x : x + w].astype(np.float32)


def _paste(
    frame: npt.NDArray[np.float32],
    labels: npt.NDArray[np.uint8],
    label: int,
    thing: Sprite,
    place: npt.NDArray[Any],
    phase: npt.NDArray[Any],
    upright: bool = False,
) -> None:
    """Lay a thing over a frame, turned, scaled and a little bent."""
    h, w = thing.cover.shape
    x, y, size, angle = place
    scale = size / max(h, 0.6 * w)
    turn = np.deg2rad(0 if upright else angle)
    rows, columns = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]].astype(np.float32)
    dx, dy = (columns - x) / scale, (rows - y) / scale
    u = np.cos(turn) * dx + np.sin(turn) * dy
    v = -np.sin(turn) * dx + np.cos(turn) * dy
    if not upright:
        bend = _BEND * max(h, w)
        u, v = (
            u + bend * np.sin(phase[1] + 2.5 * v / max(h, w)),
            v + bend * np.sin(phase[2] + 2.5 * u / max(h, w)),
        )
    u, v = (u + w / 2).astype(np.float32), (v + h / 2).astype(np.float32)
    cover = cv2.remap(thing.cover, u, v, cv2.INTER_LINEAR)
    pixels = cv2.remap(thing.pixels, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(cover, (3, 3), 0)[..., None]
    frame[:] = frame * (1 - soft) + pixels * soft
    labels[cover > 0.5] = label
