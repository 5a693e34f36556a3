"""Rates by step and by depth, and what decays."""

from __future__ import annotations

import pytest
import torch
from tests.models.tiny import tiny
from torch import nn

from anymask.models.build import build
from anymask.models.variants import VARIANTS, Variant, find
from anymask.train.config import LoopConfig
from anymask.train.run.optimizer import lr_ratio, make_optimizer, set_lr

PROMPTABLE = [v for v in VARIANTS if v.family != "fastsam"]


def rates(model: nn.Module, layer_decay: float) -> dict[str, float]:
    optimizer = make_optimizer(model, LoopConfig(layer_decay=layer_decay))
    set_lr(optimizer, 1.0)
    of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    return {name: of[id(p)] for name, p in model.named_parameters() if p.requires_grad}


# The last stage of an encoder, the one before, the pixels, and what learns at full rate.
DEPTHS = {
    "sam-vit-b": {
        "image_encoder.blocks.1.attn.qkv.weight": 1,
        "image_encoder.blocks.0.norm1.bias": 2,
        "image_encoder.patch_embed.proj.weight": 3,
        "image_encoder.pos_embed": 3,
        "image_encoder.neck.0.weight": 0,
        "mask_decoder.transformer.layers.0.self_attn.q_proj.weight": 0,
        "prompt_encoder.not_a_point_embed.weight": 0,
    },
    "mobile-sam": {
        "image_encoder.layers.3.blocks.0.attn.qkv.weight": 1,
        "image_encoder.layers.0.blocks.0.conv1.c.weight": 4,
        "image_encoder.patch_embed.seq.0.c.weight": 5,
        "mask_decoder.iou_token.weight": 0,
    },
    "efficient-sam-ti": {
        "image_encoder.blocks.1.attn.qkv.weight": 1,
        "image_encoder.pos_embed": 3,
        "image_encoder.neck.0.weight": 0,
    },
    "sam2.1-tiny": {
        "image_encoder.trunk.blocks.5.attn.qkv.weight": 1,
        "image_encoder.trunk.patch_embed.proj.weight": 7,
        "image_encoder.trunk.pos_embed": 7,
        "image_encoder.neck.convs.0.conv.weight": 0,
        "mask_decoder.conv_s0.weight": 0,
    },
    "bundled": {
        "encoder.stage32.0.qkv.weight": 1,
        "encoder.down32.0.0.weight": 1,
        "encoder.stage16.0.0.weight": 2,
        "encoder.stem.0.0.weight": 5,
        "encoder.lateral4.0.weight": 0,
        "key4.weight": 0,
        "decoder.masks.weight": 0,
    },
}


@pytest.mark.parametrize("name", DEPTHS)
def test_the_deeper_the_slower(name: str) -> None:
    variant = find(name)
    found = rates(build(tiny(variant)), 0.5)
    for parameter, stages in DEPTHS[name].items():
        assert found[parameter] == 0.5**stages, parameter


@pytest.mark.parametrize("variant", PROMPTABLE, ids=lambda v: v.name)
def test_each_parameter_once(variant: Variant) -> None:
    model = build(tiny(variant))
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = make_optimizer(model, LoopConfig(layer_decay=0.8))
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(map(id, learned))
    assert len(set(rates(model, 0.8).values())) > 3
    assert set(rates(model, 1.0).values()) == {1.0}


def test_only_matrices_decay() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    for group in make_optimizer(model, LoopConfig(weight_decay=0.3)).param_groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.3 if parameter is model[0].weight else 0.0)


@pytest.mark.parametrize(
    ("schedule", "step", "progress", "share"),
    [
        ("constant", 0, 0.0, 0.1),
        ("constant", 4, 0.2, 0.5),
        ("constant", 9, 0.5, 1.0),
        ("constant", 99, 1.0, 1.0),
        ("linear", 50, 0.5, 0.6),
        ("linear", 99, 1.0, 0.2),
        ("cosine", 50, 0.5, 0.6),
        ("cosine", 25, 0.25, 0.2 + 0.8 * 0.8535534),
        ("cosine", 99, 1.0, 0.2),
    ],
)
def test_schedules(schedule: str, step: int, progress: float, share: float) -> None:
    config = LoopConfig(schedule=schedule, warmup=10, min_lr_ratio=0.2)  # type: ignore[arg-type]
    assert lr_ratio(config, step, progress) == pytest.approx(share)


def test_without_warm_up_the_first_step_is_whole() -> None:
    assert lr_ratio(LoopConfig(warmup=0), 0, 0.0) == 1.0


def test_layers_that_learn_inside_of_stages_count_with_them() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])

        def stages(self) -> list[nn.Module]:
            return list(self.blocks)

    encoder = Encoder()
    encoder.blocks[0].extra = nn.Parameter(torch.ones(1))
    assert rates(nn.Sequential(nn.Identity(), encoder), 0.5)["1.blocks.0.extra"] == 0.25
