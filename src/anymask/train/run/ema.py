"""What changes while a model learns, and its moving average, which is mostly the better model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["Ema", "changing"]


def changing(model: nn.Module) -> dict[str, Tensor]:
    """List the parameters that learn and all buffers, by name."""
    learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return {**learned, **dict(model.named_buffers())}


class Ema:
    """The exponential moving average of all that changes, if wanted drawn back to the start."""

    def __init__(self, model: nn.Module, decay: float, anchor: float = 0.0) -> None:
        """Start from the model as it is.

        Args:
            model: Whose weights to average.
            decay: What is kept of the average in each step; less in the first ones, so that the
                start is soon forgotten.
            anchor: Share of the start in what is applied.
        """
        self.decay, self.anchor = decay, anchor
        self._newest = changing(model)
        self.tensors = {name: t.detach().clone() for name, t in self._newest.items()}
        self.start = {name: t.clone() for name, t in self.tensors.items()} if anchor else {}
        """The weights at the start, if they have a share."""

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Move towards the weights after so many steps."""
        keep = min(self.decay, steps / (steps + 9))
        fluid = [name for name, t in self.tensors.items() if t.is_floating_point()]
        torch._foreach_lerp_(
            [self.tensors[name] for name in fluid], [self._newest[name] for name in fluid], 1 - keep
        )
        for name in self.tensors.keys() - fluid:
            self.tensors[name].copy_(self._newest[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the model have the averaged weights, with their share of the start, for a while."""
        applied = self._anchored() if self.start else self.tensors
        self._swap(applied)
        try:
            yield
        finally:
            self._swap(applied)

    @torch.no_grad()
    def _anchored(self) -> dict[str, Tensor]:
        return {
            name: torch.lerp(t, self.start[name], self.anchor) if t.is_floating_point() else t
            for name, t in self.tensors.items()
        }

    def _swap(self, applied: Mapping[str, Tensor]) -> None:
        for name, average in applied.items():
            newest = self._newest[name]
            newest.data, average.data = average.data, newest.data
