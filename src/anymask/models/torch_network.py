"""What networks of PyTorch share: the members of `Network` that follow from their parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from anymask.device import moved

if TYPE_CHECKING:
    from typing import Self

    import torch

__all__ = ["TorchNetwork"]


class TorchNetwork(nn.Module):
    """Gives an ``nn.Module`` those members of `Network` that follow from its parameters."""

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point dtype of its parameters."""
        return next(self.parameters()).dtype

    @property
    def version(self) -> int:
        """Number of the changes that its weights have seen, as far as PyTorch counts them.

        It may be in training, or get LoRA.
        """
        return _changes(self)

    def moved(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Return a copy of the network on another device or of another dtype."""
        return moved(self, device, dtype)


def _changes(module: nn.Module) -> int:
    """Count the changes that the weights below a module have seen.

    Plain recursion: `nn.Module.parameters` takes five times as long, and this is asked every time.
    """
    weights = [weight for weight in module._parameters.values() if weight is not None]
    own = sum(weight._version for weight in weights if not weight.is_inference())
    return own + sum(_changes(part) for part in module._modules.values() if part is not None)
