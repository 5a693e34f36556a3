"""Arrays of numpy and tensors of PyTorch, for the code that takes either.

A network of PyTorch is given tensors and answers in tensors, which stay on its device and can be
learned from; any other network is given numpy arrays. What lies between the two and `Masks` is
written once. PyTorch is never imported here: who holds a tensor has done so.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch
    from typing_extensions import TypeIs

__all__ = [
    "Array",
    "Device",
    "Dtype",
    "copied",
    "empty",
    "floats",
    "inference",
    "is_floating",
    "is_tensor",
    "placed",
    "sigmoid",
    "to_numpy",
    "unrecorded",
]

Array: TypeAlias = Any
"""A numpy array or a tensor, whichever the network at hand computes with."""

Device: TypeAlias = Any
"""Where a network computes: a `torch.device` for tensors, or a string such as "cpu" for arrays."""

Dtype: TypeAlias = Any
"""Of floating point: a `torch.dtype` for tensors, or for arrays its name, such as "float32"."""


def is_tensor(values: object) -> TypeIs[torch.Tensor]:
    """Return whether something is a tensor of PyTorch, without importing that.

    Examples:
        >>> is_tensor(np.zeros(3))
        False
    """
    kind = getattr(sys.modules.get("torch"), "Tensor", None)
    return kind is not None and isinstance(values, kind)


def is_floating(values: Array) -> bool:
    """Return whether an array or tensor is of floating point."""
    if is_tensor(values):
        return values.is_floating_point()
    return bool(values.dtype.kind == "f")


def to_numpy(values: Array) -> npt.NDArray[Any]:
    """Give an array or tensor as a numpy array; bfloat16, which numpy lacks, as float32.

    Examples:
        >>> import torch
        >>> to_numpy(torch.ones(2, dtype=torch.bfloat16)).dtype
        dtype('float32')
    """
    if not is_tensor(values):
        return np.asarray(values)
    here = values.detach().cpu()
    if here.is_floating_point() and here.element_size() == 2 and "bfloat" in str(here.dtype):
        here = here.float()
    array: npt.NDArray[Any] = here.numpy()
    return array


def floats(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Give numbers as a float32 array; one that is so already is not copied."""
    return np.asarray(values, dtype=np.float32)


def placed(values: Array, device: Device, dtype: Dtype | None = None) -> Array:
    """Give an array or tensor as a network takes it.

    Args:
        values: Of any dtype.
        device: That of the network, see `Device`.
        dtype: That of the result, or its name; None: the same.

    Examples:
        >>> placed(np.ones(2), "cpu", "float32").dtype
        dtype('float32')
    """
    if isinstance(device, str):
        array = to_numpy(values)
        return array if dtype is None else array.astype(str(dtype), copy=False)
    import torch  # a network that wants tensors has imported it

    if isinstance(values, np.ndarray) and not values.flags.writeable:
        values = values.copy()  # PyTorch warns of others, for it knows no such arrays
    wanted = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    tensor = torch.as_tensor(values)
    return _sent(tensor, device).to(device, wanted)


def _sent(tensor: Any, device: Device) -> Any:
    """Send a tensor of the CPU to a GPU without waiting until it has come, or what is before it.

    It has to lie in memory that the system does not move. So the next image is read while the GPU
    still computes.
    """
    if getattr(device, "type", None) != "cuda" or tensor.device.type != "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Turn logits into probabilities, however large they are.

    Examples:
        >>> sigmoid(np.float32([0, -1000])).tolist()
        [0.5, 0.0]
    """
    return floats((1 + np.tanh(logits / 2)) / 2)


def empty(shape: tuple[int, ...], device: Device) -> Array:
    """Make a float32 array, or tensor, whose values are about to be set."""
    if isinstance(device, str):
        return np.empty(shape, dtype=np.float32)
    import torch

    return torch.empty(shape, device=device)


def copied(values: Array) -> Array:
    """Copy an array or tensor, so that it keeps no other in memory."""
    return values.clone() if is_tensor(values) else np.array(values)


def inference(device: Device) -> AbstractContextManager[Any]:
    """Enclose what a network computes: on tensors nothing is recorded to learn from."""
    if isinstance(device, str):
        return nullcontext()
    import torch

    return torch.inference_mode()


def unrecorded(device: Device) -> AbstractContextManager[Any]:
    """Enclose what a network answers to those who may go on computing with it.

    Unlike those of `inference`, these tensors may be written to and learned from.
    """
    if isinstance(device, str):
        return nullcontext()
    import torch

    return torch.no_grad()
