"""EfficientViT-SAM against recorded numbers of the reference implementation, on pseudo-weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.test_parity_sam import compare_case
from tests.parity.golden import Golden, compare_embedding, compare_stages, segmenter, watched

from anymask.image.image import Image
from anymask.models.variants import find
from anymask.predict.segmenter import Segmenter

VARIANT = find("efficientvit-sam-l0")


@pytest.fixture(scope="module")
def model(parity_dir: Path) -> Segmenter:
    return segmenter(VARIANT, parity_dir / "keys/efficientvit_sam_l0.json")


@torch.inference_mode()
def test_every_stage(model: Segmenter, parity_dir: Path) -> None:
    encoder = model.network.image_encoder
    stages = encoder.backbone.stages
    attention = stages[4].op_list[1].context_module
    modules = {f"stage{i}": stage for i, stage in enumerate(stages)}
    modules |= {
        "stage4_down": stages[4].op_list[0],
        "stage4_block1_qkv": attention.main.qkv,
        "stage4_block1_multiscale": attention.main.aggreg[0],
        "stage4_block1_attention": attention.main,
        "stage4_block1": stages[4].op_list[1],
        "neck_out": encoder.neck,
    }
    modules |= {f"neck_block_{i}": block for i, block in enumerate(encoder.neck.middle.op_list)}
    modules |= {f"neck_in_stage{4 - i}": op for i, op in enumerate(encoder.neck.input_ops)}
    golden = Golden(parity_dir / "efficientvit_sam_l0/intermediates.npz")
    with watched(modules) as seen:
        model.embed(parity_dir / "images" / golden.meta["image"])
    for stage in (4, 3):
        name = f"neck_in_stage{stage}"
        seen[name] = encoder.neck._enlarge(seen[name])
    compare_stages(golden, seen)


@pytest.mark.parametrize("picture", ["truck_480x320", "truck_odd_223x149"])
@torch.inference_mode()
def test_every_prompt(model: Segmenter, shared_dir: Path, picture: str) -> None:
    golden = Golden(shared_dir / f"parity/cases/efficientvit_sam_l0/{picture}.npz")
    image = Image.open(shared_dir / f"parity/images/{picture}.png")
    photo = model.embed(image)
    assert list(photo.transform.resized_hw) == golden.meta["coordinate_frame"]
    seen = VARIANT.preprocessing.for_encoder.fit(image.size_hw)
    assert list(seen.resized_hw) == golden.meta["resized_size"]
    np.testing.assert_array_equal(seen.resize(image)[::8, ::8], golden["resized_sub"])
    compare_embedding(golden, photo.features["image"])
    for case in golden.meta["cases"]:
        compare_case(model, photo, golden, case, golden.tensor("mask_input"))
