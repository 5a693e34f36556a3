"""Where networks of PyTorch compute, and in which dtype."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

from anymask.errors import InputError
from anymask.optional import optional

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["device_name", "find_device", "find_dtype", "moved"]

AnyModule = TypeVar("AnyModule", bound="nn.Module")

_DTYPES = ("float32", "bfloat16", "float16", "float64")


def find_device(device: str | torch.device) -> torch.device:
    """Find a device by its name; ``"auto"`` is a GPU if there is one.

    Raises:
        InputError: There is no such device.
        MissingExtraError: PyTorch is not installed.
    """
    optional("torch")  # says how to install it
    import torch

    if device == "auto":
        gpu = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return gpu or torch.device("cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)  # knowing a device's name does not mean having it
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"expected a device that this machine and its PyTorch have, got {str(device)!r}; "
            "'cpu' always works, and 'auto' takes the best there is"
        ) from error
    return found


def device_name(device: str | torch.device) -> str:
    """Name the device that is meant, without loading PyTorch for the CPU, or where it is missing.

    Raises:
        InputError: There is no such device.
    """
    if str(device) == "cpu":
        return "cpu"
    if device == "auto" and find_spec("torch") is None:
        return "cpu"
    return str(find_device(device))


def find_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """Find a dtype, by its name if need be, that a device has.

    Raises:
        InputError: It is none that networks compute in, or the device does not have it.
        MissingExtraError: PyTorch is not installed.
    """
    optional("torch")  # says how to install it
    import torch

    known: dict[str, torch.dtype] = {name: getattr(torch, name) for name in _DTYPES}
    found = known.get(dtype) if isinstance(dtype, str) else dtype
    if found is None or found not in known.values():
        raise InputError(
            f"expected dtype as a floating-point type out of {', '.join(_DTYPES)}, got {dtype!r}; "
            "leave it out for float32"
        )
    try:
        torch.zeros(1, dtype=found, device=device)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"expected a dtype that {str(device)!r} has, got {dtype}; float32 always works"
        ) from error
    return found


def moved(network: AnyModule, device: torch.device, dtype: torch.dtype | None) -> AnyModule:
    """Make a copy of a network on a device, its floating-point numbers of a type.

    All parameters and buffers come along; those that need no change are shared.
    """
    from torch import nn

    def move(x: Tensor) -> Tensor:
        return x.detach().to(device, dtype if x.is_floating_point() else None)

    new: dict[int, Tensor] = {id(buffer): move(buffer) for buffer in network.buffers()}
    for parameter in network.parameters():
        new[id(parameter)] = nn.Parameter(move(parameter), parameter.requires_grad)
    return copy.deepcopy(network, new)  # the memo, in which it finds them copied already
