from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from anymask.masks.masks import Masks


def save(network, processor, folder: Path) -> Path:
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def spread(network) -> None:
    """Weights so large that answers differ from pixel to pixel."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.25)


@pytest.fixture(scope="session")
def depth_anything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Depth Anything of 37,000 random weights, metric."""
    transformers = pytest.importorskip("transformers")
    backbone = transformers.Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=56,
        patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
    )
    network = transformers.DepthAnythingForDepthEstimation(
        transformers.DepthAnythingConfig(
            backbone_config=backbone,
            reassemble_hidden_size=16,
            neck_hidden_sizes=[8, 8, 16, 16],
            fusion_hidden_size=8,
            head_hidden_size=4,
            patch_size=14,
            depth_estimation_type="metric",
            max_depth=20,
        )
    )
    spread(network)
    processor = transformers.DPTImageProcessorPil(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14, resample=3
    )
    return save(network, processor, tmp_path_factory.mktemp("depth-anything"))


@pytest.fixture(scope="session")
def dpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DPT of 42,000 random weights."""
    transformers = pytest.importorskip("transformers")
    network = transformers.DPTForDepthEstimation(
        transformers.DPTConfig(
            hidden_size=16,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=32,
            backbone_out_indices=[0, 1, 2, 3],
            neck_hidden_sizes=[8, 8, 16, 16],
            fusion_hidden_size=8,
        )
    )
    spread(network)
    processor = transformers.DPTImageProcessorPil(size={"height": 32, "width": 32})
    return save(network, processor, tmp_path_factory.mktemp("dpt"))


@pytest.fixture
def scene() -> tuple[np.ndarray, Masks]:
    """A floor that runs away, a wall behind, and two boxes: depth in metres and masks of all."""
    y = np.mgrid[:60, :80][0].astype(float)
    metres = np.full((60, 80), 8.0)
    masks = np.zeros((4, 60, 80), bool)
    masks[0, :30] = True  # wall
    masks[1, 30:] = True  # floor, which meets the wall at y = 29.5
    metres[30:] = 1 / (1 / 8 + 0.004 * (y[30:] - 29.5))
    masks[2, 10:40, 10:30] = True  # box in front of wall and floor
    masks[3, 15:50, 25:50] = True  # another one in front of that
    masks[2] &= ~masks[3]
    metres[masks[2]] = 3.0
    metres[masks[3]] = 2.0
    masks[:2] &= ~(masks[2] | masks[3])
    return metres, Masks.from_dense(masks, labels=["wall", "floor", "back", "front"])
