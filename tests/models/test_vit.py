from __future__ import annotations

import pytest
import torch
from torch import Tensor

from anymask.models import kernels
from anymask.models.vit import Attention, join_windows, relative_table, split_windows


@pytest.mark.parametrize(
    ("size_hw", "window", "count"),
    [((4, 4), 2, 4), ((4, 4), 3, 4), ((5, 7), 3, 6), ((64, 64), 14, 25), ((3, 3), 3, 1)],
)
def test_windows_come_back(size_hw: tuple[int, int], window: int, count: int) -> None:
    x = torch.randn(2, *size_hw, 3)
    windows = split_windows(x, window, fill=torch.zeros(3))
    assert windows.shape == (2 * count, window, window, 3)
    torch.testing.assert_close(join_windows(windows, size_hw), x, rtol=0, atol=0)


def test_windows_are_filled_up_at_the_bottom_and_right() -> None:
    x = torch.arange(4.0).reshape(1, 2, 2, 1)
    windows = split_windows(x, 3, fill=torch.tensor([9.0]))
    assert windows[0, :, :, 0].tolist() == [[0, 1, 9], [2, 3, 9], [9, 9, 9]]


def test_relative_table_depends_on_the_difference_of_positions() -> None:
    table = torch.arange(5.0)[:, None]  # for differences of -2 .. 2
    laid_out = relative_table(table, 3)[..., 0]
    assert laid_out.tolist() == [[2, 1, 0], [3, 2, 1], [4, 3, 2]]


def attention(window: int | None) -> Attention:
    torch.manual_seed(0)
    module = Attention(width=8, heads=2, grid=4, window=window).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module


def explicit(module: Attention, tokens: Tensor) -> Tensor:
    """Attention of one square of tokens (s, s, c), one query and key at a time."""
    side, width = tokens.shape[1:]
    d = width // module.heads
    qkv = module.qkv(tokens).reshape(side, side, 3, module.heads, d)
    out = torch.zeros(side, side, module.heads, d, dtype=tokens.dtype)
    places = [(i, j) for i in range(side) for j in range(side)]
    for head in range(module.heads):
        for i, j in places:
            q = qkv[i, j, 0, head]
            scores = [
                q @ qkv[k, m, 1, head] / d**0.5
                + q @ module.rel_pos_h[i - k + side - 1]
                + q @ module.rel_pos_w[j - m + side - 1]
                for k, m in places
            ]
            weights = torch.stack(scores).softmax(0)
            values = torch.stack([qkv[k, m, 2, head] for k, m in places])
            out[i, j, head] = weights @ values
    return module.proj(out.reshape(side, side, width))


@pytest.mark.parametrize("at_once", [1, 3 * 4**2, 3 * 4**4, 1 << 20])
@torch.no_grad()
def test_global_attention_equals_the_formula(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever share of the queries goes at once."""
    monkeypatch.setattr(kernels, "CPU_VALUES", at_once)
    module = attention(window=None)
    x = torch.randn(1, 4, 4, 8, dtype=torch.float64)
    torch.testing.assert_close(module(x)[0], explicit(module, x[0]))


@torch.no_grad()
def test_windowed_attention_equals_the_formula_on_zero_padded_windows() -> None:
    module = attention(window=3)
    x = torch.randn(1, 4, 4, 8, dtype=torch.float64)
    windows = split_windows(x, 3, fill=torch.zeros(8, dtype=torch.float64))
    wanted = join_windows(torch.stack([explicit(module, w) for w in windows]), (4, 4))
    torch.testing.assert_close(module(x), wanted)
