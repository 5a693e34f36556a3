"""SAM in the layout of Hugging Face's transformers: other key names, and a config of its own.

The names are translated both ways; the architecture numbers are read from the config, so that
sizes nobody published load, too. SAM-HQ is a SAM there with some more keys; it is only read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from anymask.errors import WeightsError
from anymask.models.build import build_empty
from anymask.models.config import DecoderConfig, SamConfig, SamHqConfig, VitConfig
from anymask.models.variants import VARIANTS, Preprocessing, Variant, WeightSource, find
from anymask.models.weights.files import State
from anymask.models.weights.numbers import Numbers, read_colour

__all__ = [
    "describes_sam",
    "make_config",
    "make_preprocessor_config",
    "read_variant",
    "row_of",
    "to_original",
    "to_transformers",
]

_CODE = "shared_image_embedding.positional_embedding"
_SECOND_CODE = "prompt_encoder.shared_embedding.positional_embedding"

_HQ = "sam_hq"  # as configs call it
_PARTS = ("vision_config", "prompt_encoder_config", "mask_decoder_config")

# Beginnings of keys, theirs and ours; # is a number. The first that fits is taken.
_NAMES = [
    (_CODE, "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    ("vision_encoder.patch_embed.projection.", "image_encoder.patch_embed.proj."),
    ("vision_encoder.layers.#.layer_norm#.", "image_encoder.blocks.#.norm#."),
    ("vision_encoder.layers.#.", "image_encoder.blocks.#."),
    ("vision_encoder.neck.conv1.", "image_encoder.neck.0."),
    ("vision_encoder.neck.layer_norm1.", "image_encoder.neck.1."),
    ("vision_encoder.neck.conv2.", "image_encoder.neck.2."),
    ("vision_encoder.neck.layer_norm2.", "image_encoder.neck.3."),
    ("vision_encoder.", "image_encoder."),
    ("prompt_encoder.mask_embed.conv1.", "prompt_encoder.mask_downscaling.0."),
    ("prompt_encoder.mask_embed.layer_norm1.", "prompt_encoder.mask_downscaling.1."),
    ("prompt_encoder.mask_embed.conv2.", "prompt_encoder.mask_downscaling.3."),
    ("prompt_encoder.mask_embed.layer_norm2.", "prompt_encoder.mask_downscaling.4."),
    ("prompt_encoder.mask_embed.conv3.", "prompt_encoder.mask_downscaling.6."),
    ("prompt_encoder.point_embed.", "prompt_encoder.point_embeddings."),
    ("mask_decoder.transformer.layers.#.layer_norm#.", "mask_decoder.transformer.layers.#.norm#."),
    ("mask_decoder.transformer.layer_norm_final", "mask_decoder.transformer.norm_final"),
    ("mask_decoder.upscale_conv1.", "mask_decoder.output_upscaling.0."),
    ("mask_decoder.upscale_layer_norm.", "mask_decoder.output_upscaling.1."),
    ("mask_decoder.upscale_conv2.", "mask_decoder.output_upscaling.3."),
    *(
        (f"mask_decoder.{head}.{theirs}.", f"mask_decoder.{head}.layers.{ours}.")
        for head in ("output_hypernetworks_mlps.#", "iou_prediction_head")
        for ours, theirs in enumerate(("proj_in", "layers.0", "proj_out"))
    ),
    ("mask_decoder.hq_token.", "mask_decoder.hf_token."),
    *(
        (f"mask_decoder.hq_mask_mlp.{theirs}.", f"mask_decoder.hf_mlp.layers.{ours}.")
        for ours, theirs in enumerate(("proj_in", "layers.0", "proj_out"))
    ),
    *(
        (f"mask_decoder.{theirs}_{layer}.", f"mask_decoder.{ours}.{place}.")
        for theirs, ours in (
            ("compress_vit", "compress_vit_feat"),
            ("encoder", "embedding_encoder"),
            ("mask", "embedding_maskfeature"),
        )
        for place, layer in ((0, "conv1"), (1, "norm"), (3, "conv2"))
    ),
]


def to_original(state: State) -> State:
    """Give tensors the keys of the original files.

    The position code lies in their files once or twice; it is the same.
    """
    once = {_CODE if key == _SECOND_CODE else key: value for key, value in state.items()}
    return {_rename(key, _NAMES): value for key, value in once.items()}


def to_transformers(state: State) -> State:
    """Give tensors the keys of transformers."""
    pairs = [(ours, theirs) for theirs, ours in _NAMES]
    return {_rename(key, pairs): value for key, value in state.items()}


def _rename(key: str, pairs: list[tuple[str, str]]) -> str:
    for old, new in pairs:
        match = re.match(re.escape(old).replace(r"\#", r"(\d+)"), key)
        if match:
            for number in match.groups():
                new = new.replace("#", number, 1)
            return new + key[match.end() :]
    return key


def describes_sam(config: Mapping[str, Any]) -> bool:
    """Return whether a config is that of a SAM or SAM-HQ in transformers."""
    named = config.get("architectures") or ()
    return config.get("model_type") in ("sam", _HQ) or "SamModel" in named


def read_variant(
    config: Mapping[str, Any], preprocessor: Mapping[str, Any], origin: str
) -> Variant:
    """Make a row like those of the table from what lies beside the weights.

    Args:
        config: ``config.json``; what it leaves out is as in SAM-B.
        preprocessor: ``preprocessor_config.json``, may be empty.
        origin: Where they come from, for messages.

    Raises:
        WeightsError: A number is none, or the network is one that anymask cannot build.
    """
    parts = {part: config.get(part) or {} for part in _PARTS}
    for part, value in parts.items():
        if not isinstance(value, Mapping):
            raise WeightsError(
                f"expected {part} as an object in the config of {origin}, got {value!r:.60}; "
                f"correct it"
            )
    vision, prompt, decoder = (Numbers(parts[part], part, origin) for part in _PARTS)
    width = vision("hidden_size", 768)
    mlp = vision("mlp_dim", 4 * width)
    plain = SamConfig(
        VitConfig(
            width=width,
            depth=vision("num_hidden_layers", 12),
            heads=vision("num_attention_heads", 12),
            global_blocks=vision.several("global_attn_indexes", (2, 5, 8, 11)),
            side=vision("image_size", 1024),
            patch=vision("patch_size", 16),
            window=vision("window_size", 14),
            mlp=None if mlp == 4 * width else mlp,
        ),
        DecoderConfig(
            width=decoder("hidden_size", 256),
            depth=decoder("num_hidden_layers", 2),
            heads=decoder("num_attention_heads", 8),
            mlp=decoder("mlp_dim", 2048),
        ),
        mask_channels=prompt("mask_input_channels", 16),
    )
    network = _with_early(plain, vision) if config.get("model_type") == _HQ else plain
    _check_rest(network, parts, origin)
    row = row_of(network)
    look = _read_preprocessing(row.preprocessing, network.encoder.side, preprocessor, origin)
    return replace(row, preprocessing=look)


def _with_early(plain: SamConfig, vision: Numbers) -> SamHqConfig:
    """Make of the numbers of a SAM those of a SAM-HQ, which reads its first global block, too."""
    encoder = plain.encoder
    assert isinstance(encoder, VitConfig)
    if not encoder.global_blocks:
        raise vision.fault("global_attn_indexes", "blocks, one of which SAM-HQ reads", [])
    early = min(encoder.global_blocks)
    return SamHqConfig(encoder, early, plain.decoder, mask_channels=plain.mask_channels)


def row_of(network: SamConfig | SamHqConfig) -> Variant:
    """Find the row of the table for a size of SAM, or make one for a size that is not there."""
    known = next((variant for variant in VARIANTS if variant.network == network), None)
    if known is not None:
        return known
    kind, called = ("sam-hq", "SAM-HQ") if isinstance(network, SamHqConfig) else ("sam", "SAM")
    row = replace(find(f"{kind}-vit-b"), name=f"{kind}-custom", network=network, aliases=())
    return replace(
        row,
        preprocessing=replace(row.preprocessing, side=network.encoder.side),
        summary=f"a {called} of a size of its own",
        parameters=sum(p.numel() for p in build_empty(row).parameters()),
        weights=WeightSource("model.safetensors", licence="unknown"),
        paper=None,
    )


def make_config(network: SamConfig) -> dict[str, Any]:
    """Describe a SAM as transformers does."""
    encoder, decoder = network.encoder, network.decoder
    if not isinstance(encoder, VitConfig):
        raise WeightsError(
            f"expected a SAM with its own image encoder for the layout of transformers, got one "
            f"with {type(encoder).__name__}; convert it to anymask's layout"
        )
    numbers: dict[str, dict[str, Any]] = {
        "vision_config": {
            "hidden_size": encoder.width,
            "mlp_dim": encoder.mlp or 4 * encoder.width,
            "num_hidden_layers": encoder.depth,
            "num_attention_heads": encoder.heads,
            "global_attn_indexes": list(encoder.global_blocks),
            "window_size": encoder.window,
            "image_size": encoder.side,
            "num_pos_feats": decoder.width // 2,
        },
        "prompt_encoder_config": {"mask_input_channels": network.mask_channels},
        "mask_decoder_config": {
            "num_hidden_layers": decoder.depth,
            "num_attention_heads": decoder.heads,
            "mlp_dim": decoder.mlp,
        },
    }
    rest = _rest(network)
    config = {part: numbers[part] | rest[part] for part in _PARTS}
    return {"model_type": "sam", "architectures": ["SamModel"], **config}


def make_preprocessor_config(preprocessing: Preprocessing) -> dict[str, Any]:
    """Describe what happens to an image as transformers does."""
    side = preprocessing.side
    return {
        "image_processor_type": "SamImageProcessor",
        "processor_class": "SamProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"longest_edge": side},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [value / 255 for value in preprocessing.mean],
        "image_std": [value / 255 for value in preprocessing.std],
        "do_pad": True,
        "pad_size": {"height": side, "width": side},
        "mask_size": {"longest_edge": side // 4},
        "mask_pad_size": {"height": side // 4, "width": side // 4},
    }


def _rest(network: SamConfig | SamHqConfig) -> dict[str, dict[str, Any]]:
    """Give the facts that follow from the numbers, or are the same in every SAM."""
    encoder, decoder = network.encoder, network.decoder
    assert isinstance(encoder, VitConfig)
    more = {"vit_dim": encoder.width} if isinstance(network, SamHqConfig) else {}
    return {
        "vision_config": {
            "num_channels": 3,
            "patch_size": encoder.patch,
            "output_channels": decoder.width,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-6,
            "qkv_bias": True,
            "use_abs_pos": True,
            "use_rel_pos": True,
        },
        "prompt_encoder_config": {
            "hidden_size": decoder.width,
            "image_size": encoder.side,
            "patch_size": encoder.patch,
            "num_point_embeddings": 4,
            "hidden_act": "gelu",
        },
        "mask_decoder_config": {
            "hidden_size": decoder.width,
            "hidden_act": "relu",
            "attention_downsample_rate": 2,
            "num_multimask_outputs": 3,
            "iou_head_depth": 3,
            "iou_head_hidden_dim": decoder.width,
            **more,
        },
    }


def _check_rest(
    network: SamConfig | SamHqConfig, parts: Mapping[str, Mapping[str, Any]], origin: str
) -> None:
    for part, facts in _rest(network).items():
        for name, wanted in facts.items():
            got = parts[part].get(name)  # null stands for what is usual
            if got is not None and got != wanted:
                raise WeightsError(
                    f"expected {part}.{name} {wanted!r} in the config of {origin}, got {got!r}; "
                    f"anymask has no such SAM"
                )


def _read_preprocessing(
    usual: Preprocessing, side: int, config: Mapping[str, Any], origin: str
) -> Preprocessing:
    """Read how colours are normalised; the rest is the same for every SAM."""
    mean = read_colour(config, "image_mean", usual.mean, origin)
    std = read_colour(config, "image_std", usual.std, origin)
    return replace(usual, side=side, mean=mean, std=std)
