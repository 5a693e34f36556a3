"""Pre-train an EfficientSAM by SAMI, and make a SAM of it (Xiong et al., 2023, arXiv 2312.00863).

    torchrun --nproc-per-node 8 recipes/pretrain_sami.py --images imagenet/train --scenes sa1b

First the encoder learns what ViT-H sees in an image of 224 x 224 from a quarter of it: ImageNet's
1.28 million images, 400 epochs in batches of 4096, which are 256 images in 2 parts on each of 8
GPUs here. Then it goes into an EfficientSAM, which learns to answer as ViT-H does. The paper
fine-tunes on SA-1B's masks instead, 5 epochs; that is `anymask train --learn everything`.

What ViT-H sees takes 160 hours of GPU time at 0.45 s an image, and 2.7 TB; the pre-training of a
ViT-Tiny some 200 hours of GPU time (both our estimates; the paper gives none). Whole images are
shown, without the paper's random crops, for what the teacher sees is worked out once.

The paper's EfficientSAM-Ti has on COCO a mean IoU of 0.455 for one click, 0.672 for three and 0.757
for a box. Nobody ran it at full scale here.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from anymask.train.config import LoopConfig
from anymask.train.distillation.config import CoupledConfig, SamiConfig
from anymask.train.distillation.distill import distill
from anymask.train.report import Report

PRETRAINING = LoopConfig(
    steps=125_000,
    batch_size=256,
    accumulate=2,
    lr=2.4e-3,
    weight_decay=0.05,
    betas=(0.9, 0.95),
    warmup=12_500,
    ema_decay=0,
    workers=8,
    evaluate_every=5000,
)
TEACHING = LoopConfig(
    steps=70_000, batch_size=4, lr=4e-4, warmup=1000, workers=8, evaluate_every=5000
)


@dataclass(frozen=True)
class Config:
    """Who learns from which images."""

    images: Path
    """Folder of the images of the pre-training, with all that is in it."""
    scenes: Path
    """Folder of the images of what follows: larger ones, with many things in them."""
    out: Path = Path("runs/efficient-sam")
    """Folder of the run; that of the pre-training lies inside."""
    teacher: str = "sam-vit-h"
    """Who teaches."""
    student: str = "efficient-sam-ti"
    """Whose shape the student has."""
    side: int = 224
    """Height and width of the images of the pre-training, in pixels."""
    pretraining: LoopConfig = field(default_factory=lambda: PRETRAINING)
    """How the encoder learns."""
    teaching: LoopConfig = field(default_factory=lambda: TEACHING)
    """How the model around it learns."""
    device: str = "auto"
    """Where to compute."""


def main(config: Config) -> tuple[Report, Report]:
    """Pre-train and teach, or go on with it."""
    first = SamiConfig(
        data=(config.images,),
        teacher=config.teacher,
        student=config.student,
        from_scratch=True,
        side=config.side,
        loop=config.pretraining,
    )
    sami = config.out / "sami"
    seen = distill(first, sami, config.device)
    second = CoupledConfig(
        data=(config.scenes,), teacher=config.teacher, student=str(sami), loop=config.teaching
    )
    return seen, distill(second, config.out, config.device)


if __name__ == "__main__":
    seen, answered = main(tyro.cli(Config))
    print(f"similarity to what the teacher sees: {dict(seen.before)}, now {dict(seen.after)}")
    print(f"agreement with the teacher: {dict(answered.before)}, now {dict(answered.after)}")
