"""SAM 2 in the layout of Hugging Face's transformers, and what weights say of themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from anymask.errors import WeightsError
from anymask.models.build import build_empty
from anymask.models.config import DecoderConfig, HieraConfig, MemoryConfig, Sam2Config
from anymask.models.variants import VARIANTS, Preprocessing, Variant, WeightSource, find
from anymask.models.weights.files import State
from anymask.models.weights.numbers import Numbers, read_colour

__all__ = [
    "check_version",
    "describes_sam2",
    "fit_memory",
    "is_sam2",
    "read_variant",
    "to_original",
]

_SECOND_CODE = "prompt_encoder.shared_embedding.positional_embedding"
_POINTS = "prompt_encoder.point_embed.weight"
_PARTS = ("vision_config", "prompt_encoder_config", "mask_decoder_config")

# Theirs and ours, as patterns: all that fit are applied, one after the other.
_NAMES = (
    (r"^shared_image_embedding\.positional_embedding$",
     "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    (r"^(prompt_encoder|mask_decoder)\.", r"sam_\1."),
    (r"^no_memory_embedding$", "no_mem_embed"),
    (r"^no_memory_positional_encoding$", "no_mem_pos_enc"),
    (r"^memory_temporal_positional_encoding$", "maskmem_tpos_enc"),
    (r"^no_object_pointer$", "no_obj_ptr"),
    (r"^occlusion_spatial_embedding_parameter$", "no_obj_embed_spatial"),
    (r"^temporal_positional_encoding_projection_layer\.", "obj_ptr_tpos_proj."),
    (r"^object_pointer_proj\.", "obj_ptr_proj."),
    (r"^vision_encoder\.backbone\.", "image_encoder.trunk."),
    (r"^vision_encoder\.neck\.convs\.(\d+)\.", r"image_encoder.neck.convs.\1.conv."),
    (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
    (r"\.mask_embed\.conv1\.", ".mask_downscaling.0."),
    (r"\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
    (r"\.mask_embed\.conv2\.", ".mask_downscaling.3."),
    (r"\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
    (r"\.mask_embed\.conv3\.", ".mask_downscaling.6."),
    (r"\.upscale_conv1\.", ".output_upscaling.0."),
    (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
    (r"\.upscale_conv2\.", ".output_upscaling.3."),
    (r"\.layer_norm_final_attn\.", ".norm_final_attn."),
    (r"\.o_proj\.", ".out_proj."),
    # Two linear layers, or three: what lies between them has the name that our last one has.
    (r"\.mlp\.proj_in\.", ".mlp.layers.0."),
    (r"\.mlp\.proj_out\.", ".mlp.layers.1."),
    (r"((?:_mlps\.\d+|_head|obj_ptr_proj)\.)layers\.0\.", r"\1layers.1."),
    (r"((?:_mlps\.\d+|_head|obj_ptr_proj)\.)proj_in\.", r"\1layers.0."),
    (r"((?:_mlps\.\d+|_head|obj_ptr_proj)\.)proj_out\.", r"\1layers.2."),
    (r"^memory_encoder\.mask_downsampler\.final_conv\.",
     "memory_encoder.mask_downsampler.encoder.12."),
    (r"^memory_encoder\.feature_projection\.", "memory_encoder.pix_feat_proj."),
    (r"^memory_encoder\.projection\.", "memory_encoder.out_proj."),
    (r"^memory_encoder\.memory_fuser\.", "memory_encoder.fuser."),
    (r"\.depthwise_conv\.", ".dwconv."),
    (r"\.pointwise_conv(\d)\.", r".pwconv\1."),
    (r"(\.fuser\.layers\.\d+)\.scale$", r"\1.gamma"),
    (r"\.layer_norm(\d?)\.", r".norm\1."),
)  # fmt: skip

_STEP = re.compile(r"^memory_encoder\.mask_downsampler\.layers\.(\d+)\.(conv|layer_norm)\.")


def is_sam2(state: Mapping[str, torch.Tensor]) -> bool:
    """Return whether weights in the layout of transformers, without a prefix, are of a SAM 2."""
    return any(key.startswith("vision_encoder.backbone.") for key in state)


def to_original(state: State) -> State:
    """Give tensors the keys of the original files.

    Position codes lie in their files once or twice, and the vectors of the four kinds of points in
    one tensor.
    """
    found = {_rename(key): value for key, value in state.items() if key != _SECOND_CODE}
    if _SECOND_CODE in state:
        found[_rename(_NAMES[0][0].replace("\\", "").strip("^$"))] = state[_SECOND_CODE]
    points = found.pop(_rename(_POINTS), None)
    if points is not None:
        for kind, vector in enumerate(points):
            found[f"sam_prompt_encoder.point_embeddings.{kind}.weight"] = vector[None]
    return found


def _rename(key: str) -> str:
    if step := _STEP.match(key):
        place = 3 * int(step[1]) + (step[2] == "layer_norm")
        return f"memory_encoder.mask_downsampler.encoder.{place}.{key[step.end() :]}"
    for theirs, ours in _NAMES:
        key = re.sub(theirs, ours, key)
    return key


def describes_sam2(config: Mapping[str, Any]) -> bool:
    """Return whether a config is that of a SAM 2 in transformers, for images or for clips."""
    return config.get("model_type") in ("sam2", "sam2_video")


def read_variant(
    config: Mapping[str, Any], preprocessor: Mapping[str, Any], origin: str
) -> Variant:
    """Make a row like those of the table from what lies beside the weights.

    Args:
        config: ``config.json``; what it leaves out is as in SAM 2.1-tiny.
        preprocessor: ``preprocessor_config.json``, may be empty.
        origin: Where they come from, for messages.

    Raises:
        WeightsError: A number is none, or the network is one that anymask cannot build.
    """
    parts = {part: config.get(part) or {} for part in _PARTS}
    vision = parts["vision_config"]
    parts["backbone_config"] = (
        vision.get("backbone_config") or {} if isinstance(vision, dict) else 0
    )
    for part, value in parts.items():
        if not isinstance(value, Mapping):
            raise WeightsError(
                f"expected {part} as an object in the config of {origin}, got {value!r:.60}; "
                f"correct it"
            )
    encoder = _read_encoder(Numbers(parts["backbone_config"], "backbone_config", origin))
    decoder = Numbers(parts["mask_decoder_config"], "mask_decoder_config", origin)
    prompt = Numbers(parts["prompt_encoder_config"], "prompt_encoder_config", origin)
    network = Sam2Config(
        encoder,
        DecoderConfig(
            width=decoder("hidden_size", 256),
            depth=decoder("num_hidden_layers", 2),
            heads=decoder("num_attention_heads", 8),
            mlp=decoder("mlp_dim", 2048),
        ),
        mask_channels=prompt("mask_input_channels", 16),
        memory=_read_memory(config, origin),
    )
    row = _row_of(network)
    usual = row.preprocessing
    mean, std = (
        read_colour(preprocessor, f"image_{name}", getattr(usual, name), origin)
        for name in ("mean", "std")
    )
    return replace(row, preprocessing=replace(usual, side=encoder.side, mean=mean, std=std))


def _read_encoder(backbone: Numbers) -> HieraConfig:
    usual = HieraConfig((1, 2, 7, 2), (5, 7, 9))
    widths = backbone.four("embed_dim_per_stage", (96, 192, 384, 768))
    heads = backbone.four("num_attention_heads_per_stage", (1, 2, 4, 8))
    for name, per_stage in (("embed_dim_per_stage", widths), ("heads", heads)):
        if per_stage != tuple(per_stage[0] << stage for stage in range(4)):
            raise backbone.fault(name, "numbers that double from stage to stage", per_stage)
    return HieraConfig(
        depths=backbone.four("blocks_per_stage", usual.depths),
        global_blocks=backbone.several("global_attention_blocks", usual.global_blocks),
        width=widths[0],
        heads=heads[0],
        windows=backbone.four("window_size_per_stage", usual.windows),
        trained_grid=backbone.square("window_positional_embedding_background_size", 7),
        side=backbone.square("image_size", 1024),
    )


def _read_memory(config: Mapping[str, Any], origin: str) -> MemoryConfig:
    """Read the memory's numbers; without any, as for images alone, they are those of 2.1."""
    whole = Numbers(config, "config", origin)
    times = bool(config.get("enable_temporal_pos_encoding_for_object_pointers", True))
    return MemoryConfig(
        width=whole("memory_encoder_output_channels", 64),
        frames=whole("num_maskmem", 7),
        pointers=whole("max_object_pointers_in_encoder", 16),
        depth=whole("memory_attention_num_layers", 4),
        mlp=whole("memory_attention_feed_forward_hidden_size", 2048),
        fuser_depth=whole("memory_fuser_num_layers", 2),
        occlusion_vector=bool(config.get("enable_occlusion_spatial_embedding", True)),
        pointer_times=times,
        pointer_projection=times,
        signed_times=times,
    )


def _row_of(network: Sam2Config) -> Variant:
    """Find the row of the table for a size of SAM 2, or make one for a size that is not there."""
    known = next((variant for variant in VARIANTS if variant.network == network), None)
    if known is not None:
        return known
    row = replace(find("sam2.1-tiny"), name="sam2-custom", network=network, aliases=())
    look: Preprocessing = replace(row.preprocessing, side=network.encoder.side)
    return replace(
        row,
        preprocessing=look,
        summary="a SAM 2 of a size of its own",
        parameters=sum(p.numel() for p in build_empty(row).parameters()),
        weights=WeightSource("model.safetensors", licence="unknown"),
        paper=None,
    )


def fit_memory(variant: Variant, state: Mapping[str, torch.Tensor]) -> Variant:
    """Fit a row to weights that have nothing of a memory: these take images only."""
    assert isinstance(variant.network, Sam2Config)
    if any("memory_attention." in key for key in state):
        return variant
    # Versions differ in their memory alone: without one, nobody can tell which it was.
    alike = (
        row
        for row in VARIANTS
        if isinstance(row.network, Sam2Config) and row.network.encoder == variant.network.encoder
    )
    row = next(alike, variant)
    assert isinstance(row.network, Sam2Config)
    network = replace(row.network, memory=None)
    count = sum(p.numel() for p in build_empty(replace(row, network=network)).parameters())
    return replace(
        row,
        network=network,
        parameters=count,
        preprocessing=variant.preprocessing,
        summary=f"{row.summary.partition(';')[0]}; without its memory",
    )


def check_version(wanted: Variant, found: Variant, origin: str) -> None:
    """Refuse weights of another row than the one that was named, where both are of SAM 2.

    Raises:
        WeightsError: They are of another one.
    """
    ours = isinstance(wanted.network, Sam2Config) and isinstance(found.network, Sam2Config)
    if ours and found.name != wanted.name:
        raise WeightsError(
            f"expected weights of {wanted.name}, got those of {found.name} in {origin!r}; load "
            f"them by their path, or move them away to get the right ones"
        )
