"""How a model that has learned is kept, so that `load` takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from anymask.atomic import atomic_write
from anymask.models.variants import Variant
from anymask.models.weights.folder import write_folder
from anymask.train.objective import SaveModel

__all__ = ["save_full", "write_half"]


def save_full(variant: Variant, name: str, summary: str) -> SaveModel:
    """Keep all weights of a network.

    Args:
        variant: What it was before it learned.
        name: What it should be called afterwards.
        summary: One line for people who choose.
    """
    weights = replace(variant.weights, file="model.safetensors", url=None, sha256=None, size=None)
    return partial(
        _write_full, replace(variant, name=name, aliases=(), summary=summary, weights=weights)
    )


def write_half(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write weights to one file of safetensors, as fp16 what is floating point."""
    half = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    with atomic_write(path) as draft:
        save_file({k: v.contiguous() for k, v in half.items()}, draft)


def _write_full(variant: Variant, network: nn.Module, folder: Path) -> None:
    write_folder(folder, variant, network.state_dict())
