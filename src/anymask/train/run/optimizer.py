"""AdamW whose learning rate depends on the step and on how deep in the encoder a weight lies."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from anymask.train.config import LoopConfig

__all__ = ["Staged", "lr_ratio", "make_optimizer", "set_lr"]


@runtime_checkable
class Staged(Protocol):
    """An encoder that knows its stages."""

    def stages(self) -> list[nn.Module]:
        """List what an image passes through, from the pixels on."""
        ...


def make_optimizer(model: nn.Module, config: LoopConfig) -> torch.optim.AdamW:
    """Put what learns into groups of one learning rate and one weight decay each."""
    below = _stages_behind(model)
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for parameter in model.parameters():
        if parameter.requires_grad:
            share = config.layer_decay ** below.get(parameter, 0)
            groups[share, config.weight_decay if parameter.ndim > 1 else 0.0].append(parameter)
    parts: list[dict[str, Any]] = [
        {"params": parameters, "share": share, "weight_decay": decay}
        for (share, decay), parameters in groups.items()
    ]
    return torch.optim.AdamW(parts, lr=config.lr, betas=config.betas)


def _stages_behind(model: nn.Module) -> dict[nn.Parameter, int]:
    """Count the stages of its encoder from a parameter on, as ViTDet does; none: the full rate.

    What the encoder holds itself, such as a table of positions, belongs to its first stage; what
    follows the stages, such as a neck, learns like the decoder.
    """
    behind: dict[nn.Parameter, int] = {}
    for module in model.modules():
        # What is called so in EfficientViT's files is a list of modules; the encoder tells of it.
        if isinstance(module, Staged) and not isinstance(module.stages, nn.Module):
            stages = module.stages()
            behind |= dict.fromkeys(module.parameters(recurse=False), len(stages))
            for i, stage in enumerate(stages):
                behind |= dict.fromkeys(stage.parameters(), len(stages) - i)
    return behind


def lr_ratio(config: LoopConfig, step: int, progress: float) -> float:
    """Return which share of the highest learning rate is due.

    Args:
        config: Its warm-up and schedule.
        step: Steps made so far.
        progress: How much of the run is over, from 0 to 1.
    """
    warm = min(1.0, (step + 1) / max(config.warmup, 1))
    left = {
        "constant": 1.0,
        "linear": 1 - progress,
        "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
    }[config.schedule]
    return warm * (config.min_lr_ratio + (1 - config.min_lr_ratio) * left)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give each group its share of a learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["share"]
