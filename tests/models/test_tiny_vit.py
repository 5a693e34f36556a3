from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from anymask.models import tiny_vit
from anymask.models.config import TinyVitConfig
from anymask.models.tiny_vit import TinyVit, WindowAttention

SMALL = TinyVitConfig((8, 8, 8, 8), (1, 1, 1, 1), (2, 2, 2), (3, 3, 2), classes=3, side=64)


def random(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module.eval()


def explicit(attention: WindowAttention, x: Tensor) -> Tensor:
    """Pad with zeros, cut into windows, normalise, attend with the whole matrix, put together."""
    side, heads = attention.window, attention.heads
    h, w, width = x.shape[1:]
    padded = F.pad(x, (0, 0, 0, -w % side, 0, -h % side))
    out = torch.zeros_like(padded)
    for top in range(0, padded.shape[1], side):
        for left in range(0, padded.shape[2], side):
            window = padded[0, top : top + side, left : left + side].reshape(-1, width)
            qkv = attention.qkv(attention.norm(window)).reshape(side**2, heads, 3, -1)
            parts = []
            for head in range(heads):
                q, k, v = qkv[:, head].unbind(1)
                scores = q @ k.T * q.shape[1] ** -0.5
                for i in range(side**2):
                    for j in range(side**2):
                        rows, columns = abs(i // side - j // side), abs(i % side - j % side)
                        scores[i, j] += attention.attention_biases[head, rows * side + columns]
                parts.append(scores.softmax(dim=1) @ v)
            joined = attention.proj(torch.cat(parts, dim=1)).reshape(side, side, width)
            out[0, top : top + side, left : left + side] = joined
    return out[:, :h, :w]


@pytest.mark.parametrize("size_hw", [(6, 6), (5, 7), (2, 2)])
@torch.no_grad()
def test_attention_is_the_explicit_one(size_hw: tuple[int, int]) -> None:
    attention = random(WindowAttention(width=8, heads=2, window=3)).double()
    x = torch.randn(1, *size_hw, 8, dtype=torch.float64)
    torch.testing.assert_close(attention(x), explicit(attention, x))


@pytest.mark.parametrize("tokens", [1, 40, 1 << 20])
def test_rows_of_windows_say_the_same_alone(tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_vit, "_TOKENS_AT_ONCE", tokens)
    encoder = random(TinyVit(SMALL, 8))
    pixels = torch.randn(2, 3, 64, 64)
    before = pixels.clone()
    with torch.no_grad():
        found = encoder(pixels)
    whole = encoder(pixels)  # where all is recorded and nothing is cut into strips
    assert whole.requires_grad and (pixels == before).all()
    torch.testing.assert_close(found, whole.detach(), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_the_laid_out_biases_are_never_out_of_date() -> None:
    """Loading after the switch to inference leaves none of the old weights in force."""
    pixels = torch.randn(1, 3, 64, 64)
    late, fresh = random(TinyVit(SMALL, 8)), random(TinyVit(SMALL, 8), seed=1)
    before = late(pixels)
    state = late.state_dict()
    biases = {k: v for k, v in fresh.state_dict().items() if k.endswith("attention_biases")}
    assert len(biases) == 3
    late.load_state_dict({**state, **biases})
    assert not torch.allclose(late(pixels), before)
    late.load_state_dict(fresh.state_dict())
    torch.testing.assert_close(late(pixels), fresh(pixels), rtol=0, atol=0)


@torch.inference_mode()
def test_the_last_two_stages_keep_their_size() -> None:
    encoder = random(TinyVit(SMALL, 8))
    x = encoder.patch_embed(torch.randn(2, 3, 64, 64))
    sides = [x.shape[-1]]
    for stage in encoder.layers:
        x = stage(x)
        sides.append(x.shape[-1])
    assert sides == [16, 8, 4, 4, 4]
