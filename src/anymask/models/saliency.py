"""What a picture is of: a small saliency network, U2-Net-p, as published.

U2-Net (Qin et al., Pattern Recognition 2020) nests U-shaped blocks in a U: each stage is itself a
small encoder and decoder. The weights are the authors', learned from DUTS-TR, with batch norms
folded into the convolutions; `recipes/fetch_saliency.py` makes our file of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.models.kernels import Conv2d
from anymask.models.weights.files import read_state
from anymask.models.weights.filling import fill
from anymask.models.weights.locate import locate

__all__ = ["ResidualU", "Saliency", "load_saliency"]

FILE = "anymask-saliency.safetensors"
"""Its weights, beside those of the bundled model."""

_WIDTH, _MIDDLE = 64, 16
"""Channels between the blocks and inside of them."""

_STAGES = ((7, False), (6, False), (5, False), (4, False), (4, True), (4, True))
"""Depth of each stage's block, and whether it is dilated instead of pooled."""


class ResidualU(nn.Module):
    """A U of convolutions, added to its own first one (RSU in the paper).

    The dilated kind keeps the resolution and looks around with rising dilations instead.
    """

    def __init__(self, inside: int, depth: int, *, dilated: bool = False) -> None:
        super().__init__()
        self.dilated = dilated
        spans = [2**i if dilated else 1 for i in range(depth - 1)]
        self.enter = _conv(inside, _WIDTH)
        self.down = nn.ModuleList(
            _conv(_WIDTH if i == 0 else _MIDDLE, _MIDDLE, span) for i, span in enumerate(spans)
        )
        self.bottom = _conv(_MIDDLE, _MIDDLE, 2 ** (depth - 1) if dilated else 2)
        self.up = nn.ModuleList(
            _conv(2 * _MIDDLE, _WIDTH if i == depth - 2 else _MIDDLE, span)
            for i, span in enumerate(reversed(spans))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to (b, 64, h, w)."""
        entered = _relu(self.enter(x))
        x, skips = entered, []
        for i, layer in enumerate(self.down):
            x = _relu(layer(_halved(x) if i and not self.dilated else x))
            skips.append(x)
        x = _relu(self.bottom(x))
        for layer, skip in zip(self.up, reversed(skips), strict=True):
            x = _relu(layer(torch.cat([_enlarged(x, skip), skip], dim=1)))
        return x + entered


def _conv(inside: int, outside: int, dilation: int = 1) -> Conv2d:
    return Conv2d(inside, outside, 3, padding=dilation, dilation=dilation)


def _relu(x: Tensor) -> Tensor:
    return F.relu(x, inplace=True)


def _halved(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, 2, ceil_mode=True)


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    if x.shape[2:] == like.shape[2:]:
        return x
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


class Saliency(nn.Module):
    """U2-Net-p."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            ResidualU(_WIDTH if i else 3, depth, dilated=dilated)
            for i, (depth, dilated) in enumerate(_STAGES)
        )
        self.decoder = nn.ModuleList(
            ResidualU(2 * _WIDTH, depth, dilated=dilated) for depth, dilated in _STAGES[-2::-1]
        )
        self.sides = nn.ModuleList(_conv(_WIDTH, 1) for _ in _STAGES)
        self.out = Conv2d(len(_STAGES), 1, 1)

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return next(self.parameters()).device

    def forward(self, pixels: Tensor) -> Tensor:
        """Say how much each pixel belongs to the main subject.

        Args:
            pixels: Normalised RGB, float32 (b, 3, h, w); it has learned at 320 x 320.

        Returns:
            Logits (b, 1, h, w).
        """
        maps: list[Tensor] = []
        for stage in self.encoder:
            maps.append(stage(_halved(maps[-1]) if maps else pixels))
        seen = [maps[-1]]  # coarsest first
        for stage, skip in zip(self.decoder, maps[-2::-1], strict=True):
            seen.append(stage(torch.cat([_enlarged(seen[-1], skip), skip], dim=1)))
        said = self._sides(seen[::-1])
        logits: Tensor = self.out(torch.cat([_enlarged(x, said[0]) for x in said], dim=1))
        return logits

    def _sides(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return [side(x) for side, x in zip(self.sides, maps, strict=True)]


def load_saliency(device: torch.device | str = "cpu") -> Saliency:
    """Load the saliency network that ships inside the package.

    Raises:
        WeightsError: The package was installed without its weights.
    """
    path = locate("bundled", offline=True)[0].with_name(FILE)
    network = Saliency()
    fill(network, read_state(path), path, name="the saliency network")
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.to(device).eval()
