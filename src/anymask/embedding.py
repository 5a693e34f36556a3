"""The slow part of a prediction, done once per image: what the encoder saw in it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from anymask import tensor_file
from anymask.arrays import Array, is_floating, to_numpy
from anymask.atomic import Target, output
from anymask.errors import InputError
from anymask.image.transform import Transform
from anymask.optional import optional
from anymask.plain import from_plain, to_plain

if TYPE_CHECKING:
    import torch

__all__ = ["Embedding", "StoredDtype"]

StoredDtype = Literal["float32", "float16", "int8"]
Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]

_FORMAT = "anymask-embedding"  # key of the file's header, whose value is JSON
_VERSION = 1
_FEATURE, _SCALE = "feature/", "scale/"  # what the names of the file's tensors begin with
_LEVELS = 127  # of int8, on either side of zero


@dataclass(frozen=True, eq=False)
class Embedding:
    """What one model's encoder made of one image; all that its decoder needs to answer prompts.

    Attributes:
        features: Named feature maps, each floating point, (1, c, h, w), of the model's frame:
            tensors of PyTorch where the model computes with them, else numpy arrays.
        transform: The way between the image's pixels and that frame.
        signature: sha256 over the image, its preprocessing and the weights. Features are good for
            the same weights only.
        source: Where the image came from, such as a file's path; None if not known.
    """

    features: Mapping[str, Array]
    transform: Transform
    signature: str
    source: str | None = None

    def __post_init__(self) -> None:
        """Check the features."""
        if not self.features:
            raise InputError("expected at least one feature map, got none; pass the encoder's maps")
        for name, values in self.features.items():
            if values.ndim != 4 or values.shape[0] != 1 or not is_floating(values):
                raise InputError(
                    f"expected feature map {name!r} as floating point (1, c, h, w), got "
                    f"{values.dtype} {tuple(values.shape)}; keep one embedding per image"
                )
        object.__setattr__(self, "features", dict(self.features))

    def __repr__(self) -> str:
        """Give the image and the maps: ``Embedding(640 x 480 truck.jpg: image 256 x 64 x 64)``."""
        h, w = self.size_hw
        sizes = {name: values.shape[1:] for name, values in self.features.items()}
        maps = ", ".join(f"{name} {' x '.join(map(str, size))}" for name, size in sizes.items())
        return f"Embedding({w} x {h}{f' {self.source}' if self.source else ''}: {maps})"

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the original image."""
        return self.transform.original_hw

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Embedding:
        """Carry the features to another device of PyTorch's or floating point type, as tensors.

        Raises:
            MissingExtraError: PyTorch is not installed.
        """
        torch = optional("torch")
        moved = {
            name: torch.as_tensor(values).to(device, dtype)
            for name, values in self.features.items()
        }
        return replace(self, features=moved)

    def save(self, path: Target, dtype: StoredDtype = "float32") -> None:
        """Write to a safetensors file.

        Args:
            path: The file, whose folder must exist, or a file that is open for writing bytes.
            dtype: ``"float16"`` halves the size at hardly any loss, ``"int8"`` quarters it with
                one scale per channel.

        Raises:
            OutputError: It cannot be written.
            InputError: The features hold NaN or infinity, or do not fit into ``dtype``.

        Examples:
            >>> import io
            >>> transform = Transform((480, 640), (384, 512), (384, 512))
            >>> embedding = Embedding({"image": np.ones((1, 8, 4, 4))}, transform, "signature")
            >>> file = io.BytesIO()
            >>> embedding.save(file, dtype="float16")
            >>> Embedding.load(file.getvalue())
            Embedding(640 x 480: image 8 x 4 x 4)
        """
        if dtype not in ("float32", "float16", "int8"):
            raise InputError(f"expected dtype float32, float16 or int8, got {dtype!r}; pick one")
        tensors: dict[str, npt.NDArray[Any]] = {}
        for name, values in self.features.items():
            tensors |= _pack(name, to_numpy(values).astype(np.float32, copy=False), dtype)
        own = {"version": _VERSION, "signature": self.signature, "source": self.source}
        about = own | to_plain(self.transform)
        content = tensor_file.pack(tensors, {_FORMAT: json.dumps(about)})
        with output(path) as file:
            file.write(content)

    @classmethod
    def load(cls, path: Source) -> Embedding:
        """Read what `save` wrote, as float32 on the CPU.

        The features are tensors if the process has loaded PyTorch, else numpy arrays; every model
        takes both.

        Args:
            path: The file, its content, or the file itself, open for reading bytes.

        Raises:
            InputError: The file is missing, damaged, or holds something else.
        """
        content, name = _content(path)
        try:
            stored, header = tensor_file.unpack(content)
            about = _about(header)
            signature, source = about.pop("signature"), about.pop("source", None)
            transform = from_plain(Transform, about)
            features = {name: _as_loaded(values) for name, values in _unpack(stored).items()}
            return cls(features, transform, signature, source)
        except (LookupError, TypeError, ValueError) as error:
            raise InputError(
                f"expected an embedding saved by anymask, but {name} is damaged or foreign "
                f"({error}); embed the image again"
            ) from error


def _as_loaded(values: npt.NDArray[np.float32]) -> Array:
    """Make a tensor of an array where the process computes with those."""
    if "torch" not in sys.modules:
        return values
    import torch

    return torch.from_numpy(values)


def _content(source: Source) -> tuple[bytes, str]:
    """Read all of a file, and say what to call it in errors."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), "the data given"
    if isinstance(source, str | os.PathLike):
        name = repr(os.fsdecode(source))
        if not Path(source).is_file():
            raise InputError(
                f"expected an embedding file, but {name} is not a file; check the path"
            )
        try:
            return Path(source).read_bytes(), name
        except OSError as error:
            raise InputError(f"cannot read {name}: {error.strerror}; check the path") from error
    if not hasattr(source, "read") or getattr(source, "closed", False):
        kind = "a closed file" if hasattr(source, "read") else type(source).__name__
        raise InputError(f"expected an embedding file or its content, got {kind}; pass its path")
    try:
        content = source.read()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the file given: {error}; use mode 'rb'") from error
    if not isinstance(content, bytes):
        raise InputError("expected a file opened for bytes, got one for text; use mode 'rb'")
    return content, "the file given"


def _pack(
    name: str, values: npt.NDArray[np.float32], dtype: StoredDtype
) -> dict[str, npt.NDArray[Any]]:
    """Turn one float32 feature map into the tensors of the file."""
    limit = float(np.finfo(np.float16 if dtype == "float16" else np.float32).max)
    # Written so that NaN fails, too.
    if values.size and not bool(np.abs(values).max() <= limit):
        raise InputError(
            f"expected finite features of at most {limit:g} for {dtype}, but {name!r} has others; "
            f"save as float32, and check the image and weights if that fails, too"
        )
    if dtype != "int8":
        return {_FEATURE + name: values.astype(dtype)}
    scale = np.abs(values).max(axis=(2, 3), keepdims=True, initial=0) / np.float32(_LEVELS)
    steps = np.rint(values / np.maximum(scale, np.finfo(np.float32).tiny))
    return {_FEATURE + name: steps.astype(np.int8), _SCALE + name: scale}


def _unpack(tensors: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[np.float32]]:
    """Turn the tensors of the file into float32 feature maps."""
    features = {}
    for key in sorted(tensors):
        kind, name = key.split("/", 1)
        if kind == "feature":
            values = tensors[key].astype(np.float32)
            whole = tensors[key].dtype == np.int8
            features[name] = values * tensors[_SCALE + name] if whole else values
    return features


def _about(header: Mapping[str, str]) -> dict[str, Any]:
    """Read what the file says about itself."""
    if _FORMAT not in header:
        raise ValueError("a safetensors file of another kind")
    about: dict[str, Any] = json.loads(header[_FORMAT])
    if (version := about.pop("version")) != _VERSION:
        raise ValueError(f"version {version}, where this anymask reads {_VERSION}")
    return about
