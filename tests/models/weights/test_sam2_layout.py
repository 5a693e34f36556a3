"""SAM 2's files: told apart by their keys, with and without a memory, in two layouts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.models.tiny import SIDE, prompts, tiny
from tests.models.weights.conftest import State, state_of

from anymask.errors import WeightsError
from anymask.models import variants
from anymask.models.variants import Variant, find
from anymask.models.weights import loading, sam2_layout
from anymask.models.weights.loading import load_network
from anymask.models.weights.sam2_layout import read_variant, to_original

ADDED = ("no_obj_embed_spatial", "obj_ptr_tpos_proj.weight", "obj_ptr_tpos_proj.bias")


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> tuple[Variant, Variant]:
    """A table of SAM 2.1 and SAM 2, both tiny, beside a SAM."""
    table = tuple(tiny(find(name)) for name in ("sam2.1-tiny", "sam2-tiny", "sam-vit-b"))
    for module in (variants, loading, sam2_layout):
        monkeypatch.setattr(module, "VARIANTS", table)
    return table[0], table[1]


def saved(state: State, path: Path) -> Path:
    torch.save({"model": state}, path)
    return path


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("prefix", ["", "module.", "model.sam2."])
def test_versions_are_told_by_their_keys(
    both: tuple[Variant, ...], row: int, prefix: str, tmp_path: Path
) -> None:
    state = {f"{prefix}{key}": value for key, value in state_of(both[row]).items()}
    path = saved(state, tmp_path / "sam2.1_hiera_tiny.pt")  # the name says nothing
    network, variant, _ = load_network(path)
    assert variant is both[row]
    found = network.state_dict()
    assert set(ADDED) <= found.keys() if row == 0 else not set(ADDED) & found.keys()
    for key, value in found.items():
        assert (value == state[prefix + key]).all()


@pytest.mark.parametrize(("named", "is_"), [(0, 1), (1, 0)])
def test_the_other_version_under_a_name_is_said(
    both: tuple[Variant, ...], named: int, is_: int, cache: Path
) -> None:
    cache.mkdir()
    saved(state_of(both[is_]), cache / both[named].weights.file)
    wanted = rf"weights of {both[named].name}, got those of {both[is_].name} in .*; load them by"
    with pytest.raises(WeightsError, match=wanted):
        load_network(both[named].name)


@pytest.mark.parametrize("key", [*ADDED, "no_mem_embed", "memory_attention.norm.bias"])
def test_a_missing_key_is_named(both: tuple[Variant, ...], key: str, tmp_path: Path) -> None:
    state = state_of(both[0])
    del state[key]
    with pytest.raises(WeightsError, match=rf"keys of sam2.1-tiny, got 1 missing \({key}\)"):
        load_network(saved(state, tmp_path / "file.pt"))


def test_without_a_memory_it_takes_images_only(both: tuple[Variant, ...], tmp_path: Path) -> None:
    parts = ("memory_", "maskmem", "no_mem_pos", "no_obj", "obj_ptr", "mask_downsample")
    state = {key: v for key, v in state_of(both[0]).items() if not key.startswith(parts)}
    network, variant, _ = load_network(saved(state, tmp_path / "file.pt"))
    assert variant.name == "sam2.1-tiny" and not variant.remembers
    assert variant.parameters == sum(p.numel() for p in network.parameters())
    assert both[0].remembers and variant.summary.endswith("without its memory")


# ---- the layout of transformers -------------------------------------------------------------


def config() -> dict[str, Any]:
    backbone = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8,
        "blocks_per_stage": [1, 2, 2, 1], "global_attention_blocks": [4],
        "embed_dim_per_stage": [8, 16, 32, 64], "num_attention_heads_per_stage": [1, 2, 4, 8],
        "window_size_per_stage": [8, 4, 6, 3], "image_size": [SIDE, SIDE],
        "window_positional_embedding_background_size": [3, 3],
    }  # fmt: skip
    vision = {
        "backbone_config": backbone, "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": 32,
    }  # fmt: skip
    decoder = {
        "hidden_size": 32,
        "mlp_dim": 64,
        "num_attention_heads": 4,
        "iou_head_hidden_dim": 32,
    }
    return {
        "vision_config": vision,
        "prompt_encoder_config": {"hidden_size": 32, "image_size": SIDE},
        "mask_decoder_config": decoder,
        "image_size": SIDE,
        "memory_attention_hidden_size": 32, "memory_attention_num_layers": 2,
        "memory_attention_feed_forward_hidden_size": 48, "memory_encoder_hidden_size": 32,
        "memory_encoder_output_channels": 64, "mask_downsampler_embed_dim": 32,
        "memory_fuser_embed_dim": 32, "memory_fuser_intermediate_dim": 128,
        "memory_attention_rope_feat_sizes": [4, 4],
    }  # fmt: skip


@pytest.fixture(scope="module")
def theirs() -> Any:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(0)
    model = transformers.Sam2VideoModel(transformers.Sam2VideoConfig(**config())).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    code = model.shared_image_embedding.positional_embedding  # twice the same, as in their files
    model.prompt_encoder.shared_embedding.positional_embedding.data.copy_(code)
    return model


@pytest.mark.parametrize("flag", [True, False])
def test_a_folder_of_transformers_loads(theirs: Any, tmp_path: Path, flag: bool) -> None:
    import transformers

    flags = ("enable_occlusion_spatial_embedding",
             "enable_temporal_pos_encoding_for_object_pointers")  # fmt: skip
    made = transformers.Sam2VideoConfig(**config(), **dict.fromkeys(flags, flag))
    transformers.Sam2VideoModel(made).save_pretrained(tmp_path)
    network, variant, _ = load_network(tmp_path)
    assert variant.name == "sam2-custom" and variant.remembers
    memory, usual = variant.network.memory, tiny(find("sam2.1-tiny")).network
    assert variant.network.encoder == usual.encoder
    assert (memory == replace(usual.memory, width=64)) == flag
    assert memory.occlusion_vector == memory.pointer_times == memory.signed_times == flag
    assert ("no_obj_embed_spatial" in network.state_dict()) == flag


@torch.inference_mode()
def test_images_get_transformers_own_answers(theirs: Any, tmp_path: Path) -> None:
    import transformers

    model = transformers.Sam2Model(transformers.Sam2Config(**config())).eval()
    missing, _ = model.load_state_dict(theirs.state_dict(), strict=False)
    assert not missing
    model.save_pretrained(tmp_path)
    network, variant, _ = load_network(tmp_path)
    assert not variant.remembers
    pixels = torch.randn(1, 3, SIDE, SIDE)
    features, asked = network.encode(pixels, (SIDE, SIDE)), prompts(3, 2)
    for multimask in (True, False):
        logits, iou = network.decode(features, asked, multimask)
        wanted = model(
            pixel_values=pixels,
            input_points=asked.points_xy[None],
            input_labels=asked.labels[None],
            multimask_output=multimask,
        )
        torch.testing.assert_close(logits, wanted.pred_masks[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(iou, wanted.iou_scores[0], rtol=1e-4, atol=1e-4)


def test_every_key_of_a_bare_file_has_a_name(theirs: Any, tmp_path: Path) -> None:
    state = {f"model.{key}": value.clone() for key, value in theirs.state_dict().items()}
    renamed = to_original({key.removeprefix("model."): value for key, value in state.items()})
    assert renamed.keys() == state_of(tiny(find("sam2.1-tiny"))).keys()
    code = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    assert f"sam_{code}" in renamed
    points = state["model.prompt_encoder.point_embed.weight"]
    assert (renamed["sam_prompt_encoder.point_embeddings.2.weight"] == points[2:3]).all()
    save_file(state, tmp_path / "model.safetensors")
    assert loading.in_original_layout(state).keys() == renamed.keys()


@pytest.mark.parametrize(
    ("part", "key", "value", "said"),
    [
        ("backbone_config", "blocks_per_stage", [1, 2], "four positive numbers .* got \\[1, 2\\]"),
        ("backbone_config", "embed_dim_per_stage", [8, 8, 8, 8], "numbers that double"),
        ("backbone_config", "image_size", "1024", "a list of numbers"),
        ("backbone_config", "image_size", [], "twice the same positive number"),
        ("mask_decoder_config", "mlp_dim", -1, "a positive number .* got -1"),
        (None, "num_maskmem", 1.5, "config.num_maskmem as a positive number"),
        (None, "vision_config", 3, "vision_config as an object"),
    ],
)
def test_a_config_with_a_fault_is_refused(
    part: str | None, key: str, value: object, said: str
) -> None:
    whole = {**config(), "model_type": "sam2_video"}
    place = whole if part is None else whole["vision_config"]["backbone_config"]
    place = whole[part] if part == "mask_decoder_config" else place
    place[key] = value
    with pytest.raises(WeightsError, match=said):
        read_variant(whole, {}, "'folder'")
