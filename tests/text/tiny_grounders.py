"""Folders of tiny open detectors with random weights, as ``save_pretrained`` writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anymask.image.image import Image

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ["dog", "house", "red", "car", "cat", "saint", "st", "bernard", "photo", "cafe", "##s"]
SIGNS = [*"0123456789", "[", "]", "-", "'", "!"]


def bert_vocabulary() -> dict[str, int]:
    """The special tokens where an uncased BERT has them; words, and letters that spell others."""
    vocabulary = {f"[unused{i}]": i for i in range(1, 1030)}
    special = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012}
    for token, number in {**special, "?": 1029}.items():
        vocabulary.pop(f"[unused{number}]", None)
        vocabulary[token] = number
    others = dict.fromkeys([*WORDS, *SIGNS, *LETTERS, *(f"##{letter}" for letter in LETTERS)])
    return vocabulary | {token: 1030 + i for i, token in enumerate(others)}


def make_grounding_dino(folder: Path, seed: int = 0) -> Path:
    """A GroundingDINO of half a million weights."""
    transformers = pytest.importorskip("transformers")
    vocabulary = bert_vocabulary()
    folder.mkdir(parents=True, exist_ok=True)
    lines = [token for token, _ in sorted(vocabulary.items(), key=lambda pair: pair[1])]
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n")
    tokenizer = transformers.BertTokenizer(vocab=vocabulary)
    backbone = transformers.SwinConfig(
        image_size=64,
        embed_dim=16,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_indices=[2, 3, 4],
    )
    text = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    config = transformers.GroundingDinoConfig(
        backbone_config=backbone,
        text_config=text,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=20,
        disable_custom_kernels=True,
    )
    torch.manual_seed(seed)
    network = transformers.GroundingDinoForObjectDetection(config)
    _stir(network)
    frames = transformers.GroundingDinoImageProcessorPil(
        size={"shortest_edge": 64, "longest_edge": 96}
    )
    network.save_pretrained(folder)
    transformers.GroundingDinoProcessor(frames, tokenizer).save_pretrained(folder)
    return folder


def make_owlv2(folder: Path, seed: int = 0) -> Path:
    """An OWLv2 of fifty thousand weights that spells every word."""
    transformers = pytest.importorskip("transformers")
    letters = [*LETTERS, *"0123456789.-[]<|>"]
    words = ["!", "!</w>", *letters, *(f"{one}</w>" for one in letters)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    tokenizer = transformers.CLIPTokenizer(
        vocab={word: i for i, word in enumerate(words)},
        merges=[],
        pad_token="!",
        model_max_length=16,
    )
    blocks = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ends = {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1, "pad_token_id": 0}
    text = {"vocab_size": len(words), "hidden_size": 32, "max_position_embeddings": 16}
    vision = {"image_size": 64, "patch_size": 16, "hidden_size": 32}
    config = transformers.Owlv2Config(
        text_config=text | blocks | ends, vision_config=vision | blocks, projection_dim=32
    )
    torch.manual_seed(seed)
    network = transformers.Owlv2ForObjectDetection(config)
    _stir(network)
    frames = transformers.Owlv2ImageProcessorPil(size={"height": 64, "width": 64})
    network.save_pretrained(folder)
    transformers.Owlv2Processor(frames, tokenizer).save_pretrained(folder)
    return folder


def _stir(network: Any) -> None:
    """Make the weights large enough for answers that differ, as those of a trained network do."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 1.5 / parameter[0].numel() ** 0.5)


def make_old(folder: Path) -> None:
    """Turn a folder into what transformers wrote before its version 5."""
    whole = json.loads((folder / "processor_config.json").read_text())
    (folder / "processor_config.json").unlink()
    settings = whole["image_processor"]
    settings["image_processor_type"] = settings["image_processor_type"].removesuffix("Pil")
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def image(h: int = 48, w: int = 70, seed: int = 0) -> Image:
    """Blobs of colour."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    rows, columns = np.arange(h) * 6 // h, np.arange(w) * 8 // w
    return Image.open(np.ascontiguousarray(coarse[rows][:, columns]))
