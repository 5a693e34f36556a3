"""Where the weights of a graph lie, and in which dtype.

They can be in the graph, in a file beside it, or in the file of weights that the network was loaded
from: ONNX's external data is but a name, an offset and a length, and safetensors keeps the bytes of
each tensor in one piece.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from anymask.atomic import atomic_write
from anymask.errors import InputError, WeightsError

__all__ = ["Stored", "half", "save", "share", "shorten"]

Stored = Literal["fp16", "bf16"]

_LARGE = 1024  # values from which on a weight is worth a place elsewhere, or a cast
_LIMIT = 1_900_000_000  # bytes: protobuf ends at 2 GiB
_LARGEST_HALF = 65504.0
_DTYPES = {"F32": "FLOAT", "F16": "FLOAT16", "BF16": "BFLOAT16"}


def save(model: Any, path: Path, beside_as: str = ".data") -> list[Path]:
    """Write a graph, with its weights beside it where they are too many for one file.

    Args:
        model: The graph.
        path: Its file.
        beside_as: What the file beside it is called: the same, with this behind it.

    Returns:
        The files that were written.
    """
    import onnx

    large = sum(len(some.raw_data) for some in model.graph.initializer) > _LIMIT
    beside = path.with_name(f"{path.name}{beside_as}")
    if large:
        onnx.save_model(
            model, str(path), save_as_external_data=True, location=beside.name, size_threshold=1024
        )
        return [path, beside]
    with atomic_write(path) as draft:
        draft.write_bytes(model.SerializeToString())
    return [path]


def half(model: Any, stored: Stored) -> None:
    """Keep the large weights of a graph in 16 bits, and cast them to float32 before use.

    Runtimes do that once, when they load it, so it computes as fast as before and differs by the
    rounding of the weights alone.

    Raises:
        InputError: A weight is too large for float16.
    """
    from onnx import TensorProto, numpy_helper

    kind = TensorProto.FLOAT16 if stored == "fp16" else TensorProto.BFLOAT16
    for weight in list(model.graph.initializer):
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < _LARGE:
            continue
        values = numpy_helper.to_array(weight)
        if stored == "fp16":
            if np.abs(values).max() > _LARGEST_HALF:
                raise InputError(
                    f"expected weights that float16 can hold, got a larger one in {weight.name}; "
                    "quantize to bf16"
                )
            content = values.astype(np.float16)
        else:
            content = _bfloat16(values)
        tensor = TensorProto(data_type=kind, dims=weight.dims, raw_data=content.tobytes())
        _cast(model, weight, tensor)


def _bfloat16(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Round float32 to bfloat16, to the nearest and of two as near to the even: uint16."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def share(model: Any, prefixes: Mapping[str, str], files: Mapping[str, Path]) -> None:
    """Let a graph read its weights from the files that the network was loaded from.

    Args:
        model: Traced with ``keep_names``. Its weights are named as in the network.
        prefixes: How names in the graph begin, and how the keys in a file do: ``{"net.": "a:"}``
            finds the weight ``net.x`` as the key ``x`` of the file ``a``.
        files: safetensors files by the names of `prefixes`; graphs have to lie beside them.

    Raises:
        WeightsError: A large weight is in none of the files, or not as the graph has it.
    """
    from onnx import TensorProto

    tables = {name: _table(path) for name, path in files.items()}
    for weight in list(model.graph.initializer):
        if np.prod(weight.dims) < _LARGE and weight.name not in _known(prefixes, tables):
            continue
        file, entry = _find(weight, prefixes, tables)
        kind = getattr(TensorProto, _DTYPES[entry["dtype"]])
        start, end = entry["data_offsets"]
        tensor = TensorProto(data_type=kind, dims=weight.dims, data_location=TensorProto.EXTERNAL)
        place = {"location": files[file].name, "offset": start, "length": end - start}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        _cast(model, weight, tensor)


def _known(prefixes: Mapping[str, str], tables: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """List the weights of the files by the names that they have in the graph."""
    names = set()
    for prefix, place in prefixes.items():
        file, _, begin = place.partition(":")
        names |= {prefix + key.removeprefix(begin) for key in tables[file] if key.startswith(begin)}
    return names


def _find(
    weight: Any, prefixes: Mapping[str, str], tables: Mapping[str, Mapping[str, Any]]
) -> tuple[str, Mapping[str, Any]]:
    for prefix, place in prefixes.items():
        file, _, begin = place.partition(":")
        entry = tables[file].get(begin + weight.name.removeprefix(prefix))
        if not weight.name.startswith(prefix) or entry is None:
            continue
        if list(entry["shape"]) == list(weight.dims) and entry["dtype"] in _DTYPES:
            return file, entry
    raise WeightsError(
        f"expected {weight.name} {list(weight.dims)} in a file of weights, got no such tensor; "
        "export the model without sharing weights"
    )


def _table(path: Path) -> dict[str, Any]:
    """Read where in a safetensors file each tensor lies, counted from the file's first byte."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    for entry in header.values():
        entry["data_offsets"] = [8 + length + place for place in entry["data_offsets"]]
    table: dict[str, Any] = header
    return table


def _cast(model: Any, weight: Any, tensor: Any) -> None:
    """Put another tensor in the place of a weight, and cast it if its dtype differs."""
    from onnx import helper

    name, wanted = weight.name, weight.data_type
    differs = tensor.data_type != wanted
    tensor.name = f"{name}/stored" if differs else name
    weight.CopyFrom(tensor)
    if differs:
        cast = helper.make_node("Cast", [tensor.name], [name], name=f"{name}/cast", to=wanted)
        model.graph.node.insert(0, cast)


def shorten(model: Any) -> None:
    """Give inner values short names, and nodes none: most of a small graph is names."""
    keep = {some.name for some in (*model.graph.input, *model.graph.output)}
    short: dict[str, str] = {"": ""}

    def rename(name: str) -> str:
        return name if name in keep else short.setdefault(name, f"v{len(short):x}")

    del model.graph.value_info[:]
    for node in model.graph.node:
        node.name = node.doc_string = ""
        node.input[:] = [rename(name) for name in node.input]
        node.output[:] = [rename(name) for name in node.output]
        del node.metadata_props[:]
    for weight in model.graph.initializer:
        weight.name = rename(weight.name)
