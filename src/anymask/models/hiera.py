"""SAM 2's image encoder: Hiera (Ryali et al., 2023) and a feature pyramid (Ravi et al., 2024, 4).

Four stages, each with half the rows and columns and twice the channels of the one before. Blocks
attend inside windows, a few of them over the whole image. Where a stage begins, queries are pooled
before they attend, so that the map shrinks in passing.

What a block does inside of windows it does to a few rows of windows at a time, from its first
normalisation to the end of its MLP: what lies between stays in the caches of a CPU.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.image import resampling
from anymask.models.config import HieraConfig
from anymask.models.kernels import Conv2d, Linear, add, attend, linear, saves_memory
from anymask.models.layers import MLP
from anymask.models.vit import join_windows, of_zeros, split_windows

__all__ = ["Attention", "Block", "Hiera", "HieraEncoder", "PatchEmbed", "Pyramid"]

_TOKENS_AT_ONCE = 4096  # in windows, on a CPU


class HieraEncoder(nn.Module):
    """Square frame to three maps."""

    def __init__(self, config: HieraConfig, out: int) -> None:
        super().__init__()
        self.trunk = Hiera(config)
        self.neck = Pyramid(self.trunk.widths, out)

    def forward(self, pixels: Tensor, details: tuple[Conv2d, Conv2d]) -> tuple[Tensor, ...]:
        """Encode normalised RGB.

        Args:
            pixels: (b, 3, side, side).
            details: Layers of single pixels that follow on the pyramid's maps at strides 4 and 8.

        Returns:
            (b, out, grid, grid) at stride 16, and what the layers make of strides 4 and 8.
        """
        maps: tuple[Tensor, ...] = self.neck(self.trunk(pixels), details)
        return maps


class Hiera(nn.Module):
    """Patches, positions, and blocks in four stages."""

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.widths = tuple(config.width << stage for stage in range(4))
        self.ends = [end - 1 for end in accumulate(config.depths)]
        self.patch_embed = PatchEmbed(config.width)
        table = config.trained_grid
        self.pos_embed = nn.Parameter(torch.zeros(1, config.width, table, table))
        side = config.windows[0]
        self.pos_embed_window = nn.Parameter(torch.zeros(1, config.width, side, side))
        self.blocks = nn.ModuleList(_blocks(config))

    def position(self, grid_hw: tuple[int, int]) -> Tensor:
        """Give the position code of the tokens: one over the image, one inside each window.

        Returns:
            (1, h, w, width).
        """
        rows, columns = (
            self.pos_embed.new_tensor(_stretching(int(self.pos_embed.shape[-1]), side))
            for side in grid_hw
        )
        # Row by row and column by column: a fraction of the work of taking sixteen values each.
        table = torch.einsum("hi,cij->hjc", rows, self.pos_embed[0])
        whole = columns @ table
        side = self.pos_embed_window.shape[-1]
        inside = self.pos_embed_window[0].permute(1, 2, 0)[:, None]
        windows = (grid_hw[0] // side, side, grid_hw[1] // side, side)
        code = whole.view(*windows, -1) + inside
        return code.view(1, *grid_hw, -1)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Encode normalised RGB (b, 3, side, side): the map of each stage, (b, h, w, width)."""
        tokens = self.patch_embed(pixels)
        code = self.position((int(tokens.shape[1]), int(tokens.shape[2])))
        x = tokens.add_(code) if saves_memory(tokens) else tokens + code
        maps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.ends:
                maps.append(x)
        return maps

    def stages(self) -> list[nn.Module]:
        """List what an image passes through before the pyramid."""
        return [self.patch_embed, *self.blocks]


@lru_cache
def _stretching(inputs: int, outputs: int) -> list[list[float]]:
    """Write the cubic stretching of a line as a matrix (outputs, inputs)."""
    rows: list[list[float]] = resampling.matrix(resampling.cubic(inputs, outputs), inputs).tolist()
    return rows


def _blocks(config: HieraConfig) -> list[nn.Module]:
    """Make the blocks of all stages; one that pools has the window of the stage it comes from."""
    blocks: list[nn.Module] = []
    for stage, depth in enumerate(config.depths):
        width, heads = config.width << stage, config.heads << stage
        for place in range(depth):
            pools = stage > 0 and place == 0
            window: int | None = config.windows[stage - pools]
            if len(blocks) in config.global_blocks:
                window = None
            blocks.append(Block(width >> pools, width, heads, window))
    return blocks


class PatchEmbed(nn.Module):
    """Overlapping squares of pixels to tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = Conv2d(3, width, 7, stride=4, padding=3)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (b, 3, h, w) to (b, h / 4, w / 4, width)."""
        tokens: Tensor = self.proj(pixels.contiguous(memory_format=torch.channels_last))
        return tokens.permute(0, 2, 3, 1)


class Block(nn.Module):
    """A transformer block, normalised before each of its two branches.

    Args:
        width: Channels of what comes in.
        out: Channels of what goes out; if there are more, a stage begins and the map shrinks.
        heads: Attention heads.
        window: Height and width of a window in tokens that come in; None: the whole image.
    """

    def __init__(self, width: int, out: int, heads: int, window: int | None) -> None:
        super().__init__()
        self.window, self.pools = window, width != out
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, out, heads, self.pools)
        self.norm2 = nn.LayerNorm(out, eps=1e-6)
        self.mlp = MLP(out, 4 * out, nn.GELU())
        self.proj = Linear(width, out) if self.pools else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, h, w, width) to (b, h', w', out), half the sides where it pools."""
        if self.window is None:
            return self._transform(x, None)
        if not saves_memory(x):
            return self._in_windows(x, self.window)
        windows = -(-_TOKENS_AT_ONCE // (self.window * x.shape[2]))  # rows of them
        strips = torch.split(x, windows * self.window, dim=1)
        if len(strips) == 1:
            return self._in_windows(x, self.window)
        b, h, w, _ = x.shape
        out = x.new_empty(b, h >> self.pools, w >> self.pools, self.attn.proj.out_features)
        row = 0
        for strip in strips:  # into one map, rather than joined at the end, which would need two
            part = self._in_windows(strip, self.window)
            out[:, row : row + part.shape[1]] = part
            row += part.shape[1]
        return out

    def _in_windows(self, x: Tensor, window: int) -> Tensor:
        """Do all of it window by window, unless some have to be filled up for the attention."""
        h, w, width = (int(side) for side in x.shape[1:])  # numbers, for a recorded graph
        if h % window or w % window:
            return self._transform(x, window)
        told = self._transform(split_windows(x, window, x.new_zeros(width)), None)
        return join_windows(told, (h >> self.pools, w >> self.pools))

    def _transform(self, x: Tensor, window: int | None) -> Tensor:
        normed = self.norm1(x)
        around = x if self.proj is None else pooled(self.proj(normed))
        x = add(self.attn(normed, window), around)
        return add(self.mlp(self.norm2(x)), x)


class Attention(nn.Module):
    """Self-attention, inside windows or over the whole map, whose queries may be pooled."""

    def __init__(self, width: int, out: int, heads: int, pools: bool) -> None:
        super().__init__()
        self.heads, self.pools = heads, pools
        self.qkv = Linear(width, 3 * out)
        self.proj = Linear(out, out)

    def forward(self, x: Tensor, window: int | None) -> Tensor:
        """Map (b, h, w, width) to (b, h', w', out), half the sides where queries are pooled."""
        # Slices, because what splits a tensor is a sequence in a graph, which not all can run.
        out, qkv = self.proj.in_features, self.qkv(x)
        q, kv = qkv[..., :out], qkv[..., out:]
        if self.pools:
            q = pooled(q)
        size_hw = (q.shape[1], q.shape[2])
        if window is not None:
            # What fills up the last windows is zero *before* the projection, so it takes part as
            # a token made of biases; see `vit.Attention`.
            fill = of_zeros(self.qkv, x)[-kv.shape[3] :]
            q = split_windows(q, window >> self.pools, q.new_zeros(q.shape[3]))
            kv = split_windows(kv, window, fill)
        k, v = kv[..., :out], kv[..., out:]
        split = (some.flatten(1, 2).unflatten(2, (self.heads, -1)) for some in (q, k, v))
        told = attend(*(some.transpose(1, 2) for some in split))
        attended = told.transpose(1, 2).reshape(q.shape)
        if window is not None:
            attended = join_windows(attended, size_hw)
        projected: Tensor = self.proj(attended)
        return projected


class Pyramid(nn.Module):
    """Stages to maps of one width; only stride 16 is told what a coarser stage sees."""

    def __init__(self, widths: tuple[int, ...], out: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(Lateral(width, out) for width in reversed(widths))

    def forward(self, maps: list[Tensor], details: tuple[Conv2d, Conv2d]) -> tuple[Tensor, ...]:
        """Join stages (b, h, w, width), the finest first; see `HieraEncoder.forward`."""
        coarse, top = self.convs[0](maps[3]), self.convs[1](maps[2])
        above = F.interpolate(coarse.permute(0, 3, 1, 2), scale_factor=2.0, mode="nearest")
        fine = (
            in_one(cast(Lateral, lateral).conv, detail, some).permute(0, 3, 1, 2)
            for lateral, detail, some in zip(
                (self.convs[3], self.convs[2]), details, maps, strict=False
            )
        )
        return (top.permute(0, 3, 1, 2) + above, *fine)


class Lateral(nn.Module):
    """From the channels of a stage to those of the pyramid."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv = Conv2d(width, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, h, w, width) to (b, h, w, out)."""
        mapped: Tensor = self.conv(x.permute(0, 3, 1, 2))
        return mapped.permute(0, 2, 3, 1)


def in_one(first: nn.Module, second: nn.Module, x: Tensor) -> Tensor:
    """Apply two layers of single pixels, one after the other, to (b, h, w, c).

    The pyramid's fine maps are read only through a layer with fewer channels than they have, and
    two such layers are one matrix: a fifth of the work, and the map between is never made. Other
    layers than plain ones, such as those with low-rank adapters, are more than their weights.
    """
    if type(first) is not Conv2d or type(second) is not Conv2d:
        mapped: Tensor = second(first(x.permute(0, 3, 1, 2)))
        return mapped.permute(0, 2, 3, 1)
    inner, outer = first.weight.flatten(1), second.weight.flatten(1)
    assert first.bias is not None and second.bias is not None
    return linear(x, outer @ inner, outer @ first.bias + second.bias)


def pooled(x: Tensor) -> Tensor:
    """Take the largest of each 2 x 2 tokens: (n, h, w, c) to (n, h / 2, w / 2, c)."""
    rows = torch.maximum(x[:, ::2], x[:, 1::2])
    return torch.maximum(rows[:, :, ::2], rows[:, :, 1::2])
