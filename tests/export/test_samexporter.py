"""SAM 2 with samexporter's names: a client that goes by their order, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import anymask
from anymask.errors import CapabilityError, InputError
from anymask.export.samexporter import file_name
from anymask.export.write import export
from anymask.models.prompt_batch import PromptBatch
from anymask.models.variants import find
from anymask.models.weights import load_network

Weights = Callable[[str], Path]

ENCODER = (["image"], ["high_res_feats_0", "high_res_feats_1", "image_embed"])
DECODER = (
    [
        *("image_embed", "high_res_feats_0", "high_res_feats_1"),
        *("point_coords", "point_labels", "mask_input", "has_mask_input"),
    ],
    ["masks", "iou_predictions"],
)
"""Names of inputs and outputs, in the order by which samexporter's own client gives them."""


@pytest.fixture(scope="module")
def folder(tiny_weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("samexporter") / "out"
    export(tiny_weights("sam2.1-tiny"), out, to="samexporter")
    return out


def session(folder: Path, role: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(folder / f"sam2.1_hiera_tiny.{role}.onnx"))


def in_order(session: onnxruntime.InferenceSession, *values: np.ndarray) -> list[np.ndarray]:
    names = [some.name for some in session.get_inputs()]
    return session.run(
        [some.name for some in session.get_outputs()], dict(zip(names, values, strict=True))
    )


def test_files_and_names_are_samexporters(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        *("sam2.1_hiera_tiny.encoder.onnx", "sam2.1_hiera_tiny.decoder.onnx"),
        *("export.json", "report.json", "report.txt"),
    }
    for role, (takes, gives) in {"encoder": ENCODER, "decoder": DECODER}.items():
        graph = session(folder, role)
        assert [some.name for some in graph.get_inputs()] == takes
        assert [some.name for some in graph.get_outputs()] == gives
    side = find("sam2.1-tiny").preprocessing.side
    assert isinstance(session(folder, "encoder").get_inputs()[0].shape[2], int) and side == 1024


@pytest.mark.parametrize(
    ("name", "file"),
    [("sam2-base-plus", "sam2_hiera_base_plus"), ("sam2.1-large", "sam2.1_hiera_large")],
)
def test_files_are_named_after_those_of_the_weights(name: str, file: str) -> None:
    assert file_name("encoder", find(name)) == f"{file}.encoder.onnx"


def test_a_client_that_goes_by_order_is_answered_as_by_the_network(
    folder: Path, tiny_weights: Weights
) -> None:
    network, _, _ = load_network(tiny_weights("sam2.1-tiny"))
    encoder, decoder = session(folder, "encoder"), session(folder, "decoder")
    side = encoder.get_inputs()[0].shape[2]
    rng = np.random.default_rng(0)
    frame = rng.standard_normal((1, 3, side, side)).astype(np.float32)
    high_res_0, high_res_1, image = in_order(encoder, frame)
    n, mask_side = 2, side // 4
    points = rng.random((n, 3, 2)).astype(np.float32) * side
    labels = np.array([[1, 0, 1], [0, 1, 1]], np.float32)
    # Its client leaves the padding point to the graph, and one flag says for all masks: none.
    masks, scores = in_order(
        decoder,
        *(image, high_res_0, high_res_1),
        *(points, labels),
        *(np.zeros((n, 1, mask_side, mask_side), np.float32), np.zeros(1, np.float32)),
    )
    prompts = PromptBatch(
        torch.from_numpy(points), torch.from_numpy(labels).long(), None, None, (side, side)
    )
    with torch.inference_mode():
        features = network.encode(torch.from_numpy(frame), (side, side))
        wanted, wanted_scores = network.decode(features, prompts, True)
    assert masks.shape == (n, 3, mask_side, mask_side) and scores.shape == (n, 3)
    np.testing.assert_allclose(masks, wanted.clamp(-32, 32), atol=1e-3)
    np.testing.assert_allclose(scores, wanted_scores, atol=1e-4)


def test_the_single_mask_is_an_option(tiny_weights: Weights, tmp_path: Path) -> None:
    report = export(
        tiny_weights("sam2.1-tiny"), tmp_path / "out", to="samexporter", single_mask=True
    )
    assert report.worst.difference < 1e-3
    decoder = session(report.folder, "decoder")
    sides = {some.name: some.shape for some in decoder.get_inputs()}
    prompt = np.full((1, 1, 2), 9, np.float32), np.ones((1, 1), np.float32)
    given = (np.zeros(side, np.float32) for side in list(sides.values())[:3])
    blank = np.zeros((1, *sides["mask_input"][1:]), np.float32), np.zeros(1, np.float32)
    masks, scores = in_order(decoder, *given, *prompt, *blank)
    assert masks.shape == (1, *sides["mask_input"][1:]) and scores.shape == (1, 1)


def test_what_it_cannot_be_is_refused(folder: Path, tiny_weights: Weights, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"got samexporter's, which has no answer to a clear"):
        anymask.load(folder)
    with pytest.raises(CapabilityError, match=r"expected SAM 2 or 2\.1 .*, got sam-vit-b"):
        export(tiny_weights("sam-vit-b"), tmp_path / "out", to="samexporter")
    for option in ("raw_image", "extra_metrics"):
        with pytest.raises(InputError, match=f"got {option}"):
            export("sam2.1-tiny", tmp_path / "out", to="samexporter", **{option: True})
    assert not (tmp_path / "out").exists()
