"""Processes that learn together, as torchrun starts them; a single one is a group of its own.

The loop averages gradients itself instead of wrapping the model in DistributedDataParallel: that
wrapper expects one forward and one backward pass through all of the model per step, while an
objective may go through parts of it many times, each followed by its own backward pass.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Group", "joined", "own_device"]

Value = TypeVar("Value")

_PATIENCE = timedelta(hours=12)  # the others wait while the first one validates
_BUCKET = 2**24  # numbers sent at a time


@dataclass(frozen=True)
class Group:
    """Which of how many processes this one is."""

    process: int = 0
    """From 0; that one writes files and shows how it goes."""
    processes: int = 1
    """How many there are."""

    @property
    def leads(self) -> bool:
        """Whether this process writes and shows."""
        return self.process == 0

    def gather(self, value: Value) -> list[Value]:
        """Collect what every process has, in their order, in each of them."""
        if self.processes == 1:
            return [value]
        found: list[Any] = [None] * self.processes
        dist.all_gather_object(found, value)
        return found

    def share(self, value: Value) -> Value:
        """Give every process what the first one has."""
        if self.processes == 1:
            return value
        found = [value]
        dist.broadcast_object_list(found)
        return found[0]

    @torch.no_grad()
    def share_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of the first process."""
        if self.processes > 1:
            for tensor in tensors:
                sent = tensor.contiguous()  # channels may come last
                dist.broadcast(sent, src=0)
                tensor.copy_(sent)

    @torch.no_grad()
    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their means over all processes."""
        if self.processes == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            means = (flat / self.processes).split([t.numel() for t in bucket])  # type: ignore[no-untyped-call]
            for tensor, mean in zip(bucket, means, strict=True):
                tensor.copy_(mean.view_as(tensor))

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Average gradients; a process without one, whose data did not need it, counts as 0.

        What has no gradient in any process has none afterwards either, and is not decayed.
        """
        if self.processes == 1:
            return
        learned = list(parameters)
        has = self.gather([p.grad is not None for p in learned])
        moved = [
            p
            for p, anywhere in zip(learned, map(any, zip(*has, strict=True)), strict=True)
            if anywhere
        ]
        for p in moved:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        self.average(p.grad for p in moved if p.grad is not None)


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Put tensors of one type into groups worth sending."""
    by_type = sorted(tensors, key=lambda tensor: str(tensor.dtype))
    for _, same in groupby(by_type, key=lambda tensor: tensor.dtype):
        bucket: list[Tensor] = []
        for tensor in same:
            if bucket and sum(t.numel() for t in bucket) + tensor.numel() > _BUCKET:
                yield bucket
                bucket = []
            bucket.append(tensor)
        yield bucket


@contextmanager
def joined(device: torch.device) -> Iterator[Group]:
    """Meet the processes that torchrun started beside this one; none if it did not start it.

    Args:
        device: Where this process computes, see `own_device`.
    """
    if dist.is_initialized():
        yield Group(dist.get_rank(), dist.get_world_size())
    elif dist.is_torchelastic_launched():
        # The first optimizer imports this. If a group is alive by then, its threads outlive it, and
        # one that meets the interpreter on its way out aborts the process.
        importlib.import_module("torch._dynamo")
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group(timeout=_PATIENCE)
        try:
            yield Group(dist.get_rank(), dist.get_world_size())
        finally:
            dist.destroy_process_group()
    else:
        yield Group()


def own_device(device: str) -> str:
    """Name the GPU of this process where torchrun started one for each; else leave the name.

    Args:
        device: ``"auto"``, ``"cuda"`` or another device.
    """
    local = os.environ.get("LOCAL_RANK")
    if local is None or device not in ("auto", "cuda") or not torch.cuda.is_available():
        return device
    return f"cuda:{local}"
