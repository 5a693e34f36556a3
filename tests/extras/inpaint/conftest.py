"""Images with holes, and an engine of each kind that is small enough for tests."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from anymask.extras.inpaint.classical import Classical, PatchMatch, Telea
from anymask.extras.inpaint.engine import Engine
from anymask.extras.inpaint.find import find_engine
from anymask.extras.inpaint.lama import LamaEngine
from anymask.models.lama import Lama

ENGINES = ["patchmatch", "telea", "classical", "lama", "diffusion"]


@pytest.fixture(scope="session")
def pipeline_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of diffusers with random weights: Stable Diffusion, but tiny."""
    pytest.importorskip("diffusers")
    folder = tmp_path_factory.mktemp("pipeline")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_pipeline(folder)
    return folder


def make_pipeline(folder: Path) -> None:
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionInpaintPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=16,
        in_channels=9,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=8,
    )
    vae = AutoencoderKL(
        block_out_channels=[32, 64],
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        latent_channels=4,
    )
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{x}</w>" for x in letters)]
    size = {"hidden_size": 32, "intermediate_size": 37, "num_attention_heads": 4}
    marks = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    layers = {"num_hidden_layers": 1, "max_position_embeddings": 16}
    text = CLIPTextModel(CLIPTextConfig(vocab_size=len(words), **size, **layers, **marks))
    tokenizer = CLIPTokenizer(
        vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=16
    )
    scheduler = DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=text.eval(),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


@pytest.fixture(scope="session")
def diffusion(pipeline_folder: Path) -> Engine:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers has something to say about torchvision
        return find_engine(pipeline_folder, device="cpu")


@pytest.fixture(scope="session")
def tiny_lama() -> LamaEngine:
    torch.manual_seed(0)
    return LamaEngine(Lama(width=8, blocks=1).eval(), "0" * 64)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """One engine after another."""
    simple = {"patchmatch": PatchMatch, "telea": Telea, "classical": Classical}
    if request.param in ("patchmatch", "classical"):
        pytest.importorskip("patchmatch_cython")
    if request.param in simple:
        return simple[request.param]()
    return request.getfixturevalue({"lama": "tiny_lama"}.get(request.param, request.param))


def photo(size_hw: tuple[int, int] = (80, 110), channels: int = 3, seed: int = 0) -> np.ndarray:
    """Noise over a gradient."""
    rng = np.random.default_rng(seed)
    h, w = size_hw
    ramp = np.linspace(20, 200, w)[None, :, None] + rng.integers(0, 40, (h, w, channels))
    return ramp.astype(np.uint8)


def square(
    size_hw: tuple[int, int] = (80, 110), box: tuple[int, int, int, int] = (40, 30, 60, 45)
) -> np.ndarray:
    mask = np.zeros(size_hw, bool)
    x0, y0, x1, y1 = box
    mask[y0:y1, x0:x1] = True
    return mask
