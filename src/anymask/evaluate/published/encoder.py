"""The image encoders in the order of work in which they were published, to compare ours with.

Attention lays out the whole matrix of scores (SAM: and of its biases), windows are filled up before
anything is projected, maps have their channels first, and normalisation is a step of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.models import efficient_sam, efficient_vit, hiera, tiny_vit, vit
from anymask.models.kernels import Conv2d, Linear
from anymask.models.layers import MLP, LayerNorm2d
from anymask.models.vit import join_windows, relative_table, split_windows

__all__ = ["plain"]


def plain(encoder: nn.Module) -> nn.Module:
    """Make an encoder that computes the same from the same weights, in the published order."""
    shared = {id(x): x for x in (*encoder.parameters(), *encoder.buffers())}
    twin = copy.deepcopy(encoder, shared)
    for module in twin.modules():
        if type(module) in PUBLISHED:
            module.forward = MethodType(PUBLISHED[type(module)], module)
    return twin


def mlp(self: Any, x: Tensor) -> Any:
    return self.lin2(self.act(self.lin1(x)))


def norm_channels(self: Any, x: Tensor) -> Any:
    mean = x.mean(dim=1, keepdim=True)
    spread = (x - mean).pow(2).mean(dim=1, keepdim=True)
    x = (x - mean) / torch.sqrt(spread + self.eps)
    return self.weight[:, None, None] * x + self.bias[:, None, None]


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """Attend with the whole matrix of scores; the last dimensions are tokens and channels."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if bias is not None:
        scores = scores + bias
    attended: Tensor = scores.softmax(dim=-1) @ v
    return attended


def in_windows(attention: Any, window: int, x: Tensor) -> Any:
    """Fill up with zeros, cut (b, h, w, c) into windows, attend in each, put them together."""
    windows = split_windows(x, window, fill=x.new_zeros(x.shape[-1]))
    return join_windows(attention(windows), (x.shape[1], x.shape[2]))


def relative_block(self: Any, x: Tensor) -> Any:
    normed, window = self.norm1(x), getattr(self.attn, "window", None)
    x = x + (in_windows(self.attn, window, normed) if window else self.attn(normed))
    return x + self.mlp(self.norm2(x))


def relative_attention(self: Any, x: Tensor) -> Any:
    n, side = x.shape[:2]
    qkv = self.qkv(x).reshape(n, side * side, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
    q, k, v = qkv.flatten(1, 2).unbind(0)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(1, 2)
    queries = q.unflatten(1, (side, side))
    by_row = torch.einsum("nijd,ikd->nijk", queries, relative_table(self.rel_pos_h, side))
    by_column = torch.einsum("nijd,jld->nijl", queries, relative_table(self.rel_pos_w, side))
    grid = scores.view(-1, side, side, side, side)
    grid = grid + by_row[..., :, None] + by_column[..., None, :]
    told = grid.view(scores.shape).softmax(dim=-1) @ v
    return self.proj(told.unflatten(0, (n, -1)).transpose(1, 2).reshape(x.shape))


def global_attention(self: Any, x: Tensor) -> Any:
    b, h, w, _ = x.shape
    q, k, v = self.qkv(x).reshape(b, h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
    return self.proj(attend(q, k, v).transpose(1, 2).reshape(x.shape))


def window_attention(self: Any, x: Tensor) -> Any:
    n, side = x.shape[:2]
    qkv = self.qkv(self.norm(x)).reshape(n, side * side, self.heads, 3, -1)
    q, k, v = qkv.permute(3, 0, 2, 1, 4)
    told = attend(q, k, v, self.biases()[0].flatten(2))
    return self.proj(told.transpose(1, 2).reshape(x.shape))


def window_block(self: Any, x: Tensor) -> Any:
    tokens = x.permute(0, 2, 3, 1)
    tokens = tokens + in_windows(self.attn, self.attn.window, tokens)
    tokens = self.local_conv(tokens.permute(0, 3, 1, 2).contiguous()).permute(0, 2, 3, 1)
    return (tokens + self.mlp(tokens)).permute(0, 3, 1, 2).contiguous()


def stem(self: Any, pixels: Tensor) -> Any:
    return self.seq(pixels.contiguous())


def convolve_then_norm(self: Any, x: Tensor) -> Any:
    return self.bn(self.c(x))


def bottleneck(self: Any, x: Tensor) -> Any:
    return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))


def conv_block(self: Any, x: Tensor) -> Any:
    return F.gelu(x + bottleneck(self, x))


def convolve_then_norm_then_gelu(self: Any, x: Tensor) -> Any:
    x = self.conv(x.contiguous())
    x = self.norm(x) if self.normed else x
    return F.gelu(x, approximate="tanh") if self.gelu else x


def in_a_row(self: Any, x: Tensor) -> Tensor:
    for block in self.op_list:
        x = block(x)
    return x


def around(self: Any, x: Tensor) -> Any:
    return x + self.main(x) if self.shortcut else self.main(x)


def sum_of_stages(self: Any, maps: list[Tensor]) -> Any:
    told = [self._enlarge(op(x)) for op, x in zip(self.input_ops, maps, strict=True)]
    return self.output_ops[0](self.middle(told[0] + told[1] + told[2]))


def fused(self: Any, x: Tensor) -> Any:
    return self.point_conv(self.spatial_conv(x))


def inverted(self: Any, x: Tensor) -> Any:
    return self.point_conv(self.depth_conv(self.inverted_conv(x)))


def linear_attention(self: Any, x: Tensor) -> Any:
    """Maps stay channels first; a row of ones below the values adds up the denominator."""
    near = self.qkv(x)
    maps = torch.cat([near, self.aggreg[0](near)], dim=1)
    b, _, h, w = maps.shape
    q, k, v = maps.reshape(b, -1, 3 * efficient_vit.HEAD, h * w).chunk(3, dim=2)
    v = F.pad(v, (0, 0, 0, 1), value=1.0)
    told = v @ F.relu(k).transpose(-1, -2) @ F.relu(q)
    told = told[:, :, :-1] / (told[:, :, -1:] + 1e-15)
    return self.proj(told.reshape(b, -1, h, w))


def pooling_block(self: Any, x: Tensor) -> Any:
    """Hiera's: windows are filled up after the normalisation, before anything is projected."""
    normed = self.norm1(x)
    around = x if self.proj is None else max_pool(self.proj(normed))
    size_hw = (around.shape[1], around.shape[2])
    if self.window:
        normed = split_windows(normed, self.window, fill=normed.new_zeros(normed.shape[-1]))
    told = self.attn(normed, None)
    x = around + (join_windows(told, size_hw) if self.window else told)
    return x + self.mlp(self.norm2(x))


def pooling_attention(self: Any, x: Tensor, window: None) -> Any:
    n, h, w, _ = x.shape
    q, k, v = self.qkv(x).reshape(n, h * w, 3, self.heads, -1).unbind(2)
    if self.pools:
        grid = max_pool(q.flatten(2).unflatten(1, (h, w)))
        h, w = grid.shape[1:3]
        q = grid.reshape(n, h * w, self.heads, -1)
    told = attend(*(some.transpose(1, 2) for some in (q, k, v)))
    return self.proj(told.transpose(1, 2).reshape(n, h, w, -1))


def max_pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


def pyramid(self: Any, maps: list[Tensor], details: tuple[nn.Conv2d, nn.Conv2d]) -> Any:
    """All four stages to one width, channels first, and then what the decoder makes of two."""
    levels = [
        lateral.conv(x.permute(0, 3, 1, 2).contiguous())
        for lateral, x in zip(reversed(self.convs), maps, strict=True)
    ]
    above = F.interpolate(levels[3], scale_factor=2.0, mode="nearest")
    return levels[2] + above, details[0](levels[0]), details[1](levels[1])


PUBLISHED: dict[type[nn.Module], Callable[..., Tensor]] = {
    Linear: nn.Linear.forward,
    Conv2d: nn.Conv2d.forward,
    MLP: mlp,
    LayerNorm2d: norm_channels,
    vit.Block: relative_block,
    vit.Attention: relative_attention,
    efficient_sam.Attention: global_attention,
    efficient_vit.First: in_a_row,
    efficient_vit.Around: around,
    efficient_vit.Neck: sum_of_stages,
    efficient_vit.ConvNorm: convolve_then_norm_then_gelu,
    efficient_vit.Fused: fused,
    efficient_vit.Inverted: inverted,
    efficient_vit.LinearAttention: linear_attention,
    hiera.Block: pooling_block,
    hiera.Attention: pooling_attention,
    hiera.Pyramid: pyramid,
    tiny_vit.Stem: stem,
    tiny_vit.ConvNorm: convolve_then_norm,
    tiny_vit.ConvBlock: conv_block,
    tiny_vit.Downsample: bottleneck,
    tiny_vit.AttentionBlock: window_block,
    tiny_vit.WindowAttention: window_attention,
}
