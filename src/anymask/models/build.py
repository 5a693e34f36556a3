"""From architecture numbers to a network: the one place that knows which class they belong to."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from torch.overrides import TorchFunctionMode

from anymask.models.config import (
    CompactConfig,
    EfficientSamConfig,
    FastSamConfig,
    Sam2Config,
    SamConfig,
    SamHqConfig,
)
from anymask.models.variants import Variant

if TYPE_CHECKING:
    from anymask.models.compact import CompactNet
    from anymask.models.fastsam import FastSam
    from anymask.models.sam import Promptable

__all__ = ["AnyNetwork", "SkipInit", "build", "build_empty"]

AnyNetwork: TypeAlias = "Promptable | CompactNet | FastSam"

# Module and class; imported when one is built, for nobody needs all of them at once.
_HOMES = {
    SamConfig: ("sam", "Sam"),
    Sam2Config: ("sam2", "Sam2"),
    SamHqConfig: ("sam_hq", "SamHq"),
    EfficientSamConfig: ("efficient_sam", "EfficientSam"),
    FastSamConfig: ("fastsam", "FastSam"),
    CompactConfig: ("compact", "CompactNet"),
}


def build(variant: Variant) -> AnyNetwork:
    """Build a variant's network with random weights."""
    module, name = _HOMES[type(variant.network)]
    kind = getattr(importlib.import_module(f"anymask.models.{module}"), name)
    network: AnyNetwork = kind(variant.network)
    return network


def build_empty(variant: Variant) -> AnyNetwork:
    """Build a variant's network with no weights at all: they are about to be replaced.

    Parameters are left as the memory happened to be, which costs neither time nor memory.
    """
    with SkipInit():
        return build(variant)


class SkipInit(TorchFunctionMode):
    """Leaves new parameters as the memory happened to be.

    Drawing random numbers for SAM-H takes seconds. (The meta device would do as well, but imports a
    second's worth of PyTorch.)
    """

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
