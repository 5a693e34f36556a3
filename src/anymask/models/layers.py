"""What several parts of the networks have in common."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.models.kernels import Conv2d, Linear, chunk_tokens, convolve, gelu

__all__ = ["ACTIVATIONS", "MLP", "LayerNorm2d", "Neck", "convolve_and_normalise", "scale_and_bias"]

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU}


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of every pixel."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (b, c, h, w); the result is laid out channels last."""
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class MLP(nn.Module):
    """Two linear layers around an activation."""

    def __init__(self, width: int, hidden: int, activation: nn.Module) -> None:
        super().__init__()
        self.hidden = hidden
        self.lin1 = Linear(width, hidden)
        self.lin2 = Linear(hidden, width)
        self.act = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to (..., width)."""
        return chunk_tokens(lambda some: self.lin2(self.act(self.lin1(some))), x, self.hidden)


class Neck(nn.Sequential):
    """Convolutions that bring an image encoder's last map to the width of the decoder."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__(
            Conv2d(width, out, 1, bias=False),
            LayerNorm2d(out),
            Conv2d(out, out, 3, padding=1, bias=False),
            LayerNorm2d(out),
        )


def convolve_and_normalise(
    x: Tensor,
    convolution: nn.Conv2d,
    norm: nn.BatchNorm2d,
    then: Literal["none", "gelu"] = "none",
) -> Tensor:
    """Apply a convolution without bias, batch normalisation, and GELU by tanh, to (b, c, h, w).

    Outside training this is one operation: the weights are normalised instead of the map. That is
    done anew each time, which costs next to nothing and cannot be out of date. It takes a plain
    convolution: one with a low-rank adapter is more than its weights.
    """
    if norm.training or type(convolution) is not nn.Conv2d:
        normed: Tensor = norm(convolution(x))
        return gelu(normed, "tanh") if then == "gelu" else normed
    scale, bias = scale_and_bias(norm)
    weight = convolution.weight * scale[:, None, None, None]
    return convolve(x, convolution, weight, bias, then)


def scale_and_bias(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Say what batch normalisation does outside training: two times (channels,)."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return scale, norm.bias - norm.running_mean * scale
