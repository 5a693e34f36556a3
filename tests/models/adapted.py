"""Tiny networks whose weights matter, what they answer, and adapters that have learned."""

from __future__ import annotations

import torch
from tests.models.tiny import SIDE, prompts, tiny
from torch import Tensor, nn

from anymask.models.build import build
from anymask.models.lora import lora_layers
from anymask.models.sam_adapter import SamAdapter
from anymask.models.variants import find


def lively(name: str, seed: int = 0) -> nn.Module:
    """A tiny network of a kind; each call gives the same."""
    torch.manual_seed(seed)
    network = build(tiny(find(name))).eval()
    _disturb(network, 0.2)
    return network


def learn(network: nn.Module, whole: str = "") -> None:
    """Let LoRA, a SAM-Adapter and one part, as far as there are any, have learned something."""
    torch.manual_seed(1)
    for layer in lora_layers(network).values():
        _disturb(layer.lora_B, 0.1)
    for module in network.modules():
        if isinstance(module, SamAdapter):
            _disturb(module, 0.5)
    if whole:
        _disturb(network.get_submodule(whole), 0.01)


@torch.inference_mode()
def answers(network: nn.Module) -> Tensor:
    """What a network says to some prompts about a picture, one after the other and prepared."""
    pixels = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    features = network.encode(pixels, (SIDE, SIDE))
    said = network.decode(features, prompts(3, 2), True)
    said += network.decode(network.prepare(features), prompts(2, 1), False)
    return torch.cat([value.flatten() for value in said])


def _disturb(module: nn.Module, size: float) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(size * torch.randn_like(parameter))
