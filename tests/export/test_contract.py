"""The decoder's graph answers a client of the original's graph: recorded numbers, all options."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from tests.parity import pseudo_weights
from torch import nn

from anymask.export.parts import DecoderOptions, parts_of
from anymask.export.trace import trace
from anymask.models.build import build
from anymask.models.config import VitConfig
from anymask.models.variants import Variant, find

PROMPTS = ["point", "points3", "box", "box_points", "point_mask", "batch3"]
QUICK = ["all", "single_metrics"]
OTHER = ["single", "single_stability", "all_stability", "all_metrics"]


@pytest.fixture(scope="module")
def model(parity_dir: Path) -> tuple[nn.Module, Variant]:
    """The published prompt encoder and mask decoder behind a toy of an image encoder."""
    variant = find("sam-vit-b")
    toy = VitConfig(width=8, depth=1, heads=1, global_blocks=())
    variant = replace(variant, network=replace(variant.network, encoder=toy))
    network = build(variant).eval()
    layout = pseudo_weights.load_layout(parity_dir / "keys/sam_vit_b.json")
    parts = ("prompt_encoder.", "mask_decoder.")
    layout["keys"] = {k: v for k, v in layout["keys"].items() if k.startswith(parts)}
    state = pseudo_weights.make_state_dict(layout)
    network.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=False)
    return network, variant


@pytest.fixture(scope="module")
def session(model: tuple[nn.Module, Variant]) -> Any:
    @cache
    def open_(options: DecoderOptions) -> onnxruntime.InferenceSession:
        decoder = list(parts_of(*model, options))[1]
        graph = trace(decoder.module, decoder.inputs, decoder.outputs, decoder.sizes)
        return onnxruntime.InferenceSession(graph.SerializeToString())

    return open_


@pytest.fixture(scope="module")
def golden(parity_dir: Path) -> dict[str, Any]:
    with np.load(parity_dir / "onnx/decoder_graph.npz") as file:
        return dict(file)


@pytest.mark.parametrize(
    "option", [*QUICK, *(pytest.param(o, marks=pytest.mark.slow) for o in OTHER)]
)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_answers_are_those_of_the_original(
    session: Any, golden: dict[str, Any], prompt: str, option: str
) -> None:
    meta, case = json.loads(str(golden["meta"])), f"{prompt}__{option}"
    about = meta["cases"][case]
    options = DecoderOptions(
        single_mask=about.get("return_single_mask", False),
        stability_score=about.get("use_stability_score", False),
        extra_metrics=about.get("return_extra_metrics", False),
    )
    mask = pseudo_weights.pseudo_embedding("mask_prompt", 0, channels=1, side=256) * 5
    answers = session(options).run(
        None,
        {
            "image_embeddings": pseudo_weights.pseudo_embedding("decoder", 0),
            "point_coords": golden[f"{prompt}__point_coords"].astype(np.float32),
            "point_labels": golden[f"{prompt}__point_labels"].astype(np.float32),
            "mask_input": (mask * about["has_mask_input"]).astype(np.float32),
            "has_mask_input": np.float32([about["has_mask_input"]]),
            "orig_im_size": np.float32(about["orig_im_size"]),
        },
    )
    assert len(answers) == about["outputs"]
    masks, scores, *metrics, low_res = answers
    step, low_step = meta.get("masks_stride", 7), meta.get("low_res_stride", 15)
    assert list(masks.shape[2:]) == about["orig_im_size"]
    wanted = golden[f"{case}__masks_sub"]
    np.testing.assert_allclose(masks[..., ::step, ::step], wanted, rtol=1e-3, atol=2e-4)
    # Stability steps by whole pixels, of which rounding may turn a few.
    np.testing.assert_allclose(scores, golden[f"{case}__scores"], rtol=0, atol=1e-4)
    if f"{case}__low_res_sub" in golden:
        some = low_res[..., ::low_step, ::low_step]
        np.testing.assert_allclose(some, golden[f"{case}__low_res_sub"], rtol=1e-3, atol=2e-4)
    if metrics:
        stability, areas = metrics
        np.testing.assert_allclose(stability, golden[f"{case}__stability"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(areas, golden[f"{case}__areas"], rtol=0, atol=3)
