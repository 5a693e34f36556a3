"""A tiny Stable Diffusion and a tiny ControlNet of random weights, and regions to draw anew."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.extras.inpaint.conftest import make_pipeline, square

from anymask import Masks


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A pipeline and a ControlNet whose answer depends on what it sees."""
    pytest.importorskip("diffusers")
    folder = tmp_path_factory.mktemp("controlled")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make_controlled(folder)
    return folder / "pipeline", folder / "controlnet"


def make_controlled(folder: Path) -> None:
    import diffusers

    make_pipeline(folder / "pipeline")
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "pipeline" / "unet")
    plain = type(unet).from_config({**unet.config, "in_channels": 4})
    plain.save_pretrained(folder / "pipeline" / "unet")
    torch.manual_seed(1)
    _controlnet(diffusers, plain).save_pretrained(folder / "controlnet")


def _controlnet(diffusers: object, unet: object) -> object:
    config = unet.config
    net = diffusers.ControlNetModel(
        in_channels=4,
        conditioning_channels=3,
        down_block_types=config["down_block_types"],
        block_out_channels=config["block_out_channels"],
        layers_per_block=config["layers_per_block"],
        cross_attention_dim=config["cross_attention_dim"],
        attention_head_dim=config["attention_head_dim"],
        conditioning_embedding_out_channels=(16, 32),
    )
    for parameter in net.parameters():
        if not parameter.any():  # the convolutions that start at zero would let nothing through
            torch.nn.init.normal_(parameter, std=0.1)
    return net


def regions() -> Masks:
    return Masks.from_dense(
        np.stack([square(), square(box=(5, 5, 30, 70)), square(box=(62, 30, 90, 45))])
    )
