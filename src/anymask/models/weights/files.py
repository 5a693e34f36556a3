"""One file of weights: told by what is in it, and read without running anything."""

from __future__ import annotations

import io
import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor

from anymask.errors import WeightsError
from anymask.models.weights import pickles
from anymask.models.weights.pickles import Refused, StandIn

__all__ = ["State", "check_file", "read_state"]

State = dict[str, Tensor]

# Where the weights lie when a file holds more, perhaps one inside the other; the first of these
# that has any is taken, or else the only one under any other key. Averaged ones (ema) are what
# training with them answers with.
_WRAPPERS = (
    *("ema", "model_ema", "ema_model", "state_dict_ema", "ema_state_dict", "params_ema"),
    *("model", "state_dict", "model_state_dict", "model_state", "net", "network", "params"),
    *("module", "weights", "checkpoint"),
)
_DEEPEST = 4  # wrappers inside each other
_AVERAGES = "n_averaged"  # how often torch.optim.swa_utils has averaged the weights beside it
_LARGEST_MEMBER = 4 << 30  # SAM-H has 2.6 GB


def read_state(path: str | os.PathLike[str], origin: str = "", *, scripted: bool = False) -> State:
    """Read the tensors of a weight file, mapped from disk where that is possible.

    It may be a safetensors file, a PyTorch file (of tensors by key, of a dictionary that holds
    them beside other things, or of a whole pickled network), or a zip archive that holds one of
    these. Nothing in it is ever executed.

    Args:
        path: The file.
        origin: Where it comes from, for messages, if that is not where it lies.
        scripted: Take the tensors of a TorchScript program, too; its code is not looked at.

    Returns:
        Tensors by key, on the CPU, as the file has them.

    Raises:
        WeightsError: There is no such file, it is no weight file, it is damaged, or it holds
            something that would have to be executed.
    """
    path = Path(path)
    origin = origin or str(path)
    kind = check_file(path, origin)
    try:
        if kind == "safetensors":
            content: object = load_file(path)
        elif kind == "torch":
            content = _read_torch(path)
        elif kind == "pickle":
            content = _read_old(path)
        elif kind == "torchscript":
            if not scripted:
                raise WeightsError(
                    f"expected nothing but tensors in {origin!r}, got a TorchScript program; "
                    f"use the network's state_dict() instead"
                )
            content = pickles.collect_scripted(pickles.read_archive(path))
        else:
            content = _read_member(path, origin)
        return _find_tensors(content, origin)
    except Refused as refused:
        raise WeightsError(
            f"expected nothing but tensors in {origin!r}, got the Python object {refused}, "
            f"which could run code; save only the network's state_dict()"
        ) from refused
    except WeightsError:
        raise
    except Exception as error:  # a hostile or damaged file can raise anything
        raise _damaged(origin) from error


_Kind = Literal["safetensors", "torch", "torchscript", "pickle", "zip"]


def check_file(path: Path, origin: str = "") -> _Kind:
    """Tell what kind of weight file it is, by its content.

    Args:
        path: The file.
        origin: Where it comes from, for messages, if that is not where it lies.

    Raises:
        WeightsError: It cannot be read, or is none.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise WeightsError(
            f"cannot read the weight file {str(path)!r}: {error.strerror}; check the path"
        ) from error
    if head[8:9] == b"{":
        return "safetensors"
    if head[:1] == b"\x80":  # how PyTorch saved before version 1.6
        return "pickle"
    if zipfile.is_zipfile(path):
        return _zip_kind(path, origin or str(path))
    found, cure = _describe(head)
    raise WeightsError(f"expected a weight file at {origin or str(path)!r}, got {found}; {cure}")


def _describe(head: bytes) -> tuple[str, str]:
    """Say what a file is that holds no weights, and what to do about it."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "an empty one", "get it again"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer to one", "run: git lfs pull"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page", "download the file itself, not the page about it"
    if text.startswith((b"{", b"[")):
        return "JSON", "name the weights, or the folder that it lies in"
    if head.startswith(b"PK\x03\x04"):
        return "the beginning of one", "the download was cut off: get it again"
    if all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        return "a text", "download the file itself"
    return (
        "something that is neither safetensors nor PyTorch",
        "check that it is the right file, or get it again",
    )


def _zip_kind(path: Path, origin: str) -> Literal["torch", "torchscript", "zip"]:
    """Tell a PyTorch file from an archive that holds one: all are zip archives."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception as error:
        raise _damaged(origin) from error
    if any(name.endswith("/constants.pkl") for name in names):
        return "torchscript"
    return "torch" if any(name.endswith("/data.pkl") for name in names) else "zip"


def _read_torch(source: Path | bytes) -> object:
    """Read a PyTorch file, mapped from disk, or its content."""
    with suppress(pickle.UnpicklingError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about protocols that it may not know
        if isinstance(source, bytes):
            return torch.load(io.BytesIO(source), "cpu", weights_only=True)
        if source.suffix != ".safetensors":  # a name by which torch.load lets itself be misled
            return torch.load(source, "cpu", weights_only=True, mmap=True)
    return pickles.read_archive(source)  # there is more in it than tensors


def _read_old(path: Path) -> object:
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(file, "cpu", weights_only=True)
    except Exception:
        # Perhaps our reader knows what it stumbled over. Before the weights come a mark, a
        # version, and facts about the machine.
        with path.open("rb") as file:
            for _ in range(4):
                pickles.skim(file)
        raise


def _read_member(path: Path, origin: str) -> object:
    """Read the one PyTorch file in a zip archive, as some weights are published."""
    with zipfile.ZipFile(path) as archive:
        files = [i for i in archive.infolist() if not i.is_dir() and "__MACOSX" not in i.filename]
        if len(files) != 1:
            raise WeightsError(
                f"expected a zip archive of one weight file at {origin!r}, got one of "
                f"{len(files)} files; unpack it and name the file that you mean"
            )
        if files[0].file_size > _LARGEST_MEMBER:
            raise WeightsError(
                f"expected a zip archive of at most 4 GB at {origin!r}, got one of "
                f"{files[0].file_size / 1e9:,.0f} GB; unpack it yourself"
            )
        return _read_torch(archive.read(files[0]))


def _damaged(origin: str) -> WeightsError:
    return WeightsError(
        f"expected a whole weight file at {origin!r}, got one that is damaged, cut off or of "
        f"another kind; get it again"
    )


def _find_tensors(content: object, origin: str) -> State:
    """Find the tensors by key in what a file holds."""
    if tensors := _unwrapped(content, _DEEPEST):
        return {key: value.detach() for key, value in tensors.items() if key != _AVERAGES}
    found = _name(content)
    if isinstance(content, Mapping):
        strangers = _strangers(content)
        found = (
            f"{_name(strangers[0][1])} under {strangers[0][0]!r:.60}" if strangers else "nothing"
        )
        if sets := _sets(content, _DEEPEST):
            found = f"tensors under {', '.join(f'{key!r:.60}' for key in sets)}"
    raise WeightsError(
        f"expected tensors by key in {origin!r}, got {found}; save only the network's state_dict()"
    )


def _unwrapped(content: object, depth: int) -> Mapping[str, Tensor] | None:
    """Find a dictionary of nothing but tensors in what a file holds, so many levels down."""
    if isinstance(content, StandIn):
        content = pickles.collect(content)
    if not isinstance(content, Mapping) or not content:
        return None
    if not _strangers(content):
        return content
    if depth:
        for key in _WRAPPERS:
            if tensors := _unwrapped(content.get(key), depth - 1):
                return tensors
        strange = {key for key, _ in _strangers(content)}
        own = {key: value for key, value in content.items() if key not in strange}
        others = _sets(content, depth)
        if len(own) > max([len(strange), *map(len, others.values())]):
            return own  # weights, and some words about them; else counters beside weights
        if len(others) == 1:  # whatever it is called
            return next(iter(others.values()))
    return None


def _sets(content: Mapping[object, object], depth: int) -> dict[object, Mapping[str, Tensor]]:
    """Find all dictionaries of nothing but tensors in a wrapper, by their keys."""
    inner = {key: value for key, value in content.items() if isinstance(value, Mapping)}
    found = {key: _unwrapped(value, depth - 1) for key, value in inner.items()}
    return {key: tensors for key, tensors in found.items() if tensors}


def _strangers(content: Mapping[object, object]) -> list[tuple[object, object]]:
    """List the entries that are no plain tensors, or have no name."""
    return [
        (key, value)
        for key, value in content.items()
        if not (isinstance(key, str) and isinstance(value, Tensor) and _has_values(value))
    ]


def _has_values(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_meta


def _name(value: object) -> str:
    if isinstance(value, Tensor) and not _has_values(value):
        return "a tensor that is sparse or has no values"
    return value.name if isinstance(value, StandIn) else type(value).__name__
