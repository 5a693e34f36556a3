"""MobileNetV2 as a trunk: maps of a photo that were learned from many more photos than we have.

MobileNetV2 1.0 (Sandler et al., CVPR 2018) as it came out of TensorFlow: batch norms folded into
the convolutions, ReLU6, and TensorFlow's "SAME" padding, which at stride 2 and even sizes lies at
the bottom and right only. What is handed on are the expanded maps just before each halving, as in
SSD. The weights come from a detector for everyday things (`recipes/fetch_trunk.py`); the bundled
model's encoder and the detector stand on the same trunk.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from anymask.models.kernels import Conv2d, chunk_rows

__all__ = ["TAP_WIDTHS", "InvertedResidual", "SameConv", "Trunk"]

TAP_WIDTHS = (144, 192, 576, 1280)
"""Channels of the maps at strides 4, 8, 16 and 32."""

_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, output channels, blocks and first stride of each stage (the paper's table 2)."""

_TAPPED = (3, 6, 13)
"""Blocks whose expanded map is handed on, at strides 4, 8 and 16."""

_WIDEST = 1
"""Block whose expanded map, at stride 2, is the largest of all and wanted by nobody else."""


class SameConv(Conv2d):
    """A convolution with TensorFlow's "SAME" padding: (b, c, h, w) to (b, c', h / s, w / s)."""

    def __init__(
        self, inside: int, outside: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(inside, outside, kernel, stride, kernel // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; sizes are rounded up."""
        if self.stride[0] == 1:
            return super().forward(x)
        (top, bottom), (left, right) = (
            _margins(size, self.kernel_size[0], self.stride[0]) for size in x.shape[2:]
        )
        if top == bottom == left == right == self.padding[0]:
            return super().forward(x)
        x = F.pad(x, (left, right, top, bottom))
        return F.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)


def _margins(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Tell how many zeros lie before and behind a side."""
    # Only of what is left over by the stride, which is the same for all sizes of a recorded graph:
    # so the margins are numbers in it, which runtimes make part of the convolution.
    total = max(0, kernel - (int(size) % stride or stride))
    return total // 2, total - total // 2


class InvertedResidual(nn.Module):
    """Widen, look around in each channel, narrow; added to the input where shapes allow."""

    def __init__(self, inside: int, outside: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inside * expansion
        self.expand = SameConv(inside, width) if expansion > 1 else None
        self.depthwise = SameConv(width, width, 3, stride, groups=width)
        self.project = SameConv(width, outside)
        self.adds = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the narrow result and the expanded map that it was made from."""
        wide = x if self.expand is None else _relu6(self.expand(x))
        y = self.project(_relu6(self.depthwise(wide)))
        return (x + y if self.adds else y), wide


def _narrow_alone(block: nn.Module) -> Callable[[Tensor], Tensor]:
    def apply(x: Tensor) -> Tensor:
        narrow: Tensor = block(x)[0]
        return narrow

    return apply


def _relu6(x: Tensor) -> Tensor:
    """Clip to 0..6 in place: what a convolution returned is needed by nobody else."""
    return F.hardtanh(x, 0.0, 6.0, inplace=True)


class Trunk(nn.Module):
    """MobileNetV2 1.0, from pixels to maps at strides 4, 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 32, 3, 2)
        blocks = []
        inside = 32
        for expansion, width, depth, stride in _STAGES:
            for i in range(depth):
                blocks.append(InvertedResidual(inside, width, stride if i == 0 else 1, expansion))
                inside = width
        self.blocks = nn.ModuleList(blocks)
        self.last = SameConv(inside, TAP_WIDTHS[-1])

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute the maps that are handed on.

        Args:
            pixels: RGB scaled to -1..1 (value / 127.5 - 1), float32 (b, 3, h, w), of any size.

        Returns:
            (b, c, h', w') at strides 4, 8, 16, 32 with `TAP_WIDTHS` channels, sizes rounded up.

        Examples:
            >>> import torch
            >>> maps = Trunk()(torch.zeros(1, 3, 64, 96))
            >>> [tuple(m.shape[1:]) for m in maps]
            [(144, 16, 24), (192, 8, 12), (576, 4, 6), (1280, 2, 3)]
        """
        x = _relu6(self.stem(pixels))
        taps = []
        for i, block in enumerate(self.blocks):
            if i == _WIDEST and x.shape[2] % 2 == 0:  # else strips would be padded otherwise
                hidden = 2 * 6 * x.shape[1] * x.shape[3]  # two rows, expanded, become one
                x = chunk_rows(_narrow_alone(block), x, 2, hidden)
                continue
            x, wide = block(x)
            if i in _TAPPED:
                taps.append(wide)
        return taps[0], taps[1], taps[2], _relu6(self.last(x))
