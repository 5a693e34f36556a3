"""Measure `anymask everything` on a folder: one image at a time against two.

    python benchmarks/folder.py ../shared/data/coco128-val --max-images 12

Both ways have the same threads for PyTorch. Wall time is what counts here, on a machine with
nothing else to do.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from measure import alternate, machine, table
from tyro.conf import Positional

import anymask.predict.segmenter
from anymask.cli import main as anymask_command


@dataclass(frozen=True)
class Options:
    """What to run."""

    images: Positional[Path]
    """A folder of JPEG files."""
    max_images: int = 12
    """Take so many of them."""
    points_per_side: int = 16
    """Points along each side of the grid."""
    repeats: int = 3
    """How often to run each way."""
    threads: int = 2
    """Threads to use."""


def main(options: Options) -> None:
    """Run both ways in turn and compare."""
    images = [str(path) for path in sorted(options.images.rglob("*.jpg"))[: options.max_images]]
    model = anymask.load()
    anymask.predict.loading.load = lambda *args, **kwargs: model  # loading is not what is measured
    with tempfile.TemporaryDirectory() as out:

        def run(workers: int) -> None:
            words = ["everything", *images, "-o", out, "--overwrite", "--quiet"]
            grid = ["--points-per-side", str(options.points_per_side)]
            assert anymask_command([*words, *grid, "--workers", str(workers)]) == 0

        one, two = "one at a time", "two at a time"
        timings = alternate(
            {one: lambda: run(1), two: lambda: run(2)}, options.repeats, options.threads
        )
    print(f"{machine()}; {torch.get_num_threads()} threads; {len(images)} images")
    print(table(timings, one))


if __name__ == "__main__":
    main(tyro.cli(Options))
