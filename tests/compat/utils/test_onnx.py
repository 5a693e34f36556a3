"""The decoder as one graph: recorded numbers of the reference, and that it can be traced."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.parity import pseudo_weights
from torch import Tensor

from anymask.compat import Sam, SamOnnxModel
from anymask.compat.build_sam import assemble
from anymask.models.config import VitConfig
from anymask.models.variants import find

PROMPTS = ["point", "points3", "box", "box_points", "point_mask", "batch3"]
OPTIONS = ["all", "single", "single_stability", "all_stability", "all_metrics", "single_metrics"]


@pytest.fixture(scope="module")
def decoder(parity_dir: Path) -> Sam:
    """The published prompt encoder and mask decoder behind a toy of an image encoder."""
    variant = find("sam-vit-b")
    toy = VitConfig(width=8, depth=1, heads=1, global_blocks=())
    sam = assemble(replace(variant, network=replace(variant.network, encoder=toy)))
    layout = pseudo_weights.load_layout(parity_dir / "keys/sam_vit_b.json")
    parts = ("prompt_encoder.", "mask_decoder.")
    layout["keys"] = {k: v for k, v in layout["keys"].items() if k.startswith(parts)}
    state = pseudo_weights.make_state_dict(layout)
    sam.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=False)
    return sam


# The repository holds every case, the shared folder the same ones with more of their pixels.
@pytest.fixture(
    scope="module", params=["repository", pytest.param("shared", marks=pytest.mark.slow)]
)
def golden(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param == "repository":
        folder = request.getfixturevalue("parity_dir")
    else:
        folder = request.getfixturevalue("shared_dir") / "parity/cases"
    with np.load(folder / "onnx/decoder_graph.npz") as file:
        return dict(file)


def close(got: Tensor, wanted: np.ndarray[Any, Any], **tolerance: float) -> None:
    np.testing.assert_allclose(got.detach().numpy(), wanted, **tolerance)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_every_option_answers_like_the_reference(
    decoder: Sam, golden: dict[str, Any], prompt: str, option: str
) -> None:
    meta, case = json.loads(str(golden["meta"])), f"{prompt}__{option}"
    about = meta["cases"][case]
    given = {k: v for k, v in about.items() if k.startswith(("return_", "use_"))}
    mask = pseudo_weights.pseudo_embedding("mask_prompt", 0, channels=1, side=256) * 5
    answers = SamOnnxModel(decoder, **given)(
        torch.from_numpy(pseudo_weights.pseudo_embedding("decoder", 0)),
        torch.from_numpy(golden[f"{prompt}__point_coords"]),
        torch.from_numpy(golden[f"{prompt}__point_labels"]),
        torch.from_numpy(mask) * about["has_mask_input"],
        torch.tensor([float(about["has_mask_input"])]),
        torch.tensor([float(side) for side in about["orig_im_size"]]),
    )
    assert len(answers) == about["outputs"]
    masks, scores, *metrics, low_res = answers
    step, low_step = meta.get("masks_stride", 7), meta.get("low_res_stride", 15)
    assert list(masks.shape[2:]) == about["orig_im_size"]
    close(masks[..., ::step, ::step], golden[f"{case}__masks_sub"], rtol=1e-3, atol=2e-4)
    # Stability steps by whole pixels, of which rounding may turn a few.
    close(scores, golden[f"{case}__scores"], rtol=0, atol=1e-4)
    if f"{case}__low_res_sub" in golden:
        wanted = golden[f"{case}__low_res_sub"]
        close(low_res[..., ::low_step, ::low_step], wanted, rtol=1e-3, atol=2e-4)
    if metrics:
        stability, areas = metrics
        close(stability, golden[f"{case}__stability"], rtol=0, atol=1e-4)
        close(areas, golden[f"{case}__areas"], rtol=0, atol=3)


def graph_inputs(points: int, size_hw: tuple[int, int], has_mask: float) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(points)
    return {
        "image_embeddings": torch.randn(1, 32, 4, 4, generator=rng),
        "point_coords": torch.rand(1, points, 2, generator=rng) * 60,
        "point_labels": torch.tensor([[1.0, 0.0, 1.0, 0.0, -1.0][-points:]]),
        "mask_input": torch.randn(1, 1, 16, 16, generator=rng),
        "has_mask_input": torch.tensor([has_mask]),
        "orig_im_size": torch.tensor([float(side) for side in size_hw]),
    }


OTHERS = [(2, (37, 50), 1.0), (3, (90, 31), 0.0), (5, (200, 200), 1.0)]


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("single", [False, True])
def test_a_trace_answers_other_prompts_and_sizes(sam: Sam, single: bool) -> None:
    model = SamOnnxModel(sam, return_single_mask=single, return_extra_metrics=True)
    traced = torch.jit.trace(model, tuple(graph_inputs(4, (37, 50), 1.0).values()))
    for other in OTHERS:
        inputs = graph_inputs(*other)
        for got, wanted in zip(traced(*inputs.values()), model(**inputs), strict=True):
            assert got.shape == wanted.shape
            torch.testing.assert_close(got, wanted)


def test_torch_export_answers_other_prompts_and_sizes(sam: Sam) -> None:
    model = SamOnnxModel(sam, return_single_mask=True)
    inputs = graph_inputs(4, (37, 50), 1.0)
    points = {1: torch.export.Dim("points", min=2, max=64)}
    dynamic = {name: points if name.startswith("point_") else None for name in inputs}
    exported = torch.export.export(model, (), inputs, dynamic_shapes=dynamic).module()
    for other in OTHERS:
        inputs = graph_inputs(*other)
        for got, wanted in zip(exported(**inputs), model(**inputs), strict=True):
            torch.testing.assert_close(got, wanted)
