"""Measure how long each model of the table takes for an image, and for a click on it.

    python benchmarks/models.py                                 # all of them; SAM-H takes minutes
    python benchmarks/models.py --models mobile-sam sam-vit-b

Weights are random, which changes no time, except for a click on FastSAM, which looks at what it has
found: that one is not measured. Processor time of one thread counts, for machines are busy. One
model at a time is in memory. Prints Markdown, row by row.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import tyro
from measure import Timing, alternate, machine

import anymask
from anymask.models.build import build
from anymask.models.network import Network
from anymask.models.variants import Variant, find
from anymask.predict.instances import InstanceSegmenter
from anymask.predict.segmenter import Segmenter

PHOTO = Path(__file__).parents[1] / "docs" / "pictures" / "coffee.jpg"
CLICK = (365, 270)


@dataclass(frozen=True)
class Options:
    """What to run."""

    models: tuple[str, ...] = tuple(variant.name for variant in anymask.VARIANTS)
    """Their names in the table of variants."""
    photo: Path = PHOTO
    """What to encode."""
    repeats: int = 3
    """Runs that count, after one that does not."""


def main(options: Options) -> None:
    """Measure and print."""
    photo = anymask.Image.open(options.photo)
    h, w = photo.size_hw
    print(f"On {machine()}, {w} x {h} pixels, one thread, median of {options.repeats}.\n")
    print("| model | image, CPU s | click, CPU ms |\n| --- | ---: | ---: |")
    for name in options.models:
        timings = measure(random_model(find(name)), photo, options.repeats)
        image, click = timings["image"].cpu, timings.get("click")
        shown = f"{1e3 * click.cpu:.0f}" if click else "-"
        print(f"| `{name}` | {image:.2f} | {shown} |", flush=True)


def random_model(variant: Variant) -> Segmenter:
    """Make a model of random weights."""
    torch.manual_seed(0)
    kind: Any = InstanceSegmenter if variant.kind == "instances" else Segmenter
    return cast(Segmenter, kind(variant, cast(Network, build(variant).eval()), "random"))


def measure(model: Segmenter, photo: anymask.Image, repeats: int) -> dict[str, Timing]:
    """Time an image, and a click on it where that does not depend on the weights."""
    embedding = model.embed(photo)
    calls = {"image": lambda: model.embed(photo)}
    if model.variant.kind != "instances":
        calls["click"] = lambda: model.predict(embedding, points=[CLICK])
    return alternate(calls, repeats, warm=0)  # the embedding above was the first


if __name__ == "__main__":
    main(tyro.cli(Options))
