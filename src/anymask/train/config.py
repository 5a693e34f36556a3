"""The settings of the training loop; no torch, as flags are made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from anymask.errors import InputError
from anymask.plain import check_choice, check_number

__all__ = ["LoopConfig", "PrecisionName", "Schedule"]

Schedule = Literal["cosine", "linear", "constant"]
PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class LoopConfig:
    """How a model learns, whatever it learns."""

    steps: int = 1000
    """End after so many steps of the optimiser."""
    minutes: float | None = None
    """End after so many minutes at the latest, those before an interruption included. The schedule
    follows the clock then, so that two runs are not quite the same."""
    batch_size: int = 4
    """Images in a batch, in each process."""
    accumulate: int = 1
    """Batches whose gradients are added up before the optimiser makes a step."""
    lr: float = 1e-4
    """Highest learning rate."""
    weight_decay: float = 0.01
    """Weight decay; norms and biases have none."""
    betas: tuple[float, float] = (0.9, 0.999)
    """How long AdamW remembers the gradients and their squares."""
    warmup: int = 100
    """Steps in which the learning rate rises from 0."""
    schedule: Schedule = "cosine"
    """How the learning rate falls afterwards."""
    min_lr_ratio: float = 0.01
    """Share of the highest learning rate that is left in the end."""
    layer_decay: float = 1.0
    """Learning rate of each stage of the encoder as a share of the next one's; 1: all alike."""
    grad_clip: float = 1.0
    """Largest norm of the gradient of all that learns; larger ones are scaled down; 0: any norm."""
    precision: PrecisionName = "auto"
    """Dtype to compute with; auto: 16 bits on NVIDIA's GPUs, else 32. Weights have 32 bits."""
    ema_decay: float = 0.998
    """What the exponential moving average of the weights, which is validated and saved, keeps in a
    step; 0: the weights themselves."""
    anchor: float | None = None
    """Share of the weights before the first step in those that are validated and saved, which keeps
    what few images would make a model forget; none: what suits the data, or 0."""
    seed: int = 0
    """Start of every random sequence."""
    workers: int = 1
    """Processes that prepare batches; 0: none beside the one that learns."""
    evaluate_every: int = 200
    """Steps from one validation to the next; there is one before the first step and after the last
    as well."""
    patience: int | None = None
    """End after so many validations in a row that bring nothing better; None: never."""
    save_minutes: float = 5.0
    """Minutes from one checkpoint to the next; 0: after each step."""
    record_every: int = 20
    """Steps that share a line in metrics.jsonl."""

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("steps", "batch_size", "accumulate", "evaluate_every", "record_every"):
            check_number(self, name, 1, whole=True)
        for name in ("warmup", "seed", "workers"):
            check_number(self, name, 0, whole=True)
        for name in ("lr", "weight_decay", "grad_clip", "save_minutes"):
            check_number(self, name, 0)
        for name in ("min_lr_ratio", "layer_decay", "ema_decay"):
            check_number(self, name, 0, 1)
        if self.minutes is not None:
            check_number(self, "minutes", 0)
        if self.anchor is not None:
            check_number(self, "anchor", 0, 1)
        if self.patience is not None:
            check_number(self, "patience", 1, whole=True)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(
                f"expected betas from 0 to below 1, got {self.betas}; 0.9, 0.999 is usual"
            )
        check_choice(self, "schedule", get_args(Schedule))
        check_choice(self, "precision", get_args(PrecisionName))
