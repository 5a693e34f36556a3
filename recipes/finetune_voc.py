"""Fine-tune a model on the objects of PASCAL VOC 2012 or 2007.

    python recipes/finetune_voc.py --voc VOCdevkit/VOC2012 --model sam-vit-b --out runs/voc

The model learns from the 1,464 images of 2012's list for training, which hold 3,507 objects, and is
validated on 40 of those for that. Objects are prompted for one by one (``SegmentationObject``), by
points and boxes, in up to eleven rounds; the seams between them, 255, count neither for
nor against an answer. The encoder works once per image: with ViT-B and one GPU that takes minutes,
on a CPU some hours, and every epoch after that much less. The folder of the run loads like any
model.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from anymask.train.config import LoopConfig
from anymask.train.finetuning.config import FineTuneConfig, Learn
from anymask.train.finetuning.finetune import finetune
from anymask.train.report import Report

LOOP = LoopConfig(steps=5000, batch_size=8, lr=1e-4, evaluate_every=500)


@dataclass(frozen=True)
class Config:
    """What to learn where."""

    voc: Path
    """The folder of one year, with ImageSets, JPEGImages and SegmentationObject."""
    out: Path = Path("runs/voc")
    """Folder of the run."""
    model: str = "sam-vit-b"
    """What to start from."""
    learn: Learn = "decoder"
    """What changes, see `anymask train --help`."""
    rounds: int = 11
    """Rounds of prompts for each object at most."""
    views: int = 0
    """Changed copies of each image; there are enough images to do without."""
    loop: LoopConfig = field(default_factory=lambda: LOOP)
    """How it learns."""
    device: str = "auto"
    """Where to compute."""


def main(config: Config) -> Report:
    """Learn, or go on learning."""
    lists = config.voc / "ImageSets" / "Segmentation"
    settings = FineTuneConfig(
        data=(lists / "train.txt",),
        val=(lists / "val.txt",),
        model=config.model,
        learn=config.learn,
        rounds=config.rounds,
        views=config.views,
        loop=config.loop,
    )
    return finetune(settings, config.out, config.device)


if __name__ == "__main__":
    report = main(tyro.cli(Config))
    print(f"mean IoU: {dict(report.before)}, now {dict(report.after)}")
