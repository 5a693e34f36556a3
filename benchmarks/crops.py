"""Measure which crops of masks show best what the masks are, and defend what `LabelConfig` does.

    python benchmarks/crops.py ../data/voc-animals-val ../data/coco128-val ../data/voc-objects-val

CLIP's weights cannot be had everywhere, so the bundled detector stands in: it looks at crops of
annotated masks, on grey filled up to a square, and should say of each what it said of that thing in
the whole photo (where it was at least half sure, and its box has an IoU of at least 0.6 with that
of the mask). Another network may like other crops better.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

from collections import Counter
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import tyro
from tyro.conf import Positional

from anymask import geometry
from anymask.config import Outside
from anymask.data.open import open_dataset
from anymask.masks.masks import Masks
from anymask.models.detector import load_detector
from anymask.models.ssd import detect
from anymask.text.rank import _framed, crops

CONTEXTS = (0.0, 0.1, 0.25, 0.5)
OUTSIDES: tuple[Outside, ...] = ("keep", "dim", "blank")


@dataclass(frozen=True)
class Options:
    """What to measure on."""

    data: Positional[tuple[Path, ...]]
    """Folders of data sets."""
    images: int = 60
    """At most how many of each."""


def main(options: Options) -> None:
    """Measure and print."""
    detector = load_detector()
    right: Counter[tuple[Outside, float]] = Counter()
    total = 0
    for folder in options.data:
        dataset = open_dataset(folder)
        for i in range(min(options.images, len(dataset))):
            sample, truths = dataset[i], dataset[i].masks()
            found = detect(detector, sample.image, min_score=0.5)
            if not truths or not len(found):
                continue
            masks = Masks.from_dense(np.stack(truths))
            boxes = masks.boxes + np.array([0, 0, 1, 1], np.float32)
            near = geometry.box_iou(boxes, found.boxes)
            some = np.flatnonzero(near.max(axis=1) >= 0.6)
            meant = [found.labels[place] for place in near[some].argmax(axis=1)]
            total += len(some)
            for outside, context in product(OUTSIDES, CONTEXTS):
                pieces = crops(masks[some], sample.image, context=context, outside=outside)
                for piece, label in zip(pieces, meant, strict=True):
                    said = detect(detector, _framed(piece, square=True), min_score=0.05)
                    right[outside, context] += said.labels[:1] == (label,)
    print(f"{total} masks: share that is still recognised\n")
    print("| outside of the mask | " + " | ".join(f"context {c}" for c in CONTEXTS) + " |")
    print("| --- |" + " ---: |" * len(CONTEXTS))
    for outside in OUTSIDES:
        shares = [f"{right[outside, c] / max(total, 1):.2f}" for c in CONTEXTS]
        print(f"| {outside} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main(tyro.cli(Options))
