"""SAM 2.1-tiny against recorded numbers of the reference implementation, on pseudo-weights.

All numbers are in the shared folder. The parts alone take seconds; images, whole, are slow.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.parity import pseudo_weights
from tests.parity.golden import (
    Golden,
    close,
    compare_embedding,
    compare_masks,
    compare_prediction,
    compare_stages,
    framed,
    prompt_batch,
    segmenter,
    watched,
)
from torch import Tensor

from anymask.embedding import Embedding
from anymask.image.image import Image
from anymask.models.detailed_decoder import Decoded
from anymask.models.memory import map_code, time_code
from anymask.models.sam2 import single_answer, stability
from anymask.models.variants import find
from anymask.predict.segmenter import Segmenter
from anymask.prompt import Prompt

NAME = "sam2.1_hiera_tiny"
IMAGES = ["truck_480x320", "truck_odd_223x149"]
LOGITS = 10  # their standard deviation is 5 to 15: ten times the usual tolerance


@pytest.fixture
def parity(shared_dir: Path) -> Path:
    return shared_dir / "parity"


@functools.lru_cache(maxsize=1)
def load(layout: Path) -> Segmenter:
    return segmenter(find("sam2.1-tiny"), layout)


def model_of(parity: Path) -> Segmenter:
    return load(parity / f"keys/{NAME}.json")


def golden_of(parity: Path, file: str) -> Golden:
    return Golden(parity / f"cases/{NAME}/{file}.npz")


def made_up(name: str, channels: int = 256, side: int = 64) -> Tensor:
    return torch.from_numpy(pseudo_weights.pseudo_embedding(name, 0, channels=channels, side=side))


# ---- parts alone ----------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["point", "box_point", "mask_point", "empty_point"])
@torch.inference_mode()
def test_the_decoder_alone(case: str, parity: Path) -> None:
    network, golden = model_of(parity).network, golden_of(parity, "parts_alone")
    features = {
        "image": made_up("decoder"),
        "high_res_0": made_up("sam2_high_res_0", 32, 256),
        "high_res_1": made_up("sam2_high_res_1", 64, 128),
    }
    points, labels = (golden.tensor(f"decoder__{case}__{name}") for name in ("points", "labels"))
    mask = 5 * made_up("mask_prompt", 1, 256) if "mask" in case else None
    for prepared in (features, network.prepare(features)):
        found = network.answer(prepared, prompt_batch(1, points=points, labels=labels, mask=mask))
        low_res = found.logits[..., ::7, ::7]
        close(low_res, golden[f"decoder__{case}__all_low_res_sub"], scale=LOGITS)
        close(found.predicted_iou, golden[f"decoder__{case}__all_iou"])
        close(found.tokens, golden[f"decoder__{case}__mask_tokens"])
        close(found.object_score, golden[f"decoder__{case}__object_score"])
    pointers = network.obj_ptr_proj(found.tokens[0])
    close(pointers, golden[f"decoder__{case}__pointers"])


@torch.inference_mode()
def test_the_memory_encoder_alone(parity: Path) -> None:
    network, golden = model_of(parity).network, golden_of(parity, "parts_alone")
    encoder = network.memory_encoder
    image, logits = made_up("sam2_pix", side=16), 3 * made_up("sam2_mask", 1, 256)
    steps = {f"mask_downsampler_{i}": m for i, m in enumerate(encoder.mask_downsampler.encoder)}
    steps |= {f"fuser_{i}": layer for i, layer in enumerate(encoder.fuser.layers)}
    with watched({**steps, "pix_feat_proj": encoder.pix_feat_proj}) as stages:
        soft = encoder(image, 20 * logits.sigmoid() - 10)
    for name, shape in golden.meta["memory_encoder_stages"].items():
        compare_one(golden, f"memory_encoder__stage__{name}", stages[name].reshape(shape))
    close(soft, golden["memory_encoder__soft"])
    hard = encoder(image, 20 * (logits > 0).float() - 10)
    close(hard, golden["memory_encoder__hard"])
    close(map_code(64, (16, 16))[0, :, ::3, ::3], golden["memory_encoder__position_sub"])


@torch.inference_mode()
def test_the_memory_attention_alone(parity: Path) -> None:
    network, golden = model_of(parity).network, golden_of(parity, "parts_alone")
    maps = [made_up(f"sam2_memory_{k}", 64, 16).flatten(2).mT for k in range(3)]
    rows = network.maskmem_tpos_enc[[6, 1, 0]].view(3, 1, 1, 64)
    where = map_code(64, (16, 16)).flatten(2).mT
    pointers = made_up("sam2_pointers", 2, 16)[0].reshape(1, 8, 64)
    times = network.obj_ptr_tpos_proj(time_code(torch.tensor([5.0, 1.0]) / 15, 256))
    code = [where + row for row in rows] + [times.repeat_interleave(4, 0)[None]]
    attention = network.memory_attention
    watch = {f"layer_{i}": layer for i, layer in enumerate(attention.layers)}
    watch["layer_0_self_attention"] = attention.layers[0].self_attn
    watch["layer_0_cross_attention"] = attention.layers[0].cross_attn_image
    with watched(watch) as stages:
        read = attention(
            made_up("sam2_pix", side=16), torch.cat([*maps, pointers], 1), torch.cat(code, 1), 8
        )
    for name, shape in golden.meta["memory_attention_stages"].items():
        compare_one(golden, f"memory_attention__stage__{name}", stages[name].reshape(shape))
    close(read.flatten(2)[0].T, golden["memory_attention__output"])


def compare_one(golden: Golden, name: str, got: Tensor) -> None:
    """Compare a stage that was recorded in C order."""
    spread = max(1.0, float(golden[f"{name}__mean_std"][1]))
    flat = got.flatten()[:: int(golden[f"{name}__stride"][0])]
    close(flat, golden[f"{name}__values"], scale=spread)


# ---- images ---------------------------------------------------------------------------------


@pytest.mark.slow
@torch.inference_mode()
def test_every_stage(parity: Path) -> None:
    model, golden = model_of(parity), golden_of(parity, "intermediates")
    encoder, decoder = model.network.image_encoder, model.network.mask_decoder
    trunk, neck = encoder.trunk, encoder.neck
    frame, _ = framed(Image.open(parity / "images/truck_480x320.png"), model.variant)
    close(frame[0, :, ::31, ::31], golden_of(parity, "truck_480x320")["input_sub"])
    modules = {f"block_{i}": block for i, block in enumerate(trunk.blocks)}
    with watched(modules) as stages:
        stages["patch_embed"] = trunk.patch_embed(frame)
        stages["trunk_position"] = trunk.position((256, 256))
        maps = trunk(frame)
    stages |= {f"lateral_{3 - i}": neck.convs[i](maps[3 - i]).permute(0, 3, 1, 2) for i in range(4)}
    stages |= {f"fpn_{i}": stages[f"lateral_{i}"] for i in (0, 1, 3)}
    stages["fpn_2"] = neck(maps, (decoder.conv_s0, decoder.conv_s1))[0]
    for i, side in enumerate((256, 128, 64, 32)):
        stages[f"fpn_position_{i}"] = map_code(256, (side, side))
    known = {name: shape for name, shape in golden.meta["shapes"].items() if name in stages}
    assert len(known) == len(golden.meta["shapes"]) - 2  # what lies inside of two attentions
    golden.meta["shapes"] = known
    compare_stages(golden, stages)


@pytest.mark.slow
@pytest.mark.parametrize("picture", IMAGES)
@torch.inference_mode()
def test_every_prompt(picture: str, parity: Path) -> None:
    model, golden = model_of(parity), golden_of(parity, picture)
    photo = model.embed(Image.open(parity / f"images/{picture}.png"))
    compare_embedding(golden, photo.features["image"])
    close(photo.features["high_res_0"][0, ::3, ::11, ::11], golden["high_res_0_sub"])
    close(photo.features["high_res_1"][0, ::4, ::7, ::7], golden["high_res_1_sub"])
    assert len(golden.meta["cases"]) == 12
    for case in golden.meta["cases"]:
        compare_case(model, photo, golden, case)


def compare_case(model: Segmenter, photo: Embedding, golden: Golden, case: str) -> None:
    """Compare the network's answers, and `predict`'s where it can be asked that way."""
    about, transform = golden.meta["cases"][case], photo.transform
    points, labels = golden.tensor(f"{case}__point_coords"), golden.tensor(f"{case}__point_labels")
    boxes = golden.tensor(f"{case}__box")
    boxes = None if boxes is None else boxes.reshape(-1, 4)
    mask = golden.tensor("mask_input") if about["mask_input_from"] else None
    n = 1 if boxes is None else len(boxes)
    if points is not None:
        points, labels = points.reshape(n, -1, 2), labels.reshape(n, -1).long()
    batch = prompt_batch(
        n,
        points=None if points is None else transform.points_to_frame(points),
        labels=labels,
        boxes=None if boxes is None else transform.boxes_to_frame(boxes),
        mask=None if mask is None else mask[None],
    )
    logits, iou = model.network.decode(photo.features, batch, about["multimask_output"])
    step = about["low_res_stride"]
    wanted = golden[f"{case}__low_res_sub"]
    close(logits.clamp(-32, 32)[..., ::step, ::step].reshape(wanted.shape), wanted, scale=LOGITS)
    np.testing.assert_allclose(iou.reshape(-1), golden[f"{case}__iou"].reshape(-1), atol=1e-4)
    compare_masks(golden, case, (transform.masks_to_image(logits) > 0).numpy())
    decoded = model.network.answer(photo.features, batch)
    scores = golden[f"{case}__object_score"].reshape(-1)
    np.testing.assert_allclose(decoded.object_score.reshape(-1), scores, rtol=1e-3, atol=2e-4)
    if f"{case}__stability" in golden:
        compare_choice(golden, case, decoded)
    if n == 1:
        prompt = Prompt(
            None if points is None else points[0],
            None if labels is None else labels[0],
            None if boxes is None else boxes[0],
            mask_logits=None if mask is None else mask[0],
        )
        masks = model.predict(photo, prompts=prompt, multimask=about["multimask_output"])
        compare_prediction(golden, case, masks)
        assert np.abs(masks.logits).max() <= 32


def compare_choice(golden: Golden, case: str, decoded: Decoded) -> None:
    found = stability(decoded.logits[:, 0])
    np.testing.assert_allclose(found, golden[f"{case}__stability"].reshape(-1), atol=2e-4)
    fell_back = golden[f"{case}__fell_back"].reshape(-1)
    assert (single_answer(decoded) > 0).tolist() == fell_back.tolist()
