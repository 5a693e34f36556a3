"""Compare an image encoder alone: the published order of work, ours, and its graph by each engine.

    python benchmarks/engines.py                      # SAM-B; 5 minutes of processor time
    python benchmarks/engines.py --model mobile-sam --kinds float32 bf16

`python benchmarks/runtimes.py` measures whole embeddings by the commands that a user has; this
leaves out what takes longest there, the comparison of every export with PyTorch. Weights are
random, and 8 bits are calibrated on the one frame that is measured, so errors say little about
trained weights; times are the same. All ways take turns in one process on one thread; ratios are of
medians of processor time. The error is the norm of the difference from the published order over its
norm. Prints Markdown.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from measure import alternate, machine, table

from anymask.evaluate.published.encoder import plain
from anymask.export import weights
from anymask.export.parts import DecoderOptions, parts_of
from anymask.export.quantize import quantize
from anymask.export.trace import trace
from anymask.models.build import build
from anymask.models.runtime import HINTS, open_graph
from anymask.models.variants import find

Kind = Literal["float32", "bf16", "int8"]
Engine = Literal["openvino", "onnx"]
PUBLISHED, OURS = "published, PyTorch", "anymask, PyTorch"


@dataclass(frozen=True)
class Options:
    """What to run."""

    model: str = "sam-vit-b"
    """Its name in the table of variants."""
    engines: tuple[Engine, ...] = ("openvino",)
    """What runs the graphs."""
    kinds: tuple[Kind, ...] = ("float32", "bf16", "int8")
    """How the graphs are kept, see `anymask export --quantize`."""
    repeats: int = 3
    """Runs of each way that count."""


@torch.inference_mode()
def main(options: Options) -> None:
    """Record, measure and print."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    variant = find(options.model)
    network = build(variant).eval()
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    side = variant.preprocessing.for_encoder.side
    frame = torch.randn(1, 3, side, side)
    calls: dict[str, Callable[[], Any]] = {
        PUBLISHED: partial(plain(network.image_encoder), frame),
        OURS: partial(network.image_encoder, frame),
    }
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds:
            path = Path(folder) / f"{kind}.onnx"
            write(network, variant, kind, path, frame.numpy())
            for engine in options.engines:
                graph = open_graph(path, engine, HINTS.get(kind, "f32"))
                calls[f"{engine}, {kind}"] = partial(graph, pixels=frame.numpy())
        found = {name: values(call()) for name, call in calls.items()}  # the first run of each
        taken = alternate(calls, options.repeats, warm=0)
    print(f"The encoder of {options.model} on {machine()}, {options.repeats} runs.\n")
    print(table(taken, PUBLISHED))
    for name in calls:
        away = np.linalg.norm(found[name] - found[PUBLISHED]) / np.linalg.norm(found[PUBLISHED])
        print(f"\nerror of {name}: {away:.1e}")
    print(f"\nThe machine's load (1, 5 and 15 minutes): {os.getloadavg()}.")


def write(network: Any, variant: Any, kind: Kind, path: Path, frame: np.ndarray) -> None:
    """Record the encoder alone."""
    part = next(iter(parts_of(network, variant, DecoderOptions())))
    graph = trace(part.module, part.inputs, part.outputs, part.sizes)
    if kind != "float32":
        graph = quantize(graph, kind, "encoder", [frame])
    weights.save(graph, path)


def values(given: Any) -> np.ndarray:
    """Take the first map that a way gave."""
    return np.asarray(next(iter(given.values())) if isinstance(given, dict) else given)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
