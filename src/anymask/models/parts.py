"""Which parts of a network learn."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from anymask.errors import InputError

__all__ = ["find_part", "freeze_untaught", "learn_only"]


def find_part(network: nn.Module, name: str) -> nn.Module:
    """Find a part of a network by its dotted name.

    Raises:
        InputError: There is none.
    """
    try:
        return network.get_submodule(name)
    except AttributeError as error:
        known = ", ".join(child for child, _ in network.named_children())
        raise InputError(
            f"expected a part of the network, got {name!r}; it has {known}, and parts of these "
            f"such as {next(n for n, _ in network.named_modules() if '.' in n)}"
        ) from error


def learn_only(network: nn.Module, parts: Iterable[str]) -> None:
    """Let some parts of a network learn, and nothing else.

    Args:
        network: Changed in place (`requires_grad`).
        parts: Dotted names.

    Raises:
        InputError: There is no such part.
    """
    found = [find_part(network, name) for name in parts]
    network.requires_grad_(False)
    for part in found:
        part.requires_grad_(True)


def freeze_untaught(network: nn.Module) -> None:
    """Let nothing learn that masks in images cannot teach: what `Sam2.untaught` names.

    Args:
        network: Changed in place (`requires_grad`).
    """
    untaught: tuple[str, ...] = getattr(network, "untaught", ())
    for name, parameter in network.named_parameters():
        if name.startswith(untaught):
            parameter.requires_grad_(False)
