"""A model that learns: gradients of some batches, and one step of the optimiser."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from anymask.errors import InputError
from anymask.train.config import LoopConfig
from anymask.train.objective import Objective, Step
from anymask.train.run.distributed import Group
from anymask.train.run.ema import Ema, changing
from anymask.train.run.optimizer import lr_ratio, make_optimizer, set_lr
from anymask.train.run.precision import Precision

__all__ = ["Learner"]

_NAMED = 8  # images in an error message


@dataclass(frozen=True)
class _BatchResult:
    """What came of one batch."""

    metrics: Mapping[str, float]
    images: list[str]
    loss: float


class Learner:
    """A model, what moves its weights, and their moving average."""

    def __init__(
        self, model: nn.Module, objective: Objective, config: LoopConfig, group: Group
    ) -> None:
        self.model, self.objective, self.config, self.group = model, objective, config, group
        self.trainable = _check({n: p for n, p in model.named_parameters() if p.requires_grad})
        self.device = next(iter(self.trainable.values())).device
        group.share_tensors(changing(model).values())
        self.optimizer = make_optimizer(model, config)
        self.optimizer.zero_grad()  # what somebody else may have left
        self.precision = Precision(config.precision, self.device)
        self.ema = Ema(model, config.ema_decay, config.anchor or 0.0)

    def step(self, batches: Iterator[Any], number: int, progress: float) -> dict[str, float]:
        """Learn from the next batches.

        Args:
            batches: Where they come from.
            number: Steps made so far.
            progress: How much of the run is over, from 0 to 1.

        Returns:
            What the objective recorded, ``grad_norm`` and ``lr``.

        Raises:
            InputError: The loss or the gradient is not finite; the weights are left as they were.
        """
        results = [
            self._accumulate(next(batches), number, i) for i in range(self.config.accumulate)
        ]
        results = [result for each in self.group.gather(results) for result in each]
        for result in results:
            if not math.isfinite(result.loss):
                raise _diverged(f"loss, got {result.loss}", number, result.images)
        self.group.average_gradients(self.trainable.values())
        lr = self.config.lr * lr_ratio(self.config, number, progress)
        set_lr(self.optimizer, lr)
        norm = self.precision.step(self.optimizer, self.trainable.values(), self.config.grad_clip)
        if norm is None:
            images = [name for result in results for name in result.images]
            raise _diverged("gradient, got one that is not", number, images)
        self.optimizer.zero_grad()
        self.group.average(_statistics(self.model))
        self.ema.update(number + 1)
        return {**means(result.metrics for result in results), "grad_norm": norm, "lr": lr}

    def _accumulate(self, batch: Any, number: int, part: int) -> _BatchResult:
        """Add up the gradients of one batch."""
        place = [self.config.seed, number, part]
        own = np.random.default_rng([*place, 1 + self.group.process])
        _seed(int(own.integers(2**63)), self.device)
        losses: list[Tensor] = []

        def backward(loss: Tensor) -> None:
            losses.append(loss.detach())
            self.precision.backward(loss / self.config.accumulate)

        step = Step(number, np.random.default_rng(place), self.device, backward)
        with self.precision.forward():
            metrics = self.objective(self.model, batch, step)
        return _BatchResult(
            metrics, images_of(batch), float(torch.stack(losses).sum()) if losses else 0.0
        )

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """Lend the model with its averaged weights, switched to inference."""
        training = [module for module in self.model.modules() if module.training]
        with self.ema.applied():
            self.model.eval()
            try:
                yield self.model
            finally:
                for module in training:
                    module.training = True

    def state(self) -> dict[str, Any]:
        """Give all that a resumed run needs, as nested dictionaries of tensors and numbers."""
        moments = {n: self.optimizer.state[p] for n, p in self.trainable.items()}
        return {
            **self._tensors(),
            "moments": {name: dict(state) for name, state in moments.items()},
            "scale": self.precision.state(),
        }

    def _tensors(self) -> dict[str, dict[str, Tensor]]:
        """Name what a state has for each thing that changes: its tensors themselves, no copies."""
        return {
            "weights": {name: t.detach() for name, t in changing(self.model).items()},
            "ema": self.ema.tensors,
            "start": self.ema.start,
        }

    @torch.no_grad()
    def load(self, state: Mapping[str, Any]) -> None:
        """Go back to a state.

        Raises:
            InputError: It is that of another network, or other parts of it learned.
        """
        for kind, own in self._tensors().items():
            if kind == "start" and not (own and state[kind]):
                continue  # its share was wanted only now, or no longer
            _check_same(own, state[kind])
            for name, tensor in own.items():
                tensor.copy_(state[kind][name])
        for name, parameter in self.trainable.items():
            moments = state["moments"][name]
            self.optimizer.state[parameter] = {
                key: value.to(parameter.device if value.ndim else "cpu", copy=True)
                for key, value in moments.items()
            }
        self.precision.load(state["scale"])


def means(metrics: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Average numbers by name, each over those that have it."""
    found: dict[str, list[float]] = {}
    for each in metrics:
        for name, value in each.items():
            found.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}


def images_of(batch: Any) -> list[str]:
    """List the keys of a batch's items, or its own; empty when it has none."""
    items = batch if isinstance(batch, list | tuple) else [batch]
    return [str(item.key) for item in items if hasattr(item, "key")]


def _seed(seed: int, device: torch.device) -> None:
    """Seed what layers draw at random, such as dropout, which differs from process to process."""
    # Not torch.manual_seed: it takes notes for every kind of GPU that is not in use.
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def _statistics(model: nn.Module) -> list[Tensor]:
    """List what batch normalisation gathers, which differs between the data of the processes."""
    names = ("running_mean", "running_var")
    return [b for name, b in model.named_buffers() if name.rpartition(".")[2] in names]


def _check(learned: dict[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    if not learned:
        raise InputError(
            "expected a model of which something learns, got one whose parameters all have "
            "requires_grad=False; choose what learns"
        )
    for name, parameter in learned.items():
        if parameter.dtype != torch.float32:
            raise InputError(
                f"expected float32 for what learns, got {parameter.dtype} in {name}; load the "
                "model as float32, and choose a precision to compute with"
            )
    return learned


def _check_same(own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    shapes, others = ({n: tuple(t.shape) for n, t in side.items()} for side in (own, saved))
    differing = sorted(n for n in shapes.keys() | others if shapes.get(n) != others.get(n))
    if differing:
        name = differing[0]
        raise InputError(
            f"expected a checkpoint of this network and of what learns in it, got one that differs "
            f"in {len(differing)} tensors, such as {name}: {others.get(name, 'missing')}, here "
            f"{shapes.get(name, 'not learned')}; choose another folder"
        )


def _diverged(what: str, number: int, images: list[str]) -> InputError:
    named = ", ".join(images[:_NAMED]) + (" and others" if len(images) > _NAMED else "")
    where = f" for {named}" if images else ""
    return InputError(
        f"expected a finite {what} in step {number + 1}{where}; look at these data, or lower the "
        "learning rate (the last checkpoint is as it was)"
    )
