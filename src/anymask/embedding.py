"""The slow part of a prediction, done once per image: what the encoder saw in it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from torch import Tensor

from anymask.atomic import atomic_write
from anymask.errors import InputError
from anymask.image import Transform

__all__ = ["Embedding", "StoredDtype"]

StoredDtype = Literal["float32", "float16", "int8"]

_FORMAT = "anymask-embedding"
_VERSION = 1
_LEVELS = 127  # of int8, on either side of zero


@dataclass(frozen=True, eq=False)
class Embedding:
    """What one model's encoder made of one image; all that its decoder needs to answer prompts.

    Attributes:
        features: Named feature maps, each floating point, (1, c, h, w), of the model's frame.
        transform: The way between the image's pixels and that frame.
        signature: sha256 over the image, its preprocessing and the weights. Features are good for
            the same weights only.
    """

    features: Mapping[str, Tensor]
    transform: Transform
    signature: str

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

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the original image."""
        return self.transform.original_hw

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Embedding:
        """Carry the features to another device or floating point type."""
        moved = {name: tensor.to(device, dtype) for name, tensor in self.features.items()}
        return Embedding(moved, self.transform, self.signature)

    def save(self, path: str | os.PathLike[str], dtype: StoredDtype = "float32") -> None:
        """Write to a safetensors file.

        Args:
            path: The file; its folder must exist.
            dtype: ``"float16"`` halves the size at hardly any loss, ``"int8"`` quarters it with
                one scale per channel.

        Raises:
            OutputError: It cannot be written.
            InputError: The features hold NaN or infinity, or do not fit into ``dtype``.
        """
        if dtype not in ("float32", "float16", "int8"):
            raise InputError(f"expected dtype float32, float16 or int8, got {dtype!r}; pick one")
        tensors: dict[str, Tensor] = {}
        for name, tensor in self.features.items():
            tensors |= _pack(name, tensor.detach().cpu().float(), dtype)
        header = {
            "format": _FORMAT,
            "version": str(_VERSION),
            "signature": self.signature,
            "original_hw": json.dumps(self.transform.original_hw),
            "resized_hw": json.dumps(self.transform.resized_hw),
            "frame_hw": json.dumps(self.transform.frame_hw),
        }
        with atomic_write(path) as draft:
            draft.write_bytes(safetensors.torch.save(tensors, header))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Embedding:
        """Read what :meth:`save` wrote, as float32 on the CPU.

        Raises:
            InputError: The file is missing, damaged, or holds something else.
        """
        name = repr(os.fspath(path))
        if not Path(path).is_file():
            raise InputError(
                f"expected an embedding file, but {name} is not a file; check the path"
            )
        try:
            with safetensors.safe_open(os.fspath(path), framework="pt") as file:
                header = file.metadata() or {}
                _check_header(header, name)
                # Copies, so that the file may be overwritten or deleted while they are in use.
                names = file.keys()
                tensors = {key: file.get_tensor(key).clone() for key in names}
            sizes = [_size_hw(header[f"{part}_hw"]) for part in ("original", "resized", "frame")]
            return cls(_unpack(tensors), Transform(*sizes), header["signature"])
        except InputError:
            raise
        except (safetensors.SafetensorError, OSError, LookupError, TypeError, ValueError) as error:
            raise InputError(
                f"the embedding file {name} is damaged or foreign ({error}); embed the image again"
            ) from error


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
        return {name: values.to(getattr(torch, dtype)).contiguous()}
    scale = values.abs().amax(dim=(2, 3), keepdim=True) / _LEVELS
    steps = torch.round(values / scale.clamp(min=torch.finfo(torch.float32).tiny))
    return {name: steps.to(torch.int8).contiguous(), f"{name}.scale": scale.contiguous()}


def _unpack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    features = {}
    for name, tensor in tensors.items():
        if tensor.dtype == torch.int8:
            features[name] = tensor.float() * tensors[f"{name}.scale"]
        elif not name.endswith(".scale") or name.removesuffix(".scale") not in tensors:
            features[name] = tensor.float()
    return features


def _check_header(header: Mapping[str, str], name: str) -> None:
    if header.get("format") != _FORMAT:
        raise InputError(
            f"expected an embedding saved by anymask, but {name} is another safetensors file; "
            f"embed the image instead"
        )
    if header.get("version") != str(_VERSION):
        raise InputError(
            f"expected an embedding file of version {_VERSION}, but {name} has version "
            f"{header.get('version')}; embed the image again"
        )


def _size_hw(text: str) -> tuple[int, int]:
    height, width = json.loads(text)
    sizes: list[Any] = [height, width]
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(f"size {text}")
    return height, width
