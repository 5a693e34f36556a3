"""Graphs with fewer nodes: what does not depend on an input is worked out when they are written.

A trace spells out every size that stays open, and half of its nodes are constants of that
arithmetic. Whoever opens the graph would fold them anew each time, which takes as long as the
folding does, in every process.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from anymask.optional import optional

__all__ = ["simplify"]

_NOT_WANTED = ["MatMulAddFusion"]  # it makes three nodes of two, which OpenVINO computes no faster


def simplify(model: Any) -> None:
    """Fold constants, drop what does nothing, and compute nothing twice; the answers stay.

    Weights stay as they are, also those that lie in another file or are cast before use: for ONNX
    Runtime, which does the work, they are inputs meanwhile.

    Args:
        model: A traced `onnx.ModelProto`, changed in place.
    """
    import onnx

    ort = optional("onnxruntime", extra="export")
    weights = {weight.name: weight for weight in model.graph.initializer}
    casts = [
        node
        for node in model.graph.node
        if node.op_type == "Cast" and all(name in weights for name in node.input)
    ]
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    _hide(plain.graph, weights, casts)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "simple.onnx")
        ort.InferenceSession(
            plain.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=_NOT_WANTED,
        )
        simple = onnx.load(options.optimized_model_filepath)
    read = {name for node in simple.graph.node for name in node.input}
    casts = [node for node in casts if node.output[0] in read]
    stored = read.union(*(node.input for node in casts))
    nodes = [*casts, *simple.graph.node]
    kept = [weight for name, weight in weights.items() if name in stored]
    constants = [*kept, *simple.graph.initializer]
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)
    _join_margins(model.graph)


def _join_margins(graph: Any) -> None:
    """Let convolutions add the zeros around their input, where a node of its own did."""
    from onnx import numpy_helper

    weights = {weight.name: weight for weight in graph.initializer}
    for pad in [node for node in graph.node if node.op_type == "Pad"]:
        source, margins, *rest = pad.input
        readers = [node for node in graph.node if pad.output[0] in node.input]
        if (
            margins not in weights
            or any(rest)  # another value than 0, or other axes than all
            or any(a.name == "mode" and a.s != b"constant" for a in pad.attribute)
            or [(node.op_type, node.input[0]) for node in readers] != [("Conv", pad.output[0])]
        ):
            continue
        sides = numpy_helper.to_array(weights[margins])
        (own,) = (a for a in readers[0].attribute if a.name == "pads")
        half = len(sides) // 2
        if sides.min() < 0 or sides[:2].any() or sides[half : half + 2].any() or any(own.ints):
            continue
        own.ints[:] = [*sides[2:half], *sides[half + 2 :]]
        readers[0].input[0] = source
        graph.node.remove(pad)


def _hide(graph: Any, weights: dict[str, Any], casts: list[Any]) -> None:
    """Make inputs of the weights, those that are cast as they are afterwards."""
    from onnx import helper

    given = {node.output[0]: (node.attribute[0].i, node.input[0]) for node in casts}
    through = {name for _, name in given.values()}
    given |= {name: (w.data_type, name) for name, w in weights.items() if name not in through}
    for name, (kind, source) in given.items():
        dims = list(weights[source].dims)
        graph.input.append(helper.make_tensor_value_info(name, kind, dims))
    left = [node for node in graph.node if node.output[0] not in given]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(left)
