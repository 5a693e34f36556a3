"""The network of FastSAM (Zhao et al., 2023), with the key names of its files.

It finds all instances in one pass, without prompts: a convolutional backbone, a neck that carries
what is seen at strides 8, 16 and 32 down and up again (path aggregation, Liu et al., 2018), and for
every cell of these three maps a box, a score and the coefficients of a mask. Each edge of a box is
the mean of a distribution over distances (Li et al., 2020, "Generalized focal loss"); a mask is a
mixture of prototypes that the whole image shares (Bolya et al., 2019, "YOLACT").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.errors import CapabilityError
from anymask.models.config import FastSamConfig
from anymask.models.detection import STRIDES
from anymask.models.kernels import Conv2d
from anymask.models.layers import convolve_and_normalise
from anymask.models.prompt_batch import PromptBatch
from anymask.models.torch_network import TorchNetwork

__all__ = ["FastSam", "fit_bins"]


class ConvNorm(nn.Module):
    """A convolution, batch normalisation and SiLU."""

    def __init__(self, inside: int, outside: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outside, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(convolve_and_normalise(x, self.conv, self.bn), inplace=not self.training)


class Bottleneck(nn.Module):
    """Two 3x3 convolutions, around an identity in the backbone."""

    def __init__(self, width: int, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.cv1 = ConvNorm(width, width, 3)
        self.cv2 = ConvNorm(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.cv2(self.cv1(x))
        return x + y if self.residual else y


class Stage(nn.Module):
    """Half of the channels go through a chain of blocks, and all that comes up is joined.

    A cross-stage partial network (Wang et al., 2020) that keeps what every block gives.
    """

    def __init__(self, inside: int, outside: int, depth: int, *, residual: bool = False) -> None:
        super().__init__()
        half = outside // 2
        self.cv1 = ConvNorm(inside, 2 * half)
        self.cv2 = ConvNorm((2 + depth) * half, outside)
        self.m = nn.ModuleList(Bottleneck(half, residual) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.cv1(x).chunk(2, dim=1))
        for block in self.m:
            parts.append(block(parts[-1]))
        joined: Tensor = self.cv2(torch.cat(parts, dim=1))
        return joined


class PyramidPooling(nn.Module):
    """Maxima over windows of 5, 9 and 13 cells beside the map itself (He et al., 2015)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cv1 = ConvNorm(width, width // 2)
        self.cv2 = ConvNorm(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.cv1(x)]
        for _ in range(3):  # the maximum of maxima is that of a wider window
            parts.append(F.max_pool2d(parts[-1], 5, stride=1, padding=2))
        pooled: Tensor = self.cv2(torch.cat(parts, dim=1))
        return pooled


class Prototypes(nn.Module):
    """The maps at stride 4 of which masks are mixed."""

    def __init__(self, inside: int, width: int, count: int) -> None:
        super().__init__()
        self.cv1 = ConvNorm(inside, width, 3)
        self.upsample = nn.ConvTranspose2d(width, width, 2, stride=2)
        self.cv2 = ConvNorm(width, width, 3)
        self.cv3 = ConvNorm(width, count)

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.cv3(self.cv2(self.upsample(self.cv1(x))))
        return maps


class Expectation(nn.Module):
    """The mean of a distribution over 0, 1, 2, ...: its weights are those numbers, not learned."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(bins, 1, 1, bias=False).requires_grad_(False)
        self.conv.weight.data = torch.arange(bins, dtype=torch.float32)[None, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """Turn logits (b, 4 * bins, h, w) into four distances (b, 4, h, w), float32."""
        b, _, h, w = x.shape
        shares = x.float().reshape(b, 4, -1, h, w).softmax(dim=2)
        return torch.einsum("bekhw,k->behw", shares, self.conv.weight.flatten().float())


class Head(nn.Module):
    """A box, a score and coefficients for every cell, each from a tower of its own."""

    def __init__(self, widths: tuple[int, int, int], config: FastSamConfig) -> None:
        super().__init__()
        edges, narrow = 4 * config.bins, widths[0] // 4
        self.cv2 = nn.ModuleList(_tower(w, edges, edges) for w in widths)
        self.cv3 = nn.ModuleList(_tower(w, widths[0], 1) for w in widths)
        self.dfl = Expectation(config.bins)
        self.proto = Prototypes(widths[0], widths[0], config.prototypes)
        self.cv4 = nn.ModuleList(_tower(w, narrow, config.prototypes) for w in widths)

    def forward(self, maps: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
        features = {"prototypes": self.proto(maps[0]).float()}
        towers = zip(STRIDES, maps, self.cv2, self.cv3, self.cv4, strict=True)
        for stride, x, edges, score, coefficients in towers:
            parts = self.dfl(edges(x)), score(x).float().sigmoid(), coefficients(x).float()
            features[f"stride{stride}"] = torch.cat(parts, dim=1)
        return features


def _tower(inside: int, width: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        ConvNorm(inside, width, 3), ConvNorm(width, width, 3), Conv2d(width, outside, 1)
    )


class FastSam(TorchNetwork):
    """All instances of an image at once; fulfils `Network`, but knows no prompts.

    Features:
        - ``"prototypes"``: (b, prototypes, h / 4, w / 4).
        - ``"stride8"``, ``"stride16"``, ``"stride32"``: (b, 5 + prototypes, h / 8, w / 8), ...: for
          each cell the distances from its middle to the left, top, right and bottom edge of an
          instance, in cells; the score, 0 to 1; and the coefficients of its mask.
        - ``"picture"``: (b, 3, h, w), float16, the pixels themselves, for those who have to look at
          an instance again.

    Sides of the frame are multiples of 32.
    """

    def __init__(self, config: FastSamConfig) -> None:
        super().__init__()
        w2, w4, w8, w16, w32 = config.widths
        n4, n8, n16, n32 = config.depths
        # The numbers of layers that have no weights are left out.
        self.model = nn.ModuleDict(
            {
                "0": ConvNorm(3, w2, 3, stride=2),
                "1": ConvNorm(w2, w4, 3, stride=2),
                "2": Stage(w4, w4, n4, residual=True),
                "3": ConvNorm(w4, w8, 3, stride=2),
                "4": Stage(w8, w8, n8, residual=True),
                "5": ConvNorm(w8, w16, 3, stride=2),
                "6": Stage(w16, w16, n16, residual=True),
                "7": ConvNorm(w16, w32, 3, stride=2),
                "8": Stage(w32, w32, n32, residual=True),
                "9": PyramidPooling(w32),
                "12": Stage(w32 + w16, w16, config.neck_depth),
                "15": Stage(w16 + w8, w8, config.neck_depth),
                "16": ConvNorm(w8, w8, 3, stride=2),
                "18": Stage(w8 + w16, w16, config.neck_depth),
                "19": ConvNorm(w16, w16, 3, stride=2),
                "21": Stage(w16 + w32, w32, config.neck_depth),
                "22": Head((w8, w16, w32), config),
            }
        )

    def mask_hw(self, frame_hw: tuple[int, int]) -> tuple[int, int]:
        """Tell the size of the prototypes: a quarter of the frame's."""
        return frame_hw[0] // 4, frame_hw[1] // 4

    def encode(self, pixels: Tensor, resized_hw: tuple[int, int]) -> dict[str, Tensor]:
        """Find everything in images (b, 3, h, w) from 0 to 1; see `Network.encode`."""
        features = self.model["22"](self._neck(*self._backbone(pixels)))
        return {**features, "picture": pixels.half()}

    def prepare(self, features: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Leave features as they are: they are the instances."""
        return features

    def decode(
        self, features: Mapping[str, Tensor], prompts: PromptBatch, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Refuse: prompts select among the instances, they make no new ones."""
        raise CapabilityError(
            "expected a model with a decoder, got FastSAM, whose prompts select among instances; "
            "call predict, or load another model"
        )

    def _backbone(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return maps at strides 8, 16 and 32."""
        m = self.model
        c8 = m["4"](m["3"](m["2"](m["1"](m["0"](pixels)))))
        c16 = m["6"](m["5"](c8))
        return c8, c16, m["9"](m["8"](m["7"](c16)))

    def _neck(self, c8: Tensor, c16: Tensor, c32: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Carry what is seen at each stride to the finer ones, then back to the coarser ones."""
        m = self.model
        down16 = m["12"](torch.cat([_double(c32), c16], dim=1))
        p8 = m["15"](torch.cat([_double(down16), c8], dim=1))
        p16 = m["18"](torch.cat([m["16"](p8), down16], dim=1))
        p32 = m["21"](torch.cat([m["19"](p16), c32], dim=1))
        return p8, p16, p32


def fit_bins(config: FastSamConfig, state: Mapping[str, Tensor]) -> FastSamConfig:
    """Take the number of bins from weights, for it differs between files of one size."""
    for key, value in state.items():
        if key.endswith("22.dfl.conv.weight") and value.ndim == 4:
            return replace(config, bins=value.shape[1])
    return config


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")
