"""Graphs with fewer nodes: the answers stay, and so do the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from anymask.export.simplify import simplify  # noqa: E402
from anymask.export.weights import half  # noqa: E402

FLOAT = TensorProto.FLOAT


def graph(nodes: list[Any], weights: dict[str, Any], shape: list[Any]) -> Any:
    inputs = [helper.make_tensor_value_info("x", FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", FLOAT, list("abcd")[: len(shape)])]
    tensors = [numpy_helper.from_array(np.asarray(v), name) for name, v in weights.items()]
    made = helper.make_graph(nodes, "graph", inputs, outputs, tensors)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run(model: Any, x: Any) -> Any:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def operators(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_what_no_input_changes_is_worked_out_and_weights_stay() -> None:
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("Constant", [], ["three"], value_float=3.0),
        helper.make_node("Add", ["two", "three"], ["five"]),
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Mul", ["product", "five"], ["scaled"]),
        helper.make_node("Identity", ["scaled"], ["same"]),
        helper.make_node("Add", ["same", "b"], ["y"]),
    ]
    weights = {
        "w": rng.standard_normal((64, 64), np.float32),
        "b": rng.standard_normal(64, np.float32),
        "unused": np.ones(9, np.float32),
    }
    model = graph(nodes, weights, ["n", 64])
    half(model, "fp16")
    stored = {w.name: w.SerializeToString() for w in model.graph.initializer}
    x = rng.standard_normal((3, 64), np.float32)
    before = run(model, x)
    simplify(model)
    onnx.checker.check_model(model)
    assert operators(model) == ["Cast", "MatMul", "Mul", "Add"]
    assert [some.name for some in model.graph.input] == ["x"]
    kept = {w.name: w.SerializeToString() for w in model.graph.initializer}
    assert stored["w/stored"] == kept["w/stored"] and stored["b"] == kept["b"]
    assert "unused" not in kept
    assert np.array_equal(run(model, x), before)
    assert len(run(model, x[:1])) == 1  # sizes that were open still are


@pytest.mark.parametrize(
    ("what", "joined"),
    [
        ({}, True),
        ({"pads": [0, 0, 2, 1, 0, 0, 0, 3]}, True),
        ({"pads": [0, 1, 0, 0, 0, 0, 0, 0], "channels": 4}, False),
        ({"pads": [0, 0, -1, 0, 0, 0, 1, 1]}, False),
        ({"value": 1.5}, False),
        ({"mode": "reflect"}, False),
        ({"own": [1, 1, 1, 1]}, False),
        ({"read": True}, False),
    ],
)
def test_zeros_around_a_map_become_part_of_its_convolution(
    what: dict[str, Any], joined: bool
) -> None:
    rng = np.random.default_rng(0)
    margins = np.array(what.get("pads", [0, 0, 0, 0, 0, 0, 1, 1]), np.int64)
    weights = {
        "pads": margins,
        "value": np.float32(what.get("value", 0)),
        "w": rng.standard_normal((5, what.get("channels", 3), 3, 3), np.float32),
    }
    given = ["x", "pads", *(["value"] if "value" in what else [])]
    nodes = [
        helper.make_node("Pad", given, ["padded"], mode=what.get("mode", "constant")),
        helper.make_node(
            "Conv",
            ["padded", "w"],
            ["made"],
            kernel_shape=[3, 3],
            strides=[2, 2],
            pads=what.get("own", [0, 0, 0, 0]),
        ),
        helper.make_node("ReduceSum", ["padded" if "read" in what else "made"], ["sum"]),
        helper.make_node("Add", ["made", "sum"], ["y"]),
    ]
    model = graph(nodes, weights, [1, 3, "h", "w"])
    x = rng.standard_normal((1, 3, 8, 10), np.float32)
    before = run(model, x)
    simplify(model)
    onnx.checker.check_model(model)
    assert ("Pad" not in operators(model)) == joined
    np.testing.assert_allclose(run(model, x), before, rtol=1e-5, atol=1e-4)
