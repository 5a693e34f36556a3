"""From a function of tensors to a checked ONNX graph, by PyTorch's tracer.

The tracer (``dynamo=False``) and not `torch.export`: that one writes down what must hold between
the sizes of a frame, which takes minutes for a network with attention and a pyramid, and fixes what
is 1. Of a trace every size stays open.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from anymask.errors import InputError
from anymask.models.exported import NEWEST_OPSET
from anymask.optional import optional

__all__ = ["OPSET", "OPSETS", "Sizes", "check_opset", "trace"]

OPSET = 18
"""Version of the operators unless another is asked for."""

OPSETS = range(17, NEWEST_OPSET + 1)
"""Those that can be written. Layer normalisation came with 17, the tracer ends at 20."""

Sizes = Mapping[str, Mapping[int, str]]
"""Names of the sizes that may be any, by the input or output and the number of the dimension."""


def check_opset(opset: int, least: int = OPSETS.start) -> None:
    """Check that graphs can be written in a version of the operators.

    Raises:
        InputError: They cannot.
    """
    if not isinstance(opset, int) or not least <= opset < OPSETS.stop:
        raise InputError(
            f"expected an opset of {least} to {OPSETS.stop - 1} for these graphs, got {opset!r}; "
            f"leave it out for {OPSET}"
        )


@torch.no_grad()
def trace(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: tuple[str, ...],
    sizes: Sizes,
    opset: int = OPSET,
    *,
    keep_names: bool = False,
) -> Any:
    """Record a module as an ONNX graph.

    Args:
        module: Takes the inputs in their order and returns the outputs, a tensor or a tuple.
        inputs: Examples by name. Sizes that are to stay open should differ from 1.
        outputs: Names.
        sizes: Which sizes stay open.
        opset: Version of the operators.
        keep_names: Leave every weight as it is, under its own name, so that it can be found in a
            file; else constants are folded, such as a batch normalisation into its convolution.

    Returns:
        The `onnx.ModelProto`, with its weights.
    """
    onnx = optional("onnx", extra="export")
    modes = torch.onnx.TrainingMode
    with tempfile.TemporaryDirectory() as folder, _quietly(), _more_operators():
        path = Path(folder) / "graph.onnx"
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            str(path),
            dynamo=False,
            opset_version=opset,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(open_) for name, open_ in sizes.items()},
            training=modes.PRESERVE if keep_names else modes.EVAL,
            do_constant_folding=not keep_names,
        )
        model = onnx.load(str(path))
    _keep_inputs(model, inputs, sizes)
    return model


def _keep_inputs(model: Any, inputs: Mapping[str, Tensor], sizes: Sizes) -> None:
    """Put back inputs that a network does not need: whoever asks all models alike gives them."""
    from onnx import TensorProto, helper

    there = {some.name: some for some in model.graph.input}
    for name, example in inputs.items():
        if name not in there:
            shape = [sizes.get(name, {}).get(i, side) for i, side in enumerate(example.shape)]
            there[name] = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    del model.graph.input[:]
    model.graph.input.extend(there[name] for name in inputs)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the tracer from telling that it is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _more_operators() -> Iterator[None]:
    """Teach the tracer a matrix's transpose, which it does not know."""
    name = "aten::mT"
    torch.onnx.register_custom_op_symbolic(  # type: ignore[attr-defined]
        name, _transpose, OPSETS.start
    )
    try:
        yield
    finally:
        torch.onnx.unregister_custom_op_symbolic(  # type: ignore[attr-defined]
            name, OPSETS.start
        )


def _transpose(graph: Any, x: Any) -> Any:
    rank = len(x.type().sizes() or range(x.type().dim()))
    order = [*range(rank - 2), rank - 1, rank - 2]
    return graph.op("Transpose", x, perm_i=order)
