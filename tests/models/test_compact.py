"""The bundled model's own parts; what all networks promise is tested in `test_network`."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tests.models.tiny import tiny

from anymask.models.compact import (
    CompactDecoder,
    CompactNet,
    Refinement,
    _highest_near,
    _mean_under,
)
from anymask.models.config import CompactConfig
from anymask.models.prompt_batch import PromptBatch
from anymask.models.variants import find


def decoder() -> CompactDecoder:
    network = tiny(find("bundled")).network
    assert isinstance(network, CompactConfig)
    torch.manual_seed(0)
    return CompactDecoder(network).eval()


def test_maps_are_averaged_under_each_mask() -> None:
    maps = torch.arange(24.0).view(1, 2, 3, 4)
    left = torch.zeros(1, 1, 3, 4)
    left[..., :2] = 1
    half = torch.full_like(left, 0.5)
    means = _mean_under(torch.cat([left, half], dim=1), maps)
    assert means.shape == (1, 2, 2)
    assert torch.allclose(means[0, 0], maps[0, :, :, :2].mean((1, 2)), rtol=1e-3)
    assert torch.allclose(means[0, 1], maps[0].mean((1, 2)), rtol=1e-3)


@torch.inference_mode()
def test_the_judgement_knows_what_lies_under_around_and_how_mixed_it_is() -> None:
    """Only the facts' places in the first layer tell them apart, so each is looked at there."""
    one = decoder()
    width = one.mix8.out_channels
    pooled = torch.zeros(1, one.whole.in_features)
    quarters = torch.full((1, 1, 2, 2, 16, 16), -8.0)
    quarters[..., 4:12, 4:12] = 8.0  # a square of 4 x 4 cells at stride 8
    inside = torch.zeros(1, width, 8, 8)
    inside[..., 2:6, 2:6] = 1
    mixed = torch.zeros(1, width, 8, 8)
    mixed[..., 2:6, 2:4] = 2  # the same mean
    facts: list[torch.Tensor] = []
    one.quality_in.register_forward_pre_hook(lambda _, given: facts.append(given[0][0, 0]))
    for maps in (inside, mixed, 1 - inside):
        one._predict_iou(quarters, maps, pooled, slice(1))
    under = [fact[:width] for fact in facts]
    around = [fact[-2 * width - 1 : -width - 1] for fact in facts]
    spread = [fact[-width - 1 : -1] for fact in facts]
    for seen, expected in zip(under, (1, 1, 0), strict=True):
        assert torch.allclose(seen, torch.full((width,), float(expected)), atol=0.02)
    for seen, expected in zip(around, (0, 0, 1), strict=True):
        assert torch.allclose(seen, torch.full((width,), float(expected)), atol=0.02)
    for seen, expected in zip(spread, (0, 1, 0), strict=True):
        assert torch.allclose(seen, torch.full((width,), float(expected)), atol=0.06)
    assert all(fact[-1] == 1 for fact in facts)  # no cell is in doubt
    quarters[..., 2:4, 4:12] = 0.0  # four cells are now
    one._predict_iou(quarters, inside, pooled, slice(1))
    assert facts[-1][-1] == torch.tensor(17 / 21)


@torch.inference_mode()
def test_averages_of_large_masks_stay_within_half_precision() -> None:
    maps, mask = torch.full((1, 2, 64, 64), 40.0), torch.ones(1, 1, 64, 64)
    half = _mean_under(mask.half(), maps.half() ** 2)
    assert torch.allclose(half.float(), torch.full((1, 1, 2), 1600.0), rtol=1e-2)


def test_the_judgement_teaches_where_all_is_alike() -> None:
    """Masks of a plain image have no spread at all, and a square root has no slope there."""
    one = decoder()
    maps = torch.zeros(1, one.mix8.out_channels, 8, 8, requires_grad=True)
    quarters = torch.zeros(1, 2, 2, 2, 16, 16)
    one._predict_iou(
        quarters, maps, torch.zeros(1, one.whole.in_features), slice(0, 2)
    ).sum().backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()


def test_the_refinement_begins_by_saying_nothing() -> None:
    refined = Refinement(8, 12, 16)(torch.randn(2, 8, 8, 8), torch.randn(2, 12, 4, 4))
    assert refined.shape == (2, 1, 8, 8)
    assert not refined.any()


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 1, 4), (1, 2, 3, 1)])
@torch.inference_mode()
def test_the_highest_near_each_cell_is_what_pooling_finds(shape: tuple[int, ...]) -> None:
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    before = maps.clone()
    assert torch.equal(_highest_near(maps), F.max_pool2d(maps, 3, 1, 1))
    assert torch.equal(maps, before)


@pytest.mark.parametrize("points", [0, 2])
@pytest.mark.parametrize("slots", [slice(4), slice(1, 4), slice(1)])
@torch.inference_mode()
def test_many_prompts_are_answered_in_one_place_as_each_alone(points: int, slots: slice) -> None:
    """Without points all say the same, which is computed once and written for each."""
    config = tiny(find("bundled")).network
    assert isinstance(config, CompactConfig)
    torch.manual_seed(0)
    network = CompactNet(config).eval()
    features = network.encode(torch.randn(1, 3, 64, 96), (64, 96))
    points_xy = torch.rand(19, points, 2) * 64
    labels = torch.ones(19, points, dtype=torch.int64)
    prompts = PromptBatch(points_xy, labels, None, None, (64, 96))
    logits, predicted_iou = network.decode_all(features, prompts, slots)
    alone = [network._answer(features, one, slots) for one in prompts.split(1)]
    for found, wanted in zip((logits, predicted_iou), zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(found, torch.cat(wanted), atol=1e-5, rtol=1e-5)
    assert logits.shape == (19, len(range(4)[slots]), 32, 48) and logits.is_contiguous()
