"""PyTorch files that pickle whole objects, read without running any of them.

A pickle is a program: it names functions and calls them. The reader here is a machine for a part of
that language. It rebuilds tensors and plain containers. Other objects become stand-ins that keep
the state they are given and do nothing: a network saved as a whole is a tree of such stand-ins,
from which its tensors are collected. Whatever else a file calls is refused by its name.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import struct
import sys
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Never

import torch
from torch import Tensor

__all__ = ["Refused", "StandIn", "collect", "collect_scripted", "read_archive", "skim"]

# Names and numbers only: the tensors lie beside it. FastSAM's are some hundred kB.
_LARGEST_PICKLE = 64 << 20
_MOST_MODULES = 5000  # FastSAM-x has some hundred


class Refused(Exception):
    """A file names something that is neither a tensor nor a plain container."""

    def __init__(self, name: str) -> None:
        # The name comes from the file, so it must not reach a terminal unchecked.
        self.name = re.sub(r"[^\w.]", "?", name)[:80]
        super().__init__(self.name)


class StandIn:
    """An object of a class that is not there; it keeps the state it had and does nothing."""

    __slots__ = ("state",)
    name: ClassVar[str] = ""
    takes_arguments: ClassVar[bool] = False

    def __init__(self, *arguments: object) -> None:
        if arguments and not self.takes_arguments:
            raise Refused(self.name)
        self.state: object = None

    def append(self, item: object) -> None:
        """Drop what a list would take."""

    def __setitem__(self, key: object, value: object) -> None:
        """Drop what a dictionary would take."""


def collect(module: StandIn) -> dict[str, Tensor]:
    """Collect the tensors of a pickled ``nn.Module``, by the keys of its ``state_dict``.

    Returns:
        Nothing if it is no module.

    Raises:
        ValueError: Its modules do not come to an end.
    """
    found: dict[str, Tensor] = {}
    waiting = [("", module)]
    for _ in range(_MOST_MODULES):
        if not waiting:
            return found
        prefix, module = waiting.pop()
        passing = _members(module, "_non_persistent_buffers_set")
        for kind in ("_parameters", "_buffers"):
            for name, value in _members(module, kind).items():
                if isinstance(value, Tensor) and name not in passing:
                    found[f"{prefix}{name}"] = value
        children = _members(module, "_modules").items()
        inside = [(f"{prefix}{name}.", x) for name, x in children if isinstance(x, StandIn)]
        waiting += reversed(inside)
    raise ValueError(f"more than {_MOST_MODULES} modules")


def collect_scripted(program: object) -> dict[str, Tensor]:
    """Collect the tensors of a TorchScript program, by the keys of its ``state_dict``.

    Its modules are pickled with what they hold under their names.

    Raises:
        ValueError: Its modules do not come to an end.
    """
    found: dict[str, Tensor] = {}
    waiting = [("", program)]
    for _ in range(_MOST_MODULES):
        if not waiting:
            return found
        prefix, module = waiting.pop()
        held = module.state if isinstance(module, StandIn) else None
        inside = []
        for name, value in held.items() if isinstance(held, dict) else ():
            if isinstance(value, Tensor):
                found[f"{prefix}{name}"] = value
            elif isinstance(value, StandIn):
                inside.append((f"{prefix}{name}.", value))
        waiting += reversed(inside)
    raise ValueError(f"more than {_MOST_MODULES} modules")


def _members(module: StandIn, kind: str) -> dict[object, object]:
    """Give what a module has of a kind; a hostile file may hold anything in its place."""
    members = module.state.get(kind) if isinstance(module.state, dict) else None
    if isinstance(members, set):
        return dict.fromkeys(members)
    return members if isinstance(members, dict) else {}


def read_archive(source: Path | bytes) -> object:
    """Read the object in a PyTorch file (the zip archive that it writes since version 1.6).

    Args:
        source: The file, whose tensors are mapped from disk, or its content.

    Raises:
        Refused: It would run something.
        Exception: Of any kind, if it is damaged.
    """
    if isinstance(source, bytes):
        raw = torch.frombuffer(bytearray(source), dtype=torch.uint8).untyped_storage()
    else:
        mapped = torch.from_file(str(source), size=source.stat().st_size, dtype=torch.uint8)
        raw = mapped.untyped_storage()
    with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
        entry = next(i for i in archive.infolist() if i.filename.endswith("/data.pkl"))
        if entry.file_size > _LARGEST_PICKLE:
            raise ValueError(f"a pickle of {entry.file_size} bytes")
        program = archive.read(entry)
        records = {info.filename: info for info in archive.infolist()}
    folder = entry.filename.removesuffix("data.pkl") + "data/"

    def storage(key: str, dtype: torch.dtype) -> Tensor:
        values = _stored(raw, records[f"{folder}{key}"])
        return torch.empty(0, dtype=dtype).set_(values)

    return _Machine(io.BytesIO(program), storage).load()


def skim(file: io.BufferedIOBase) -> None:
    """Read the next object of a bare pickle without its tensors, only to see what it calls.

    Raises:
        Refused: It would run something.
        Exception: Of any kind, if it is damaged.
    """
    _Machine(file, lambda key, dtype: None).load()


def _stored(raw: torch.UntypedStorage, info: zipfile.ZipInfo) -> torch.UntypedStorage:
    """Find the values of an entry: they follow its own header, a name and an extra."""
    lengths = bytes(raw[info.header_offset + 26 : info.header_offset + 30])
    start = info.header_offset + 30 + sum(struct.unpack("<HH", lengths))
    # Stored values cannot be longer than the file, whatever its table of contents says.
    if info.compress_type != zipfile.ZIP_STORED or start + info.file_size > raw.nbytes():
        raise ValueError(f"a storage of {info.file_size} bytes in a file of {raw.nbytes()}")
    values: torch.UntypedStorage = raw[start : start + info.file_size]
    return values


def _rebuild_tensor(
    flat: Tensor | None, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> Tensor | None:
    if flat is None:
        return None
    if math.prod(size) > flat.numel():  # strides of 0 could make a large one of a single value
        raise ValueError(f"a tensor of shape {size} from {flat.numel()} values")
    return flat.as_strided(size, stride, offset)


def _rebuild_parameter(tensor: Tensor | None, *_: object) -> Tensor | None:
    return tensor


def _device(kind: str, *_: object) -> str:
    return kind


def _encode(text: str, _codec: str) -> bytes:
    """Rebuild bytes, which protocol 2 spells as text."""
    return text.encode("latin-1")


# All that is ever called.
_BUILDERS: dict[str, Callable[..., object]] = {
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.Size": tuple,
    "torch.device": _device,
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "_codecs.encode": _encode,
}

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

# Values that training leaves beside the weights: dates, paths, settings, counts, a best score.
_KEEPSAKES = {
    *("datetime.datetime", "datetime.date", "datetime.timedelta", "datetime.timezone"),
    *("pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath"),
    *("pathlib._local.PosixPath", "pathlib._local.WindowsPath"),
    *("argparse.Namespace", "types.SimpleNamespace", "uuid.UUID", "decimal.Decimal"),
    *("collections.defaultdict", "collections.deque", "collections.Counter"),
    *(f"builtins.{kind}" for kind in ("dict", "list", "tuple", "int", "float", "complex", "slice")),
    *("numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"),
    *("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"),
    "torch.torch_version.TorchVersion",
    # Lists and dictionaries among the attributes of TorchScript's modules.
    *(f"torch.jit._pickle.build_{kind}list" for kind in ("int", "double", "bool", "tensor")),
    "torch.jit._pickle.restore_type_tag",
}
# Other ways of making objects, and of reaching for what is not in the file.
_NEVER = {
    *(pickle.OBJ[0], pickle.NEWOBJ_EX[0], pickle.EXT1[0], pickle.EXT2[0], pickle.EXT4[0]),
    *(pickle.PERSID[0], pickle.NEXT_BUFFER[0], pickle.READONLY_BUFFER[0], pickle.BYTEARRAY8[0]),
}


# The C machine would do as well, but for one thing: a memo index from the file sizes its memory.
class _Machine(pickle._Unpickler):
    """Runs a pickle with the few operations that describe data."""

    stack: list[Any]

    def __init__(
        self, file: io.BufferedIOBase, storages: Callable[[str, torch.dtype], Tensor | None]
    ) -> None:
        super().__init__(file)
        self._storages = storages
        self._stand_ins: dict[str, type[StandIn]] = {}

    def find_class(self, module: str, name: str) -> object:
        """Give what stands for a name: a builder, a dtype, or a class of stand-ins."""
        module, name = NAME_MAPPING.get((module, name), (module, name))
        module = IMPORT_MAPPING.get(module, module)  # up to protocol 2, names are those of Python 2
        full = f"{module}.{name}"
        if full in _BUILDERS:
            return _BUILDERS[full]
        if module == "torch" and isinstance(dtype := getattr(torch, name, None), torch.dtype):
            return dtype
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        known = module.partition(".")[0] in sys.stdlib_module_names
        if (known or "." in name) and full not in _KEEPSAKES:
            raise Refused(full)
        if full not in self._stand_ins:
            facts = {"name": full, "takes_arguments": full in _KEEPSAKES, "__slots__": ()}
            self._stand_ins[full] = type("StandIn", (StandIn,), facts)
        return self._stand_ins[full]

    def persistent_load(self, pid: Any) -> Tensor | None:
        """Give the flat tensor that a reference out of the pickle means."""
        kind, dtype, key, *_ = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise ValueError("a reference to something that is no storage")
        return self._storages(key, dtype)

    def _call(self, function: object, arguments: tuple[object, ...]) -> object:
        known = any(function is builder for builder in _BUILDERS.values())
        if known or (isinstance(function, type) and issubclass(function, StandIn)):
            return function(*arguments)  # type: ignore[operator]
        raise Refused(type(function).__name__)

    def load_reduce(self) -> None:
        """Call something that was named."""
        arguments = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], arguments)

    def load_build(self) -> None:
        """Give an object its state: only stand-ins have one."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], StandIn):
            self.stack[-1].state = state
        elif not isinstance(self.stack[-1], OrderedDict):  # that of a state_dict is its versions
            raise Refused(type(self.stack[-1]).__name__)

    def load_inst(self) -> Never:
        """Refuse the oldest way of calling something."""
        module, name = (self.readline()[:-1].decode() for _ in range(2))  # type: ignore[attr-defined]
        raise Refused(f"{module}.{name}")

    dispatch: ClassVar[dict[int, Callable[..., None]]] = {
        code: operation
        for code, operation in pickle._Unpickler.dispatch.items()
        if code not in _NEVER
    } | {
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_reduce,
        pickle.BUILD[0]: load_build,
        pickle.INST[0]: load_inst,
    }
