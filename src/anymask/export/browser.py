"""A model as files for a browser: graphs, and weights that are small enough to be sent.

The page runs the same graphs as the library does without PyTorch. Only how their weights are
stored differs: as whole numbers with a scale for each channel, which the page turns back before a
graph is opened, so that all arithmetic stays in floating point. Large weights of the encoder have 8
bits, those of the detector 7; those of the saliency network, which has outliers that 8 bits would
spend their range on, and of the decoder, which decides where a mask ends, some 9 that are split
into bytes, so that compression finds the upper one nearly empty. What is small keeps 16 bits, and
so does a decoder that is sent without an encoder: that of a server answers to the bit. How alike
the answers are, and how large the files: ``python benchmarks/browser_model.py``.
"""

from __future__ import annotations

import json
import os
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt

from anymask import tensor_file
from anymask.atomic import atomic_write
from anymask.errors import CapabilityError, InputError
from anymask.models import cache, onnx_file
from anymask.models.config import CompactConfig, Sam2Config
from anymask.models.exported import Exported, is_exported, read_exported
from anymask.models.runtime_network import RuntimeNetwork
from anymask.models.variants import Variant, find
from anymask.models.vocabulary import as_table
from anymask.optional import optional

if TYPE_CHECKING:
    from torch import nn

    from anymask.predict.segmenter import Segmenter

__all__ = ["ABOUT", "ROLES", "Stored", "browser_model", "packed", "unpacked", "write_browser_model"]

ABOUT = "model.json"
"""The file that says what the others are."""

ROLES = ("encoder", "decoder", "detector", "saliency")
"""What a model may consist of; the detector reads weights of the encoder, too."""

Stored = Literal["int7", "int8", "int16", "float"]
"""How large weights are stored: 7 or 8 bits up to the largest of each channel, whole numbers that
are fine beside the deviation of each channel, or as they are, at most 16 bits."""

FORMAT, VERSION = "anymask-browser", 3

_STORED: Mapping[str, Stored] = {
    "encoder": "int8",
    "decoder": "int16",
    "detector": "int7",
    "saliency": "int16",
}
_LARGE = 1024  # values of a weight that is worth a place outside of its graph
_MANY = 1 << 14  # values from which on 8 bits pay; the few of a depthwise convolution hurt most
_PER_CHANNEL = 24  # values that a scale should stand for at least
_LEVELS = {"int7": 63, "int8": 127}
_FINE = 128  # steps of a standard deviation; rounding is then 0.2 % of it
_LARGEST_STEP = 32639  # in two bytes with signs
_LARGEST_HALF = 65504.0
_COMPRESSION, _GZIP, _MEMORY = 9, 31, 9
_GIVES_ONE_MASK = "a decoder that gives one mask only"


@dataclass(frozen=True)
class _Graph:
    """A graph, and what its weights are."""

    content: bytes
    weights: Mapping[onnx_file.Place, npt.NDArray[Any]]
    """By where the graph reads them."""
    sizes: Mapping[str, int]
    """Bytes of the files that it reads."""


def write_browser_model(
    model: Segmenter | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    roles: Sequence[str] = ROLES,
) -> list[Path]:
    """Write a model for the page of the studio; see `browser_model`.

    Args:
        model: What `load` returned, or what it takes.
        folder: Where the files are put; it is made if it is missing.
        roles: Which parts to write, those that the model has.

    Returns:
        The files.

    Raises:
        CapabilityError: It is no model that the page can run.
        OutputError: They cannot be written.
        MissingExtraError: It has to be exported first, and the package for that is missing.

    Examples:
        >>> import tempfile
        >>> files = write_browser_model("bundled", tempfile.mkdtemp(), ["decoder"])
        >>> [path.name for path in files]
        ['decoder.onnx.gz', 'decoder.weights.gz', 'model.json']
    """
    if isinstance(model, str | os.PathLike):
        from anymask.predict.loading import load

        model = load(model, device="cpu")
    place = Path(folder).expanduser()
    written = []
    for name, content in browser_model(model, roles).items():
        place.mkdir(parents=True, exist_ok=True)
        with atomic_write(place / name) as draft:
            draft.write_bytes(content)
        written.append(place / name)
    return written


def browser_model(model: Segmenter, roles: Sequence[str] = ROLES) -> dict[str, bytes]:
    """Make the files that the page of the studio runs a model from.

    Of the bundled model and of exported folders they are made of the graphs that are there; other
    models are exported first.

    Args:
        model: What `load` returned.
        roles: Which parts to make, of those that the model has.

    Returns:
        Content of each file by its name: graphs and their weights, compressed by gzip, and `ABOUT`.

    Raises:
        CapabilityError: It is no model that the page can run.
        MissingExtraError: It has to be exported first, and the package for that is missing.
    """
    if unknown := set(roles) - set(ROLES):
        raise InputError(f"expected roles out of {', '.join(ROLES)}, got {unknown}; correct them")
    if model.variant.kind != "promptable":
        raise CapabilityError(
            f"expected a model with a decoder for the page, got {model.variant.name}, whose "
            "prompts select among instances; let the server answer"
        )
    _check_ways(model.variant, roles)
    folder = _folder_of(model)
    if folder is not None:
        return _of_folder(folder, roles)
    with tempfile.TemporaryDirectory() as draft:
        return _of_folder(_exported(model, Path(draft), roles), roles)


def _folder_of(model: Segmenter) -> Path | None:
    """Find the folder of graphs that a model is; None: there is none."""
    if isinstance(model.network, RuntimeNetwork):
        return model.network.folder
    bundled = cache.place(find("bundled")).parent
    if is_exported(bundled) and read_exported(bundled).weights_digest == model.weights_digest:
        return bundled
    return None


def _check_ways(variant: Variant, roles: Sequence[str]) -> None:
    """Check that the page knows how an image becomes a model's frame.

    Raises:
        CapabilityError: It does not.
    """
    if "encoder" in roles and variant.preprocessing.resize == "opencv":
        raise CapabilityError(
            f"expected a model whose images the page can resize, got {variant.name}, which wants "
            "OpenCV's arithmetic; let the server answer, or take the bundled model"
        )


def _exported(model: Segmenter, folder: Path, roles: Sequence[str]) -> Path:
    """Export the parts of a network of PyTorch that are asked for."""
    optional("onnx", extra="export")
    from anymask.export.write import write_parts

    if model.variant.network is None:
        raise CapabilityError(
            f"expected a network of anymask for the page, got {model.variant.name}, which another "
            "package brings; let the server answer"
        )
    here = model.to("cpu", "float32")
    network = cast("nn.Module", here.network)
    write_parts(network, model.variant, model.weights_digest, folder, roles)
    return folder


def _of_folder(folder: Path, roles: Sequence[str]) -> dict[str, bytes]:
    exported = read_exported(folder)
    if exported.single_mask or exported.layout != "onnx":
        got = _GIVES_ONE_MASK if exported.single_mask else f"files of {exported.layout}"
        raise CapabilityError(
            f"expected graphs of ONNX with all four masks for the page, got {got} in "
            f"{str(folder)!r}; export the model again, or let the server answer"
        )
    files: dict[str, bytes] = {}
    graphs: dict[str, Any] = {}
    stored: dict[onnx_file.Place, str] = {}  # what another role has already
    for role in (role for role in ROLES if role in roles and role in exported.graphs):
        graph = _read(folder, exported.graphs[role], role)
        known = sorted({stored[place] for place in graph.weights if place in stored})
        own = {place: one for place, one in graph.weights.items() if place not in stored}
        stored |= dict.fromkeys(own, f"{role}.weights.gz")
        files[f"{role}.onnx.gz"] = _compressed(graph.content)
        alone = role == "decoder" and "encoder" not in roles
        files[f"{role}.weights.gz"] = _compressed(
            packed(own, graph.sizes, "float" if alone else _STORED[role])
        )
        graphs[role] = {
            "graph": f"{role}.onnx.gz",
            "weights": [*known, f"{role}.weights.gz"],
        }
    files[ABOUT] = _about(exported, graphs, files, _compact(folder, exported))
    return files


def _compact(folder: Path, exported: Exported) -> dict[str, Any] | None:
    """List where the weights of the bundled model's decoder are, which the page runs by itself.

    None: it is another model, or its graph keeps its weights in another way.
    """
    if not isinstance(exported.variant.network, CompactConfig) or "decoder" not in exported.graphs:
        return None
    found = onnx_file.places((folder / exported.graphs["decoder"]).read_bytes())
    files = {place.file for place in found}
    if len(files) != 1 or not (file := files.pop()).endswith(".safetensors"):
        return None
    read = {place.offset for place in found}
    arrays = _by_offset((folder / file).read_bytes())
    weights = {
        name: (offset, values.size, values.dtype.name)
        for offset, (name, values) in arrays.items()
        if offset in read and values.dtype in (np.float16, np.float32)
    }
    return {"file": file, "weights": weights} if len(weights) == len(read) else None


def _about(
    exported: Exported,
    graphs: Mapping[str, Any],
    files: Mapping[str, bytes],
    compact: Mapping[str, Any] | None,
) -> bytes:
    own = exported.to_json()
    about = {
        **{name: own[name] for name in ("variant", "weights_digest", "features", "anymask")},
        **{name: own[name] for name in ("mask_hw", "mask_stride", "raw_image")},
        "box_first": isinstance(exported.variant.network, Sam2Config),
        "format": FORMAT,
        "version": VERSION,
        **({"vocabulary": as_table()} if "detector" in graphs else {}),
        "graphs": graphs,
        **({"compact": compact} if compact and "decoder" in graphs else {}),
        "sizes": {name: len(content) for name, content in files.items()},
    }
    return json.dumps(about, indent=1).encode()


def _compressed(content: bytes) -> bytes:
    """Compress as gzip does; weights repeat so little that it is better not to look far for it."""
    made = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED):
        packer = zlib.compressobj(_COMPRESSION, zlib.DEFLATED, _GZIP, _MEMORY, strategy)
        made.append(packer.compress(content) + packer.flush())
    return min(made, key=len)


# --------------------------------------------------------------------------- graphs and weights


def _read(folder: Path, name: str, role: str) -> _Graph:
    """Read a graph and its weights, wherever these lie."""
    content = (folder / name).read_bytes()
    found = onnx_file.places(content)
    if found and all(place.file.endswith(".safetensors") for place in found):
        files = {place.file: (folder / place.file).read_bytes() for place in found}
        arrays = {file: _by_offset(data) for file, data in files.items()}
        weights = {place: arrays[place.file][place.offset][1] for place in found}
        return _Graph(content, weights, {file: len(data) for file, data in files.items()})
    return _moved_out(folder / name, role)


def _by_offset(content: bytes) -> dict[int, tuple[str, npt.NDArray[Any]]]:
    """Find the tensors of a safetensors file, and their names, by their first bytes."""
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    tensors, _ = tensor_file.unpack(content)
    return {
        begin + header[name]["data_offsets"][0]: (name, values) for name, values in tensors.items()
    }


def _moved_out(path: Path, role: str) -> _Graph:
    """Move the large weights of a graph out of it."""
    onnx = optional("onnx", extra="export")
    model = onnx.load(str(path))
    file, offset = f"{role}.weights", 0
    weights: dict[onnx_file.Place, npt.NDArray[Any]] = {}
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.size < _LARGE or values.dtype not in (np.float32, np.float16):
            continue
        place = onnx_file.Place(file, offset, values.nbytes)
        weights[place] = values
        tensor = onnx.TensorProto(
            name=weight.name,
            data_type=weight.data_type,
            dims=weight.dims,
            data_location=onnx.TensorProto.EXTERNAL,
        )
        for key, value in (("location", file), ("offset", offset), ("length", values.nbytes)):
            tensor.external_data.add(key=key, value=str(value))
        weight.CopyFrom(tensor)
        offset += values.nbytes
    return _Graph(model.SerializeToString(), weights, {file: offset})


def packed(
    weights: Mapping[onnx_file.Place, npt.NDArray[Any]], sizes: Mapping[str, int], stored: Stored
) -> bytes:
    """Write weights as small as they may be, in the safetensors layout.

    Args:
        weights: float32 or float16, by where a graph reads them.
        sizes: Bytes of the files that it reads.
        stored: How.

    Returns:
        Content of a file. What it says of itself is where each tensor belongs, as which dtype, and
        along which axis there is a scale for each row. Numbers of more than 8 bits have their upper
        bytes, which count 256 each, in a tensor of their own.

    Examples:
        >>> place = onnx_file.Place("a.data", 8, 65536)
        >>> weights = {place: np.linspace(-1, 1, 16384, dtype="f4").reshape(128, 128)}
        >>> file = unpacked(packed(weights, {"a.data": 65544}, "int8"))["a.data"]
        >>> float(abs(np.frombuffer(file, "f4", offset=8) - weights[place].ravel()).max()) < 0.004
        True
    """
    tensors: dict[str, npt.NDArray[Any]] = {}
    table: dict[str, Any] = {}
    upper: dict[str, npt.NDArray[Any]] = {}
    for i, (place, values) in enumerate(weights.items()):
        name = f"{i:04}"
        entry = {"file": place.file, "offset": place.offset, "dtype": values.dtype.name}
        table[name] = entry
        axis = None if stored == "float" else _axis(values, stored)
        if axis is None:
            fits = values.size >= _LARGE and np.abs(values).max() <= _LARGEST_HALF
            tensors[name] = values.astype(np.float16) if fits else values
            continue
        scale = _scale(values, axis, stored)
        steps = np.rint(values.astype(np.float32) / scale).astype(np.int32)
        high = (steps + 128) >> 8
        tensors[name] = (steps - 256 * high).astype(np.int8)
        tensors[f"{name}/scale"] = scale.reshape(-1)
        if stored == "int16":
            upper[f"{name}/high"] = high.astype(np.int8)
        entry["axis"] = axis
    used = {place.file for place in weights}
    files = {file: size for file, size in sizes.items() if file in used}
    about = json.dumps({"files": files, "tensors": table})
    return tensor_file.pack({**tensors, **upper}, {FORMAT: about})


def _axis(values: npt.NDArray[Any], stored: Stored) -> int | None:
    """Choose the axis whose scales lose least; None: a scale for each row would save nothing."""
    if values.ndim < 2 or values.size < (_LARGE if stored == "int16" else _MANY):
        return None
    worthy = [i for i, side in enumerate(values.shape) if values.size // side >= _PER_CHANNEL]
    worthy = [axis for axis in worthy if axis < 2]  # channels; the others are rows and columns

    def lost(axis: int) -> float:
        return float((_scale(values, axis, stored) ** 2).mean())

    return min(worthy, key=lost, default=None)


def _scale(values: npt.NDArray[Any], axis: int, stored: Stored) -> npt.NDArray[np.float32]:
    others = tuple(i for i in range(values.ndim) if i != axis)
    wide = values.astype(np.float32)
    most = np.abs(wide).max(axis=others, keepdims=True)
    if stored == "int16":
        deviation = np.sqrt(np.square(wide).mean(axis=others, keepdims=True))
        step = np.maximum(deviation / np.float32(_FINE), most / np.float32(_LARGEST_STEP))
    else:
        step = most / np.float32(_LEVELS[stored])
    scale: npt.NDArray[np.float32] = np.maximum(step, np.float32(1e-12))
    return scale


def unpacked(content: bytes) -> dict[str, bytes]:
    """Do what the page does: make the files that a graph reads, as far as it reads them.

    Args:
        content: What `packed` gave.

    Returns:
        Content of each file by its name; zeros where nothing was packed.
    """
    tensors, metadata = tensor_file.unpack(content)
    about = json.loads(metadata[FORMAT])
    files = {name: bytearray(size) for name, size in about["files"].items()}
    for name, entry in about["tensors"].items():
        values = tensors[name]
        if "axis" in entry:
            shape = [1] * values.ndim
            shape[entry["axis"]] = -1
            values = values.astype(np.float32)
            if f"{name}/high" in tensors:
                values += 256 * tensors[f"{name}/high"].astype(np.float32)
            values *= tensors[f"{name}/scale"].reshape(shape)
        data = values.astype(entry["dtype"]).tobytes()
        files[entry["file"]][entry["offset"] : entry["offset"] + len(data)] = data
    return {name: bytes(file) for name, file in files.items()}
