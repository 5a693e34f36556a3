"""SAM as transformers has it: key names, config, and the same answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.models.tiny import SIDE, prompts, tiny
from tests.models.weights.conftest import State, state_of

from anymask.errors import WeightsError
from anymask.models.config import SamConfig
from anymask.models.variants import VARIANTS, Variant, find
from anymask.models.weights import loading
from anymask.models.weights.folder import write_folder
from anymask.models.weights.loading import load_network
from anymask.models.weights.transformers_layout import (
    make_config,
    make_preprocessor_config,
    read_variant,
    to_original,
    to_transformers,
)

SMALL = tiny(find("sam-vit-b"))

# Theirs and ours, each kind of key once.
PAIRS = {
    "shared_image_embedding.positional_embedding": (
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    ),
    "vision_encoder.pos_embed": "image_encoder.pos_embed",
    "vision_encoder.patch_embed.projection.weight": "image_encoder.patch_embed.proj.weight",
    "vision_encoder.layers.11.layer_norm1.bias": "image_encoder.blocks.11.norm1.bias",
    "vision_encoder.layers.0.layer_norm2.weight": "image_encoder.blocks.0.norm2.weight",
    "vision_encoder.layers.0.attn.qkv.weight": "image_encoder.blocks.0.attn.qkv.weight",
    "vision_encoder.layers.0.attn.rel_pos_h": "image_encoder.blocks.0.attn.rel_pos_h",
    "vision_encoder.layers.0.mlp.lin1.weight": "image_encoder.blocks.0.mlp.lin1.weight",
    "vision_encoder.neck.conv1.weight": "image_encoder.neck.0.weight",
    "vision_encoder.neck.layer_norm1.bias": "image_encoder.neck.1.bias",
    "vision_encoder.neck.conv2.weight": "image_encoder.neck.2.weight",
    "vision_encoder.neck.layer_norm2.bias": "image_encoder.neck.3.bias",
    "prompt_encoder.mask_embed.conv1.weight": "prompt_encoder.mask_downscaling.0.weight",
    "prompt_encoder.mask_embed.layer_norm1.bias": "prompt_encoder.mask_downscaling.1.bias",
    "prompt_encoder.mask_embed.conv2.weight": "prompt_encoder.mask_downscaling.3.weight",
    "prompt_encoder.mask_embed.layer_norm2.bias": "prompt_encoder.mask_downscaling.4.bias",
    "prompt_encoder.mask_embed.conv3.weight": "prompt_encoder.mask_downscaling.6.weight",
    "prompt_encoder.no_mask_embed.weight": "prompt_encoder.no_mask_embed.weight",
    "prompt_encoder.not_a_point_embed.weight": "prompt_encoder.not_a_point_embed.weight",
    "prompt_encoder.point_embed.3.weight": "prompt_encoder.point_embeddings.3.weight",
    "mask_decoder.iou_token.weight": "mask_decoder.iou_token.weight",
    "mask_decoder.transformer.layers.1.self_attn.q_proj.weight": (
        "mask_decoder.transformer.layers.1.self_attn.q_proj.weight"
    ),
    "mask_decoder.transformer.layers.1.layer_norm4.bias": (
        "mask_decoder.transformer.layers.1.norm4.bias"
    ),
    "mask_decoder.transformer.layers.0.mlp.lin2.bias": (
        "mask_decoder.transformer.layers.0.mlp.lin2.bias"
    ),
    "mask_decoder.transformer.layer_norm_final_attn.weight": (
        "mask_decoder.transformer.norm_final_attn.weight"
    ),
    "mask_decoder.upscale_conv1.weight": "mask_decoder.output_upscaling.0.weight",
    "mask_decoder.upscale_layer_norm.bias": "mask_decoder.output_upscaling.1.bias",
    "mask_decoder.upscale_conv2.weight": "mask_decoder.output_upscaling.3.weight",
    "mask_decoder.output_hypernetworks_mlps.2.proj_in.weight": (
        "mask_decoder.output_hypernetworks_mlps.2.layers.0.weight"
    ),
    "mask_decoder.output_hypernetworks_mlps.2.layers.0.bias": (
        "mask_decoder.output_hypernetworks_mlps.2.layers.1.bias"
    ),
    "mask_decoder.output_hypernetworks_mlps.2.proj_out.weight": (
        "mask_decoder.output_hypernetworks_mlps.2.layers.2.weight"
    ),
    "mask_decoder.iou_prediction_head.proj_in.bias": (
        "mask_decoder.iou_prediction_head.layers.0.bias"
    ),
    "mask_decoder.iou_prediction_head.layers.0.bias": (
        "mask_decoder.iou_prediction_head.layers.1.bias"
    ),
    "mask_decoder.iou_prediction_head.proj_out.bias": (
        "mask_decoder.iou_prediction_head.layers.2.bias"
    ),
}


@pytest.mark.parametrize("theirs", PAIRS)
def test_a_key_has_two_names(theirs: str) -> None:
    value = torch.zeros(1)
    assert to_original({theirs: value}) == {PAIRS[theirs]: value}
    assert to_transformers({PAIRS[theirs]: value}) == {theirs: value}


@pytest.mark.parametrize("name", ["sam-vit-b", "sam-vit-l", "sam-vit-h"])
def test_no_key_is_lost_on_the_way_and_back(name: str) -> None:
    keys = {key: torch.empty(0) for key, _ in loading._layout(find(name))}
    theirs = to_transformers(keys)
    assert len(theirs) == len(keys)
    assert to_original(theirs).keys() == keys.keys()


def test_the_position_code_may_lie_in_the_file_twice() -> None:
    code = torch.ones(2, 4)
    twice = {
        "shared_image_embedding.positional_embedding": code,
        "prompt_encoder.shared_embedding.positional_embedding": code,
    }
    assert to_original(twice) == {
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": code
    }


# ---- configs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variant", [v for v in VARIANTS if v.family == "sam"], ids=lambda v: v.name
)
def test_a_published_size_is_that_row_of_the_table(variant: Variant) -> None:
    assert isinstance(variant.network, SamConfig)
    config = json.loads(json.dumps(make_config(variant.network)))
    preprocessor = json.loads(json.dumps(make_preprocessor_config(variant.preprocessing)))
    assert read_variant(config, preprocessor, "x") == variant


BASE = {"hidden_size": 768, "num_hidden_layers": 12, "mlp_dim": 3072, "output_channels": 256}

CONFIGS: dict[str, dict[str, Any]] = {
    "nothing but the type": {"model_type": "sam"},
    "architectures": {"architectures": ["SamModel"], "vision_config": BASE},
    "nulls": {"model_type": "sam", "vision_config": None, "mask_decoder_config": {"mlp_dim": 2048}},
    "flat": {"model_type": "sam", **BASE},
    "no mlp_dim": {"model_type": "sam", "vision_config": {"mlp_ratio": 4.0, "mlp_dim": None}},
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_what_a_config_leaves_out_is_as_in_sam_b(kind: str) -> None:
    assert read_variant(CONFIGS[kind], {}, "x") == find("sam-vit-b")


def test_colours_are_read() -> None:
    colours = {"image_mean": [0.5, 0.25, 0], "image_std": [0.5, 0.5, 1]}
    look = read_variant({}, colours, "x").preprocessing
    assert look.mean == (127.5, 63.75, 0.0)
    assert look.std == (127.5, 127.5, 255.0)


BAD_CONFIGS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "width": (
        {"vision_config": {"hidden_size": "768"}},
        {},
        r"vision_config\.hidden_size as a pos",
    ),
    "depth": ({"vision_config": {"num_hidden_layers": -1}}, {}, "positive number .* got -1"),
    "huge": ({"vision_config": {"num_hidden_layers": 10**9}}, {}, "positive number"),
    "blocks": ({"vision_config": {"global_attn_indexes": "2,5"}}, {}, "a list of numbers"),
    "activation": ({"vision_config": {"hidden_act": "relu"}}, {}, r"'gelu' in .* got 'relu'; any"),
    "channels": ({"prompt_encoder_config": {"hidden_size": 128}}, {}, "hidden_size 256 in"),
    "no bias": ({"vision_config": {"qkv_bias": False}}, {}, "qkv_bias True"),
    "more masks": ({"mask_decoder_config": {"num_multimask_outputs": 4}}, {}, "num_multimask"),
    "part": ({"vision_config": [1]}, {}, "vision_config"),
    "mean": ({}, {"image_mean": [1.0]}, "image_mean as three numbers"),
    "std": ({}, {"image_std": "abc"}, "image_std as three numbers"),
    "std of zero": ({}, {"image_std": [0.5, 0.0, 0.5]}, "above 0 if they are to divide by"),
}


@pytest.mark.parametrize("kind", BAD_CONFIGS)
def test_a_config_that_cannot_be_built(kind: str) -> None:
    config, preprocessor, words = BAD_CONFIGS[kind]
    with pytest.raises(WeightsError, match=words):
        read_variant(config, preprocessor, "'folder'")


# ---- loading --------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, State]:
    state = state_of(SMALL)
    write_folder(tmp_path / "theirs", SMALL, state, layout="transformers")
    return tmp_path / "theirs", state


def test_a_size_that_nobody_published_loads(folder: tuple[Path, State]) -> None:
    path, state = folder
    network, variant, _ = load_network(path)
    assert variant.network == SMALL.network
    assert variant.preprocessing == SMALL.preprocessing
    assert variant.name == "sam-custom"
    assert variant.parameters == sum(p.numel() for p in network.parameters())
    torch.testing.assert_close(dict(network.state_dict()), state, rtol=0, atol=0)


def test_a_bare_file_with_their_keys_is_recognised(
    known: tuple[Variant, ...], tmp_path: Path
) -> None:
    state = state_of(known[1])
    save_file(to_transformers(state), tmp_path / "model.safetensors")
    network, variant, _ = load_network(tmp_path / "model.safetensors")
    assert variant is known[1]
    torch.testing.assert_close(dict(network.state_dict()), state, rtol=0, atol=0)


def test_what_is_missing_is_listed_by_our_names(folder: tuple[Path, State]) -> None:
    path, _ = folder
    state = load_file(path / "model.safetensors")
    del state["vision_encoder.neck.conv1.weight"]
    save_file(state, path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"1 missing \(image_encoder\.neck\.0\.weight\)"):
        load_network(path)


# ---- the same answers -----------------------------------------------------------------------


def config(**decoder_more: int) -> dict[str, Any]:
    """The numbers of a tiny SAM, as transformers has them."""
    encoder, decoder = SMALL.network.encoder, SMALL.network.decoder
    return {
        "vision_config": {
            "hidden_size": encoder.width,
            "num_hidden_layers": encoder.depth,
            "num_attention_heads": encoder.heads,
            "global_attn_indexes": list(encoder.global_blocks),
            "image_size": SIDE,
            "window_size": encoder.window,
            "mlp_dim": 4 * encoder.width,
            "output_channels": decoder.width,
            "num_pos_feats": decoder.width // 2,
        },
        "prompt_encoder_config": {"hidden_size": decoder.width, "image_size": SIDE},
        "mask_decoder_config": {
            "hidden_size": decoder.width,
            "mlp_dim": decoder.mlp,
            "num_attention_heads": decoder.heads,
            "iou_head_hidden_dim": decoder.width,
            **decoder_more,
        },
    }


def disturb(model: Any, seed: int = 0) -> None:
    """Give all weights values that matter."""
    rng = torch.Generator().manual_seed(seed)
    for name, value in sorted(model.state_dict().items()):
        if "shared_embedding" not in name:  # the same tensor once more
            is_scale = "norm" in name and name.endswith("weight")
            noise = torch.randn(value.shape, generator=rng)
            value.copy_(1 + 0.1 * noise if is_scale else 0.3 * noise)


def as_published(model: Any) -> Any:
    """Let a SamHQModel enlarge what comes out of its transformer, as SAM-HQ does.

    Theirs, in 5.23, enlarges what goes in.
    """
    out: list[torch.Tensor] = []
    decoder = model.mask_decoder
    decoder.transformer.register_forward_hook(lambda _, args, told: out.append(told[1]))
    decoder.upscale_conv1.register_forward_pre_hook(
        lambda _, args: out[-1].flatten(0, 1).mT.reshape(args[0].shape)
    )
    return model


@pytest.fixture
def theirs(tmp_path: Path) -> Any:
    """A tiny SamModel of transformers, with weights that matter, and the folder it saved."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    model = transformers.SamModel(transformers.SamConfig(**config())).eval()
    disturb(model)
    model.save_pretrained(tmp_path / "saved")
    return model, tmp_path / "saved"


@pytest.fixture
def theirs_hq(tmp_path: Path) -> Any:
    """The same of SAM-HQ."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    numbers = config(vit_dim=SMALL.network.encoder.width)
    model = transformers.SamHQModel(transformers.SamHQConfig(**numbers)).eval()
    disturb(as_published(model))
    model.save_pretrained(tmp_path / "saved")
    return model, tmp_path / "saved"


@pytest.mark.parametrize("alone", [False, True])
@torch.inference_mode()
def test_a_sam_hq_that_transformers_saved_gives_its_answers(theirs_hq: Any, alone: bool) -> None:
    model, path = theirs_hq
    network, variant, _ = load_network(path)
    assert variant.name == "sam-hq-custom"
    assert variant.parameters == sum(value.numel() for value in network.parameters())
    network.alone = alone
    pixels = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    features = network.encode(pixels, (SIDE, SIDE))
    _, maps = model.get_image_embeddings(pixels)
    mask = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(2)) * 4
    for batch in (prompts(5, 2), prompts(3, 1), replace(prompts(1, 2), mask_logits=mask)):
        for multimask in (True, False):
            logits, iou = network.decode(features, batch, multimask)
            wanted = model(
                pixel_values=pixels,
                input_points=batch.points_xy[None],
                input_labels=batch.labels[None],
                input_masks=batch.mask_logits,
                multimask_output=multimask,
                hq_token_only=alone,
                intermediate_embeddings=maps,
            )
            best = iou.argmax(1)[:, None]  # theirs is the first, for they are sorted
            chosen = logits.take_along_dim(best[..., None, None], 1)[:, 0]
            torch.testing.assert_close(chosen, wanted.pred_masks[0, :, 0], rtol=1e-4, atol=2e-4)
            found = iou.take_along_dim(best, 1)[:, 0]
            torch.testing.assert_close(found, wanted.iou_scores[0, :, 0], rtol=1e-4, atol=1e-4)


def test_a_sam_hq_with_nothing_to_read_early_is_refused(theirs_hq: Any) -> None:
    _, path = theirs_hq
    about = json.loads((path / "config.json").read_text())
    about["vision_config"]["global_attn_indexes"] = []
    (path / "config.json").write_text(json.dumps(about))
    with pytest.raises(WeightsError, match="global_attn_indexes as blocks, one of which SAM-HQ"):
        load_network(path)


def test_a_model_that_transformers_saved_gives_its_answers(
    theirs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = theirs
    network, _, _ = load_network(path)
    pixels = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    batch = prompts(5, 2)
    with torch.inference_mode():
        features = network.encode(pixels, (SIDE, SIDE))
        embedding = model.get_image_embeddings(pixels)
        torch.testing.assert_close(features["image"], embedding, rtol=1e-4, atol=1e-4)
        for multimask in (True, False):
            logits, iou = network.decode(features, batch, multimask)
            wanted = model(
                image_embeddings=embedding,
                input_points=batch.points_xy[None],
                input_labels=batch.labels[None],
                multimask_output=multimask,
            )
            torch.testing.assert_close(logits, wanted.pred_masks[0], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(iou, wanted.iou_scores[0], rtol=1e-4, atol=1e-4)


def test_transformers_loads_what_was_written(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    write_folder(tmp_path / "ours", SMALL, state_of(SMALL), layout="transformers")
    model = transformers.SamModel.from_pretrained(tmp_path / "ours").eval()
    network, _, _ = load_network(tmp_path / "ours")
    pixels = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        ours = network.encode(pixels, (SIDE, SIDE))["image"]
        torch.testing.assert_close(ours, model.get_image_embeddings(pixels), rtol=1e-4, atol=1e-4)


def test_only_sam_has_this_layout(tmp_path: Path) -> None:
    compact = tiny(find("bundled"))
    with pytest.raises(WeightsError, match="expected a SAM for the layout of transformers"):
        write_folder(tmp_path / "a", compact, state_of(compact), layout="transformers")
    assert not (tmp_path / "a").exists()
