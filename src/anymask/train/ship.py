"""How a model that has learned is kept, so that `load` takes it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import nn

from anymask.models.variants import Variant
from anymask.models.weights.folder import write_folder
from anymask.train.objective import Ship

__all__ = ["whole"]


def whole(variant: Variant, name: str, summary: str) -> Ship:
    """Keep all weights of a network.

    Args:
        variant: What it was before it learned.
        name: What it shall be called afterwards.
        summary: One line for people who choose.
    """
    weights = replace(variant.weights, file="model.safetensors", url=None, sha256=None, size=None)
    return partial(
        _write_whole, replace(variant, name=name, aliases=(), summary=summary, weights=weights)
    )


def _write_whole(variant: Variant, network: nn.Module, folder: Path) -> None:
    write_folder(folder, variant, network.state_dict())
