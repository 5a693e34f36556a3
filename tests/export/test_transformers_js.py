"""The folder for transformers.js: its names and files, every prompt, and what is refused."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import anymask
from anymask.errors import AnymaskError, CapabilityError, InputError, WeightsError
from anymask.export import verify
from anymask.export.transformers_js import make_configs
from anymask.export.write import export
from anymask.models import exported as folders
from anymask.models.exported import read_exported
from anymask.models.graph_folder import open_network
from anymask.models.prompt_batch import PromptBatch
from anymask.models.transformers_js import TransformersJsNetwork, lay_out
from anymask.models.variants import find
from anymask.models.weights import load_network

Weights = Callable[[str], Path]
NAMES = ("sam-vit-b", "mobile-sam")
DECODER_INPUTS = [
    *("image_embeddings", "image_positional_embeddings", "input_points", "input_labels"),
]


@pytest.fixture(scope="module", params=NAMES)
def folder(
    request: pytest.FixtureRequest, tiny_weights: Weights, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Weights, and what was exported of them."""
    weights = tiny_weights(request.param)
    out = tmp_path_factory.mktemp("js") / "a folder"
    export(weights, out, to="transformers-js")
    return weights, out


def session(folder: Path, name: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(folder / "onnx" / f"{name}.onnx"))


def test_names_are_those_of_the_library(folder: tuple[Path, Path]) -> None:
    _, out = folder
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {
        *("config.json", "preprocessor_config.json", "export.json", "report.json", "report.txt"),
        *("onnx/vision_encoder.onnx", "onnx/prompt_encoder_mask_decoder.onnx"),
        "onnx/mask_encoder.onnx",
    }
    encoder, decoder = session(out, "vision_encoder"), session(out, "prompt_encoder_mask_decoder")
    assert [some.name for some in encoder.get_inputs()] == ["pixel_values"]
    assert [some.name for some in encoder.get_outputs()] == DECODER_INPUTS[:2]
    # The library gives these and no others, unless the caller has more to say.
    assert [some.name for some in decoder.get_inputs()] == DECODER_INPUTS
    assert decoder.get_inputs()[3].type == "tensor(int64)"
    names = [some.name for some in decoder.get_outputs()]
    assert names == ["iou_scores", "pred_masks", "single_iou_scores", "single_pred_masks"]


def test_configs_are_as_the_library_reads_them(folder: tuple[Path, Path]) -> None:
    _, out = folder
    config = json.loads((out / "config.json").read_text())
    assert config["model_type"] == "sam" and config["architectures"] == ["SamModel"]
    assert config["transformers.js_config"] == {"dtype": "fp32"}
    assert config["vision_config"]["image_size"] == 64
    look = json.loads((out / "preprocessor_config.json").read_text())
    assert look["image_processor_type"] == "SamImageProcessor"
    assert look["processor_class"] == "SamProcessor"
    assert look["size"] == {"longest_edge": 64} and look["pad_size"] == {"height": 64, "width": 64}
    np.testing.assert_allclose(np.array(look["image_mean"]) * 255, [123.675, 116.28, 103.53])


def test_every_kind_of_prompt_was_compared(folder: tuple[Path, Path]) -> None:
    report = json.loads((folder[1] / "report.json").read_text())
    cases = {row["case"] for row in report["rows"]}
    assert cases >= {"nothing", "1 point", "3 points", "box", "3 points + box", "mask"}
    assert cases >= {"3 x 3 points + box + mask", "two images", "all in one call"}
    assert all(row["good"] and row["difference"] < 1e-3 for row in report["rows"])
    assert report["layout"] == "transformers-js"


def test_metadata_says_what_the_files_are(folder: tuple[Path, Path]) -> None:
    about = read_exported(folder[1])
    assert set(about.graphs) == {"encoder", "decoder", "mask_encoder"}
    for role, name in about.graphs.items():
        marks = {e.key: e.value for e in onnx.load(folder[1] / name).metadata_props}
        assert marks["anymask.role"] == role and marks["anymask.licence"] == "Apache-2.0"
        assert json.loads(marks["anymask.preprocessing"])["side"] == 64


def test_two_images_with_prompts_of_any_kind_in_one_call(folder: tuple[Path, Path]) -> None:
    """A client of the graphs alone, against the network in PyTorch."""
    network, _, _ = load_network(folder[0])
    rng = np.random.default_rng(3)
    frames = rng.normal(size=(2, 3, 64, 64)).astype(np.float32)
    image, code = session(folder[1], "vision_encoder").run(None, {"pixel_values": frames})
    assert len(code) == 2
    points = rng.random((2, 5, 4, 2)).astype(np.float32) * 64
    labels = np.full((2, 5, 4), -10)
    labels[:, 0, 0] = 1
    labels[:, 1, :3] = 1, 0, 1
    labels[:, 2, 1:3] = 2, 3
    labels[:, 3] = 2, 3, 0, 1  # and the last is no prompt at all
    given = dict(zip(DECODER_INPUTS, (image, code, points, labels), strict=True))
    decoder = session(folder[1], "prompt_encoder_mask_decoder")
    scores, masks, score, mask = decoder.run(None, given)
    assert masks.shape == (2, 5, 3, 16, 16) and scores.shape == (2, 5, 3)
    assert mask.shape == (2, 5, 1, 16, 16) and score.shape == (2, 5, 1)
    for i, j in itertools.product(range(2), range(5)):
        kinds, places = labels[i, j], points[i, j]
        clicks, corners = (kinds == 0) | (kinds == 1), (kinds == 2) | (kinds == 3)
        prompt = PromptBatch(
            points_xy=torch.from_numpy(places[clicks])[None],
            labels=torch.from_numpy(kinds[clicks])[None],
            boxes=torch.from_numpy(places[corners].reshape(1, 4)) if corners.any() else None,
            mask_logits=None,
            frame_hw=(64, 64),
        )
        with torch.inference_mode():
            features = network.encode(torch.from_numpy(frames[i : i + 1]), (64, 64))
            wanted, wanted_scores = network.decode_all(features, prompt)
        found = np.concatenate([mask[i, j], masks[i, j]])
        np.testing.assert_allclose(found, wanted[0].numpy(), atol=1e-4)
        found_scores = np.concatenate([score[i, j], scores[i, j]])
        np.testing.assert_allclose(found_scores, wanted_scores[0].numpy(), atol=1e-5)


def test_what_fills_up_is_not_seen(folder: tuple[Path, Path]) -> None:
    encoder, decoder = (
        session(folder[1], name) for name in ("vision_encoder", "prompt_encoder_mask_decoder")
    )
    frame = np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32)
    given = dict(zip(DECODER_INPUTS[:2], encoder.run(None, {"pixel_values": frame}), strict=True))
    answers = []
    for points, labels in (
        ([[20.0, 15.0]], [1]),
        ([[20.0, 15.0], [3.0, 60.0], [np.nan, 1e9]], [1, -10, -10]),
        ([[20.0, 15.0], [3.0, 60.0], [9.0, 9.0]], [1, 0, 0]),
    ):
        given["input_points"] = np.float32([[points]])
        given["input_labels"] = np.int64([[labels]])
        answers.append(decoder.run(["pred_masks"], given)[0])
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-5)
    assert np.abs(answers[2] - answers[0]).max() > 1e-2


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_loaded_folder_answers_like_the_weights(
    folder: tuple[Path, Path], photo: np.ndarray, runtime: str
) -> None:
    ours, theirs = anymask.load(folder[1], runtime=runtime), anymask.load(folder[0])
    assert isinstance(ours.network, TransformersJsNetwork)
    embedding, other = ours.embed(photo), theirs.embed(photo)
    assert embedding.signature == other.signature and set(embedding.features) == {"image"}
    logits = np.random.default_rng(0).normal(0, 4, (16, 16)).astype(np.float32)
    for prompt in (
        {"points": [(20, 15)]},
        {"points": [(20, 15), (50, 40)], "labels": [1, 0], "box": (8, 3, 60, 48)},
        {"box": (8, 3, 32, 27), "multimask": False},
        {"points": [(20, 15)], "mask_logits": logits},
    ):
        wanted, found = theirs.predict(other, **prompt), ours.predict(embedding, **prompt)
        np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-4)
        np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-5)


def test_an_embedding_of_the_weights_will_do(folder: tuple[Path, Path], photo: np.ndarray) -> None:
    ours, theirs = anymask.load(folder[1]), anymask.load(folder[0])
    embedding = theirs.embed(photo)  # so that the graph of the encoder has not run
    wanted = theirs.predict(embedding, points=[(20, 15)])
    found = ours.predict(embedding, points=[(20, 15)])
    np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-4)


def test_single_mask_and_stability(tiny_weights: Weights, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = {"single_mask": True, "stability_score": True}
    report = export(tiny_weights("mobile-sam"), out, to="transformers-js", **options)
    assert report.worst.difference < 1e-3
    decoder = session(out, "prompt_encoder_mask_decoder")
    assert [some.name for some in decoder.get_outputs()] == ["iou_scores", "pred_masks"]
    assert decoder.get_outputs()[1].shape[2:] == [1, 16, 16]
    with pytest.raises(InputError, match="expected a decoder with all four masks"):
        anymask.load(out)


@pytest.mark.parametrize(
    ("quantize", "suffix", "dtype"), [("fp16", "_fp16", "fp16"), ("int8", "_quantized", "q8")]
)
def test_suffixes(
    tiny_weights: Weights,
    tmp_path: Path,
    photo: np.ndarray,
    quantize: str,
    suffix: str,
    dtype: str,
) -> None:
    import PIL.Image

    (tmp_path / "photos").mkdir()
    PIL.Image.fromarray(photo).save(tmp_path / "photos/a.png")
    out = tmp_path / "out"
    report = export(
        tiny_weights("sam-vit-b"),
        out,
        to="transformers-js",
        quantize=quantize,
        calibrate=tmp_path / "photos",
        min_agreement=0,
    )
    names = ("vision_encoder", "prompt_encoder_mask_decoder", "mask_encoder")
    assert {path.name for path in (out / "onnx").iterdir()} == {f"{n}{suffix}.onnx" for n in names}
    config = json.loads((out / "config.json").read_text())
    assert config["transformers.js_config"]["dtype"] == dtype
    assert report.agreements
    assert all(one.bytes < one.bytes_float32 for one in report.agreements)
    encoder = onnx.load(out / "onnx" / f"vision_encoder{suffix}.onnx")
    operators = {node.op_type for node in encoder.graph.node}
    assert ("DequantizeLinear" in operators) == (quantize == "int8")
    masks = anymask.load(out).predict(photo, points=[(20, 15)])
    assert masks.logits is not None and np.isfinite(masks.logits).all()


@pytest.mark.parametrize(
    ("name", "options", "kind", "message"),
    [
        ("efficient-sam-ti", {}, CapabilityError, "expected SAM B, L or H or MobileSAM"),
        ("fastsam-s", {}, CapabilityError, "got fastsam-s"),
        ("efficientvit-sam-l0", {}, CapabilityError, "got efficientvit-sam-l0"),
        ("medsam", {}, CapabilityError, "got medsam"),
        ("sam-hq-vit-b", {}, CapabilityError, "got sam-hq-vit-b"),
        ("sam2.1-tiny", {}, CapabilityError, "got sam2.1-tiny"),
        ("anymask-compact", {}, CapabilityError, "got anymask-compact"),
        ("mobile-sam", {"quantize": "bf16"}, InputError, "transformers.js has a name for"),
        ("mobile-sam", {"raw_image": True}, InputError, "got raw_image"),
        ("mobile-sam", {"extra_metrics": True}, InputError, "got extra_metrics"),
    ],
)
def test_what_the_library_could_not_read_is_refused(
    tiny_weights: Weights,
    tmp_path: Path,
    name: str,
    options: dict[str, object],
    kind: type[AnymaskError],
    message: str,
) -> None:
    with pytest.raises(kind, match=message):
        export(tiny_weights(name), tmp_path / "out", to="transformers-js", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_must_be_whole_and_stay_inside_itself(
    tiny_weights: Weights, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export(tiny_weights("mobile-sam"), out, to="transformers-js")
    text = (out / folders.MANIFEST).read_text()
    for name in ("../mask_encoder.onnx", "/mask_encoder.onnx", "onnx/../mask_encoder.onnx"):
        (out / folders.MANIFEST).write_text(text.replace("onnx/mask_encoder.onnx", name))
        with pytest.raises(WeightsError, match="expected names of files"):
            read_exported(out)
    (out / folders.MANIFEST).write_text(text)
    graph = out / "onnx/mask_encoder.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=r"mask_encoder\.onnx"):
        anymask.load(out)


def test_large_weights_lie_where_the_library_looks(
    tiny_weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anymask.export.weights._LIMIT", 100_000)
    out = tmp_path / "out"
    export(tiny_weights("mobile-sam"), out, to="transformers-js")
    assert (out / "onnx/vision_encoder.onnx_data").is_file()
    config = json.loads((out / "config.json").read_text())
    beside = config["transformers.js_config"]["use_external_data_format"]
    assert beside == {"vision_encoder": 1, "prompt_encoder_mask_decoder": 1}
    anymask.load(out)


def test_verification_sees_a_padding_point_too_few(
    folder: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison after each export is one that can fail."""
    network, _, _ = load_network(folder[0])
    graphs, _ = open_network(folder[1])

    def dropped(prompts: PromptBatch) -> tuple[np.ndarray, np.ndarray]:
        points, labels = lay_out(prompts)
        return points, np.where(labels == 0, -10, labels)

    monkeypatch.setattr("anymask.models.transformers_js.lay_out", dropped)
    rows = verify.verify(network, graphs)
    assert not all(row.good for row in rows)


def test_published_sizes_have_their_config() -> None:
    for name in ("sam-vit-b", "sam-vit-l", "sam-vit-h"):
        config = make_configs(find(name), "float32")["config.json"]
        assert config["vision_config"]["hidden_size"] == find(name).network.encoder.width
    mobile = make_configs(find("mobile-sam"), "fp16")["config.json"]
    assert mobile["vision_config"]["model_type"] == "tiny_vit"
    assert mobile["prompt_encoder_config"]["image_size"] == 1024
