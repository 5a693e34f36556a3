"""A training run of a few milliseconds: a small network learns a line through points."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn

from anymask.train.config import LoopConfig
from anymask.train.loop import Outcome, fit
from anymask.train.objective import Step

SERVER = multiprocessing.get_context("forkserver")
"""Starts processes at once, for it has imported what takes long, once for all of them."""
SERVER.set_forkserver_preload(["torch._dynamo"])

TRUTH = torch.tensor([[1.0], [-2.0], [0.5]])


@dataclass(frozen=True)
class Point:
    """An item: what the network sees, what it should say, and a name."""

    x: Tensor
    y: Tensor
    key: str


@dataclass(frozen=True)
class Points:
    """Endless batches, of which each is a function of its number."""

    batch: int = 4
    bad: int = -1
    """Number of an item that is not a number."""

    def iterate(self, start: int, process: int = 0, processes: int = 1) -> Iterator[list[Point]]:
        number = start
        while True:
            first = (number * processes + process) * self.batch
            yield [self[i] for i in range(first, first + self.batch)]
            number += 1

    def __getitem__(self, i: int) -> Point:
        x = torch.from_numpy(np.random.default_rng([7, i]).normal(size=3).astype(np.float32))
        return Point(x, x @ TRUTH + (torch.nan if i == self.bad else 0), f"point-{i}")


def network(*, norm: bool = False, dropout: float = 0.0) -> nn.Module:
    """Two layers and what a loop must take care of between them."""
    torch.manual_seed(3)
    middle = [nn.BatchNorm1d(8)] if norm else [nn.LayerNorm(8)]
    return nn.Sequential(
        nn.Linear(3, 8), *middle, nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1)
    ).train()


def squares(model: nn.Module, batch: list[Point], step: Step) -> Mapping[str, float]:
    """The objective: the squared distance, in two parts, and some chance of the whole step."""
    x, y = torch.stack([p.x for p in batch]), torch.stack([p.y for p in batch])
    loss = ((model(x).float() - y) ** 2).mean() * float(step.rng.uniform(0.5, 1.5))
    step.backward(0.25 * loss)
    step.backward(0.75 * ((model(x).float() - y) ** 2).mean())
    return {"loss": loss.item(), "noise": float(torch.rand(()))}


@dataclass
class Judge:
    """A validation that remembers what it saw, and interrupts if asked to."""

    metric: str = "closeness"
    noise_tolerance: float = 0.0
    seen: list[float] = field(default_factory=list)

    def __call__(self, model: nn.Module) -> Mapping[str, float]:
        assert not any(module.training for module in model.modules())
        x = torch.eye(3)
        self.seen.append(-float((model(x) - TRUTH).abs().mean()))
        return {"closeness": self.seen[-1]}

    def draw(self, model: nn.Module) -> PIL.Image.Image | None:
        return PIL.Image.new("RGB", (4, 4), "red")


def save_model(model: nn.Module, folder: Path) -> None:
    folder.mkdir()
    torch.save(model.state_dict(), folder / "weights.pt")


def settings(**changes: Any) -> LoopConfig:
    usual = {"steps": 12, "lr": 0.02, "warmup": 2, "evaluate_every": 5, "record_every": 1}
    return LoopConfig(**{**usual, **changes})


def run(out: Path, model: nn.Module | None = None, **options: Any) -> Outcome:
    """Fit; the settings of the loop are among the options."""
    changes = {k: options.pop(k) for k in list(options) if k in LoopConfig.__dataclass_fields__}
    usual = {"identity": {"variant": "toy"}, "save_model": save_model, "quiet": True}
    batches = options.pop("batches", Points())
    objective = options.pop("objective", squares)
    model = network() if model is None else model
    return fit(model, batches, objective, settings(**changes), out, **{**usual, **options})
