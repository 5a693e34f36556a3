"""Weights into a network: exactly its keys and shapes, or a sentence that says what differs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from anymask.errors import WeightsError

__all__ = ["fill", "first", "misfits"]

_SHOWN_KEYS = 3
_LONGEST_KEY = 120  # characters of one that are shown


def fill(
    network: nn.Module,
    state: Mapping[str, Tensor],
    origin: str | os.PathLike[str],
    dtype: torch.dtype | None = torch.float32,
    name: str = "this network",
) -> None:
    """Put weights into a network, in place and without a copy where the type is right already.

    Args:
        network: Its previous weights are dropped.
        state: Exactly the network's keys and shapes.
        origin: Where the weights come from, for messages.
        dtype: Floating-point type of the network afterwards; None: as the weights have it.
        name: What the network is called, for messages.

    Raises:
        WeightsError: Keys are missing or unexpected, or have another shape or kind of number.
    """
    wanted = network.state_dict()
    state = {key: _counted(value, wanted.get(key)) for key, value in state.items()}
    if found := misfits(wanted, state):
        raise WeightsError(
            f"expected the {len(wanted)} keys of {name}, got {found} in {str(origin)!r}; "
            f"use weights of exactly that network"
        )
    if dtype is not None:
        state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    network.load_state_dict(state, strict=True, assign=True)


def misfits(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """Say in which keys, shapes and kinds of numbers weights differ from others; "" if in none."""
    both = [key for key in wanted if key in state]
    faults = {
        "missing": [key for key in wanted if key not in state],
        "unexpected": [key for key in state if key not in wanted],
        "mis-shaped": [m for key in both for m in _misfit(key, state[key], wanted[key])],
    }
    found = [f"{len(keys)} {fault} ({first(keys)})" for fault, keys in faults.items() if keys]
    return ", ".join(found)


def first(keys: Iterable[str]) -> str:
    """Show the first few keys. They come from a file: nothing in them may steer a terminal."""
    names = [repr(key)[1:-1][:_LONGEST_KEY] for key in keys]
    return ", ".join(names[:_SHOWN_KEYS]) + (", ..." if len(names) > _SHOWN_KEYS else "")


def _counted(value: Tensor, like: Tensor | None) -> Tensor:
    """Give a counter of batches its kind back: who halves all of a file's numbers halves it, too.

    It is not read here, and half a number of a large count may be infinite.
    """
    lone = like is not None and like.dtype == torch.int64 and not like.ndim
    if lone and not value.ndim and value.is_floating_point():
        return value.nan_to_num().long()
    return value


def _misfit(key: str, value: Tensor, like: Tensor) -> list[str]:
    """Say how a tensor differs from what is wanted, if it does."""
    if value.shape != like.shape:
        return [f"{key} {list(value.shape)} for {list(like.shape)}"]
    if value.is_floating_point() != like.is_floating_point():
        return [f"{key} {value.dtype} for {like.dtype}"]
    return []
