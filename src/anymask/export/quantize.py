"""Encoders with small weights: 16 bits, or 8 bits whose activations are measured.

What decides where a mask ends stays in floating point: layer normalisation, softmax, the products
of attention, and the whole decoder.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.export import weights
from anymask.models.exported import Precision
from anymask.optional import optional

__all__ = ["QUANTIZED", "Quantize", "check_quantize", "quantize"]

Quantize = Literal["fp16", "bf16", "int8-dynamic", "int8"]
QUANTIZED: tuple[Quantize, ...] = ("fp16", "bf16", "int8-dynamic", "int8")

_OPERATORS = ["MatMul", "Gemm", "Conv"]
_LEAST = 1024  # values of a weight that is worth it


def check_quantize(kind: str | None, calibrated: bool) -> Precision:
    """Check how a model is to be quantized, and give the precision that it will have.

    Raises:
        InputError: There is no such way, or the images that it needs are missing.
    """
    if kind is None:
        return "float32"
    if kind not in QUANTIZED:
        raise InputError(
            f"expected quantize out of {', '.join(QUANTIZED)}, got {kind!r}; leave it out for "
            "float32"
        )
    if kind.startswith("int8") and not calibrated:
        raise InputError(
            f"expected a folder of images (calibrate) for {kind}, got none; name images like those "
            "to come: on them the model is measured and compared with the one in float32"
        )
    optional("onnxruntime", extra="export")
    return kind


def quantize(
    model: Any, kind: Quantize, role: str, frames: Sequence[npt.NDArray[np.float32]]
) -> Any:
    """Quantize a graph.

    Args:
        model: A traced graph.
        kind: How.
        role: What it is; only the encoder is brought to 8 bits.
        frames: What the encoder takes, (1, 3, h, w) each, to measure activations on.

    Returns:
        The graph; the same one for 16 bits.
    """
    if kind == "fp16" or kind == "bf16":
        # What stands beside the model is not made for bfloat16: saliency would be another one.
        weights.half(model, "fp16" if role in ("detector", "saliency") else kind)
        return model
    if role != "encoder":
        return model
    with tempfile.TemporaryDirectory() as folder, _quietly():
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "small.onnx"
        weights.save(model, plain)
        prepared = _prepared(plain)
        if kind == "int8":
            _static(prepared, small, frames)
        else:
            _dynamic(prepared, small)
        import onnx

        return onnx.load(str(small))


def _prepared(path: Path) -> Path:
    """Infer shapes, and give every node a name: what is left out is told by it."""
    import onnx

    model = onnx.load(str(path))
    for i, node in enumerate(model.graph.node):
        node.name = node.name or f"node{i}"
    prepared = path.with_name("prepared.onnx")
    weights.save(model, prepared)
    return prepared


def _left_out(path: Path) -> list[str]:
    """List what stays in floating point: products of two activations, and small layers.

    Among the latter are convolutions of single channels, which 8 bits hurt most and help least.
    """
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    sizes = {weight.name: int(np.prod(weight.dims)) for weight in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in _OPERATORS
        and max((sizes.get(name, 0) for name in node.input), default=0) < _LEAST
    ]


def _dynamic(path: Path, target: Path) -> None:
    tools = optional("onnxruntime.quantization", extra="export")
    tools.quantize_dynamic(
        path,
        target,
        op_types_to_quantize=_OPERATORS,
        per_channel=True,
        weight_type=tools.QuantType.QInt8,
        nodes_to_exclude=_left_out(path),
        use_external_data_format=_is_large(path),
    )


def _static(path: Path, target: Path, frames: Sequence[npt.NDArray[np.float32]]) -> None:
    tools = optional("onnxruntime.quantization", extra="export")
    import onnx

    takes = onnx.load(str(path), load_external_data=False).graph.input[0].name

    class Frames(tools.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self._left = iter(frames)

        def get_next(self) -> dict[str, Any] | None:
            frame = next(self._left, None)
            return None if frame is None else {takes: frame}

    tools.quantize_static(
        path,
        target,
        Frames(),
        quant_format=tools.QuantFormat.QDQ,
        op_types_to_quantize=_OPERATORS,
        per_channel=True,
        activation_type=tools.QuantType.QUInt8,
        weight_type=tools.QuantType.QInt8,
        nodes_to_exclude=_left_out(path),
        calibrate_method=tools.CalibrationMethod.MinMax,
        use_external_data_format=_is_large(path),
        extra_options={"CalibMovingAverage": len(frames) > 1},
    )


def _is_large(path: Path) -> bool:
    return path.with_name(f"{path.name}.data").exists()


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the quantizer from its advice, which does not apply to a graph that was just made."""
    log = logging.getLogger()
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
