"""EfficientViT-SAM's image encoder (Zhang, Cai & Han, 2024; Cai et al., 2023).

Convolutions to a 16th or 32nd of the resolution, then blocks of attention whose cost is linear in
the number of cells: with ReLU in the place of the softmax, keys and values can be multiplied first.
A neck adds up the last three stages at the size of the largest.

Every normalisation has an eps of 1e-6, and GELU is the one with tanh.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.models.config import EfficientVitConfig
from anymask.models.kernels import add, chunk_rows, convolve, gelu, saves_memory
from anymask.models.layers import LayerNorm2d, convolve_and_normalise, scale_and_bias

__all__ = ["EfficientVit"]

_EPS = 1e-6
HEAD = 32
"""Channels of an attention head."""
HIDDEN_VALUES = 1 << 20
"""Values of a block's hidden map held at a time on a CPU: 4 MB in float32 ..."""
GROUP = 32
"""... of as many channels, or of a multiple."""
_ADDED_UP = 3  # stages that the neck reads


class EfficientVit(nn.Module):
    """Square frame to embedding: a stem, stages, and a neck over the last three of them."""

    def __init__(self, config: EfficientVitConfig, out: int) -> None:
        super().__init__()
        self.backbone = Backbone(config)
        self.neck = Neck(config, out)
        self.norm = LayerNorm2d(out, _EPS)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode normalised RGB (b, 3, side, side) as (b, out, grid, grid)."""
        x = pixels.contiguous(memory_format=torch.channels_last)
        maps: list[Tensor] = []
        for stage in self.backbone.stages:
            x = stage(x)
            maps = [x, *maps][:_ADDED_UP]
        del x
        embedding: Tensor = self.norm(self.neck(maps))
        return embedding

    def stages(self) -> list[nn.Module]:
        """List what an image passes through before the neck."""
        return list(self.backbone.stages)


class Backbone(nn.Module):
    """The stages, each of which halves the sides of the map."""

    def __init__(self, config: EfficientVitConfig) -> None:
        super().__init__()
        first, last = config.widths[0], len(config.widths) - 1
        stem = ConvNorm(3, first, 3, stride=2, gelu=True)
        stages: list[Stage] = [
            First([stem, *(Around(Double(first)) for _ in range(config.depths[0]))], first)
        ]
        for i, (width, out) in enumerate(pairwise(config.widths), start=1):
            grown, more = (24, 6) if i == last else (16, 4)
            kind = Fused if i <= config.fused else Inverted
            blocks: list[nn.Module] = [Around(kind(width, grown * width, out, 2), shortcut=False)]
            for _ in range(config.depths[i]):
                mixed = kind(out, more * out, out)
                attends = i > last - config.attentive
                blocks.append(Block(out, config.window, mixed) if attends else Around(mixed))
            stages.append(Stage(blocks))
        self.stages = nn.ModuleList(stages)


class Stage(nn.Module):
    """Blocks in a row."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.op_list = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to the stage's channels and size."""
        for block in self.op_list:
            x = block(x)
        return x


class First(Stage):
    """The stage of the widest maps, which go through all of it a strip of rows at a time."""

    def __init__(self, blocks: list[nn.Module], width: int) -> None:
        super().__init__(blocks)
        self.width = width

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (b, 3, h, w) to (b, width, h / 2, w / 2)."""
        row = 3 * self.width * (pixels.shape[3] // 2)  # two maps and what goes around them
        halo = 1 + 2 * (len(self.op_list) - 1)  # a row for each convolution
        return chunk_rows(super().forward, pixels, 2, row, halo)


class ConvNorm(nn.Module):
    """A convolution, then batch normalisation or a bias or neither, and GELU if asked for."""

    def __init__(
        self,
        width: int,
        out: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        *,
        gelu: bool = False,
        then: Literal["norm", "bias", "nothing"] = "norm",
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            width, out, kernel, stride, kernel // 2, groups=groups, bias=then == "bias"
        )
        if then == "norm":
            self.norm = nn.BatchNorm2d(out, eps=_EPS)
        self.normed, self.gelu = then == "norm", gelu

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, width, h, w) to (b, out, h / stride, w / stride)."""
        then: Literal["none", "gelu"] = "gelu" if self.gelu else "none"
        if self.normed:
            return convolve_and_normalise(x, self.conv, self.norm, then)
        if type(self.conv) is nn.Conv2d:
            return convolve(x, self.conv, self.conv.weight, self.conv.bias, then)
        mapped = self.conv(x)  # with a low-rank adapter it is more than its weights
        return gelu(mapped, "tanh") if self.gelu else mapped

    def some(self, x: Tensor, channels: slice) -> Tensor:
        """Compute some of the output channels, of all input channels or of just these."""
        then: Literal["none", "gelu"] = "gelu" if self.gelu else "none"
        weight, bias = self.conv.weight[channels], self.conv.bias
        groups = len(weight) if self.conv.groups > 1 else 1
        if self.normed:
            scale, bias = scale_and_bias(self.norm)
            weight = weight * scale[channels, None, None, None]
        bias = None if bias is None else bias[channels]
        return convolve(x, self.conv, weight, bias, then, groups)


class Around(nn.Module):
    """Something with a way around it, or without one where the size changes."""

    def __init__(self, main: nn.Module, shortcut: bool = True) -> None:
        super().__init__()
        self.main, self.shortcut = main, shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) by what is inside."""
        mapped: Tensor = self.main(x)
        return add(mapped, x) if self.shortcut else mapped


class Double(nn.Module):
    """Two convolutions of 3 x 3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(width, width, 3, gelu=True)
        self.conv2 = ConvNorm(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to the same shape."""
        mapped: Tensor = self.conv2(self.conv1(x))
        return mapped


class Fused(nn.Module):
    """A 3 x 3 convolution to the hidden channels, and on to the output."""

    def __init__(self, width: int, hidden: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.hidden, self.stride = hidden, stride
        self.spatial_conv = ConvNorm(width, hidden, 3, stride, gelu=True)
        self.point_conv = ConvNorm(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, width, h, w) to (b, out, h / stride, w / stride)."""
        height, width = (n // self.stride for n in x.shape[2:])
        convolutions = (self.spatial_conv, self.point_conv)
        return in_groups(convolutions, x, len(x) * height * width)


class Inverted(nn.Module):
    """To the hidden channels, a 3 x 3 convolution in each of them, and on to the output."""

    def __init__(self, width: int, hidden: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.hidden, self.stride = hidden, stride
        self.inverted_conv = ConvNorm(width, hidden, gelu=True, then="bias")
        self.depth_conv = ConvNorm(hidden, hidden, 3, stride, groups=hidden, gelu=True, then="bias")
        self.point_conv = ConvNorm(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, width, h, w) to (b, out, h / stride, w / stride)."""
        convolutions = (self.inverted_conv, self.depth_conv, self.point_conv)
        return in_groups(convolutions, x, len(x) * x.shape[2] * x.shape[3])


def in_groups(convolutions: Sequence[ConvNorm], x: Tensor, pixels: int) -> Tensor:
    """Apply convolutions whose hidden channels meet only in the last, a group at a time.

    Args:
        convolutions: To the hidden channels, perhaps one within each of them, and to the output by
            a convolution of single pixels that is normalised.
        x: (b, width, h, w).
        pixels: Values of a hidden channel.
    """
    *inner, last = convolutions
    hidden, each = last.conv.in_channels, max(GROUP, HIDDEN_VALUES // pixels // GROUP * GROUP)
    adapted = any(type(layer.conv) is not nn.Conv2d for layer in convolutions)
    if not saves_memory(x) or each >= hidden or adapted:
        for layer in convolutions:
            x = layer(x)
        return x
    total: Tensor | None = None
    for start in range(0, hidden, each):
        group, part = slice(start, start + each), x
        for layer in inner:
            part = layer.some(part, group)
        part = convolve(part, last.conv, last.conv.weight[:, group], None)
        total = part if total is None else add(total, part)
    assert total is not None
    scale, bias = scale_and_bias(last.norm)
    return total.mul_(scale[:, None, None]).add_(bias[:, None, None])


class Block(nn.Module):
    """Attention over the whole map, and convolutions for what is near."""

    def __init__(self, width: int, window: int, local: nn.Module) -> None:
        super().__init__()
        self.context_module = Around(LinearAttention(width, window))
        self.local_module = Around(local)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to the same shape."""
        mapped: Tensor = self.local_module(self.context_module(x))
        return mapped


class LinearAttention(nn.Module):
    """Self-attention with ReLU for the softmax, at two scales (Cai et al., 2023, section 3.1).

    The second scale has queries, keys and values that are gathered from a window around each cell.
    """

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.qkv = ConvNorm(width, 3 * width, then="nothing")
        gathered = nn.Conv2d(
            3 * width, 3 * width, window, padding=window // 2, groups=3 * width, bias=False
        )
        mixed = nn.Conv2d(3 * width, 3 * width, 1, groups=3 * width // HEAD, bias=False)
        self.aggreg = nn.ModuleList([nn.Sequential(gathered, mixed)])
        self.proj = ConvNorm(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to the same shape."""
        near = self.qkv(x)
        maps = torch.cat([near, self.aggreg[0](near)], dim=1)
        b, _, h, w = maps.shape
        tokens = maps.permute(0, 2, 3, 1).reshape(b, h * w, -1, 3, HEAD).float()
        q, k, v = tokens.permute(3, 0, 2, 1, 4)  # each (b, heads, h * w, d)
        q, k = F.relu(q), F.relu(k)
        total = q @ k.sum(dim=2)[..., None]
        told = q @ (k.mT @ v) / (total + 1e-15)
        told = told.transpose(1, 2).reshape(b, h, w, -1).to(x.dtype)
        projected: Tensor = self.proj(told.permute(0, 3, 1, 2))
        return projected


class Neck(nn.Module):
    """The last three stages at the size of the largest, added up, and blocks on their sum."""

    def __init__(self, config: EfficientVitConfig, out: int) -> None:
        super().__init__()
        self.grid, hidden = config.grid, config.neck_expansion * out
        last = config.widths[: -_ADDED_UP - 1 : -1]
        self.input_ops = nn.ModuleList(Stage([ConvNorm(width, out)]) for width in last)
        self.middle = Stage([Around(Fused(out, hidden, out)) for _ in range(config.neck_depth)])
        self.output_ops = nn.ModuleList([Stage([ConvNorm(out, out, then="bias")])])

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map the stages' maps, the last first, to (b, out, grid, grid)."""
        last, *others = self.input_ops
        x = self._enlarge(last(maps[0]))
        for op, some in zip(others, maps[1:], strict=True):
            x = add(x, self._enlarge(op(some)))
        mapped: Tensor = self.output_ops[0](self.middle(x))
        return mapped

    def _enlarge(self, x: Tensor) -> Tensor:
        if x.shape[-1] == self.grid:
            return x
        large = F.interpolate(x, (self.grid, self.grid), mode="bicubic", align_corners=False)
        return large.contiguous(memory_format=torch.channels_last)
