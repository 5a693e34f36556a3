"""EfficientViT's blocks take hidden channels and rows in shares; the numbers are the same."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from anymask.evaluate.published.encoder import plain
from anymask.models import efficient_vit, kernels
from anymask.models.config import EfficientVitConfig
from anymask.models.efficient_vit import EfficientVit, First, Fused, Inverted, Stage

BLOCKS = {
    "fused": lambda: Fused(8, 96, 16),
    "fused, halved": lambda: Fused(8, 96, 16, 2),
    "inverted": lambda: Inverted(8, 96, 16),
    "inverted, halved": lambda: Inverted(8, 96, 16, 2),
}
CONFIG = EfficientVitConfig(
    (1,) * 5, (8, 8, 16, 32, 64), neck_depth=1, input_side=64, side=128, fused=2
)


def trained(module: nn.Module) -> nn.Module:
    """Weights and statistics of which none is 0 or 1."""
    torch.manual_seed(0)
    for each in module.modules():
        if isinstance(each, nn.BatchNorm2d):
            nn.init.normal_(each.running_mean)
            nn.init.uniform_(each.running_var, 0.5, 2)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.double().eval()


def values(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("count", [1, 2])
def test_groups_of_hidden_channels_give_the_same(
    name: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    block, x = trained(BLOCKS[name]()), values(count, 8, 12, 10)
    wanted = block(x).detach()  # recorded, so all at once
    widths = []
    some = efficient_vit.ConvNorm.some
    monkeypatch.setattr(
        efficient_vit.ConvNorm,
        "some",
        lambda self, x, group: widths.append(group.stop - group.start) or some(self, x, group),
    )
    monkeypatch.setattr(efficient_vit, "HIDDEN_VALUES", 1)
    with torch.inference_mode():
        torch.testing.assert_close(block(x), wanted)
    assert set(widths) == {efficient_vit.GROUP}


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_strips_of_the_first_stage_give_the_same(
    depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stem = efficient_vit.ConvNorm(3, 4, 3, stride=2, gelu=True)
    blocks = [efficient_vit.Around(efficient_vit.Double(4)) for _ in range(depth)]
    stage, x = trained(First([stem, *blocks], 4)), values(1, 3, 64, 16)
    wanted = stage(x).detach()
    heights = []
    forward = Stage.forward
    monkeypatch.setattr(
        Stage, "forward", lambda self, x: heights.append(x.shape[2]) or forward(self, x)
    )
    monkeypatch.setattr(kernels, "STRIP_VALUES", 1)
    with torch.inference_mode():
        torch.testing.assert_close(stage(x), wanted)
    assert set(heights) == {2 * (2 * (1 + 2 * depth) + 1)}


def test_the_published_order_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficient_vit, "HIDDEN_VALUES", 1)
    monkeypatch.setattr(kernels, "STRIP_VALUES", 1)
    encoder = trained(EfficientVit(CONFIG, 32))
    with torch.inference_mode():
        x = values(1, 3, 64, 64)
        before = x.clone()
        torch.testing.assert_close(encoder(x), plain(encoder)(x))
    assert torch.equal(x, before)


class Adapted(nn.Conv2d):
    """A convolution that is more than its weights, as one with a low-rank adapter."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1


@pytest.mark.parametrize("which", ["inverted_conv", "depth_conv", "point_conv"])
def test_what_is_more_than_its_weights_is_called(
    which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    block, x = trained(Inverted(8, 96, 16)), values(1, 8, 12, 10)
    getattr(block, which).conv.__class__ = Adapted
    wanted = block(x).detach()
    monkeypatch.setattr(efficient_vit, "HIDDEN_VALUES", 1)
    with torch.inference_mode():
        torch.testing.assert_close(block(x), wanted)
