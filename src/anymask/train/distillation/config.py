"""The settings of a distillation; no torch, as flags are made of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from anymask.errors import InputError
from anymask.plain import check_choice, check_number
from anymask.train.config import LoopConfig

__all__ = ["CoupledConfig", "DecoupledConfig", "DistillConfig", "SamiConfig", "TrainedPart"]

TrainedPart = Literal["everything", "encoder", "decoder"]


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """Who learns what from whom. What suits each method is in the classes below."""

    data: tuple[Path, ...] = ()
    """Images to learn from: folders with all that is in them, or data sets, whose masks do not
    matter."""
    val: tuple[Path, ...] = ()
    """Images to validate on; none: a few of the others."""
    val_images: int = 20
    """How many of them, which are not learned from; at most a fifth."""
    teacher: str = "sam-vit-h"
    """Who teaches: a model from `anymask models`; or a path, an address or a hub id."""
    student: str = "mobile-sam"
    """Who learns, named in the same way."""
    from_scratch: bool = False
    """Begin with random weights, of the student's shape."""
    store: Path | None = None
    """Folder for the teacher's embeddings, which several runs can share; none: in the run's own."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """How it learns."""

    def __post_init__(self) -> None:
        """Check the settings."""
        check_number(self, "val_images", 0, whole=True)


@dataclass(frozen=True, kw_only=True)
class DecoupledConfig(DistillConfig):
    """The student's encoder learns its teacher's embeddings, and takes over its decoder."""

    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=55_000, batch_size=8, lr=1e-3, warmup=500)
    )
    """How it learns."""


@dataclass(frozen=True, kw_only=True)
class CoupledConfig(DistillConfig):
    """The student learns its teacher's masks, with prompts in the loop."""

    learn: TrainedPart = "everything"
    """Which part of the student changes."""
    masks: int = 8
    """Random places in each image that the teacher is prompted at."""
    rounds: int = 3
    """Rounds of prompts for each of its masks: a click or a box, then corrections."""
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=20_000, batch_size=8, lr=2e-4, warmup=500)
    )
    """How it learns."""

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        for name in ("masks", "rounds"):
            check_number(self, name, 1, whole=True)
        check_choice(self, "learn", get_args(TrainedPart))


@dataclass(frozen=True, kw_only=True)
class SamiConfig(DistillConfig):
    """An EfficientSAM's encoder learns its teacher's embeddings from a quarter of each image."""

    student: str = "efficient-sam-ti"
    """Whose encoder learns; one of EfficientSAM's."""
    side: int = 224
    """Height and width of the frame that it sees meanwhile, in pixels."""
    mask_ratio: float = 0.75
    """Share of the tokens that are masked, which it does not see."""
    width: int = 512
    """Channels of the decoder that guesses them, ..."""
    depth: int = 8
    """... its blocks ..."""
    heads: int = 16
    """... and their attention heads."""
    loop: LoopConfig = field(
        default_factory=lambda: replace(
            LoopConfig(steps=125_000, batch_size=256, lr=1.5e-4, weight_decay=0.05, warmup=12_500),
            betas=(0.9, 0.95),
        )
    )
    """How it learns."""

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        for name in ("side", "width", "depth", "heads"):
            check_number(self, name, 1, whole=True)
        if not 0 < self.mask_ratio < 1:
            raise InputError(
                f"expected mask_ratio between 0 and 1, got {self.mask_ratio}; the paper has 0.75"
            )
