"""The two small networks beside the bundled model: words to boxes, and what an image is of.

They are networks of PyTorch, or graphs of them for where that is not needed otherwise: the numbers
are the same but for rounding.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from typing import cast

from anymask.arrays import Device
from anymask.models.salient import SaliencyNetwork
from anymask.models.ssd import DetectorNetwork

__all__ = ["detector", "saliency"]


def detector(device: Device) -> DetectorNetwork:
    """Load the detector for everyday things, once.

    Args:
        device: Where it is to compute. On the CPU it is a graph, if the process has not loaded
            PyTorch and ONNX Runtime is installed.

    Raises:
        WeightsError: The package was installed without its weights.
    """
    if _as_graph(device):
        return cast(DetectorNetwork, _graph("detector"))
    return _torch_detector(str(device))


def saliency(device: Device) -> SaliencyNetwork:
    """Load the saliency network, once; see `detector`."""
    if _as_graph(device):
        return cast(SaliencyNetwork, _graph("saliency"))
    return _torch_saliency(str(device))


def _as_graph(device: Device) -> bool:
    if str(device) != "cpu" or "torch" in sys.modules:
        return False
    return importlib.util.find_spec("onnxruntime") is not None


@cache
def _torch_detector(device: str) -> DetectorNetwork:
    from anymask.models.detector import load_detector

    return load_detector(device)


@cache
def _torch_saliency(device: str) -> SaliencyNetwork:
    from anymask.models.saliency import load_saliency

    return load_saliency(device)
