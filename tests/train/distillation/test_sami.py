"""SAMI: the encoder sees a part of the tokens, the decoder guesses the others."""

from __future__ import annotations

import pytest
import torch
from tests.models.tiny import tiny

from anymask.models.build import build
from anymask.models.variants import find
from anymask.train.distillation.config import SamiConfig
from anymask.train.distillation.sami import Sami

CONFIG = SamiConfig(side=64, width=32, depth=2, heads=2)


@pytest.fixture
def sami() -> Sami:
    torch.manual_seed(0)
    network = build(tiny(find("efficient-sam-ti")))
    torch.nn.init.trunc_normal_(network.image_encoder.pos_embed, std=0.02)
    return Sami(network.image_encoder, 24, CONFIG).eval()


@pytest.fixture
def order() -> torch.Tensor:
    return torch.randperm(16, generator=torch.Generator().manual_seed(1))[None]


def image(seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def test_a_quarter_is_visible(sami: Sami, order: torch.Tensor) -> None:
    assert (sami.grid, sami.visible) == (4, 4)
    assert sami(image(), order).shape == (1, 16, 24)


def test_masked_pixels_do_not_matter(sami: Sami, order: torch.Tensor) -> None:
    one, other = image(0), image(1)
    mixed = other.clone()
    for token in order[0, : sami.visible].tolist():
        y, x = 16 * (token // 4), 16 * (token % 4)
        mixed[:, :, y : y + 16, x : x + 16] = one[:, :, y : y + 16, x : x + 16]
    assert torch.allclose(sami(mixed, order), sami(one, order), atol=1e-5)
    assert not torch.allclose(sami(other, order), sami(one, order), atol=1e-2)


def test_tokens_are_in_reading_order(sami: Sami, order: torch.Tensor) -> None:
    """What is visible does not depend on the order in which it comes, and lies where it was."""
    turned = torch.cat(
        [order[:, : sami.visible].flip(1), order[:, sami.visible :].flip(1)],
        dim=1,
    )
    assert torch.allclose(sami(image(), turned), sami(image(), order), atol=1e-5)
    # Without a decoder behind it, a visible token is what the encoder and the head make of it.
    tokens = sami.encoder.patch_embed(image()) + sami.encoder.position((4, 4))
    visible = order[0, : sami.visible]
    alone = sami.head(sami.norm(sami.enter(sami._encode(tokens.flatten(1, 2)[:, visible]))))
    assert torch.allclose(sami(image(), order)[:, visible], alone, atol=1e-5)


def test_masked_tokens_know_their_places(sami: Sami, order: torch.Tensor) -> None:
    masked = sami(image(), order)[0, order[0, sami.visible :]]
    assert (masked[0] - masked[1]).abs().max() > 1e-3


def test_everything_but_the_neck_learns(sami: Sami, order: torch.Tensor) -> None:
    sami(image(), order).square().mean().backward()
    without = [name for name, weights in sami.named_parameters() if weights.grad is None]
    assert all(name.startswith("encoder.neck.") for name in without)


def test_larger_frames_have_more_tokens() -> None:
    encoder = build(tiny(find("efficient-sam-ti"))).image_encoder
    larger = Sami(encoder, 8, SamiConfig(side=96, mask_ratio=0.5, width=16, depth=1, heads=2))
    assert (larger.grid, larger.visible) == (6, 18)
    pixels, order = torch.randn(2, 3, 96, 96), torch.stack([torch.randperm(36) for _ in range(2)])
    assert larger(pixels, order).shape == (2, 36, 8)
