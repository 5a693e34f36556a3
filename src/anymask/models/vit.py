"""SAM's image encoder: a vision transformer with windowed attention and relative positions.

Most blocks attend inside windows of 14 x 14 tokens, a few over the whole image (Li et al., 2022,
"Exploring plain vision transformer backbones for object detection"). Relative positions enter as a
bias q . (row table[i - k] + column table[j - l]) for a query at (i, j) and a key at (k, l).
"""

from __future__ import annotations

from itertools import repeat

import torch
from torch import Tensor, nn

from anymask.models.config import VitConfig
from anymask.models.kernels import Conv2d, Linear, attend, saves_memory, tracing
from anymask.models.layers import MLP, Neck

__all__ = [
    "Block",
    "ImageEncoder",
    "PatchEmbed",
    "Transformer",
    "join_windows",
    "of_zeros",
    "relative_table",
    "split_windows",
]


class Transformer(nn.Module):
    """Square frame to embedding: patches, transformer blocks, and a convolutional neck."""

    patch_embed: PatchEmbed
    blocks: nn.ModuleList
    neck: Neck
    adapter: nn.Module | None
    """A `SamAdapter`, which tells each block something about the image, or none."""

    def position(self, grid_hw: tuple[int, int]) -> Tensor:
        """Give the position code of the tokens, (1, *grid_hw, width)."""
        raise NotImplementedError

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode normalised RGB (b, 3, side, side) as (b, out, grid, grid)."""
        return self.with_early(pixels, None)[0]

    def with_early(self, pixels: Tensor, block: int | None) -> tuple[Tensor, Tensor | None]:
        """Encode as `forward` does, and give one block's map, (b, width, grid, grid)."""
        tokens = self.patch_embed(pixels)
        x = tokens + self.position((tokens.shape[1], tokens.shape[2]))
        told = repeat(None) if self.adapter is None else self.adapter(pixels, tokens)
        early = None
        for i, (layer, more) in enumerate(zip(self.blocks, told, strict=False)):
            x = layer(x if more is None else x + more)
            if i == block:
                early = x.permute(0, 3, 1, 2)
        return self.neck(x.permute(0, 3, 1, 2)), early

    def stages(self) -> list[nn.Module]:
        """List what an image passes through before the neck."""
        return [self.patch_embed, *self.blocks]


class ImageEncoder(Transformer):
    """SAM's own."""

    def __init__(self, config: VitConfig, out: int) -> None:
        super().__init__()
        grid, width = config.grid, config.width
        self.patch_embed = PatchEmbed(width, config.patch)
        self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, width))
        windows = (
            None if i in config.global_blocks else config.window for i in range(config.depth)
        )
        self.blocks = nn.ModuleList(
            Block(width, Attention(width, config.heads, grid, window), config.mlp)
            for window in windows
        )
        self.neck = Neck(width, out)
        self.adapter = None

    def position(self, grid_hw: tuple[int, int]) -> Tensor:
        """Give the table that was learned, whose size is that of the grid."""
        return self.pos_embed


class PatchEmbed(nn.Module):
    """Squares of pixels to tokens."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = Conv2d(3, width, patch, stride=patch)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (b, 3, h, w) to (b, h / patch, w / patch, width)."""
        tokens: Tensor = self.proj(pixels)
        return tokens.permute(0, 2, 3, 1)


class Block(nn.Module):
    """A transformer block, normalised before each of its two branches."""

    def __init__(self, width: int, attention: nn.Module, hidden: int | None = None) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = attention
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = MLP(width, hidden or 4 * width, nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, h, w, width) to the same shape."""
        if tracing():
            return self._recorded(x)
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    def _recorded(self, x: Tensor) -> Tensor:
        """Do so on rows of tokens: a map of four dimensions OpenVINO lays out anew in each step."""
        map_shape = (-1, *map(int, x.shape[1:]))
        tokens = x.flatten(0, 2)
        tokens = tokens + self.attn(self.norm1(tokens).reshape(map_shape)).flatten(0, 2)
        out: Tensor = tokens + self.mlp(self.norm2(tokens))
        return out.reshape(map_shape)


class Attention(nn.Module):
    """Self-attention with relative positions, inside windows or over the whole grid."""

    def __init__(self, width: int, heads: int, grid: int, window: int | None) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        side = window or grid
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, width // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, width // heads))

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, h, w, width) to the same shape."""
        if self.window is None:
            projected: Tensor = self.proj(self._attend(self.qkv(x)))
            return projected
        strips = torch.split(x, self.window, dim=1) if saves_memory(x) else [x]
        return torch.cat([self._in_windows(strip, self.window) for strip in strips], dim=1)

    def _in_windows(self, x: Tensor, window: int) -> Tensor:
        """Attend inside windows, of which the last ones are filled up."""
        # What fills them up is zero *before* the projection, so it takes part in the attention as a
        # token made of biases. They are asked for like this because scripts put layers of their
        # own, such as low-rank adapters, in the place of this one.
        fill = of_zeros(self.qkv, x)
        qkv = split_windows(self.qkv(x), window, fill)
        projected: Tensor = self.proj(join_windows(self._attend(qkv), (x.shape[1], x.shape[2])))
        return projected

    def _attend(self, qkv: Tensor) -> Tensor:
        """Attend within each square of tokens: (n, s, s, 3 * width) to (n, s, s, width)."""
        n, side = qkv.shape[:2]
        qkv = qkv.reshape(n, side * side, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (n, heads, s * s, d)
        queries = q.unflatten(2, (side, side))
        by_row = torch.einsum("nhijd,ikd->nhijk", queries, relative_table(self.rel_pos_h, side))
        by_column = torch.einsum("nhijd,jld->nhijl", queries, relative_table(self.rel_pos_w, side))
        bias = by_row.flatten(2, 3)[..., :, None], by_column.flatten(2, 3)[..., None, :]
        return attend(q, k, v, bias).transpose(1, 2).reshape(n, side, side, -1)


def of_zeros(layer: nn.Module, x: Tensor) -> Tensor:
    """Give what a linear layer, or what is in its place, makes of a token of zeros: (out,)."""
    if tracing() and type(layer) is Linear:
        return layer.bias  # for a second product the weights would be copied by a node
    made: Tensor = layer(x.new_zeros(1, 1, 1, x.shape[3]))
    return made.flatten()


def relative_table(table: Tensor, side: int) -> Tensor:
    """Lay out a table (2 * side - 1, d) by query and key position, as (side, side, d)."""
    position = torch.arange(side, device=table.device)
    return table[position[:, None] - position[None, :] + side - 1]


def split_windows(x: Tensor, window: int, fill: Tensor) -> Tensor:
    """Cut (b, h, w, c) into (b * windows, window, window, c), filling up with ``fill`` (c,)."""
    b, h, w, c = x.shape
    rows, columns = _windows(h, window), _windows(w, window)
    if tracing():  # a graph would write to slices by scattered indices
        x = torch.cat([x, fill.expand(b, rows * window - h, w, c)], dim=1)
        x = torch.cat([x, fill.expand(b, rows * window, columns * window - w, c)], dim=2)
    elif (rows * window, columns * window) != (h, w):
        padded = fill.to(x.dtype).expand(b, rows * window, columns * window, c).clone()
        padded[:, :h, :w] = x
        x = padded
    x = x.reshape(b, rows, window, columns, window, c).transpose(2, 3)
    return x.reshape(b * rows * columns, window, window, c)


def _windows(side: int, window: int) -> int:
    """Count the windows along a side; in a recorded graph // cuts off, so no negative numbers."""
    return (side + window - 1) // window


def join_windows(x: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Undo `split_windows`: (b * windows, window, window, c) to (b, h, w, c)."""
    window, c = x.shape[1], x.shape[3]
    h, w = size_hw
    rows, columns = _windows(h, window), _windows(w, window)
    x = x.reshape(-1, rows, columns, window, window, c).transpose(2, 3)
    return x.reshape(-1, rows * window, columns * window, c)[:, :h, :w]
