"""LoRA (Hu et al., 2021): a layer learns by a product of two thin matrices beside its weight.

A layer W gets A (rank, in) and B (out, rank) and computes W x + alpha / rank * B A x. It stays
where it is and keeps its name and its weight; new are the keys ``lora_A.weight`` and
``lora_B.weight`` behind its own, as peft has them. B begins at zero: a network answers as before
until it has learned something.

    add_lora(network, LoraConfig(rank=8))  # and train it
    merge(network)  # the weights are W + alpha / rank * B A now, and it is as fast as before
    unmerge(network)  # the weights are W again, to the bit
    drop_lora(network)  # these are ordinary layers again
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

import torch
from torch import Tensor, nn

from anymask.errors import InputError
from anymask.models.kernels import Conv2d, Linear
from anymask.models.parts import learn_only

__all__ = [
    "LoraConfig",
    "LoraLayer",
    "adapt",
    "add_lora",
    "drop_lora",
    "lora_layers",
    "merge",
    "unmerge",
]


@dataclass(frozen=True)
class LoraConfig:
    """What learns, and how much of it."""

    rank: int = 8
    """Inner width of the products: how much a layer can learn."""
    alpha: float = 16.0
    """The products count alpha / rank times."""
    targets: tuple[str, ...] = ()
    """Layers that get a product, by how their names end, such as ``qkv`` or ``mlp.lin1``; none:
    what suits the network."""
    dropout: float = 0.0
    """Share of its input that a product does not see in training."""
    whole: tuple[str, ...] = ()
    """Parts that learn entirely besides, such as ``mask_decoder``."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.rank < 1:
            raise InputError(f"expected a rank of at least 1, got {self.rank}; 4 to 16 is usual")
        if not (math.isfinite(self.alpha) and 0 <= self.dropout < 1):
            raise InputError(
                f"expected a finite alpha and a dropout from 0 to below 1, got {self.alpha} and "
                f"{self.dropout}; twice the rank and 0 are usual"
            )


_USUAL = ("qkv", "qkv.conv", "first.0", "second.0")
"""Attention, as most have it and EfficientViT; convolutions in the bundled model's encoder."""


class LoraLayer(nn.Module):
    """What is common to layers that have a product beside their weight."""

    weight: Tensor
    lora_A: nn.Linear | nn.Conv2d
    lora_B: nn.Linear | nn.Conv2d
    lora_dropout: nn.Dropout
    scale: float
    """How many times the product counts."""
    plain: type[nn.Module]
    """What the layer was, and will be again."""
    original: Tensor | None
    """The weight without the product, while it is merged."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer and, unless it is merged, the product."""
        out: Tensor = super().forward(x)
        if self.original is None:
            out = out + self.scale * self.lora_B(self.lora_A(self.lora_dropout(x)))
        return out

    @property
    def rank(self) -> int:
        """Inner width of the product."""
        return self.lora_A.weight.shape[0]

    def product(self) -> Tensor:
        """Multiply it out, float32 of the weight's shape."""
        a, b = self.lora_A.weight.float(), self.lora_B.weight.float()
        return self.scale * (b.flatten(1) @ a.flatten(1)).view(self.weight.shape)


class LoraLinear(LoraLayer, Linear):
    """A linear layer with a product."""


class LoraConv2d(LoraLayer, Conv2d):
    """A convolution with a product: A looks at as many pixels, B at single ones."""


# By exact class: others have ways of their own to use their weights.
_KINDS: dict[type[nn.Module], type[LoraLinear | LoraConv2d]] = {
    nn.Linear: LoraLinear,
    Linear: LoraLinear,
    nn.Conv2d: LoraConv2d,
    Conv2d: LoraConv2d,
}


def add_lora(network: nn.Module, config: LoraConfig) -> list[str]:
    """Give layers a product each, and let nothing else learn but the parts that should learn whole.

    Batch normalisation must stay in inference while it trains (`nn.Module.eval`): what it counts is
    neither in the products nor in their file.

    Args:
        network: Changed in place.
        config: Which layers, and how much they can learn.

    Returns:
        Names of the layers.

    Raises:
        InputError: No layer or part has such a name, a layer has no use for a product, or the
            network has products already.
    """
    if lora_layers(network):
        raise InputError("expected a network without LoRA, got one that has it; drop that first")
    names = _targets(network, config)
    learn_only(network, config.whole)
    for name in names:
        adapt(network.get_submodule(name), config.rank, config.alpha / config.rank, config.dropout)
    return names


def lora_layers(network: nn.Module) -> dict[str, LoraLayer]:
    """List the layers with a product by their names."""
    return {name: m for name, m in network.named_modules() if isinstance(m, LoraLayer)}


@torch.no_grad()
def merge(network: nn.Module) -> None:
    """Put the products into the weights, in place; what is merged already stays as it is."""
    for layer in lora_layers(network).values():
        if layer.original is None:
            layer.original = layer.weight.detach().clone()
            layer.weight.copy_(layer.original.float() + layer.product())


@torch.no_grad()
def unmerge(network: nn.Module) -> None:
    """Put the weights back as they were before `merge`, to the bit."""
    for layer in lora_layers(network).values():
        if layer.original is not None:
            layer.weight.copy_(layer.original)
            layer.original = None


def drop_lora(network: nn.Module) -> None:
    """Make ordinary layers again; products that are merged stay in the weights for good."""
    for layer in lora_layers(network).values():
        kind = layer.plain
        del layer.lora_A, layer.lora_B, layer.lora_dropout
        del layer.scale, layer.plain, layer.original
        layer.__class__ = cast(type[LoraLayer], kind)


def adaptable(layer: nn.Module) -> TypeGuard[nn.Linear | nn.Conv2d]:
    """Return whether a layer can have a product: linear ones, and convolutions of all channels."""
    return type(layer) in _KINDS and getattr(layer, "groups", 1) == 1


def adapt(layer: nn.Module, rank: int, scale: float, dropout: float = 0.0) -> None:
    """Give one layer a product.

    It is still the same object, of another class: whoever holds it need not be told.

    Raises:
        InputError: It can have none.
    """
    if not adaptable(layer):
        raise InputError(
            f"expected linear layers and convolutions of all channels for LoRA, got "
            f"{type(layer).__name__}; choose other targets"
        )
    a, b = _thin(layer, rank)
    nn.init.zeros_(b.weight)
    low = cast(LoraLayer, layer)
    low.lora_A, low.lora_B, low.lora_dropout = a, b, nn.Dropout(dropout)
    for part in (a, b, low.lora_dropout):
        part.to(layer.weight).train(layer.training)
    low.scale, low.plain, low.original = scale, type(layer), None
    low.__class__ = _KINDS[type(layer)]


def _thin(layer: nn.Linear | nn.Conv2d, rank: int) -> tuple[Linear, Linear] | tuple[Conv2d, Conv2d]:
    """Make the layers A and B of a product."""
    if isinstance(layer, nn.Linear):
        inside, outside = layer.in_features, layer.out_features
        return Linear(inside, rank, bias=False), Linear(rank, outside, bias=False)
    look: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding}
    a = Conv2d(layer.in_channels, rank, cast(Any, layer.kernel_size), bias=False, **look)
    return a, Conv2d(rank, layer.out_channels, 1, bias=False)


def _targets(network: nn.Module, config: LoraConfig) -> list[str]:
    """Find the layers that are meant, outside of the parts that learn entirely."""
    wholes = tuple(f"{part}." for part in config.whole)
    parts = {n: m for n, m in network.named_modules() if n and not f"{n}.".startswith(wholes)}
    found = {
        target: [
            name
            for name, part in parts.items()
            if f".{name}".endswith(f".{target}") and (config.targets or adaptable(part))
        ]
        for target in config.targets or _USUAL
    }
    for target, names in found.items():
        if not names and (config.targets or not any(found.values())):
            ends = {name.rpartition(".")[2] for name, m in parts.items() if type(m) in _KINDS}
            raise InputError(
                f"expected layers whose names end in {target!r}, got none; the last words of "
                f"names are {', '.join(sorted(ends))}"
            )
    wanted = {name for names in found.values() for name in names}
    return [name for name in parts if name in wanted]
