"""A thing that is known from one photo, looked for in others: is it here, and how well is it cut?

    python benchmarks/personal.py ../shared/data val 60     # the photos of -val, 60 things

For the photos of `example_set.py`, beside each other: "match", which finds every instance or none;
and the plain form of PerSAM, which always answers with one mask. Precision and recall are of the
photos: is the thing in them? The IoU is that of the likeliest mask with the instance it fits best,
0 if there is none, in all photos with the thing; instances count as found with an IoU of at least
0.5.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from example_set import Case, Photo, cases

import anymask
from anymask.predict.personal.personal import Personal

BoolArray = npt.NDArray[np.bool_]

METHODS = ("match", "persam")


@dataclass(frozen=True)
class Outcome:
    """What came of one photo."""

    present: int
    """How many instances of the thing are in it."""
    scores: tuple[float, ...]
    """Of the masks found, the best first."""
    ious: tuple[float, ...]
    """Of these masks, with the instance that each fits best."""
    found: int
    """How many of the instances were found."""


def main(folder: str, part: str, count: str, kept: str = "") -> None:
    """Measure and print; with the name of a file, keep what came of each photo there."""
    model = anymask.load()
    outcomes: dict[str, list[Outcome]] = {method: [] for method in METHODS}
    for case in cases(Path(folder), part, int(count)):
        for method in METHODS:
            personal = model.personalize(case.reference.image, case.reference.mask, method=method)
            outcomes[method] += _measured(personal, case)
        if kept:
            rows = {method: [vars(one) for one in some] for method, some in outcomes.items()}
            Path(kept).write_text(json.dumps(rows))
    for method, some in outcomes.items():
        print(report(method, some))


def _measured(personal: Personal, case: Case) -> list[Outcome]:
    found = personal.find([photo.image for photo in case.photos])
    return [_outcome(photo, masks) for photo, masks in zip(case.photos, found, strict=True)]


def _outcome(photo: Photo, masks: anymask.Masks) -> Outcome:
    table = np.array([[iou(one, truth) for truth in photo.masks] for one in masks.dense()])
    table = table.reshape(len(masks), len(photo.masks))
    best = table.max(axis=1, initial=0)
    hits = int((table.max(axis=0, initial=0) >= 0.5).sum())
    return Outcome(len(photo.masks), tuple(masks.scores.tolist()), tuple(best.tolist()), hits)


def iou(one: BoolArray, other: BoolArray) -> float:
    """Intersection over union of two masks."""
    return float((one & other).sum() / max(1, (one | other).sum()))


def report(method: str, outcomes: Sequence[Outcome]) -> str:
    """Say it in one line."""
    here = [one for one in outcomes if one.present]
    said = [one for one in outcomes if one.scores]
    right = sum(1 for one in here if one.scores)
    masks = sum(len(one.scores) for one in outcomes)
    good = sum(sum(value >= 0.5 for value in one.ious) for one in outcomes)
    instances = sum(one.present for one in outcomes)
    cells = {
        "precision of here": right / max(1, len(said)),
        "recall of here": right / max(1, len(here)),
        "mean IoU": float(np.mean([one.ious[0] if one.ious else 0.0 for one in here])),
        "instances found": sum(one.found for one in outcomes) / max(1, instances),
        "masks that are right": good / max(1, masks),
    }
    numbers = ", ".join(f"{name} {value:.3f}" for name, value in cells.items())
    return f"{method:<7} {len(outcomes)} photos, {len(here)} with the thing: {numbers}"


if __name__ == "__main__":
    main(*sys.argv[1:])
