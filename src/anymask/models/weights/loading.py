"""Files of weights: find them, read them without running anything, and fill a network with them.

A file is read by what is in it: safetensors, or a PyTorch file of tensors and plain containers.
Which variant it belongs to follows from its keys and shapes, never from its name.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from anymask.errors import WeightsError
from anymask.models.build import build_empty
from anymask.models.compact import CompactNet
from anymask.models.network import Network
from anymask.models.variants import VARIANTS, Variant, find

__all__ = ["cache_dir", "fill", "load_network", "read_state", "recognise"]

State = dict[str, Tensor]

_SHOWN_KEYS = 3
_SUFFIXES = {".pth", ".pt", ".safetensors", ".bin", ".ckpt"}


def load_network(
    source: str | os.PathLike[str] | Variant,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> tuple[Network, Variant, str]:
    """Load a network with its weights, ready for inference.

    Args:
        source: A row of the table of variants, its name or alias, or the path of a weight file.
        device: Where the network shall live.
        dtype: Floating-point type of its weights, float32 if not given.

    Returns:
        The network, the variant it is, and the SHA-256 of the weight file in hex.

    Raises:
        WeightsError: The name is unknown, or the weights are missing, damaged or foreign.

    Example:
        >>> network, variant, digest = load_network("sam_vit_b_01ec64.pth")  # doctest: +SKIP
    """
    named, path = _locate(source)
    digest = _digest(path)
    if named is not None:
        _check_digest(named, path, digest)
    state = read_state(path)
    variant = named or recognise(state, path)
    network = build_empty(variant)
    fill(network, state, path, dtype or torch.float32, name=variant.name)
    if isinstance(network, CompactNet):  # nothing but convolutions, which like it better on a CPU
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.to(device).eval(), variant, digest


def read_state(path: str | os.PathLike[str]) -> State:
    """Read the tensors of a weight file, mapped from disk where that is possible.

    Nothing in the file is ever executed: one that holds more than tensors and plain containers is
    refused.

    Returns:
        Tensors by key, on the CPU, as the file has them.

    Raises:
        WeightsError: There is no such file, it is no weight file, or it is damaged.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise _unreadable(path, error) from error
    if head[8:] == b"{":
        state = _guarded(path, lambda: load_file(path))
    elif zipfile.is_zipfile(path):
        state = _guarded(path, lambda: torch.load(path, "cpu", weights_only=True, mmap=True))
    elif head[:1] == b"\x80":  # a pickle, how PyTorch saved before 1.6
        state = _guarded(path, lambda: torch.load(path, "cpu", weights_only=True))
    else:
        raise WeightsError(
            f"expected a safetensors or PyTorch file, got {str(path)!r}, which is neither; "
            f"it may be a text page or half a download: get it again"
        )
    if not isinstance(state, Mapping) or not state:
        raise WeightsError(
            f"expected tensors by key in {str(path)!r}, got {type(state).__name__}; "
            f"save the network's state_dict()"
        )
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(
                f"expected tensors by key in {str(path)!r}, got {type(value).__name__} under "
                f"{key!r}; save only the network's state_dict()"
            )
    return dict(state)


def recognise(state: Mapping[str, Tensor], origin: str | os.PathLike[str]) -> Variant:
    """Tell which variant weights belong to, by their keys and shapes.

    Args:
        state: Tensors by key.
        origin: Where they come from, for messages.

    Returns:
        The variant whose layout fits best; whether it fits entirely is for `fill` to check.

    Raises:
        WeightsError: No variant shares even half of the layout.
    """
    got = {(key, value.shape) for key, value in state.items()}
    best, best_share = VARIANTS[0], 0.0
    for variant in VARIANTS:
        wanted = {(key, value.shape) for key, value in build_empty(variant).state_dict().items()}
        share = len(got & wanted) / len(got | wanted)
        if share > best_share:
            best, best_share = variant, share
    if best_share < 0.5:
        names = ", ".join(variant.name for variant in VARIANTS)
        raise WeightsError(
            f"expected weights of one of {names}, got {str(origin)!r} with {len(state)} other keys "
            f"({_first(state)}); anymask has no network for them"
        )
    return best


def fill(
    network: nn.Module,
    state: Mapping[str, Tensor],
    origin: str | os.PathLike[str],
    dtype: torch.dtype = torch.float32,
    name: str = "this network",
) -> None:
    """Put weights into a network, in place and without a copy where the type is right already.

    Args:
        network: Its previous weights are dropped.
        state: Exactly the network's keys and shapes.
        origin: Where the weights come from, for messages.
        dtype: Floating-point type of the network afterwards.
        name: What the network is called, for messages.

    Raises:
        WeightsError: Keys are missing or unexpected, or have another shape or kind of number.
    """
    wanted = network.state_dict()
    both = [key for key in wanted if key in state]
    faults = {
        "missing": [key for key in wanted if key not in state],
        "unexpected": [key for key in state if key not in wanted],
        "mis-shaped": [m for key in both for m in _misfit(key, state[key], wanted[key])],
    }
    found = [f"{len(keys)} {fault} ({_first(keys)})" for fault, keys in faults.items() if keys]
    if found:
        raise WeightsError(
            f"expected the {len(wanted)} keys of {name}, got {', '.join(found)} in "
            f"{str(origin)!r}; "
            f"use weights of exactly that network"
        )
    cast = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    network.load_state_dict(cast, strict=True, assign=True)


def cache_dir() -> Path:
    """Tell where downloaded weights are kept.

    ``$ANYMASK_CACHE``, else ``$XDG_CACHE_HOME/anymask``, else ``~/.cache/anymask``.
    """
    own, shared = os.environ.get("ANYMASK_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own).expanduser()
    return (Path(shared) if shared else Path.home() / ".cache") / "anymask"


def _locate(source: str | os.PathLike[str] | Variant) -> tuple[Variant | None, Path]:
    """Find the weight file, and the variant if the source names one."""
    if isinstance(source, Variant):
        return source, _file_of(source)
    if not isinstance(source, str | os.PathLike):
        raise WeightsError(
            f"expected the name of a model or the path of a weight file, got {source!r}; "
            f"try 'bundled'"
        )
    path = Path(source)
    if isinstance(source, str):
        try:
            variant = find(source)
        except WeightsError:
            if not (path.exists() or path.suffix in _SUFFIXES or path.name != source):
                raise
        else:
            return variant, _file_of(variant)
    if not path.is_file():
        what = "a folder" if path.is_dir() else "nothing"
        raise WeightsError(f"expected a weight file at {str(path)!r}, got {what}; check the path")
    return None, path


def _file_of(variant: Variant) -> Path:
    """Find the weights of a named variant in the package or in the cache."""
    source = variant.weights
    if source.url is None:
        path = Path(str(resources.files("anymask.models").joinpath("bundled", source.file)))
        cure = "install anymask again"
    else:
        path = cache_dir() / source.file
        cure = f"download {source.url} to that place"
    if not path.is_file():
        raise WeightsError(
            f"expected the weights of {variant.name} at {str(path)!r}, got nothing; {cure}"
        )
    return path


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> WeightsError:
    return WeightsError(
        f"cannot read the weight file {str(path)!r}: {error.strerror}; check the path"
    )


def _check_digest(variant: Variant, path: Path, digest: str) -> None:
    wanted = variant.weights.sha256
    if wanted and not digest.startswith(wanted):
        raise WeightsError(
            f"expected weights of {variant.name} with SHA-256 {wanted}..., got {digest[:12]}... at "
            f"{str(path)!r}; delete it, which is damaged or incomplete, and get it again"
        )


def _guarded(path: Path, read: Callable[[], Any]) -> Any:
    """Read, and turn whatever a hostile or damaged file can raise into one sentence."""
    try:
        return read()
    except Exception as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and code:
            raise WeightsError(
                f"expected nothing but tensors in {str(path)!r}, got the Python object {code[1]}, "
                f"which could run code; save only the network's state_dict()"
            ) from error
        raise WeightsError(
            f"expected a whole weight file at {str(path)!r}, got one that is damaged or of another "
            f"kind; get it again"
        ) from error


def _misfit(key: str, value: Tensor, like: Tensor) -> list[str]:
    """Say how a tensor differs from what is wanted, if it does."""
    if value.shape != like.shape:
        return [f"{key} {list(value.shape)} for {list(like.shape)}"]
    if value.is_floating_point() != like.is_floating_point():
        return [f"{key} {value.dtype} for {like.dtype}"]
    return []


def _first(keys: Iterable[str]) -> str:
    names = list(keys)
    return ", ".join(names[:_SHOWN_KEYS]) + (", ..." if len(names) > _SHOWN_KEYS else "")
