"""Measure each model of the table beside the same network in the published order of work.

    python benchmarks/models.py                                 # all; the largest take minutes each
    python benchmarks/models.py --models mobile-sam sam2.1-tiny

The time of an image, from the photo to its embedding, and the memory that the first one takes; then
the time of a click on it. Weights are random, which changes none of that, except for a click on
FastSAM, which looks at what it has found: that one is not measured. Each way has a fresh process,
one at a time, for the memory; of time, the processor's on one thread counts, for machines are busy.
The published order (`anymask.evaluate.published`) is that of the encoder; the bundled model and
FastSAM have none. Rows that are one network with other weights are measured once. Prints Markdown.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import multiprocessing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import tyro
from measure import Memory, Timing, alternate, machine, memory_here

import anymask
from anymask.evaluate.published.encoder import plain
from anymask.models.build import build
from anymask.models.network import Network
from anymask.models.variants import Variant, find
from anymask.predict.instances import InstanceSegmenter
from anymask.predict.segmenter import Segmenter

PHOTO = Path(__file__).parents[1] / "docs" / "pictures" / "coffee.jpg"
CLICK = (365, 270)
PATIENCE = 4.0
"""A first image that takes longer, in seconds of the processor, is not repeated."""
HEAD = """
| model | image, CPU s: published order | ours | times faster | memory that it adds, MiB: \
published order | ours | share | peak of the process, share | click, CPU ms |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


@dataclass(frozen=True)
class Options:
    """What to run."""

    models: tuple[str, ...] = tuple(variant.name for variant in anymask.VARIANTS)
    """Their names in the table of variants."""
    photo: Path = PHOTO
    """What to encode."""
    repeats: int = 3
    """Images that count, after one that does not."""


@dataclass(frozen=True)
class Measured:
    """One model in one order of work."""

    image: Timing
    memory: Memory
    click: Timing | None


def main(options: Options) -> None:
    """Measure and print."""
    h, w = anymask.Image.open(options.photo).size_hw
    print(f"On {machine()}, {w} x {h} pixels, one thread, median of {options.repeats}.\n{HEAD}")
    for names in same_network(options.models):
        ours = in_a_process(names[0], False, options)
        slow = in_a_process(names[0], True, options) if has_plain(find(names[0])) else None
        print(row(names, slow, ours), flush=True)


def same_network(names: tuple[str, ...]) -> list[list[str]]:
    """Put those together that differ in their weights only, or in what they do with answers."""
    groups: dict[Any, list[str]] = {}
    for name in names:
        variant = find(name)
        encoder = getattr(variant.network, "encoder", variant.network)
        sides = variant.preprocessing.side, variant.preprocessing.encoder_side
        groups.setdefault((type(variant.network), encoder, sides), []).append(name)
    return list(groups.values())


def has_plain(variant: Variant) -> bool:
    return variant.kind != "instances" and hasattr(variant.network, "encoder")


def in_a_process(name: str, slow: bool, options: Options) -> Measured:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (name, slow, options))


def measure(name: str, slow: bool, options: Options) -> Measured:
    """Time an image, and a click on it where that does not depend on the weights."""
    torch.set_num_threads(1)
    model, photo = random_model(find(name)), anymask.Image.open(options.photo)
    if slow:
        network = cast(Any, model.network)
        network.image_encoder = plain(network.image_encoder)
    kept: list[Any] = []
    first: list[Timing] = []

    def embed() -> None:
        kept[:] = [model.embed(photo)]

    used = memory_here(lambda: first.extend(alternate({"": embed}, 1, warm=0).values()))
    again = first[0].cpu < PATIENCE
    image = alternate({"": embed}, options.repeats, warm=0)[""] if again else first[0]
    if slow or model.variant.kind == "instances":
        return Measured(image, used, None)
    ask = {"": lambda: model.predict(kept[0], points=[CLICK])}
    return Measured(image, used, alternate(ask, options.repeats)[""])


def random_model(variant: Variant) -> Segmenter:
    """Make a model of random weights."""
    torch.manual_seed(0)
    kind: Any = InstanceSegmenter if variant.kind == "instances" else Segmenter
    return cast(Segmenter, kind(variant, cast(Network, build(variant).eval()), "random"))


def row(names: list[str], slow: Measured | None, ours: Measured) -> str:
    """Lay out one row."""
    mib = 1 << 20
    image, added = ours.image.cpu, ours.memory.added
    cells = ["-", f"{image:.2f}", "-", "-", f"{added / mib:.0f}", "-", "-"]
    if slow:
        before, needed = slow.image.cpu, slow.memory.added
        cells[0], cells[2] = f"{before:.2f}", f"{before / image:.2f}"
        cells[3], cells[5] = f"{needed / mib:.0f}", f"{added / needed:.2f}"
        cells[6] = f"{ours.memory.peak / slow.memory.peak:.2f}"
    click = f"{1e3 * ours.click.cpu:.0f}" if ours.click else "-"
    return f"| {', '.join(f'`{name}`' for name in names)} | {' | '.join(cells)} | {click} |"


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
