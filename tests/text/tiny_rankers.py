"""CLIP and SigLIP of a few thousand random weights, with all the files that real ones have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

__all__ = ["FAMILIES", "save_ranker"]

FAMILIES = ("clip", "siglip", "siglip2")

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_BLOCKS = {
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "hidden_size": 16,
}


def save_ranker(family: str, folder: Path) -> Path:
    """Save one that spells every word, letter by letter; SigLIP 2 is NaFlex."""
    import transformers

    torch.manual_seed(0)
    if family == "clip":
        _save_clip(transformers, folder)
    else:
        _save_siglip(transformers, folder, naflex=family == "siglip2")
    return folder


def _save_clip(transformers: Any, folder: Path) -> None:
    words = ["<|startoftext|>", "<|endoftext|>", *_LETTERS, *(f"{one}</w>" for one in _LETTERS)]
    tokenizer = transformers.CLIPTokenizer(vocab={w: i for i, w in enumerate(words)}, merges=[])
    tokenizer.save_pretrained(folder)
    text = {"vocab_size": len(words), "bos_token_id": 0, "eos_token_id": 1, **_BLOCKS}
    vision = {"image_size": 16, "patch_size": 8, **_BLOCKS}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    transformers.CLIPModel(config).save_pretrained(folder)
    side = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    transformers.CLIPImageProcessorPil(**side).save_pretrained(folder)


def _save_siglip(transformers: Any, folder: Path, naflex: bool) -> None:
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "\N{LOWER ONE EIGHTH BLOCK}", "."]
    vocab = {token: i for i, token in enumerate([*tokens, *_LETTERS])}
    tokenizer = transformers.Siglip2Tokenizer(vocab=vocab, merges=[], model_max_length=64)
    tokenizer.save_pretrained(folder)
    ends = {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
    text = {"vocab_size": len(vocab), "max_position_embeddings": 64, **ends, **_BLOCKS}
    text["projection_size"] = 16
    if naflex:
        vision = {"num_patches": 16, "patch_size": 8, **_BLOCKS}
        config = transformers.Siglip2Config(text_config=text, vision_config=vision)
        network = transformers.Siglip2Model(config)
        processor = transformers.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    else:
        vision = {"image_size": 16, "patch_size": 8, **_BLOCKS}
        config = transformers.SiglipConfig(text_config=text, vision_config=vision)
        network = transformers.SiglipModel(config)
        processor = transformers.SiglipImageProcessorPil(size={"height": 16, "width": 16})
    with torch.no_grad():  # as they are after training, not before
        network.logit_scale.fill_(4.7)
        network.logit_bias.fill_(-12.0)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
