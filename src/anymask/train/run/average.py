"""What changes while a model learns, and its moving average, which is mostly the better model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["Average", "changing"]


def changing(model: nn.Module) -> dict[str, Tensor]:
    """List the parameters that learn and all buffers, by name."""
    learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return {**learned, **dict(model.named_buffers())}


class Average:
    """The exponential moving average of all that changes."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start from the model as it is.

        Args:
            model: Whose weights to follow.
            decay: What is kept of the average in each step; less in the first ones, so that the
                start is soon forgotten.
        """
        self.decay = decay
        self._newest = changing(model)
        self.tensors = {name: t.detach().clone() for name, t in self._newest.items()}

    @torch.no_grad()
    def follow(self, steps: int) -> None:
        """Move towards the weights after so many steps."""
        keep = min(self.decay, steps / (steps + 9))
        fluid = [name for name, t in self.tensors.items() if t.is_floating_point()]
        torch._foreach_lerp_(
            [self.tensors[name] for name in fluid], [self._newest[name] for name in fluid], 1 - keep
        )
        for name in self.tensors.keys() - fluid:
            self.tensors[name].copy_(self._newest[name])

    @contextmanager
    def worn(self) -> Iterator[None]:
        """Let the model have the averaged weights for a while."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, average in self.tensors.items():
            newest = self._newest[name]
            newest.data, average.data = average.data, newest.data
