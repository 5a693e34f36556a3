"""Show what twenty images do: fine-tune the bundled model on house fronts, and measure it.

    python recipes/finetune_facades.py --data ../shared/data --out runs/facades

It learns from 20 images of ``facades-train`` in the folder of the data and is measured, beside the
bundled model, on all of ``facades-val``: clicks and boxes on 300 masks. With two CPU cores that
takes less than ten minutes, and some more to measure. The numbers are in docs/training.md.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

from dataclasses import dataclass
from pathlib import Path

import tyro

from anymask.cli import main as anymask


@dataclass(frozen=True)
class Config:
    """Where everything is, and how much of it to use."""

    data: Path
    """Folder that holds facades-train and facades-val."""
    out: Path = Path("runs/facades")
    """Folder of the run and of the measurements."""
    model: str = "bundled"
    """What to start from."""
    images: int = 20
    """Images to learn from."""
    masks: int = 300
    """Masks to measure on."""
    steps: int | None = None
    """Steps; None: as many as usual."""


def commands(config: Config) -> list[list[str]]:
    """List the commands in their order."""
    run, steps = str(config.out), config.steps
    data, val = str(config.data / "facades-train"), str(config.data / "facades-val")
    train = ["train", "--data", data, "--images", str(config.images), "--model", config.model]
    train += ["-o", run, *(["--steps", str(steps)] if steps else [])]
    common = ["--data", val, "--model", config.model, run, "--masks", str(config.masks)]
    common += ["--min-area", "100", "--max-share", "0.9"]
    clicks = ["evaluate", "points", *common, "--counts", "1", "5", "--max-clicks", "5"]
    return [
        train,
        [*clicks, "-o", f"{run}/points"],
        ["evaluate", "boxes", *common, "-o", f"{run}/boxes"],
    ]


def main(config: Config) -> None:
    """Run them."""
    for words in commands(config):
        if code := anymask(words):
            raise SystemExit(code)


if __name__ == "__main__":
    main(tyro.cli(Config))
