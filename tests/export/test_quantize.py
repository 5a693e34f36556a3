"""Quantized graphs: how large they are, how they agree, and when that is too little."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import PIL.Image
import pytest
from onnx import helper

import anymask
from anymask.errors import InputError, MissingExtraError, WeightsError
from anymask.export import weights
from anymask.export.report import Report
from anymask.export.verify import Row
from anymask.export.write import export
from anymask.models import runtime, runtime_network
from anymask.models.exported import read_exported
from anymask.models.runtime_network import RuntimeNetwork
from anymask.optional import optional

Weights = Callable[[str], Path]
RUNTIMES = ("onnx", "openvino")


@pytest.fixture
def photos(tmp_path: Path, photo: np.ndarray) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, image in enumerate((photo, photo[::-1])):
        PIL.Image.fromarray(image).save(folder / f"{i}.png")
    return folder


def operators(report: Report, role: str) -> set[str]:
    return {node.op_type for node in onnx.load(report.folder / f"{role}.onnx").graph.node}


@pytest.mark.parametrize(
    ("kind", "sign"),
    [("int8", "QuantizeLinear"), ("int8-dynamic", "DynamicQuantizeLinear")],
)
def test_eight_bits(
    tiny_weights: Weights, tmp_path: Path, photos: Path, kind: str, sign: str
) -> None:
    weights, out = tiny_weights("sam-vit-b"), tmp_path / "out"
    report = export(weights, out, quantize=kind, calibrate=photos, min_agreement=0.5)  # type: ignore[arg-type]
    assert sign in operators(report, "encoder")
    assert not {"QuantizeLinear", "DynamicQuantizeLinear"} & operators(report, "decoder")
    assert {"LayerNormalization", "Softmax"} <= operators(report, "encoder")
    # OpenVINO computes in another dtype what 8 bits leave.
    assert report.runtimes == tuple(one.runtime for one in report.agreements) == RUNTIMES
    assert {(row.case, row.what, row.runtime) for row in report.rows} == {
        (row.case, row.what, name) for row in report.rows for name in RUNTIMES
    }
    text, written = (out / "report.txt").read_text(), json.loads((out / "report.json").read_text())
    assert "run by onnx and openvino" in text
    for agreement, noted in zip(report.agreements, written["agreements"], strict=True):
        assert 0.5 < agreement.mean <= 1
        assert agreement.images == 2 and agreement.masks >= 2 * 9 * 4
        assert agreement.bytes == report.sizes["encoder.onnx"] < agreement.bytes_float32
        assert f"by {agreement.runtime}: mean IoU {agreement.mean:.4f}" in text
        assert "of processor time instead of" in text
        assert noted["clicks"] == agreement.clicks
    # They are told from those of the weights: an embedding of the one is not one of the other.
    image = next(iter(photos.iterdir()))
    ours, theirs = anymask.load(out), anymask.load(weights)
    assert len(ours.predict(image, box=(8, 3, 32, 27))) == 1
    with pytest.raises(InputError, match="of another model"):
        theirs.predict(ours.embed(image), points=[(20, 15)])


@pytest.mark.parametrize("name", ["sam-vit-b", "sam2.1-tiny"])
def test_products_take_their_weights_directly(exported: Callable[[str], Report], name: str) -> None:
    """The tracer copies weights that two products share, and the quantizer does not see a copy."""
    graph = onnx.load(exported(name).folder / "encoder.onnx").graph
    copies = {name for node in graph.node if node.op_type == "Identity" for name in node.output}
    products = [node for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    assert len(products) > 8
    assert not [node.name for node in products if copies & set(node.input)]


@pytest.mark.parametrize(
    ("precision", "hint"), [("float32", "f32"), ("fp16", "f32"), ("bf16", "bf16"), ("int8", "bf16")]
)
def test_what_openvino_computes_the_encoder_in(
    exported: Callable[[str], Report], monkeypatch: pytest.MonkeyPatch, precision: str, hint: str
) -> None:
    folder = exported("mobile-sam").folder
    about = replace(read_exported(folder), precision=precision)  # type: ignore[arg-type]
    opened: dict[str, str] = {}

    def note(path: Path, name: str, precision: str, checked: object) -> runtime.Graph:
        opened[path.stem] = precision
        return runtime.OpenVinoGraph(path)

    monkeypatch.setattr(runtime_network, "open_graph", note)
    RuntimeNetwork(folder, about, "openvino")
    assert opened == {"encoder": hint, "decoder": "f32"}


@pytest.mark.parametrize(("able", "used"), [(["FP32", "BF16"], "bf16"), (["FP32", "INT8"], "f32")])
def test_bfloat16_is_not_imitated(
    exported: Callable[[str], Report], monkeypatch: pytest.MonkeyPatch, able: list[str], used: str
) -> None:
    core = runtime.openvino_core()
    settings: list[dict[str, object]] = []

    class Core:
        """A processor that can do other things."""

        def get_property(self, device: str, name: str) -> list[str]:
            assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
            return able

        def compile_model(self, path: str, device: str, given: dict[str, object]) -> object:
            settings.append(given)
            return core.compile_model(path, device)

    monkeypatch.setattr(runtime, "openvino_core", Core)
    runtime.OpenVinoGraph(exported("mobile-sam").folder / "encoder.onnx", "bf16")
    assert [given["INFERENCE_PRECISION_HINT"] for given in settings] == [used]


@pytest.mark.parametrize("kind", ["fp16", "bf16"])
def test_sixteen_bits(tiny_weights: Weights, tmp_path: Path, photos: Path, kind: str) -> None:
    report = export(tiny_weights("mobile-sam"), tmp_path / "out", quantize=kind, calibrate=photos)  # type: ignore[arg-type]
    stored = onnx.TensorProto.FLOAT16 if kind == "fp16" else onnx.TensorProto.BFLOAT16
    for role in ("encoder", "decoder"):
        kept = onnx.load(report.folder / f"{role}.onnx").graph.initializer
        large = {w.data_type for w in kept if np.prod(w.dims) >= 1024}
        assert large - {onnx.TensorProto.INT64} == {stored}
    # With 16 bits of IEEE both compute in float32.
    assert [one.runtime for one in report.agreements] == list(RUNTIMES[: 1 + (kind == "bf16")])
    assert all(one.mean > (0.99 if kind == "fp16" else 0.9) for one in report.agreements)
    assert anymask.load(report.folder, runtime="openvino").embed(next(iter(photos.iterdir())))


def test_too_little_agreement_by_either_runtime_is_an_error(
    tiny_weights: Weights, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([(0.99, 0.99, 12), (0.8, 0.9, 12)])
    monkeypatch.setattr("anymask.export.write.compare_masks", lambda *_: next(answers))
    with pytest.raises(WeightsError, match=r"of 0.95, got 0.850 by openvino over 2 images"):
        export(tiny_weights("mobile-sam"), tmp_path / "out", quantize="bf16", calibrate=photos)
    assert not (tmp_path / "out").exists()


def test_what_openvino_gets_wrong_is_an_error_where_it_is_installed(
    tiny_weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(self: runtime.OpenVinoGraph, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        return {name: np.full_like(maps, np.nan) for name, maps in run(self, **inputs).items()}

    run = runtime.OpenVinoGraph.__call__
    monkeypatch.setattr(runtime.OpenVinoGraph, "__call__", wrong)
    with pytest.raises(WeightsError, match="by openvino; try another --opset"):
        export(tiny_weights("mobile-sam"), tmp_path / "out", quantize="bf16")

    def missing(package: str, *, extra: str) -> object:
        if package == "openvino":
            raise MissingExtraError("openvino is not installed")
        return optional(package, extra=extra)

    monkeypatch.setattr(runtime, "optional", missing)
    report = export(tiny_weights("mobile-sam"), tmp_path / "out", quantize="bf16")
    assert report.runtimes == ("onnx",)


def test_too_little_agreement_is_an_error(
    tiny_weights: Weights, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anymask.export.write.compare_masks", lambda *_: (0.8, 0.9, 12))
    with pytest.raises(WeightsError, match=r"agree with those in float32 by a mean IoU of 0.9\b"):
        export(
            tiny_weights("fastsam-s"),
            tmp_path / "out",
            quantize="fp16",
            calibrate=photos,
            min_agreement=0.9,
        )
    assert not (tmp_path / "out").exists()


def test_a_folder_without_images(tiny_weights: Weights, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="expected images, but"):
        export(
            tiny_weights("sam-vit-b"),
            tmp_path / "out",
            quantize="int8",
            calibrate=tmp_path / "empty",
        )


def graph_of(values: np.ndarray) -> onnx.ModelProto:
    """A graph that multiplies by a weight."""
    rows, columns = values.shape
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", size])
        for name, size in (("x", rows), ("y", columns))
    ]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    weight = onnx.numpy_helper.from_array(values, "w")
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run(path: Path, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path)).run(None, {"x": x})[0]


def test_weights_that_are_too_many_lie_beside_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_LIMIT", 1000)
    values = np.random.default_rng(0).random((40, 30), dtype=np.float32)
    written = weights.save(graph_of(values), tmp_path / "a b.onnx")
    assert [path.name for path in written] == ["a b.onnx", "a b.onnx.data"]
    x = np.ones((2, 40), np.float32)
    np.testing.assert_allclose(run(written[0], x), x @ values, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_graph_that_reads_a_safetensors_file(tmp_path: Path, dtype: str) -> None:
    from safetensors.numpy import save_file

    values = np.random.default_rng(0).random((40, 30), dtype=np.float32).astype(dtype)
    file = tmp_path / "the weights.safetensors"
    save_file({"other": np.ones(3, np.float32), "net.w": values}, file)
    model = graph_of(values.astype(np.float32))
    weights.share(model, {"": "f:net."}, {"f": file})
    weights.shorten(model)
    weights.save(model, tmp_path / "graph.onnx")
    assert (tmp_path / "graph.onnx").stat().st_size < 600
    x = np.random.default_rng(1).random((2, 40), dtype=np.float32)
    np.testing.assert_allclose(
        run(tmp_path / "graph.onnx", x), x @ values.astype(np.float32), rtol=1e-5
    )
    with pytest.raises(WeightsError, match=r"expected w .* in a file of weights, got no such"):
        weights.share(graph_of(values.astype(np.float32)), {"": "f:else."}, {"f": file})


def test_weights_that_float16_cannot_hold() -> None:
    with pytest.raises(InputError, match="expected weights that float16 can hold"):
        weights.half(graph_of(np.full((40, 30), 1e6, np.float32)), "fp16")


def test_bfloat16_rounds_as_torch_does() -> None:
    import torch

    values = torch.randn(1000) * 10
    wanted = values.bfloat16().view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(weights._bfloat16(values.numpy()), wanted)


def test_a_row_that_is_not_good_is_never_hidden() -> None:
    shipped = read_exported(Path(anymask.models.__file__).parent / "bundled")
    rows = [("a", 5.0, None), ("b", 9e-3, 2e-3), ("c", 1.0, None)]
    report = Report(
        Path(), shipped, "onnx", tuple(Row(case, "map", d, most) for case, d, most in rows)
    )
    with pytest.raises(WeightsError, match=r"within 0\.002 .*'b'"):
        report.check()
    nothing = replace(report, rows=(Row("a", "map", math.inf, None),))
    with pytest.raises(WeightsError, match="within a finite difference"):
        nothing.check()


@pytest.mark.slow
def test_what_stands_beside_the_model_keeps_fp16(tmp_path: Path) -> None:
    report = export("bundled", tmp_path / "out", quantize="bf16")
    side = [row for row in report.rows if row.case in ("detector", "saliency")]
    assert side and all(row.good for row in side)
