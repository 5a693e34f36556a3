"""SAM's network against recorded numbers of the reference implementation, on pseudo-weights.

The mask decoder, the first three blocks of ViT-B, and MobileSAM are compared with numbers that are
in the repository; the whole of ViT-B and ViT-L with those of the shared folder, slowly.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.parity import pseudo_weights
from tests.parity.golden import (
    Golden,
    close,
    compare_answer,
    compare_embedding,
    compare_prediction,
    compare_stages,
    framed,
    prompt_batch,
    segmenter,
    watched,
    weights,
)
from torch import Tensor

from anymask.embedding import Embedding
from anymask.image.image import Image
from anymask.image.transform import Transform
from anymask.models.config import SamConfig
from anymask.models.mask_decoder import pixel_order
from anymask.models.prompt_batch import PromptBatch
from anymask.models.sam import Sam
from anymask.models.variants import find
from anymask.predict.segmenter import Segmenter
from anymask.prompt import Prompt

VIT_B = find("sam-vit-b").network
DECODER_CASES = [
    "point", "point_bg", "points5", "points_padded", "box", "boxes3",
    "box_point", "mask", "mask_point", "mask_box_points", "nothing", "batch4x3",
]  # fmt: skip
PROMPT_CASES = [
    "fg1_multi", "fg1_single", "bg1_multi", "mixed3_multi", "mixed3_single", "box_multi",
    "box_single", "box_points_multi", "box_points_single", "mask_point_multi", "mask_point_single",
    "mask_box_points_single", "mask_only_single", "no_prompt_multi", "corners_multi",
    "boxes8_single", "boxes8_multi", "points4x2_multi", "points2_boxes2_masks2_single",
]  # fmt: skip
IMAGES = ["truck_480x320", "dog_240x360", "truck_odd_223x149"]


def sam(config: Any, layout: dict[str, Any], *prefixes: str) -> Sam:
    """A network filled as far as the layout has its keys; all it has if prefixes are given."""
    network = Sam(config).eval()
    found = network.load_state_dict(weights(layout, *prefixes), strict=False)
    assert not found.unexpected_keys
    missing = [key for key in found.missing_keys if key.startswith(prefixes)]
    assert not missing
    return network


# ---- mask decoder alone ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def decoder(parity_dir: Path) -> Sam:
    """The published prompt encoder and mask decoder behind a toy of an image encoder."""
    layout = pseudo_weights.load_layout(parity_dir / "keys/sam_vit_b.json")
    toy = SamConfig(replace(VIT_B.encoder, width=8, depth=1, heads=1))
    return sam(toy, layout, "prompt_encoder.", "mask_decoder.")


@pytest.fixture(scope="module")
def decoder_features() -> dict[str, Tensor]:
    return {"image": torch.from_numpy(pseudo_weights.pseudo_embedding("decoder", 0))}


# The repository holds every case, the shared folder the same ones with more of their pixels.
@pytest.fixture(
    scope="module", params=["repository", pytest.param("shared", marks=pytest.mark.slow)]
)
def decoder_golden(request: pytest.FixtureRequest) -> Golden:
    if request.param == "repository":
        folder = request.getfixturevalue("parity_dir")
    else:
        folder = request.getfixturevalue("shared_dir") / "parity/cases"
    return Golden(folder / "sam_decoder/synthetic_embedding.npz")


def decoder_prompt(golden: Golden, case: str) -> PromptBatch:
    about = golden.meta["cases"][case]
    mask = pseudo_weights.pseudo_embedding("mask_prompt", 0, channels=1, side=256) * 5
    return prompt_batch(
        about["batch"],
        points=golden.tensor(f"{case}__points"),
        labels=golden.tensor(f"{case}__labels"),
        boxes=golden.tensor(f"{case}__boxes"),
        mask=torch.from_numpy(mask) if about["mask_prompt"] else None,
    )


@pytest.mark.parametrize("case", DECODER_CASES)
@torch.inference_mode()
def test_decoder_answers_like_the_reference(
    decoder: Sam, decoder_features: dict[str, Tensor], decoder_golden: Golden, case: str
) -> None:
    prompts = decoder_prompt(decoder_golden, case)
    tokens, added = decoder.prompt_encoder(prompts)
    logits, iou = decoder.decode_all(decoder_features, prompts)

    assert tokens.shape[1] == decoder_golden.meta["cases"][case]["sparse_tokens"]
    if f"{case}__sparse" in decoder_golden:
        close(tokens, decoder_golden[f"{case}__sparse"])
        added = added.expand(-1, 256, 64, 64)
        close(added[:, ::8, ::9, ::9], decoder_golden[f"{case}__dense_sub"])
    stride = decoder_golden.meta["low_res_stride"]
    close(logits[..., ::stride, ::stride], decoder_golden[f"{case}__low_res_sub"])
    np.testing.assert_allclose(iou.numpy(), decoder_golden[f"{case}__iou"], atol=1e-4)


@torch.inference_mode()
def test_decoder_goes_through_the_same_stages(
    decoder: Sam, decoder_features: dict[str, Tensor], parity_dir: Path
) -> None:
    golden = Golden(parity_dir / "sam_decoder/synthetic_embedding.npz")
    transformer = decoder.mask_decoder.transformer
    modules = {"layer0": transformer.layers[0], "layer1": transformer.layers[1]}
    with watched(modules | {"out": transformer}) as stages:
        decoder.decode_all(decoder_features, decoder_prompt(golden, "point"))

    close(decoder.prompt_encoder.image_code()[0, ::4, ::7, ::7], golden["image_pe_sub"])
    for name, wanted in (("layer0", slice(None)), ("layer1", slice(None)), ("out", slice(5))):
        tokens, cells = stages[name]
        close(tokens, golden[f"steps__{name}_tokens"][:, wanted])  # only answers at the end
        close(cells[:, ::222], golden[f"steps__{name}_image_sub"])
    quarters = decoder.mask_decoder.output_upscaling(stages["out"][1]).flatten(1, 3)
    upscaled = quarters[:, pixel_order(decoder_features["image"])].permute(0, 3, 1, 2)
    close(upscaled[..., ::30, ::30], golden["steps__upscaled_sub"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.inference_mode()
def test_half_precision_draws_nearly_the_same_masks(
    decoder: Sam, decoder_features: dict[str, Tensor], parity_dir: Path, dtype: torch.dtype
) -> None:
    golden = Golden(parity_dir / "sam_decoder/synthetic_embedding.npz")
    prompts = decoder_prompt(golden, "mask_box_points")
    half = Sam(decoder.config)
    half.load_state_dict(decoder.state_dict())
    logits, iou = half.to(dtype).decode_all(decoder_features, prompts)

    assert logits.dtype == iou.dtype == torch.float32
    wanted = golden["mask_box_points__low_res_sub"]
    np.testing.assert_allclose(logits[..., ::15, ::15].numpy(), wanted, rtol=0.05, atol=0.2)
    np.testing.assert_allclose(iou.numpy(), golden["mask_box_points__iou"], atol=0.03)


# ---- image encoder --------------------------------------------------------------------------


def stages_of(network: Sam, frame: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Run the image encoder and keep what every stage gives."""
    encoder = network.image_encoder
    modules = {"patch_embed": encoder.patch_embed}
    modules |= {f"neck_{i}": module for i, module in enumerate(encoder.neck)}
    for i, block in enumerate(encoder.blocks):
        modules |= {f"block_{i}": block, f"block_{i}_attention": block.attn}
    with watched(modules) as stages:
        embedding = network.encode(frame, (1024, 1024))["image"]
    return stages, embedding


@torch.inference_mode()
def test_first_blocks_of_vit_b_give_the_reference_stages(parity_dir: Path) -> None:
    """A windowed block, a second one, and one that attends globally."""
    layout = pseudo_weights.load_layout(parity_dir / "keys/sam_vit_b.json")
    first = tuple(f"image_encoder.{p}" for p in ("p", "neck", "blocks.0", "blocks.1.", "blocks.2"))
    network = sam(SamConfig(replace(VIT_B.encoder, depth=3)), layout, *first)
    image = Image.open(parity_dir / "images/truck_480x320.png")
    frame, _ = framed(image, find("sam-vit-b"))
    stages, _ = stages_of(network, frame)
    golden = Golden(parity_dir / "sam_vit_b/intermediates.npz")
    compare_stages(golden, stages)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sam_vit_b", "sam_vit_l"])
@torch.inference_mode()
def test_every_stage_and_the_embedding(shared_dir: Path, name: str) -> None:
    parity = shared_dir / "parity"
    variant = find(name)
    network = segmenter(variant, parity / f"keys/{name}.json").network
    frame, _ = framed(Image.open(parity / "images/truck_480x320.png"), variant)
    stages, embedding = stages_of(network, frame)
    stages["image_pe"] = network.prompt_encoder.image_code()
    compare_stages(Golden(parity / f"cases/{name}/intermediates.npz"), stages)
    compare_embedding(Golden(parity / f"cases/{name}/truck_480x320.npz"), embedding)


@torch.inference_mode()
def test_every_stage_of_mobile_sam(parity_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In one piece, or only the last rows of windows would be seen.
    monkeypatch.setattr("anymask.models.tiny_vit._TOKENS_AT_ONCE", 1 << 30)
    variant = find("mobile-sam")
    network = segmenter(variant, parity_dir / "keys/mobile_sam.json").network
    encoder = network.image_encoder
    modules = {"patch_embed": encoder.patch_embed, "stage_1_block_0": encoder.layers[1].blocks[0]}
    modules |= {f"stage_{i}": stage for i, stage in enumerate(encoder.layers)}
    modules |= {f"neck_{i}": module for i, module in enumerate(encoder.neck)}
    attention = {"stage_1_block_0_attention": encoder.layers[1].blocks[0].attn}
    frame, _ = framed(Image.open(parity_dir / "images/truck_480x320.png"), variant)
    with watched(modules | attention) as stages:
        encoder(frame)

    for name in stages:
        if name.startswith("stage") and name not in attention:  # recorded as tokens
            stages[name] = stages[name].permute(0, 2, 3, 1)
    stages["image_pe"] = network.prompt_encoder.image_code()
    compare_stages(Golden(parity_dir / "mobile_sam/intermediates.npz"), stages)


# ---- whole models ---------------------------------------------------------------------------

WHOLE = [("mobile_sam", "truck_480x320", "repository")]
WHOLE += [(name, image, "shared") for name in ("mobile_sam", "sam_vit_b") for image in IMAGES]


@functools.lru_cache(maxsize=1)
def whole_model(name: str, layout: Path) -> Segmenter:
    return segmenter(find(name), layout)


@pytest.mark.parametrize(
    ("name", "picture", "where"),
    [pytest.param(*w, marks=[pytest.mark.slow] if w[2] == "shared" else []) for w in WHOLE],
)
@torch.inference_mode()
def test_every_prompt(
    name: str, picture: str, where: str, parity_dir: Path, request: pytest.FixtureRequest
) -> None:
    parity = cases = parity_dir
    if where == "shared":
        parity = request.getfixturevalue("shared_dir") / "parity"
        cases = parity / "cases"
    golden = Golden(cases / f"{name}/{picture}.npz")
    image = Image.open(parity / f"images/{picture}.png")
    model = whole_model(name, parity / f"keys/{name}.json")
    photo = model.embed(image)
    np.testing.assert_array_equal(photo.transform.resize(image)[::8, ::8], golden["resized_sub"])
    compare_embedding(golden, photo.features["image"])
    assert list(golden.meta["cases"]) == PROMPT_CASES
    mask_input = golden.tensor("mask_input")
    if mask_input is None:  # the repository has no room for it: an answer that is compared itself
        logits, _ = model.decode(photo, [prompt_of(golden, "fg1_multi", None)], True)
        mask_input = logits[0, golden.meta["cases"]["mask_only_single"]["mask_input_from"][1]][None]
    for case in PROMPT_CASES:
        compare_case(model, photo, golden, case, mask_input)


def compare_case(
    model: Segmenter, photo: Embedding, golden: Golden, case: str, mask_input: Tensor
) -> None:
    """Compare the network's answer and, where it can be asked of `predict`, that as well."""
    about = golden.meta["cases"][case]
    single, multimask = about["api"] == "predict", about["multimask_output"]
    prompts = case_prompts(golden, case, photo.transform, mask_input)
    logits, iou = model.network.decode(photo.features, prompts, multimask)
    high = photo.transform.masks_to_image(logits)
    if not single:
        compare_answer(golden, case, logits, iou, high)
        return
    compare_answer(golden, case, logits[0], iou[0], high[0])
    if case != "no_prompt_multi":
        prompt = prompt_of(golden, case, mask_input)
        compare_prediction(golden, case, model.predict(photo, prompts=prompt, multimask=multimask))


def prompt_of(golden: Golden, case: str, mask_input: Tensor | None) -> Prompt:
    """The prompt of a case that has one, in pixels of the image."""
    masked = golden.meta["cases"][case]["mask_input_from"]
    names = [f"{case}__{kind}" for kind in ("point_coords", "point_labels", "box")]
    points, labels, box = (golden.values.get(name) for name in names)
    return Prompt(points, labels, box, mask_logits=mask_input if masked else None)


def case_prompts(
    golden: Golden, case: str, transform: Transform, mask_input: Tensor
) -> PromptBatch:
    """The prompts of a case, carried into the frame."""
    mask = None
    if case == "points2_boxes2_masks2_single":
        points = golden.tensor("points4x2_multi__point_coords")[:2]
        labels = golden.tensor("points4x2_multi__point_labels")[:2]
        boxes = golden.tensor("boxes8_single__boxes")[:2]
        mask = torch.stack([mask_input, -mask_input])
    else:
        points = golden.tensor(f"{case}__point_coords")
        labels = golden.tensor(f"{case}__point_labels")
        if points is not None and points.ndim == 2:
            points, labels = points[None], labels[None]
        boxes = golden.tensor(f"{case}__boxes")
        if boxes is None and f"{case}__box" in golden:
            boxes = golden.tensor(f"{case}__box")[None]
        if golden.meta["cases"][case].get("mask_input_from"):
            mask = mask_input[None]
    n = next((len(x) for x in (points, boxes) if x is not None), 1)
    return prompt_batch(
        n,
        points=None if points is None else transform.points_to_frame(points),
        labels=labels,
        boxes=None if boxes is None else transform.boxes_to_frame(boxes),
        mask=mask,
    )
