"""Measure how much of what people labelled is found by words alone, beside a box drawn by hand.

    python benchmarks/words.py DATA                 # a folder of voc-animals-val, ccp-val, ...
    python benchmarks/words.py DATA --photos 20

The sets of ``DATA`` have masks without names, and not of everything in a photo. So what can be said
honestly is: of the masks that people drew, how many are found when a photo is asked for all words
at once (some answer has an IoU of half or more), how good those are, and how many further answers
lie mostly within one. Beside it, the same model with each mask's own box, which no detector can say
better; and how often a box of the detector fits that box with an IoU of half or more. Prints
Markdown.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
import tyro
from measure import machine
from tyro.conf import Positional

import anymask
from anymask.data.open import open_dataset
from anymask.image.image import Image

Mask = npt.NDArray[np.bool_]

SETS = {
    # The animals' other masks are persons, chairs, cars and the like, and animals without a word.
    "voc-animals-val": ("cat. dog. cow. person. chair. car. bottle. tv", None),
    "ccp-val": ("person", 1),
    "coco-person-val": ("person", None),
}
"""For each set its words, and which layer of masks is meant; None: all."""


@dataclass(frozen=True)
class Options:
    """What to measure on."""

    data: Positional[Path]
    """Folder of the sets."""
    photos: Annotated[int, tyro.conf.arg(metavar="INT")] = 40
    """The first so many photos of each set."""
    model: str = "bundled"
    """Who cuts out."""


class Score(NamedTuple):
    """What became of one mask that people drew."""

    by_words: float
    """Best IoU of what words found."""
    by_box: float
    """IoU of the answer to its own box."""
    boxed: float
    """Best IoU of the detector's boxes with its box."""
    further: int
    """How many more answers than one lie mostly within it."""


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options, description=__doc__)
    model = anymask.load(options.model)
    rows = []
    for name, (words, layer) in SETS.items():
        if not (options.data / name).is_dir():
            continue
        samples = open_dataset(options.data / name)
        scores: list[Score] = []
        count = min(options.photos, len(samples))
        for i in range(count):
            sample = samples[i]
            layers = sample.layers if layer is None else sample.layers[layer : layer + 1]
            truths = [each == k for each in layers for k in range(1, int(each.max()) + 1)]
            scores += judge(model, Image.open(sample.image), truths, words)
        rows.append(row(name, words, count, scores))
    print(f"{model.variant.name}, {machine()}\n")
    head = ["set", "words", "photos", "masks", "found by words", "mean IoU of these"]
    head += ["further answers", "found by own box", "boxed by the detector"]
    for cells in (head, ["---"] * 2 + ["---:"] * (len(head) - 2), *rows):
        print(f"| {' | '.join(cells)} |")


def judge(model: anymask.Segmenter, image: Image, truths: list[Mask], words: str) -> list[Score]:
    """Compare what words find in one image with what people drew."""
    truths = [truth for truth in truths if truth.any()]
    if not truths:
        return []
    boxes = np.array([box_of(truth) for truth in truths])
    prompts = [anymask.Prompt(box=box) for box in boxes]
    by_box = [answer.best().dense()[0] for answer in model.predict(image, prompts=prompts)]
    found = model.predict(image, text=words).dense()
    seen = model.detect(image, words).boxes
    return [
        Score(
            max((iou(truth, mask) for mask in found), default=0.0),
            iou(truth, by_box[i]),
            max((box_iou(boxes[i], box) for box in seen), default=0.0),
            max(0, sum((truth & mask).sum() > mask.sum() / 2 for mask in found) - 1),
        )
        for i, truth in enumerate(truths)
    ]


def row(name: str, words: str, photos: int, scores: list[Score]) -> list[str]:
    """Sum up a set."""
    by_words, by_box, boxed, further = map(np.array, zip(*scores, strict=True))
    found = by_words >= 0.5
    return [
        name,
        words,
        str(photos),
        str(len(scores)),
        f"{found.mean():.2f}",
        f"{by_words[found].mean():.2f}",
        f"{further.mean():.2f} a mask",
        f"{(by_box >= 0.5).mean():.2f}",
        f"{(boxed >= 0.5).mean():.2f}",
    ]


def box_of(mask: Mask) -> tuple[int, int, int, int]:
    """Give the box round a mask, xyxy."""
    rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def iou(a: Mask, b: Mask) -> float:
    """Measure intersection over union."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def box_iou(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Measure intersection over union of two boxes."""
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared))


if __name__ == "__main__":
    main()
