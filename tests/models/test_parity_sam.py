"""SAM's network against recorded numbers of the reference implementation, on pseudo-weights.

The mask decoder and the first three blocks of ViT-B are compared with numbers that are in the
repository; the whole of ViT-B and ViT-L with those of the shared folder, slowly.
"""

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

from anymask.image import Image, Transform
from anymask.models.config import SamConfig
from anymask.models.sam import Sam
from anymask.models.variants import Preprocessing, find
from anymask.models.vit import split_windows
from anymask.prompt import PromptBatch

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


class Golden:
    """One recorded ``.npz`` file."""

    def __init__(self, path: Path) -> None:
        self.values = np.load(path)
        self.meta: dict[str, Any] = json.loads(str(self.values["meta"]))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    def tensor(self, name: str) -> Tensor | None:
        """A float32 or int64 tensor, None where there is no such value."""
        if name not in self.values.files:
            return None
        value = torch.from_numpy(self.values[name])
        return value.float() if value.is_floating_point() else value


def close(got: Tensor, wanted: np.ndarray, *, scale: float = 1.0) -> None:
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-3, atol=2e-4 * scale)


def weights(layout: dict[str, Any], *prefixes: str) -> dict[str, Tensor]:
    """The pseudo-weights whose key begins with one of the prefixes."""
    keys = {k: v for k, v in layout["keys"].items() if k.startswith(prefixes)}
    state = pseudo_weights.make_state_dict({**layout, "keys": keys})
    return {key: torch.from_numpy(value) for key, value in state.items()}


def sam(config: Any, layout: dict[str, Any], *prefixes: str) -> Sam:
    """A network filled as far as the layout has its keys; all it has if prefixes are given."""
    network = Sam(config).eval()
    found = network.load_state_dict(weights(layout, *prefixes), strict=False)
    assert not found.unexpected_keys
    missing = [key for key in found.missing_keys if key.startswith(prefixes)]
    assert not missing
    return network


def prompt_batch(n: int, **given: Tensor | None) -> PromptBatch:
    points, labels = given.get("points"), given.get("labels")
    return PromptBatch(
        points_xy=torch.zeros(n, 0, 2) if points is None else points,
        labels=torch.zeros(n, 0, dtype=torch.int64) if labels is None else labels,
        boxes=given.get("boxes"),
        mask_logits=given.get("mask"),
        frame_hw=(1024, 1024),
    )


def framed(image: Image, how: Preprocessing) -> tuple[Tensor, Transform]:
    """Normalised pixels (1, 3, side, side), and the way into that frame."""
    transform = how.fit(image.size_hw)
    pixels = torch.from_numpy(transform.resize(image)).float()
    pixels = ((pixels - torch.tensor(how.mean)) / torch.tensor(how.std)).permute(2, 0, 1)
    frame = torch.zeros(1, 3, *transform.frame_hw)
    frame[0, :, : pixels.shape[1], : pixels.shape[2]] = pixels
    return frame, transform


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
    if f"{case}__sparse" in decoder_golden.values.files:
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
    stages: dict[str, Any] = {}
    transformer = decoder.mask_decoder.transformer
    watched = {"layer0": transformer.layers[0], "layer1": transformer.layers[1]}
    watched |= {"out": transformer, "upscaled": decoder.mask_decoder.output_upscaling}
    hooks = [
        module.register_forward_hook(lambda _m, _i, out, name=name: stages.update({name: out}))
        for name, module in watched.items()
    ]
    decoder.decode_all(decoder_features, decoder_prompt(golden, "point"))
    for hook in hooks:
        hook.remove()

    close(decoder.prompt_encoder.image_code()[0, ::4, ::7, ::7], golden["image_pe_sub"])
    for name in ("layer0", "layer1", "out"):
        tokens, cells = stages[name]
        close(tokens, golden[f"steps__{name}_tokens"])
        close(cells[:, ::222], golden[f"steps__{name}_image_sub"])
    close(stages["upscaled"][..., ::30, ::30], golden["steps__upscaled_sub"])


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
    stages: dict[str, Tensor] = {}
    encoder = network.image_encoder
    watched = {"patch_embed": encoder.patch_embed}
    watched |= {f"neck_{i}": module for i, module in enumerate(encoder.neck)}
    for i, block in enumerate(encoder.blocks):
        watched |= {f"block_{i}": block, f"block_{i}_attention": block.attn}
    hooks = [
        module.register_forward_hook(lambda _m, _i, out, name=name: stages.update({name: out}))
        for name, module in watched.items()
    ]
    embedding = network.encode(frame, (1024, 1024))["image"]
    for hook in hooks:
        hook.remove()
    return stages, embedding


def compare_stages(golden: Golden, stages: dict[str, Tensor], names: list[str]) -> None:
    for name in names:
        got = stages[name].contiguous()
        shape = golden.meta["shapes"][name]
        if list(got.shape) != shape:  # recorded in windows; what fills those up, we do not keep
            nothing = torch.full((shape[-1],), torch.nan)
            got = split_windows(got, shape[1], fill=nothing)
        assert list(got.shape) == shape
        got = got.flatten()[:: int(golden[f"{name}__stride"][0])]
        wanted = golden[f"{name}__values"]
        kept = ~torch.isnan(got)
        assert kept.float().mean() > 0.8
        scale = max(1.0, golden[f"{name}__mean_std"][1])
        close(got[kept], wanted[kept.numpy()], scale=scale)


@torch.inference_mode()
def test_first_blocks_of_vit_b_give_the_reference_stages(parity_dir: Path) -> None:
    """A windowed block, a second one, and one that attends globally."""
    layout = pseudo_weights.load_layout(parity_dir / "keys/sam_vit_b.json")
    first = tuple(f"image_encoder.{p}" for p in ("p", "neck", "blocks.0", "blocks.1.", "blocks.2"))
    network = sam(SamConfig(replace(VIT_B.encoder, depth=3)), layout, *first)
    image = Image.open(parity_dir / "images/truck_480x320.png")
    frame, _ = framed(image, find("sam-vit-b").preprocessing)
    stages, _ = stages_of(network, frame)
    golden = Golden(parity_dir / "sam_vit_b/intermediates.npz")
    compare_stages(golden, stages, list(golden.meta["shapes"]))


@pytest.fixture(scope="module")
def vit_b(shared_dir: Path) -> Sam:
    return sam(VIT_B, pseudo_weights.load_layout(shared_dir / "parity/keys/sam_vit_b.json"), "")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sam_vit_b", "sam_vit_l"])
@torch.inference_mode()
def test_every_stage_and_the_embedding(shared_dir: Path, name: str) -> None:
    parity = shared_dir / "parity"
    variant = find(name)
    network = sam(variant.network, pseudo_weights.load_layout(parity / f"keys/{name}.json"), "")
    frame, _ = framed(Image.open(parity / "images/truck_480x320.png"), variant.preprocessing)
    stages, embedding = stages_of(network, frame)
    stages["image_pe"] = network.prompt_encoder.image_code()

    golden = Golden(parity / f"cases/{name}/intermediates.npz")
    compare_stages(golden, stages, [s for s in golden.meta["shapes"] if s != "image_pe"])
    whole = Golden(parity / f"cases/{name}/truck_480x320.npz")
    close(embedding[0, ::4, ::3, ::3], whole["emb_sub"])
    close(embedding[0].mean(dim=(1, 2)), whole["emb_mean"])
    close(embedding[0].std(dim=(1, 2), correction=0), whole["emb_std"])


@pytest.mark.slow
@pytest.mark.parametrize("picture", IMAGES)
@torch.inference_mode()
def test_every_prompt_of_vit_b(vit_b: Sam, shared_dir: Path, picture: str) -> None:
    golden = Golden(shared_dir / f"parity/cases/sam_vit_b/{picture}.npz")
    image = Image.open(shared_dir / f"parity/images/{picture}.png")
    frame, transform = framed(image, find("sam-vit-b").preprocessing)
    np.testing.assert_array_equal(transform.resize(image)[::8, ::8], golden["resized_sub"])
    close(frame[0, :, ::31, ::31], golden["input_sub"])
    features = vit_b.encode(frame, transform.resized_hw)
    close(features["image"][0, ::4, ::3, ::3], golden["emb_sub"])
    assert list(golden.meta["cases"]) == PROMPT_CASES
    for case in PROMPT_CASES:
        compare_case(vit_b, features, golden, case, transform)


def case_prompts(golden: Golden, case: str, transform: Transform) -> PromptBatch:
    """The prompts of a case, carried into the frame."""
    mask = golden.tensor("mask_input")
    if case == "points2_boxes2_masks2_single":
        points = golden.tensor("points4x2_multi__point_coords")[:2]
        labels = golden.tensor("points4x2_multi__point_labels")[:2]
        boxes = golden.tensor("boxes8_single__boxes")[:2]
        mask = torch.stack([mask, -mask])
    else:
        points = golden.tensor(f"{case}__point_coords")
        labels = golden.tensor(f"{case}__point_labels")
        if points is not None and points.ndim == 2:
            points, labels = points[None], labels[None]
        boxes = golden.tensor(f"{case}__boxes")
        if boxes is None and f"{case}__box" in golden.values.files:
            boxes = golden.tensor(f"{case}__box")[None]
        mask = mask[None] if golden.meta["cases"][case].get("mask_input_from") else None
    n = next((len(x) for x in (points, boxes) if x is not None), 1)
    return prompt_batch(
        n,
        points=None if points is None else transform.points_to_frame(points),
        labels=labels,
        boxes=None if boxes is None else transform.boxes_to_frame(boxes),
        mask=mask,
    )


def compare_case(
    network: Sam, features: dict[str, Tensor], golden: Golden, case: str, transform: Transform
) -> None:
    about = golden.meta["cases"][case]
    prompts = case_prompts(golden, case, transform)
    logits, iou = network.decode(features, prompts, about["multimask_output"])
    single = about["api"] == "predict"
    high = transform.masks_to_image(logits)
    if single:
        logits, iou, high = logits[0], iou[0], high[0]

    step = about.get("low_res_stride", golden.meta["low_res_stride"])
    close(logits[..., ::step, ::step], golden[f"{case}__low_res_sub"])
    np.testing.assert_allclose(iou.numpy(), golden[f"{case}__iou"], atol=1e-4)
    masks = (high > 0).numpy()
    pixels = masks.shape[-2] * masks.shape[-1]
    off = np.abs(masks.sum(axis=(-2, -1)) - golden[f"{case}__area"])
    assert off.max() <= max(3, 5e-4 * pixels), (case, off)
    if f"{case}__high_res_sub" in golden.values.files:
        close(high[..., ::7, ::7], golden[f"{case}__high_res_sub"])
    if f"{case}__masks_packed" in golden.values.files:
        wanted = np.unpackbits(golden[f"{case}__masks_packed"])[: masks.size].reshape(masks.shape)
        assert (masks != wanted.astype(bool)).mean() <= 5e-4, case
