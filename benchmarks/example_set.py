"""The same thing in other photos, and photos without it: a set made of photos with masks.

    python benchmarks/example_set.py ../shared/data val /tmp/example-set    # to look at

A thing that lies whole inside its photo is the reference. It is cut out and pasted into other
photos: larger or smaller, turned a little, lighter or darker, of another tint, with soft edges;
once in some, twice in others. Photos without it have another thing pasted in, so that nothing tells
them but what is shown. Nothing is learned from the photos of ``-val``: thresholds were chosen on
``-train``.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.data.open import open_dataset

BoolArray = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]

# What is drawn by hand has no photos for training, and people in the street are not to be shown.
SETS = ("voc-animals", "voc-objects", "coco-mini", "coco128", "drawn-things")
AREAS = 0.02, 0.35  # of a thing, as a share of its photo
SCALES, TURNS = (0.6, 1.5), 20.0  # times its share of the photo's longer side; degrees
LIGHT, TINT = (0.75, 1.3), 0.08


@dataclass(frozen=True)
class Thing:
    """A thing, cut out."""

    image: Pixels
    mask: BoolArray


@dataclass(frozen=True)
class Photo:
    """A photo, and where the thing is in it: one mask for each time that it is there."""

    image: Pixels
    masks: list[BoolArray] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """A reference, and photos with and without what it shows."""

    reference: Thing
    photos: list[Photo]


def cases(folder: Path, part: str, count: int, seed: int = 0) -> Iterator[Case]:
    """Make cases of the photos below a folder: three photos with the thing, two without.

    Args:
        folder: Holds the sets.
        part: "train" or "val".
        count: How many cases.
        seed: Of what is chosen.
    """
    things = list(_things(folder, part, seed))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(things))
    for place in range(min(count, len(things))):
        thing = things[order[place]]
        photos = []
        for times, own in ((1, True), (1, True), (2, True), (1, False), (1, False)):
            others = rng.choice(len(things) - 1, 2, replace=False)
            ground, other = (things[(order[place] + 1 + int(i)) % len(things)] for i in others)
            photos.append(_paste(rng, ground.image, thing if own else other, times, own))
        yield Case(thing, photos)


def _things(folder: Path, part: str, seed: int) -> Iterator[Thing]:
    """List one thing of each photo that has any of a fitting size, whole and in one piece."""
    rng = np.random.default_rng(seed)
    for name in SETS:
        if not (folder / f"{name}-{part}").is_dir():
            continue
        samples = open_dataset(folder / f"{name}-{part}")
        for index in rng.permutation(len(samples))[:400]:
            sample = samples[int(index)]
            fitting = [mask for mask in sample.masks() if _fits(mask)]
            if fitting:
                yield Thing(sample.image, fitting[rng.integers(len(fitting))])


def _fits(mask: BoolArray) -> bool:
    edges = mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()
    if edges or not AREAS[0] < mask.mean() < AREAS[1]:
        return False
    return cv2.connectedComponents(mask.astype(np.uint8))[0] == 2


def _paste(rng: np.random.Generator, ground: Pixels, thing: Thing, times: int, own: bool) -> Photo:
    """Paste a thing into a photo, each time another way and beside the times before."""
    image, masks = ground.copy(), []
    for _ in range(times):
        for _ in range(20):
            pixels, soft = _changed(rng, thing, max(ground.shape[:2]))
            h, w = soft.shape
            room = ground.shape[0] - h, ground.shape[1] - w
            if min(room) < 0:
                continue
            y, x = (int(rng.integers(side + 1)) for side in room)
            mask = np.zeros(ground.shape[:2], bool)
            mask[y : y + h, x : x + w] = soft > 0.5
            if any((mask & other).any() for other in masks):
                continue
            part = image[y : y + h, x : x + w]
            part[:] = np.rint(part + (pixels - part) * soft[..., None])
            masks.append(mask)
            break
    return Photo(image, masks if own else [])


def _changed(
    rng: np.random.Generator, thing: Thing, side: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Scale, turn and light a thing: pixels (h, w, 3), and how much of each is seen (h, w)."""
    rows, columns = np.flatnonzero(thing.mask.any(1)), np.flatnonzero(thing.mask.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    pixels, mask = thing.image[box].astype(np.float32), thing.mask[box].astype(np.float32)
    factor = float(np.exp(rng.uniform(*np.log(SCALES)))) * side / max(thing.mask.shape)
    h, w = mask.shape
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), rng.uniform(-TURNS, TURNS), factor)
    corners = np.array([[0, 0, 1], [w, 0, 1], [0, h, 1], [w, h, 1]]) @ turn.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    turn[:, 2] -= low
    size = tuple(int(np.ceil(v)) for v in high - low)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    pixels = cv2.warpAffine(pixels, turn, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(cv2.warpAffine(mask, turn, size, flags=how), (0, 0), 0.7)
    light = rng.uniform(*LIGHT) * rng.uniform(1 - TINT, 1 + TINT, 3)
    return np.clip(pixels * light, 0, 255).astype(np.float32), soft


def main(folder: str, part: str, output: str) -> None:
    """Write a few cases side by side, the reference first."""
    place = Path(output)
    place.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(cases(Path(folder), part, 8)):
        shown = [Photo(case.reference.image, [case.reference.mask]), *case.photos]
        row = [_outlined(photo) for photo in shown]
        PIL.Image.fromarray(np.concatenate(row, axis=1)).save(place / f"{number}.png")


def _outlined(photo: Photo) -> Pixels:
    image = photo.image.copy()
    for mask in photo.masks:
        lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(image, lines, -1, (255, 0, 0), 2)
    return cv2.resize(image, (320, 320))


if __name__ == "__main__":
    main(*sys.argv[1:])
