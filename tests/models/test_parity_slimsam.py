"""SlimSAM-77 against recorded numbers of transformers, and SlimSAM-50's layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.models.test_parity_sam import compare_case
from tests.parity import pseudo_weights
from tests.parity.golden import Golden, compare_embedding, weights

from anymask.image.image import Image
from anymask.models.build import build
from anymask.models.variants import find
from anymask.models.weights.loading import in_original_layout, recognise
from anymask.predict.segmenter import Segmenter

CODES = "positional_embedding"


@pytest.fixture(scope="module")
def model(shared_dir: Path) -> Segmenter:
    layout = pseudo_weights.load_layout(
        shared_dir / "parity/keys/slimsam_77_uniform_transformers.json"
    )
    state = weights(layout, "")
    first, second = (key for key in state if key.endswith(CODES))
    state[second] = state[first]  # one tensor under two names
    variant = find("slimsam-77")
    network = build(variant).eval()
    network.load_state_dict(in_original_layout(state))
    return Segmenter(variant, network, "pseudo-weights")


@torch.inference_mode()
def test_every_prompt(model: Segmenter, shared_dir: Path) -> None:
    folder = shared_dir / "parity"
    golden = Golden(folder / "cases/slimsam_77_uniform_transformers/dog_240x360.npz")
    photo = model.embed(Image.open(folder / "images" / golden.meta["image"]))
    compare_embedding(golden, photo.features["image"])
    for case, about in golden.meta["cases"].items():
        about["api"] = "predict"
        compare_case(model, photo, golden, case, golden.tensor("mask_input"))


@pytest.mark.parametrize("percent", [50, 77])
def test_files_in_the_layout_of_sam_are_recognised(shared_dir: Path, percent: int) -> None:
    text = (shared_dir / f"parity/keys/slimsam_{percent}_uniform.json").read_text()
    keys = json.loads(text)["keys"]
    state = {key: torch.empty(shape, device="meta") for key, (shape, _) in keys.items()}
    assert recognise(state, "SlimSAM.pth") == find(f"slimsam-{percent}")
