"""Measure what everything mode finds with fewer prompts, and write the table of docs/everything.md.

    python benchmarks/samplers.py ../data     # 8 minutes

What the whole grid finds is what the others should find: a mask counts as found if one of theirs
overlaps it enough. Seconds are processor time on one thread, without the encoder, with the bundled
model. The folders hold images as `anymask.data` wants them: NAME-val/images/*.jpg.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from tyro.conf import Positional

import anymask
from anymask.everything.generate import generate
from anymask.image.image import Image
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.predict.segmenter import Segmenter
from anymask.prompt import Prompt

PAGE = Path(__file__).parents[1] / "docs" / "everything.md"
BEGIN, END = "<!-- samplers -->\n", "<!-- /samplers -->"
SETTINGS: dict[str, dict[str, Any]] = {
    "grid, 32 x 32": {"sampler": "grid", "points_per_side": 32},
    "hierarchical, 32 x 32": {"sampler": "hierarchical", "points_per_side": 32},
    "boxes": {"sampler": "boxes"},
    "grid, 16 x 16": {"sampler": "grid", "points_per_side": 16},
    "hierarchical, 16 x 16": {"sampler": "hierarchical", "points_per_side": 16},
}
LIMITS = (0.75, 0.9)


@dataclass(frozen=True)
class Options:
    """What to measure on."""

    data: Positional[Path]
    """Folder of the data sets."""
    images: int = 4
    """How many of each validation set."""


class Counting:
    """A model that counts its prompts."""

    def __init__(self, model: Segmenter, image: Image) -> None:
        self.model, self.embedding, self.prompt_count = model, model.embed(image), 0

    def embed(self, image: Image) -> anymask.Embedding:
        """Give what was encoded before."""
        return self.embedding

    def decode(self, embedding: anymask.Embedding, prompts: list[Prompt], multimask: bool) -> Any:
        """Predict."""
        self.prompt_count += len(prompts)
        return self.model.decode(embedding, prompts, multimask)


def main(options: Options) -> None:
    """Measure, and write the table into the page."""
    torch.set_num_threads(1)
    model = anymask.load()
    images = [
        path
        for folder in sorted(options.data.glob("*-val"))
        for path in sorted((folder / "images").iterdir())[: options.images]
    ]
    totals = {name: np.zeros(5) for name in SETTINGS}
    for path in images:
        whole: Masks | None = None
        for name, settings in SETTINGS.items():
            found, numbers = run(model, Image.open(path), settings)
            whole = whole or found
            totals[name] += [*numbers, *(shared(whole, found, limit) for limit in LIMITS)]
    lines = table(totals, len(images))
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{lines}\n\n{END}{after}")
    print(lines)


def run(model: Segmenter, image: Image, settings: dict[str, Any]) -> tuple[Masks, list[float]]:
    """Find everything; with it come the seconds, the prompts and the masks."""
    counting = Counting(model, image)
    config = anymask.config.changed(model.variant.generate, None, settings)
    start = time.process_time()
    found = generate(counting, image, config)
    return found, [time.process_time() - start, counting.prompt_count, len(found)]


def shared(whole: Masks, found: Masks, limit: float) -> int:
    """Count the masks of the whole grid that were found."""
    if not len(whole) or not len(found):
        return 0
    return int((rle.iou(whole.counts, found.counts).max(axis=1) >= limit).sum())


def table(totals: dict[str, np.ndarray], images: int) -> str:
    """Lay out the means as a Markdown table."""
    _, _, all_masks, *_ = totals[next(iter(SETTINGS))]
    lines = [
        "| sampler | prompts | seconds | masks | of the grid's masks, IoU >= 0.75 | >= 0.9 |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, (seconds, prompts, masks, *matched) in totals.items():
        shares = " | ".join(f"{count / all_masks:.0%}" for count in matched)
        numbers = f"{prompts / images:.0f} | {seconds / images:.1f} | {masks / images:.0f}"
        lines.append(f"| {name} | {numbers} | {shares} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(tyro.cli(Options))
