"""What networks of PyTorch share: the members of `Network` that follow from their parameters."""

from __future__ import annotations

import operator
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from torch import Tensor, nn

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

        It may be in training, or get LoRA. Weights and parts that are exchanged count, too.
        """
        return _changes(self)

    def moved(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Return a copy of the network on another device or of another dtype."""
        return moved(self, device, dtype)


class _Seen(NamedTuple):
    """What a network was made of when its version was asked for."""

    parts: list[nn.Module]
    """What it is put together from, without itself, which would keep it in memory."""
    entries: list[Any]
    """The parameters and parts of all of these and of the network."""
    weights: list[Tensor]
    """Those that count their changes."""
    base: int
    """Version of the network when none of its weights has changed."""

    def is_current(self, network: nn.Module) -> bool:
        """Return whether a network and its parts hold what they held."""
        now = _entries(network, self.parts)
        return len(now) == len(self.entries) and all(map(operator.is_, now, self.entries))

    def version(self) -> int:
        """Add up the changes."""
        changes: int = sum(map(_COUNT, self.weights))
        return self.base + changes


_COUNT = operator.attrgetter("_version")
_TABLES = operator.attrgetter("_parameters", "_modules")
_SEEN: WeakKeyDictionary[nn.Module, _Seen] = WeakKeyDictionary()


def _changes(network: nn.Module) -> int:
    """Count the changes that the weights of a network have seen, exchanged ones as one.

    It is asked before every prompt, and walking through hundreds of parts takes longer than what a
    small network computes for one. So the walk is taken once, and after that what all parts
    hold is compared with what they held.
    """
    seen = _SEEN.get(network)
    if seen is None or not seen.is_current(network):
        new = _look(network)
        if seen is not None:  # never a number that stood for other weights
            new = new._replace(base=seen.version() + 1 - new.version())
        _SEEN[network] = seen = new
    return seen.version()


def _look(network: nn.Module) -> _Seen:
    itself, *parts = network.modules()
    weights = [w for part in (itself, *parts) for w in part._parameters.values() if w is not None]
    entries = _entries(network, parts)
    return _Seen(parts, entries, [w for w in weights if not w.is_inference()], 0)


def _entries(network: nn.Module, parts: list[nn.Module]) -> list[Any]:
    tables = map(_TABLES, (network, *parts))
    return [*chain.from_iterable(map(dict.values, chain.from_iterable(tables)))]
