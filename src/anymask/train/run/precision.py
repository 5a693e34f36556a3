"""Computing with 16 bits where 32 are kept: autocast, and for fp16 a scale against underflow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from anymask.train.config import PrecisionName

__all__ = ["Precision"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """How forward and backward passes compute; weights and optimiser stay in float32."""

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        """Choose a dtype.

        Args:
            name: See `LoopConfig.precision`.
            device: Where the model lies.
        """
        self.device = device.type
        self.dtype = _best(self.device) if name == "auto" else _DTYPES[name]
        self._scaler = torch.amp.GradScaler(self.device, enabled=self.dtype == torch.float16)

    def forward(self) -> AbstractContextManager[Any]:
        """Compute in this type inside the block."""
        # Without the cache: a weight that was first cast without gradients would not learn.
        enabled = self.dtype != torch.float32
        return torch.autocast(self.device, self.dtype, enabled=enabled, cache_enabled=False)

    def backward(self, loss: Tensor) -> None:
        """Add to the gradients, scaled if need be."""
        with torch.autocast(self.device, enabled=False):
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(
        self, optimizer: torch.optim.Optimizer, trainable: Iterable[nn.Parameter], grad_clip: float
    ) -> float | None:
        """Shorten the gradients and let the optimiser use them.

        A scale that proves too large for fp16 costs this step and is halved.

        Returns:
            The norm of all gradients together; None, and nothing done, if it is not finite for
            another reason than the scale.
        """
        self._scaler.unscale_(optimizer)
        norm = float(nn.utils.clip_grad_norm_(trainable, grad_clip or math.inf))
        if not math.isfinite(norm) and self._scaler.get_scale() <= 1:
            return None
        self._scaler.step(optimizer)
        self._scaler.update()
        return norm

    def state(self) -> dict[str, Any]:
        """Give the scale, and how long it has held; empty where there is none."""
        return self._scaler.state_dict()

    def load(self, state: Mapping[str, Any]) -> None:
        """Go back to a scale."""
        if state and self._scaler.is_enabled():
            self._scaler.load_state_dict(dict(state))


def _best(device: str) -> torch.dtype:
    if device != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
