"""The slow part of a prediction, done once per image: what the encoder saw in it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

import safetensors.torch
import torch
from torch import Tensor

from anymask.atomic import Target, output
from anymask.errors import InputError
from anymask.image.transform import Transform
from anymask.plain import from_plain, to_plain

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
        features: Named feature maps, each floating point, (1, c, h, w), of the model's frame.
        transform: The way between the image's pixels and that frame.
        signature: sha256 over the image, its preprocessing and the weights. Features are good for
            the same weights only.
        source: Where the image came from, such as a file's path; None if not known.
    """

    features: Mapping[str, Tensor]
    transform: Transform
    signature: str
    source: str | None = None

    def __post_init__(self) -> None:
        """Check the features."""
        if not self.features:
            raise InputError("expected at least one feature map, got none; pass the encoder's maps")
        for name, tensor in self.features.items():
            if tensor.ndim != 4 or tensor.shape[0] != 1 or not tensor.is_floating_point():
                raise InputError(
                    f"expected feature map {name!r} as floating point (1, c, h, w), got "
                    f"{tensor.dtype} {tuple(tensor.shape)}; keep one embedding per image"
                )
        object.__setattr__(self, "features", dict(self.features))

    def __repr__(self) -> str:
        """Give the image and the maps: ``Embedding(640 x 480 truck.jpg: image 256 x 64 x 64)``."""
        h, w = self.size_hw
        sizes = {name: tensor.shape[1:] for name, tensor in self.features.items()}
        maps = ", ".join(f"{name} {' x '.join(map(str, size))}" for name, size in sizes.items())
        return f"Embedding({w} x {h}{f' {self.source}' if self.source else ''}: {maps})"

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the original image."""
        return self.transform.original_hw

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Embedding:
        """Carry the features to another device or floating point type."""
        moved = {name: tensor.to(device, dtype) for name, tensor in self.features.items()}
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
            >>> embedding = Embedding({"image": torch.ones(1, 8, 4, 4)}, transform, "signature")
            >>> file = io.BytesIO()
            >>> embedding.save(file, dtype="float16")
            >>> Embedding.load(file.getvalue())
            Embedding(640 x 480: image 8 x 4 x 4)
        """
        if dtype not in ("float32", "float16", "int8"):
            raise InputError(f"expected dtype float32, float16 or int8, got {dtype!r}; pick one")
        tensors: dict[str, Tensor] = {}
        for name, tensor in self.features.items():
            tensors |= _pack(name, tensor.detach().cpu().float(), dtype)
        own = {"version": _VERSION, "signature": self.signature, "source": self.source}
        about = own | to_plain(self.transform)
        content = safetensors.torch.save(tensors, {_FORMAT: json.dumps(about)})
        with output(path) as file:
            file.write(content)

    @classmethod
    def load(cls, path: Source) -> Embedding:
        """Read what `save` wrote, as float32 on the CPU.

        Args:
            path: The file, its content, or the file itself, open for reading bytes.

        Raises:
            InputError: The file is missing, damaged, or holds something else.
        """
        content, name = _content(path)
        try:
            about = _about(_header(content))
            tensors = dict(sorted(safetensors.torch.load(content).items()))
            signature, source = about.pop("signature"), about.pop("source", None)
            transform = from_plain(Transform, about)
            return cls(_unpack(tensors), transform, signature, source)
        except (safetensors.SafetensorError, LookupError, TypeError, ValueError) as error:
            raise InputError(
                f"expected an embedding saved by anymask, but {name} is damaged or foreign "
                f"({error}); embed the image again"
            ) from error


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


def _header(content: bytes) -> dict[str, str]:
    """Read what a safetensors file says of itself; the library does so of paths only."""
    length = int.from_bytes(content[:8], "little")
    if not 0 < length <= len(content) - 8:
        raise ValueError("its header is cut off")
    header = json.loads(content[8 : 8 + length])
    about = header.get("__metadata__") if isinstance(header, dict) else None
    return about or {}


def _pack(name: str, values: Tensor, dtype: StoredDtype) -> dict[str, Tensor]:
    """Turn one float32 feature map into the tensors of the file."""
    limit = torch.finfo(torch.float16 if dtype == "float16" else torch.float32).max
    # Written so that NaN fails, too.
    if values.numel() and not bool(values.abs().max() <= limit):
        raise InputError(
            f"expected finite features of at most {limit:g} for {dtype}, but {name!r} has others; "
            f"save as float32, and check the image and weights if that fails, too"
        )
    if dtype != "int8":
        return {_FEATURE + name: values.to(getattr(torch, dtype)).contiguous()}
    scale = values.abs().amax(dim=(2, 3), keepdim=True) / _LEVELS
    steps = torch.round(values / scale.clamp(min=torch.finfo(torch.float32).tiny))
    return {_FEATURE + name: steps.to(torch.int8).contiguous(), _SCALE + name: scale.contiguous()}


def _unpack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Turn the tensors of the file into float32 feature maps."""
    features = {}
    for key, values in tensors.items():
        kind, name = key.split("/", 1)
        if kind == "feature":
            whole = values.dtype == torch.int8
            features[name] = values * tensors[_SCALE + name] if whole else values.float()
    return features


def _about(header: Mapping[str, str]) -> dict[str, Any]:
    """Read what the file says about itself."""
    if _FORMAT not in header:
        raise ValueError("a safetensors file of another kind")
    about: dict[str, Any] = json.loads(header[_FORMAT])
    if (version := about.pop("version")) != _VERSION:
        raise ValueError(f"version {version}, where this anymask reads {_VERSION}")
    return about
