"""What a run is given: data in their order, what to learn, how to validate and to save it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn

__all__ = ["Batches", "Objective", "SaveModel", "Step", "Validation"]

SaveModel: TypeAlias = Callable[[nn.Module, Path], None]
"""Writes a model, as its users load it, into a new folder."""


@dataclass(frozen=True)
class Step:
    """Where a run is, and what an objective may use there."""

    number: int
    """Optimiser steps made before this one."""
    rng: np.random.Generator
    """Random generator of the whole step: the same in every process, and after a resume. What
    belongs to one image comes with its item instead, wherever that is worked on."""
    device: torch.device
    """Where the model lies."""
    backward: Callable[[Tensor], None]
    """Back-propagates a piece of the loss, which frees its graph."""


class Objective(Protocol):
    """What is learned.

    A loss goes to `Step.backward` as soon as it is known: eleven rounds of a decoder need not be in
    memory together.
    """

    def __call__(self, model: nn.Module, batch: Any, step: Step) -> Mapping[str, float]:
        """Set the gradients of one batch, and return numbers to record, ``"loss"`` among them."""
        ...


class Batches(Protocol):
    """Data whose order is a function of the position, so that a resumed run sees the same."""

    def iterate(
        self, start: int, process: int = 0, processes: int = 1
    ) -> Generator[Any, None, None]:
        """Go through batches without end, from number ``start`` on.

        Several processes get different parts of the data: batch i of process p of n holds what
        would be part p of batch i if one process had n times the batch.
        """
        ...


class Validation(Protocol):
    """How a model is measured while it learns."""

    metric: str
    """Which of the numbers decides; more is better."""
    noise_tolerance: float
    """How much less of it later weights may have and still be kept: too
    little data was measured to tell such a difference from noise."""

    def __call__(self, model: nn.Module) -> Mapping[str, float]:
        """Measure a model."""
        ...

    def draw(self, model: nn.Module) -> PIL.Image.Image | None:
        """Draw some of its masks; None when there is nothing to see."""
        ...
