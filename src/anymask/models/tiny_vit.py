"""MobileSAM's image encoder: TinyViT (Wu et al., 2022), convolutions first and attention later.

It keeps a stride of 16 to the end, where TinyViT as a classifier goes on to 32. Maps run through it
as (b, c, h, w) with their channels last in memory, so that attention sees them as tokens without a
copy.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from anymask.models.config import TinyVitConfig
from anymask.models.kernels import (
    Linear,
    add,
    attend,
    chunk_rows,
    chunk_tokens,
    gelu,
    saves_memory,
)
from anymask.models.layers import Neck, convolve_and_normalise
from anymask.models.vit import join_windows, split_windows

__all__ = ["TinyVit"]

EXPANSION = 4
"""Hidden channels per channel, in the convolution blocks and in the MLPs."""

_TOKENS_AT_ONCE = 4096  # in windows, on a CPU


class TinyVit(nn.Module):
    """Square frame to embedding: a stem, four stages, and SAM's neck."""

    def __init__(self, config: TinyVitConfig, out: int) -> None:
        super().__init__()
        width = config.widths[-1]
        self.patch_embed = Stem(config.widths[0])
        self.layers = nn.ModuleList(stages(config))
        # The classifier's last layers lie in the file; nothing asks or trains them.
        self.norm_head = nn.LayerNorm(width).requires_grad_(False)
        self.head = nn.Linear(width, config.classes).requires_grad_(False)
        self.neck = Neck(width, out)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode normalised RGB (b, 3, side, side) as (b, out, side / 16, side / 16)."""
        return self.with_early(pixels, None)[0]

    def with_early(self, pixels: Tensor, stage: int | None) -> tuple[Tensor, Tensor | None]:
        """Encode as `forward` does, and give one stage's map, (b, c, h, w)."""
        x = self.patch_embed(pixels.contiguous(memory_format=torch.channels_last))
        early = None
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i == stage:
                early = x
        return self.neck(x), early

    def stages(self) -> list[nn.Module]:
        """List what an image passes through before the neck."""
        return [self.patch_embed, *self.layers]


def stages(config: TinyVitConfig) -> list[nn.Module]:
    """Make the four stages; the first two halve the map's sides at their end."""
    first, *widths = config.widths
    blocks: list[list[nn.Module]] = [[ConvBlock(first) for _ in range(config.depths[0])]]
    for width, depth, heads, window in zip(
        widths, config.depths[1:], config.heads, config.windows, strict=True
    ):
        blocks.append([AttentionBlock(width, heads, window) for _ in range(depth)])
    ends = [
        Downsample(config.widths[i], config.widths[i + 1], stride=2 if i < 2 else 1)
        for i in range(3)
    ]
    return [Stage(some, end) for some, end in zip(blocks, [*ends, None], strict=True)]


class Stage(nn.Module):
    """Blocks, and the way to the next stage unless it is the last."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to the next stage's channels and size."""
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class ConvNorm(nn.Module):
    """A convolution and batch normalisation."""

    def __init__(self, width: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1):
        super().__init__()
        self.c = nn.Conv2d(width, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, width, h, w) to (b, out, h / stride, w / stride)."""
        return convolve_and_normalise(x, self.c, self.bn)


class Stem(nn.Module):
    """Two convolutions from pixels to a quarter of their resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.seq = nn.Sequential(
            ConvNorm(3, width // 2, 3, stride=2),
            nn.GELU(),
            ConvNorm(width // 2, width, 3, stride=2),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (b, 3, h, w) to (b, width, h / 4, w / 4)."""
        hidden = self.width * pixels.shape[3] // 2  # two rows of half as many pixels and channels
        return chunk_rows(self.seq, pixels, stride=4, hidden=hidden)


class Bottleneck(nn.Module):
    """To the hidden channels, a 3 x 3 convolution in each of them, and on to the output."""

    def __init__(self, width: int, hidden: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.hidden, self.stride = hidden, stride
        self.conv1 = ConvNorm(width, hidden)
        self.conv2 = ConvNorm(hidden, hidden, 3, stride, groups=hidden)
        self.conv3 = ConvNorm(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, width, h, w) to (b, out, h / stride, w / stride)."""
        hidden = self.hidden * self.stride * x.shape[3]
        return chunk_rows(self._transform, x, self.stride, hidden)

    def _transform(self, x: Tensor) -> Tensor:
        mapped: Tensor = self.conv3(gelu(self.conv2(gelu(self.conv1(x)))))
        return mapped


class ConvBlock(Bottleneck):
    """An inverted bottleneck with a way around it (Sandler et al., 2018)."""

    def __init__(self, width: int) -> None:
        super().__init__(width, EXPANSION * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, width, h, w) to the same shape."""
        return gelu(add(super().forward(x), x))


class Downsample(Bottleneck):
    """The way to the next stage."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__(width, out, out, stride)


class AttentionBlock(nn.Module):
    """Attention inside windows, a convolution across their borders, and an MLP."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.attn = WindowAttention(width, heads, window)
        self.local_conv = ConvNorm(width, width, 3, groups=width)
        self.mlp = nn.Sequential(
            OrderedDict(
                norm=nn.LayerNorm(width),
                fc1=Linear(width, EXPANSION * width),
                act=nn.GELU(),
                fc2=Linear(EXPANSION * width, width),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, width, h, w) to the same shape."""
        tokens = self._attended(x.permute(0, 2, 3, 1))
        x = self.local_conv(tokens.permute(0, 3, 1, 2))
        tokens = x.permute(0, 2, 3, 1)
        mixed = add(chunk_tokens(self.mlp, tokens, EXPANSION * x.shape[1]), tokens)
        return mixed.permute(0, 3, 1, 2)

    def _attended(self, x: Tensor) -> Tensor:
        """Add to (b, h, w, width) what it says to itself, a few rows of windows at a time."""
        window = self.attn.window
        rows = window * -(-_TOKENS_AT_ONCE // (window * x.shape[2]))
        if not saves_memory(x) or rows >= x.shape[1]:
            return add(self.attn(x), x)
        out = torch.empty_like(x)
        for strip, place in zip(x.split(rows, dim=1), out.split(rows, dim=1), strict=True):
            torch.add(strip, self.attn(strip), out=place)
        return out


class WindowAttention(nn.Module):
    """Self-attention inside windows, with a learned bias for each distance in rows and columns."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.norm = nn.LayerNorm(width)
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window**2))

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, h, w, width) to the same shape."""
        # What fills up the last windows is zero before the normalisation, which makes biases of it.
        qkv = split_windows(self.qkv(self.norm(x)), self.window, fill=self.qkv(self.norm.bias))
        n, side = qkv.shape[:2]
        q, k, v = qkv.reshape(n, side**2, self.heads, 3, -1).permute(3, 0, 2, 1, 4)
        out = attend(q, k, v, [self.biases()]).transpose(1, 2).reshape(n, side, side, -1)
        projected: Tensor = self.proj(join_windows(out, (x.shape[1], x.shape[2])))
        return projected

    def biases(self) -> Tensor:
        """Lay out the biases by query and key, as (1, heads, window², window, window)."""
        place = torch.arange(self.window, device=self.attention_biases.device)
        apart = (place[:, None] - place[None, :]).abs()
        index = apart[:, None, :, None] * self.window + apart[None, :, None, :]
        return self.attention_biases[None, :, index.flatten(0, 1)]
