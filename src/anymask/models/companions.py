"""The two small networks beside the bundled model: words to boxes, and what an image is of.

They are networks of PyTorch, or graphs of them for where that is not needed otherwise: the numbers
are the same but for rounding.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from anymask.arrays import Array, Device
from anymask.models import cache as weights
from anymask.models.exported import is_exported, read_exported
from anymask.models.runtime import Graph, open_graph, pick_runtime
from anymask.models.salient import SaliencyNetwork
from anymask.models.ssd import DetectorNetwork
from anymask.models.variants import find
from anymask.optional import optional

__all__ = ["detector", "saliency"]

_RUNTIMES = ("onnxruntime", "openvino")


def detector(device: Device) -> DetectorNetwork:
    """Load the detector for everyday things, once.

    Args:
        device: Where it is to compute. On the CPU it is a graph, if the process has not loaded
            PyTorch and there is a runtime of graphs.

    Raises:
        WeightsError: The package was installed without its weights.
        MissingExtraError: Neither PyTorch nor a runtime of graphs is installed.
    """
    if _as_graph(device):
        return cast(DetectorNetwork, _graph("detector", "codes", "logits"))
    return _torch_detector(str(device))


def saliency(device: Device) -> SaliencyNetwork:
    """Load the saliency network, once; see `detector`."""
    if _as_graph(device):
        return cast(SaliencyNetwork, _graph("saliency", "logits"))
    return _torch_saliency(str(device))


def _as_graph(device: Device) -> bool:
    if str(device) != "cpu" or "torch" in sys.modules or not is_exported(_bundled()):
        return False
    return any(importlib.util.find_spec(name) is not None for name in _RUNTIMES)


def _bundled() -> Path:
    return weights.place(find("bundled")).parent


@dataclass(frozen=True)
class _Graph:
    """A graph with one input, as a network of arrays."""

    run: Graph
    outputs: tuple[str, ...]
    device: str = "cpu"

    def __call__(self, pixels: Array) -> Array | tuple[Array, ...]:
        """Give its outputs: one alone, or several in a tuple."""
        found = self.run(pixels=pixels)
        answers = tuple(found[name] for name in self.outputs)
        return answers if len(answers) > 1 else answers[0]


@cache
def _graph(role: str, *outputs: str) -> _Graph:
    folder = _bundled()
    exported = read_exported(folder)
    path = folder / exported.graphs[role]
    runtime = pick_runtime("auto", exported.layout)
    checked = [folder / name for name in exported.files]
    return _Graph(open_graph(path, runtime, checked=checked), outputs)


@cache
def _torch_detector(device: str) -> DetectorNetwork:
    optional("torch")  # says how to install it
    from anymask.models.detector import load_detector

    return load_detector(device)


@cache
def _torch_saliency(device: str) -> SaliencyNetwork:
    optional("torch")  # says how to install it
    from anymask.models.saliency import load_saliency

    return load_saliency(device)
