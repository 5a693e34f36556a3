"""Time the bundled model: embed, predict and everything mode.

    python recipes/speed_bundled.py docs/pictures/coffee.jpg

Medians of wall-clock milliseconds in this process, after a warm-up; the photo is decoded before.
Run it on a quiet machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

import anymask


@dataclass(frozen=True)
class Config:
    """What to time."""

    photo: Annotated[Path, tyro.conf.Positional] = Path("docs/pictures/coffee.jpg")
    """A photo."""
    model: str = "bundled"
    """Name of a model, or path of its weights."""
    threads: int = 2
    """Threads of torch."""
    runs: int = 20
    """Counted runs of each line but everything mode, which runs once."""


def median_ms(work: Callable[[], object], runs: int) -> float:
    """Run a few times uncounted, then take the median."""
    times = []
    for i in range(runs + 3):
        start = time.perf_counter()
        work()
        if i >= 3:
            times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def main(config: Config) -> None:
    """Print one line for each thing timed."""
    torch.set_num_threads(config.threads)
    image = anymask.Image.open(config.photo)
    model = anymask.load(config.model)
    photo = model.embed(image)
    h, w = image.size_hw
    x, y = w * 0.5, h * 0.5
    box = (0.2 * w, 0.2 * h, 0.8 * w, 0.8 * h)
    logits = model.predict(photo, box=box).best().logits
    lines: dict[str, Callable[[], object]] = {
        "embed": lambda: model.embed(image),
        "predict, 1 click, 3 answers": lambda: model.predict(photo, points=[(x, y)]),
        "predict, box": lambda: model.predict(photo, box=box),
        "predict, 5 clicks and a mask": lambda: model.predict(
            photo, points=[(x + 5 * i, y) for i in range(5)], mask_logits=logits[0]
        ),
    }
    print(f"{config.photo.name}, {w}x{h}, {config.model}, {config.threads} threads")
    for name, work in lines.items():
        print(f"{name:32} {median_ms(work, config.runs):8.1f} ms")
    start = time.perf_counter()
    found = len(model.generate(image))
    print(f"{'everything (' + str(found) + ' masks)':32} {(time.perf_counter() - start):8.1f} s")


if __name__ == "__main__":
    main(tyro.cli(Config))
