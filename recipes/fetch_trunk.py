"""Make the weights of the trunk and of the detector's heads from a public package.

    npm pack @mediapipe/objectron@0.4.1675468480
    pip install --target tools tflite
    PYTHONPATH=tools python recipes/fetch_trunk.py mediapipe-objectron-0.4.1675468480.tgz

The package (Apache-2.0, Google) holds a MobileNetV2-SSD for 23 everyday things, trained on Open
Images V4. Its weights are float16 already and batch norms are folded into them; what changes here
is the layout alone: (out, h, w, in) becomes (out, in, h, w), and tensors get our modules' names.
Everything that is read is checked by its hash. Two files come out: ``trunk.safetensors`` and
``anymask-detector.safetensors``, which holds the heads and the labels.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from safetensors.torch import save_file
from torch import Tensor

from anymask.atomic import atomic_write
from anymask.models.detector import LABELS

PACKED = "package/objectron_solution_packed_assets.data"
_WORDS = slice(0, 184)
_MODEL = slice(184, 9_987_912)
MODEL_SHA256 = "d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6"
PACKAGE_SHA256 = "fc3e37b326b05e8f596099c90b3e0931b05a56cd3160b9ac450b621794bac94c"

_BLOCKS = 17
_EARLY_HEAD = 13
"""Block whose expanded map the first head reads; in the file it stands before the rest of it."""


@dataclass(frozen=True)
class Config:
    """Where from, where to."""

    package: tyro.conf.Positional[Path]
    """The package as ``npm pack`` brings it, .tgz."""
    out: Path = Path("runs/trunk")
    """Folder of the two files."""


def read_package(path: Path) -> tuple[list[str], bytes]:
    """Read the labels, number 0 being the background, and the model out of the package.

    Raises:
        SystemExit: It is another package.
    """
    check_hash(path.read_bytes(), PACKAGE_SHA256, str(path))
    with tarfile.open(path) as package:
        member = package.extractfile(PACKED)
        assert member is not None  # the hash says so
        data = member.read()
    model = data[_MODEL]
    check_hash(model, MODEL_SHA256, "the model inside")
    return data[_WORDS].decode().splitlines(), model


def check_hash(data: bytes, expected: str, what: str) -> None:
    """End with one sentence when data are not what they should be."""
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise SystemExit(
            f"expected SHA-256 {expected} of {what}, got {found}; fetch the version named above"
        )


def keys() -> Iterator[str]:
    """Name the convolutions in the order in which the file has them."""
    yield "trunk.stem"
    for block in range(_BLOCKS):
        if block:
            yield f"trunk.blocks.{block}.expand"
        if block == _EARLY_HEAD:
            yield from _head(0)
        yield f"trunk.blocks.{block}.depthwise"
        yield f"trunk.blocks.{block}.project"
    yield "trunk.last"
    yield from _head(1)
    for further in range(4):
        yield f"further.{further}.squeeze"
        yield f"further.{further}.down"
        yield from _head(further + 2)


def _head(level: int) -> tuple[str, str]:
    return f"heads.{level}.box", f"heads.{level}.score"


def read_weights(model: bytes) -> dict[str, Tensor]:
    """Read kernels (out, in, h, w) and biases of all convolutions, float16, under our names."""
    import tflite

    graph = tflite.Model.GetRootAsModel(model, 0)
    main = graph.Subgraphs(0)
    kinds, plain = tflite.BuiltinOperator, {}
    convolutions: list[tuple[int, int, bool]] = []
    for i in range(main.OperatorsLength()):
        operator = main.Operators(i)
        kind = graph.OperatorCodes(operator.OpcodeIndex()).DeprecatedBuiltinCode()
        inputs = operator.InputsAsNumpy()
        if kind == kinds.DEQUANTIZE:  # which only makes float32 of float16
            plain[int(operator.OutputsAsNumpy()[0])] = int(inputs[0])
        elif kind in (kinds.CONV_2D, kinds.DEPTHWISE_CONV_2D):
            depthwise = kind == kinds.DEPTHWISE_CONV_2D
            convolutions.append((plain[int(inputs[1])], plain[int(inputs[2])], depthwise))
    weights = {}
    for key, (kernel, bias, depthwise) in zip(keys(), convolutions, strict=True):
        order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
        weights[f"{key}.weight"] = _tensor(graph, main, kernel).permute(order).contiguous()
        weights[f"{key}.bias"] = _tensor(graph, main, bias)
    return weights


def _tensor(graph: Any, main: Any, index: int) -> Tensor:
    """Read a float16 tensor of the file."""
    tensor = main.Tensors(index)
    data = graph.Buffers(tensor.Buffer()).DataAsNumpy()
    return torch.from_numpy(
        np.frombuffer(data.tobytes(), np.float16).reshape(tensor.ShapeAsNumpy()).copy()
    )


def main(config: Config) -> None:
    """Read the package and write the two files."""
    labels, model = read_package(config.package)
    assert tuple(labels[1:]) == LABELS  # the hash of the package says so
    weights = read_weights(model)
    begins = "trunk."
    trunk = {k.removeprefix(begins): v for k, v in weights.items() if k.startswith(begins)}
    heads = {k: v for k, v in weights.items() if not k.startswith(begins)}
    config.out.mkdir(parents=True, exist_ok=True)
    with atomic_write(config.out / "trunk.safetensors") as draft:
        save_file(trunk, draft)
    with atomic_write(config.out / "anymask-detector.safetensors") as draft:
        save_file(heads, draft, metadata={"labels": "\n".join(labels)})
    counts = [sum(v.numel() for v in part.values()) for part in (trunk, heads)]
    print(f"{counts[0]:,} values of the trunk and {counts[1]:,} of the heads in {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config))
