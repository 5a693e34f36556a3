"""Measure what models make of a mask that is all they are told.

    python benchmarks/mask_prompts.py --data ../shared/data --masks 60
    python benchmarks/mask_prompts.py --data ../shared/data --models bundled runs/new/last

Each true mask is made rough in each way of `anymask.data.rough`, and given as the only prompt; so
is the answer's own low-resolution logits, after a box. A cell says the mean IoU with the true mask
going in and coming out; for logits, with the answer that they belong to. Prints Markdown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import tyro

import anymask
from anymask.data.dataset import LabelMapFolder
from anymask.data.rough import ROUGH_KINDS, roughened
from anymask.data.simulate import tight_box
from anymask.evaluate.metrics import iou
from anymask.evaluate.portion import Portion
from anymask.evaluate.truths import Choice, Truth
from anymask.image import Image
from anymask.predict import Segmenter
from anymask.prompt import Prompt

SETS = ("bsds500", "voc-animals", "ccp", "coco128", "facades", "voc-objects", "coco-mini",
        "coco-person", "street", "drawn-things")  # fmt: skip


@dataclass(frozen=True)
class Options:
    """What to run."""

    data: Path
    """Folder of the data sets."""
    sets: tuple[str, ...] = SETS
    """Names, each a folder NAME-val."""
    models: tuple[str, ...] = ("bundled",)
    """What `anymask.load` takes."""
    masks: int = 60
    """Masks of each set, drawn at random."""


def measure(
    model: Segmenter, photo: Image, truths: Sequence[Truth], rng: np.random.Generator
) -> list[dict[str, tuple[float, float]]]:
    """Return for each mask of a photo and each kind of prompt the IoU going in and coming out."""
    seen = model.embed(photo)
    found: list[dict[str, tuple[float, float]]] = [{} for _ in truths]
    for kind in ROUGH_KINDS:
        rough = [roughened(truth.mask, kind, rng) for truth in truths]
        answers = model.predict(seen, prompts=[Prompt(mask=mask) for mask in rough])
        for row, truth, mask, answer in zip(found, truths, rough, answers, strict=True):
            row[kind] = truth.overlap(mask), truth.overlap(answer.dense()[0])
    boxed = model.predict(seen, prompts=[Prompt(box=tight_box(t.mask)) for t in truths])
    again = model.predict(seen, prompts=[Prompt(mask_logits=b.logits[0]) for b in boxed])
    for row, before, after in zip(found, boxed, again, strict=True):
        row["own logits"] = 1.0, iou(before.dense()[0], after.dense()[0])
    return found


def main(options: Options) -> None:
    """Print a table."""
    choice = Choice(min_area=100, max_share=0.9)
    kinds = (*ROUGH_KINDS, "own logits")
    head = ("set", "model", "masks", *kinds)
    print(_line(head), _line(["---"] * len(head)), sep="\n")
    for name in options.sets:
        folder = LabelMapFolder(options.data / f"{name}-val")
        part = Portion(masks=options.masks).of(folder, choice)
        for source in options.models:
            model, found = anymask.load(source), []
            for i in range(len(part)):
                sample, rng = part[i], np.random.default_rng(i)
                if truths := choice.of(sample):
                    found += measure(model, Image.open(sample.image), truths, rng)
            cells = [
                f"{fmean(f[kind][0] for f in found):.3f} → {fmean(f[kind][1] for f in found):.3f}"
                for kind in kinds
            ]
            print(_line([name, source, str(len(found)), *cells]), flush=True)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(tyro.cli(Options))
