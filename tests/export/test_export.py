"""Graphs of every family answer as their networks do, whatever runs them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.export.conftest import FAMILIES

import anymask
from anymask.errors import CapabilityError, InputError, MissingExtraError, WeightsError
from anymask.export import verify
from anymask.export.report import Report
from anymask.export.write import export
from anymask.models import runtime
from anymask.models.exported import MANIFEST, read_exported
from anymask.models.graph_folder import open_network
from anymask.models.runtime_network import RuntimeNetwork
from anymask.models.weights import load_network

Exported = Callable[[str], Report]
Weights = Callable[[str], Path]

KINDS = {f"{n}{kind}" for n in ("", "3 x ") for kind in ("nothing", "1 point", "box", "3 points")}
LEAST_ROWS = {"fastsam-s": 4, "efficient-sam-ti": 25}  # of those that take fewer kinds of prompts
MASKED = {"mask", "1 point + mask", "box + mask", "3 points + box + mask", "3 x 3 points + box"}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_kind_of_prompt_was_compared_and_agrees(exported: Exported, name: str) -> None:
    report = exported(name)
    cases = {row.case for row in report.rows}
    assert {"two images", "another size"} <= cases
    if name != "fastsam-s":
        assert cases >= KINDS | {"1 point + box", "3 x 3 points + box", "at image size"}
    assert (cases >= MASKED) == ("mask" in report.exported.variant.capabilities)
    assert 0 < report.worst.difference < 1e-3
    written = json.loads((report.folder / "report.json").read_text())
    assert len(written["rows"]) == len(report.rows)
    assert all(row["good"] and row["tolerance"] == 2e-3 for row in written["rows"])
    assert f"{report.worst.difference:.1e}" in (report.folder / "report.txt").read_text()


@pytest.mark.parametrize("name", FAMILIES)
def test_no_graph_has_sequences_of_tensors(exported: Exported, name: str) -> None:
    """OpenVINO refuses them; they come of what splits a tensor, where the number is open."""
    folder = exported(name).folder
    for graph in read_exported(folder).graphs.values():
        ops = {node.op_type for node in onnx.load(folder / graph).graph.node}
        assert not [op for op in ops if "Sequence" in op]


@pytest.mark.parametrize("name", FAMILIES)
def test_openvino_runs_the_same_graphs(
    exported: Exported, tiny_weights: Weights, name: str
) -> None:
    network, _, _ = load_network(tiny_weights(name))
    graphs, _ = open_network(exported(name).folder, "openvino")
    rows = verify.verify(network, graphs)
    assert len(rows) >= LEAST_ROWS.get(name, 40)
    assert max(row.difference for row in rows) < 1e-3


def test_files_of_openvino(tiny_weights: Weights, tmp_path: Path, photo: np.ndarray) -> None:
    report = export(tiny_weights("mobile-sam"), tmp_path / "out", to="openvino")
    assert {path.name for path in report.folder.iterdir()} == {
        *("encoder.xml", "encoder.bin", "decoder.xml", "decoder.bin"),
        *("export.json", "report.json", "report.txt"),
    }
    text = (report.folder / "encoder.xml").read_text()
    assert report.exported.weights_digest in text and "Apache-2.0" in text
    wanted = anymask.load(tiny_weights("mobile-sam")).predict(photo, points=[(20, 15)])
    found = anymask.load(report.folder).predict(photo, points=[(20, 15)])
    np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-4)
    with pytest.raises(InputError, match=r"expected runtime openvino for a folder of OpenVINO"):
        anymask.load(report.folder, runtime="onnx")


@pytest.mark.parametrize(
    "name",
    ["sam-vit-b", "efficient-sam-ti", "anymask-compact", "sam2.1-tiny", "sam-hq-vit-b", "medsam"],
)
def test_a_loaded_folder_answers_like_the_weights(
    exported: Exported, tiny_weights: Weights, photo: np.ndarray, name: str
) -> None:
    ours, theirs = anymask.load(exported(name).folder), anymask.load(tiny_weights(name))
    assert isinstance(ours.network, RuntimeNetwork)
    assert ours.variant == theirs.variant
    embedding, other = ours.embed(photo), theirs.embed(photo)
    assert embedding.signature == other.signature
    prompts = [
        {"points": [(20, 15)]},
        {"points": [(20, 15), (50, 40)], "labels": [1, 1], "box": (8, 3, 60, 48)},
        {"box": (8, 3, 32, 27)},
    ]
    if "points" not in ours.variant.capabilities:
        prompts = prompts[2:]
    for prompt in prompts:
        wanted, found = theirs.predict(other, **prompt), ours.predict(embedding, **prompt)
        np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-4)
        np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-5)
    # One made by the one is good for the other.
    mixed, wanted = ours.predict(other, **prompts[-1]), theirs.predict(other, **prompts[-1])
    np.testing.assert_allclose(mixed.logits, wanted.logits, atol=1e-4)


def test_metadata_says_what_the_files_are(exported: Exported) -> None:
    report = exported("mobile-sam")
    about = read_exported(report.folder)
    for role, name in about.graphs.items():
        model = onnx.load(report.folder / name)
        onnx.checker.check_model(model)
        marks = {entry.key: entry.value for entry in model.metadata_props}
        assert marks["anymask.role"] == role
        assert marks["anymask.model"] == "mobile-sam"
        assert marks["anymask.licence"] == "Apache-2.0"
        assert marks["anymask.weights_sha256"] == about.weights_digest
        assert json.loads(marks["anymask.preprocessing"])["side"] == 64
        assert marks["anymask"] == anymask.__version__
        assert model.opset_import[0].version == 18
    decoder = onnx.load(report.folder / "decoder.onnx")
    assert [some.name for some in decoder.graph.input] == [
        *("image_embeddings", "point_coords", "point_labels"),
        *("mask_input", "has_mask_input", "orig_im_size"),
    ]
    assert [some.name for some in decoder.graph.output] == [
        *("masks", "iou_predictions", "low_res_masks"),
    ]


def test_efficient_sam_keeps_inputs_that_it_does_not_read(exported: Exported) -> None:
    graphs, _ = open_network(exported("efficient-sam-ti").folder, "onnx")
    assert graphs.decoder is not None
    assert {"mask_input", "has_mask_input"} <= set(graphs.decoder.inputs)


@pytest.mark.parametrize("opset", [17, pytest.param(20, marks=pytest.mark.slow)])
def test_other_opsets(tiny_weights: Weights, tmp_path: Path, opset: int) -> None:
    report = export(tiny_weights("mobile-sam"), tmp_path / "out", opset=opset)
    graph = onnx.load(report.folder / "decoder.onnx")
    assert graph.opset_import[0].version == opset


def test_the_package_is_the_verb(tiny_weights: Weights, tmp_path: Path) -> None:
    import anymask.export.trace  # which sets the attribute of the package

    with pytest.raises(InputError, match="expected an opset of 17 to 20"):
        anymask.export(tiny_weights("sam-vit-b"), tmp_path / "out", opset=16)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"opset": 11}, InputError, "expected an opset of 17 to 20"),
        ({"opset": 21}, InputError, "expected an opset of 17 to 20"),
        ({"opset": 17, "raw_image": True}, InputError, "expected an opset of 18 to 20"),
        ({"to": "tflite"}, InputError, "expected a layout out of onnx, openvino"),
        ({"quantize": "int4"}, InputError, "expected quantize out of fp16, bf16"),
        ({"quantize": "int8"}, InputError, r"expected a folder of images \(calibrate\) for int8"),
        ({"adapter": "nowhere"}, WeightsError, "nowhere"),
        ({"min_agreement": float("nan")}, InputError, "expected min_agreement .* got nan"),
        ({"min_agreement": 95}, InputError, "expected min_agreement .* got 95"),
        ({"min_agreement": None}, InputError, "expected min_agreement .* got None"),
    ],
)
def test_bad_options(
    tiny_weights: Weights,
    tmp_path: Path,
    options: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        export(tiny_weights("sam-vit-b"), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_graphs_are_not_exported_again(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which anymask export wrote; name the model"):
        export(exported("mobile-sam").folder, tmp_path / "out")


def test_a_folder_in_use_is_left_alone(tiny_weights: Weights, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(anymask.OutputError, match="it is there already"):
        export(tiny_weights("sam-vit-b"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_graphs_that_differ_are_not_written(
    tiny_weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(verify.TOLERANCES, "float32", 1e-9)  # type: ignore[index]
    with pytest.raises(WeightsError, match=r"expected graphs of mobile-sam within 1e-09"):
        export(tiny_weights("mobile-sam"), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(
    tiny_weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'anymask\[export\]'"):
        export(tiny_weights("sam-vit-b"), tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'anymask\[openvino\]'"):
        export(tiny_weights("sam-vit-b"), tmp_path / "out", to="openvino")


def test_a_model_of_another_package_cannot_be_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.models.numpy_network import VARIANT, FlatColours

    from anymask.export import write

    loaded = FlatColours(), VARIANT, "digest"
    monkeypatch.setattr(write, "load_network", lambda *_: loaded)
    with pytest.raises(CapabilityError, match="expected a network of anymask, got flat"):
        export("flat", tmp_path / "out")


# --------------------------------------------------------------- reading a folder


@pytest.fixture
def copy(exported: Exported, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported("mobile-sam").folder, tmp_path / "copy"))


def test_a_file_that_is_cut_off(copy: Path) -> None:
    path = copy / "encoder.onnx"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"bytes of 'encoder.onnx' .* it is cut off or another"):
        anymask.load(copy)


def test_a_file_that_is_missing(copy: Path) -> None:
    (copy / "decoder.onnx").unlink()
    with pytest.raises(WeightsError, match=r"expected 'decoder.onnx' in .* got nothing"):
        anymask.load(copy)


def test_a_file_that_was_changed(copy: Path) -> None:
    content = bytearray((copy / "encoder.onnx").read_bytes())
    content[-9] ^= 1
    (copy / "encoder.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match="as it was exported, got another of the same size"):
        anymask.load(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 7}, "expected graphs of version 1 in .* got 7"),
        ({"format": "else"}, "expected what anymask export wrote"),
        ({"features": 3}, "features"),
        ({"colour": "red"}, "expected settings out of"),
        ({"graphs": {"encoder": "../encoder.onnx"}}, "expected names of files"),
        ({"graphs": {"encoder": "other.onnx"}}, "expected a size and a digest for other.onnx"),
        ({"graphs": {}}, "expected a graph of the encoder in .*, got none"),
        ({"mask_hw": [0, -3]}, "expected sizes of masks of at least 1"),
        ({"mask_stride": 0}, "expected sizes of masks of at least 1"),
    ],
)
def test_a_manifest_that_says_something_else(
    copy: Path, change: dict[str, object], message: str
) -> None:
    about = json.loads((copy / MANIFEST).read_text()) | change
    (copy / MANIFEST).write_text(json.dumps(about))
    with pytest.raises(WeightsError, match=message):
        anymask.load(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"side": 0}, r"expected a frame of 1 to 16384 pixels a side, got 0.* in "),
        ({"side": 10**9}, "expected a frame of 1 to 16384"),
        ({"pad": 0}, "padded to 0"),
        ({"std": [1, 0, 1]}, "expected std as numbers above 0"),
    ],
)
def test_a_frame_that_there_cannot_be(copy: Path, change: dict[str, object], message: str) -> None:
    about = json.loads((copy / MANIFEST).read_text())
    about["variant"]["preprocessing"] |= change
    (copy / MANIFEST).write_text(json.dumps(about))
    with pytest.raises(WeightsError, match=message):
        anymask.load(copy)


def test_a_manifest_that_is_no_json(copy: Path) -> None:
    (copy / MANIFEST).write_text("{")
    with pytest.raises(WeightsError, match="expected JSON at"):
        anymask.load(copy)


def rewrite(folder: Path, name: str, content: bytes) -> None:
    """Put another file in the place of one, with its own size and digest."""
    from anymask.models.exported import record

    (folder / name).write_bytes(content)
    about = json.loads((folder / MANIFEST).read_text())
    about["files"][name] = vars(record(folder / name))
    (folder / MANIFEST).write_text(json.dumps(about))


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_what_is_no_graph(copy: Path, runtime: str) -> None:
    rewrite(copy, "encoder.onnx", b"\x08\x08garbage" * 30)
    with pytest.raises(WeightsError, match="expected a graph that"):
        anymask.load(copy, runtime=runtime)


@pytest.mark.parametrize("opset", [21, 99])
def test_a_graph_of_later_operators_is_refused_where_openvino_dies_of_it(
    copy: Path, opset: int
) -> None:
    model = onnx.load(copy / "decoder.onnx")
    model.opset_import[0].version = opset
    rewrite(copy, "decoder.onnx", model.SerializeToString())
    with pytest.raises(WeightsError, match=f"opset 20 or earlier for OpenVINO, got {opset} in"):
        anymask.load(copy, runtime="openvino")


def test_a_graph_of_another_model(copy: Path, exported: Exported) -> None:
    other = exported("anymask-compact").folder / "encoder.onnx"
    rewrite(copy, "encoder.onnx", other.read_bytes())
    with pytest.raises(
        WeightsError, match=r"expected a graph of the encoder from pixels to image_em"
    ):
        anymask.load(copy)


def test_a_graph_of_another_shape(copy: Path) -> None:
    model = onnx.load(copy / "encoder.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 128
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 128
    rewrite(copy, "encoder.onnx", model.SerializeToString())
    with pytest.raises(WeightsError, match=r"expected an encoder of frames of 64 x 64"):
        anymask.load(copy)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_decoder_of_another_model(copy: Path, runtime: str) -> None:
    model = onnx.load(copy / "encoder.onnx")
    name = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["half" if output == name else output for output in node.output]
    model.graph.node.append(onnx.helper.make_node("Concat", ["half", "half"], [name], axis=1))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value *= 2
    rewrite(copy, "encoder.onnx", model.SerializeToString())
    with pytest.raises(
        WeightsError, match=r"expected a decoder of image_embeddings as \? x 64 x 4"
    ):
        anymask.load(copy, runtime=runtime)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_masks_of_another_size(copy: Path, runtime: str) -> None:
    about = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps(about | {"mask_hw": [9, 9]}))
    with pytest.raises(WeightsError, match=r"expected a decoder of mask_input as \? x 1 x 9 x 9"):
        anymask.load(copy, runtime=runtime)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_graph_that_fails_while_it_runs(
    copy: Path, runtime: str, photo: np.ndarray, capfd: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(copy / "encoder.onnx")
    name = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["whole" if output == name else output for output in node.output]
    model.graph.node.append(onnx.helper.make_node("Shape", ["whole"], ["sides"]))
    model.graph.node.append(onnx.helper.make_node("Add", ["sides", "sides"], ["twice"]))
    model.graph.node.append(onnx.helper.make_node("Reshape", ["whole", "twice"], [name]))
    rewrite(copy, "encoder.onnx", model.SerializeToString())
    with pytest.raises(WeightsError, match=r"expected a (graph that|decoder of image)"):
        anymask.load(copy, runtime=runtime).embed(photo)
    assert capfd.readouterr().err == ""


def test_what_does_not_go_with_graphs(exported: Exported, tiny_weights: Weights) -> None:
    folder = exported("mobile-sam").folder
    with pytest.raises(InputError, match="expected a runtime of graphs for an exported folder"):
        anymask.load(folder, runtime="torch")
    with pytest.raises(InputError, match="expected a runtime out of auto, torch, onnx"):
        anymask.load(folder, runtime="tflite")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected no adapter for exported graphs"):
        anymask.load(folder, adapter="somewhere")
    with pytest.raises(InputError, match="expected float32 on the CPU for exported graphs"):
        anymask.load(folder, dtype="float16")
    with pytest.raises(InputError, match="or bfloat16 with runtime openvino, got bfloat16 on cpu"):
        anymask.load(folder, dtype="bfloat16", runtime="onnx")
    with pytest.raises(InputError, match="got float16 on cpu with openvino"):
        anymask.load(folder, dtype="float16", runtime="openvino")
    with pytest.raises(InputError, match="expected float32 on the CPU for exported graphs"):
        anymask.load(folder, device="cuda")
    with pytest.raises(InputError, match="run anymask export on it first"):
        anymask.load(tiny_weights("mobile-sam"), runtime="onnx")


@pytest.mark.parametrize("name", ["mobile-sam", "fastsam-s"])
def test_openvino_computes_in_bfloat16_if_asked(
    exported: Exported, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    hints: list[tuple[str, str]] = []

    class Noted(runtime.OpenVinoGraph):
        """Notes what it is asked to compute in."""

        def __init__(self, path: Path, precision: str, checked: Collection[Path]) -> None:
            hints.append((path.stem, precision))
            super().__init__(path, precision, checked)

    monkeypatch.setattr(runtime, "OpenVinoGraph", Noted)
    folder = exported(name).folder
    half = anymask.load(folder, runtime="openvino", dtype="bfloat16")
    assert hints[0] == ("encoder", "bf16")
    assert all(hint == "f32" for role, hint in hints if role != "encoder")
    # Weights are the same, so embeddings go both ways, as they do with PyTorch.
    exact = half.to(dtype="float32")
    assert hints[len(hints) // 2] == ("encoder", "f32")
    assert exact.to(dtype="float32").network is exact.network
    assert half.to(device="cpu").network is half.network
    for model, other in ((half, exact), (exact, half)):
        model.predict(other.embed(photo), points=[(20, 15)])


def test_a_missing_runtime_is_named(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    folder = exported("mobile-sam").folder
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert anymask.load(folder).network.runtime == "openvino"  # type: ignore[attr-defined]
    with pytest.raises(MissingExtraError, match=r"'onnxruntime', .* pip install 'anymask\[export"):
        anymask.load(folder, runtime="onnx")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"'onnxruntime', .* pip install 'anymask\[export"):
        anymask.load(folder)
