"""Measure which mask a detection means, by several rules; the best is that of `text.label.fit`.

    python benchmarks/label_matching.py ../data/coco128-val ../data/voc-objects-val --images 10

The bundled detector finds boxes, and the bundled model all masks. A detection counts if its box has
an IoU of at least 0.5 with that of an annotated mask. Each rule names one mask for it, or none if
nothing fits well enough; it is right if that mask has an IoU of at least 0.5 with the annotated
one. Searching takes seconds per image; the masks are kept in ``--cache``.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from tyro.conf import Positional

import anymask
from anymask import geometry
from anymask.data.open import open_dataset
from anymask.detections import Detections
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.models.detector import load_detector
from anymask.models.ssd import detect
from anymask.text.label import fit


@dataclass(frozen=True)
class Options:
    """What to measure on."""

    data: Positional[tuple[Path, ...]]
    """Folders of data sets."""
    images: int = 10
    """How many of each, of those in which something is detected."""
    cache: Path = Path("label-matching")
    """Folder for the masks of everything mode."""


def box_iou(masks: Masks, found: Detections) -> np.ndarray:
    """Compare boxes alone."""
    around = masks.boxes + np.array([0, 0, 1, 1], np.float32)
    return geometry.box_iou(around, found.boxes)


def mask_iou(masks: Masks, found: Detections) -> np.ndarray:
    """Compare masks with the pixels inside boxes."""
    return rle.iou(masks.counts, found.masks().counts)


def largest_inside(masks: Masks, found: Detections) -> np.ndarray:
    """Take the largest mask of which 0.9 lie in the box."""
    rooms = [[rle.intersection(m, box) for box in found.masks().counts] for m in masks.counts]
    inside = np.array(rooms) / masks.areas[:, None] >= 0.9
    return inside * masks.areas[:, None] / masks.areas.max()


RULES: dict[str, tuple[Callable[[Masks, Detections], np.ndarray], tuple[float, ...]]] = {
    "IoU of boxes": (box_iou, (0.5, 0.6, 0.7)),
    "IoU of mask and box": (mask_iou, (0.3, 0.4, 0.5)),
    "largest mask inside": (largest_inside, (0.0,)),
    "fit (boxes and ellipse)": (fit, (0.4, 0.5, 0.6)),
}


def main(options: Options) -> None:
    """Measure and print."""
    model, detector = anymask.load(), load_detector()
    counts = {(name, limit): [0, 0] for name, (_, limits) in RULES.items() for limit in limits}
    total = possible = 0
    options.cache.mkdir(parents=True, exist_ok=True)
    for folder in options.data:
        dataset, taken = open_dataset(folder), 0
        for i in range(len(dataset)):
            sample, truths = dataset[i], dataset[i].masks()
            found = detect(detector, sample.image)
            if taken == options.images or not len(found) or not truths:
                continue
            taken += 1
            kept = options.cache / f"{folder.name}__{dataset.key(i).replace('/', '-')}.json"
            if not kept.is_file():
                model.generate(sample.image).save(kept)
            masks = anymask.read(kept)
            truth = Masks.from_dense(np.stack(truths))
            near = box_iou(truth, found)
            right = rle.iou(masks.counts, truth.counts) >= 0.5
            for place in np.flatnonzero(near.max(axis=0) >= 0.5):
                meant = right[:, near[:, place].argmax()]
                total, possible = total + 1, possible + bool(meant.any())
                for name, (rule, limits) in RULES.items():
                    fits = rule(masks, found[[int(place)]])[:, 0]
                    for limit in limits:
                        if fits.max() >= limit:
                            counts[name, limit][0] += 1
                            counts[name, limit][1] += bool(meant[fits.argmax()])
    print(f"{total} detections; of {possible} there is a mask\n")
    print("| rule | at least | named | right | precision | recall |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for (name, limit), (named, right_ones) in counts.items():
        precision, recall = right_ones / max(named, 1), right_ones / max(total, 1)
        print(f"| {name} | {limit} | {named} | {right_ones} | {precision:.2f} | {recall:.2f} |")


if __name__ == "__main__":
    main(tyro.cli(Options))
