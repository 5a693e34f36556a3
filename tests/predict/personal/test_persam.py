"""PerSAM and PerSAM-F against recorded numbers of the reference, and on networks of every kind."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.models.tiny import tiny
from tests.parity.golden import Golden, close, segmenter
from torch import Tensor

from anymask.embedding import Embedding
from anymask.errors import CapabilityError
from anymask.image.image import Image
from anymask.image.transform import Transform
from anymask.models.build import build
from anymask.models.config import DecoderConfig
from anymask.models.two_way import Guidance, TwoWayTransformer
from anymask.models.variants import find as find_variant
from anymask.predict.personal import persam
from anymask.predict.segmenter import Segmenter
from anymask.prompt import Prompt

SAM_SHAPED = ["sam-vit-b", "mobile-sam", "efficient-sam-ti", "sam2.1-tiny"]


# ---- the numbers of the reference -----------------------------------------------------------


@functools.lru_cache(maxsize=1)
def whole_model(layout: Path) -> Segmenter:
    return segmenter(find_variant("sam-vit-b"), layout)


@functools.lru_cache(maxsize=4)
def embedded(layout: Path, image: Path) -> Embedding:
    return whole_model(layout).embed(image)


def recorded(name: str, parity_dir: Path, request: pytest.FixtureRequest) -> tuple[Golden, Path]:
    """What the repository has room for lies there, the rest in the shared folder."""
    folder = parity_dir / "persam"
    if not (folder / f"{name}.npz").is_file():
        folder = request.getfixturevalue("shared_dir") / "parity/cases/persam"
    return Golden(folder / f"{name}.npz"), folder


def reference_mask(folder: Path) -> np.ndarray:
    return Image.open(folder / "reference_mask.png").pixels[..., 0] > 0


def compare_final(golden: Golden, name: str, found: persam.Masks) -> None:
    slot = int(golden[f"{name}__final_slot"][0])
    close(found.logits[0, ::5, ::5], golden[f"{name}__step3__low_res_sub"][slot])  # type: ignore[index]
    np.testing.assert_allclose(found.scores, golden[f"{name}__step3__scores"][[slot]], atol=1e-4)
    assert found.prompts[0] is not None
    assert found.prompts[0].box.tolist() == golden[f"{name}__step3__box"][0].tolist()  # type: ignore[union-attr]
    mask = found.dense()[0]
    wanted = np.unpackbits(golden[f"{name}__final_mask_packed"])[: mask.size].reshape(mask.shape)
    assert (mask != wanted.astype(bool)).mean() <= 5e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["persam_mask128", "persam_mask255"])
def test_persam_gives_the_recorded_numbers(
    name: str, parity_dir: Path, request: pytest.FixtureRequest
) -> None:
    golden, folder = recorded(name, parity_dir, request)
    layout = parity_dir / "keys/sam_vit_b.json"
    model = whole_model(layout)
    reference = embedded(layout, folder / "reference.png")
    close(reference.features["image"][0, ::4, ::3, ::3], golden["reference_emb_sub"])
    value = golden.meta["mask_value"]
    target = persam.target_of(model, reference, reference_mask(folder), value=value)
    close(target.vectors["image"], golden["target_embedding"])
    for image in golden.meta["images"]:
        photo = embedded(layout, folder / f"{image}.png")
        similar = persam.similarity(model, photo, target)
        recorded_map = golden[f"{image}__similarity_image_sub"]
        np.testing.assert_allclose(similar[::5, ::5], recorded_map, atol=1e-5)
        np.testing.assert_array_equal(persam.extremes(similar), golden[f"{image}__points_xy"])
        guidance = persam.guidance_of(similar, target, 64)
        wanted = golden[f"{image}__attention_guidance"]
        np.testing.assert_allclose(guidance.attention.view(64, 64), wanted, atol=1e-5)
        compare_final(golden, image, persam.find(model, photo, target))


@pytest.mark.slow
def test_persam_f_gives_the_recorded_numbers(
    parity_dir: Path, request: pytest.FixtureRequest
) -> None:
    golden, folder = recorded("persam_f_mask255", parity_dir, request)
    layout = parity_dir / "keys/sam_vit_b.json"
    model = whole_model(layout)
    reference = embedded(layout, folder / "reference.png")
    target = persam.learn(model, reference, reference_mask(folder))
    assert target.weights is not None
    weights = [target.weights.whole, target.weights.part, target.weights.subpart]
    np.testing.assert_allclose(weights, golden["weights_final"], atol=2e-5)
    for image in golden.meta["images"]:
        photo = embedded(layout, folder / f"{image}.png")
        top, _ = persam.extremes(persam.similarity(model, photo, target))
        np.testing.assert_array_equal([top], golden[f"{image}__points_xy"])
        compare_final(golden, image, persam.find(model, photo, target))


# ---- the guided decoder ---------------------------------------------------------------------


def test_a_guided_decoder_computes_what_the_paper_says() -> None:
    """Against the formulas, written out with the layers' own weights."""
    torch.manual_seed(0)
    decoder = TwoWayTransformer(DecoderConfig(width=16, heads=2, mlp=32)).eval()
    tokens, image = torch.randn(3, 5, 16), torch.randn(1, 12, 16)
    code, guidance = torch.randn(1, 12, 16), Guidance(torch.rand(12), torch.randn(16))
    got = decoder(tokens, image, code, guidance=guidance)
    for found, wanted in zip(got, _plainly(decoder, tokens, image, code, guidance), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert (decoder(tokens, image, code)[0] - got[0]).abs().max() > 0.1


def _attend(layer, q: Tensor, k: Tensor, v: Tensor, attention: Tensor | None = None) -> Tensor:
    heads = layer.heads
    q, k, v = (
        project(x).unflatten(-1, (heads, -1)).transpose(1, 2)
        for project, x in ((layer.q_proj, q), (layer.k_proj, k), (layer.v_proj, v))
    )
    weights = F.softmax(q @ k.transpose(2, 3) / q.shape[-1] ** 0.5, dim=-1)
    if attention is not None:
        weights = F.softmax(weights + attention, dim=-1)
    return layer.out_proj((weights @ v).transpose(1, 2).flatten(2))


def _plainly(decoder, tokens: Tensor, image: Tensor, code: Tensor, guidance: Guidance):
    own_code = tokens + guidance.target
    for i, block in enumerate(decoder.layers):
        tokens = tokens + guidance.target
        if i == 0:
            tokens = _attend(block.self_attn, tokens, tokens, tokens)
        else:
            q = tokens + own_code
            tokens = tokens + _attend(block.self_attn, q, q, tokens)
        tokens = block.norm1(tokens)
        read = block.cross_attn_token_to_image
        told = _attend(read, tokens + own_code, image + code, image, guidance.attention)
        tokens = block.norm2(tokens + told)
        tokens = block.norm3(tokens + block.mlp(tokens))
        back = block.cross_attn_image_to_token
        image = block.norm4(image + _attend(back, image + code, tokens + own_code, tokens))
    q = tokens + own_code + guidance.target
    last = _attend(decoder.final_attn_token_to_image, q, image + code, image)
    return decoder.norm_final_attn(tokens + last), image


# ---- every kind of model --------------------------------------------------------------------


def model_of(name: str) -> Segmenter:
    torch.manual_seed(1)
    variant = tiny(find_variant(name))
    return Segmenter(variant, build(variant).eval(), "0" * 64)


@pytest.fixture
def photo() -> np.ndarray:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60, (48, 64, 3)).astype(np.uint8)
    image[10:30, 20:44] = (250, 180, 20)
    return image


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros((48, 64), bool)
    mask[10:30, 20:44] = True
    return mask


@pytest.mark.parametrize("name", [*SAM_SHAPED, "anymask-compact"])
def test_every_model_with_comparable_features_answers(
    name: str, photo: np.ndarray, mask: np.ndarray
) -> None:
    model = model_of(name)
    reference = model.embed(photo)
    target = persam.target_of(model, reference, mask)
    similar = persam.similarity(model, reference, target)
    assert similar.shape == (48, 64)
    assert similar[mask].mean() > similar[~mask].mean()
    for learned in (target, persam.learn(model, reference, mask)):
        found = persam.find(model, model.embed(photo[::-1].copy()), learned)
        assert len(found) <= 1
        for prompt in found.prompts:
            assert prompt is not None
            known = model.variant.capabilities
            assert (0 in prompt.labels) <= ("negative_points" in known)
            assert prompt.form.mask == ("mask" in known)


def test_guidance_changes_the_answer_of_a_decoder_of_sams(
    photo: np.ndarray, mask: np.ndarray
) -> None:
    model = model_of("sam-vit-b")
    embedding = model.embed(photo)
    target = persam.target_of(model, embedding, mask)
    similar = persam.similarity(model, embedding, target)
    clicks = Prompt(persam.extremes(similar), [1, 0])
    guided = persam._first(model, embedding, clicks, similar, target)
    unguided = persam._first(model, embedding, clicks, None, target)
    assert np.abs(guided - unguided).max() > 1e-3


def test_a_model_of_all_instances_cannot_be_shown_an_example(
    photo: np.ndarray, mask: np.ndarray
) -> None:
    model = model_of("fastsam-s")
    with pytest.raises(CapabilityError, match="got fastsam-s, whose features cannot be compared"):
        persam.target_of(model, model.embed(photo), mask)


# ---- the cells that a mask covers -----------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "value", "counts"),
    [(0, 255, False), (1, 255, True), (1, 128, False), (2, 255, True), (2, 128, True)],
)
def test_how_much_of_a_cell_must_be_covered(rows: int, value: int, counts: bool) -> None:
    """Of cells of 16 x 16 pixels the middle decides: rows 7 and 8."""
    mask = np.zeros((64, 64), bool)
    mask[: 16 + 7 + rows, 16:32] = True
    transform = Transform.fit((64, 64), side=64)
    covered = persam.covered_cells(model_of("sam-vit-b"), mask, transform, (4, 4), value)
    assert covered[0].tolist() == [False, True, False, False]
    assert covered[1].tolist() == [False, counts, False, False]
    assert not covered[2:].any()


def test_a_mask_of_three_pixels_has_a_cell(photo: np.ndarray) -> None:
    model = model_of("sam-vit-b")
    dot = np.zeros((48, 64), bool)
    dot[40, 60:63] = True
    embedding = model.embed(photo)
    vector = persam.target_of(model, embedding, dot).vectors["image"]
    torch.testing.assert_close(vector, embedding.features["image"][0, :, 2, 3])
