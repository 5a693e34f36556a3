"""The settings of a fine-tune; no torch, as flags are made of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from anymask.errors import InputError
from anymask.plain import check_choice, check_number
from anymask.train.config import LoopConfig

__all__ = ["USUAL_LOOP", "FineTuneConfig", "Learn"]

Learn = Literal["decoder", "decoder+prompts", "lora", "adapter", "everything"]

USUAL_LOOP = LoopConfig(
    steps=240, batch_size=4, lr=8e-4, warmup=10, ema_decay=0.98, evaluate_every=80, patience=4
)
"""What suits a few dozen images, and takes minutes; the learning rate is that of SAM's training."""


@dataclass(frozen=True)
class FineTuneConfig:
    """What to learn from which images."""

    data: tuple[Path, ...] = ()
    """Data sets to learn from: folders, or JSON files with the annotations of many images."""
    val: tuple[Path, ...] = ()
    """Data sets to validate on; none: some of the others."""
    layout: str = "auto"
    """How the data sets are laid out, see docs/evaluation.md; auto: the first that fits."""
    images: int | None = None
    """Take only so many images, drawn at random; none: all."""
    val_fraction: float = 0.2
    """Share of the images to validate on, which the model does not learn from, unless --val names
    others; 40 images at most."""
    model: str = "bundled"
    """What to start from: a model from `anymask models`; or a path, an address or a hub id."""
    learn: Learn = "decoder"
    """What changes: the mask decoder (each image is encoded only once); that and what prompts go
    through; LoRA's small matrices in the encoder; SAM-Adapter, which takes no prompts; all."""
    rank: int = 8
    """Inner width of LoRA's matrices: how much they can learn."""
    targets: tuple[str, ...] = ()
    """Layers that get LoRA's matrices, by how their names end; none: what suits the model."""
    names: tuple[str, ...] = ()
    """What SAM-Adapter is to find, by the names that the data give their masks; none: all that has
    a mask."""
    masks: int = 4
    """Masks of an image that are prompted for at a time, drawn at random."""
    rounds: int = 4
    """Rounds of prompts for each of them at most, fewer more often: a click or a box, then
    corrections. SAM's paper has 11."""
    views: int = 4
    """Copies of each image, mirrored, cropped and in other light, that take turns with it; 0: the
    image alone."""
    loop: LoopConfig = USUAL_LOOP
    """How it learns."""

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("rank", "masks", "rounds"):
            check_number(self, name, 1, whole=True)
        check_number(self, "views", 0, whole=True)
        if self.images is not None:
            check_number(self, "images", 1, whole=True)
        if self.names and self.learn != "adapter":
            raise InputError(
                f"expected names for a SAM-Adapter alone, got them to learn {self.learn}; leave "
                "them out"
            )
        if not 0 <= self.val_fraction < 1:
            raise InputError(
                f"expected val_fraction from 0 to below 1, got {self.val_fraction}; 0.2 is usual"
            )
        check_choice(self, "learn", get_args(Learn))
