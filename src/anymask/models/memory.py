"""What SAM 2 remembers of a clip, and how a frame reads it (Ravi et al., 2024, section 4).

A frame and its mask become a small map. Maps of earlier frames, and pointers to the thing, are what
the next frame reads before it is decoded. No state is kept here: what is read is handed in.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.models.config import MemoryConfig
from anymask.models.kernels import Conv2d, Linear, attend, chunk_tokens
from anymask.models.layers import LayerNorm2d

__all__ = ["MemoryAttention", "MemoryEncoder", "map_code", "rotate", "rotation", "time_code"]

_BASE = 10000.0  # of the wavelengths of all codes
_CODE_SHARE = 0.1  # of the position code, in what a frame begins with


class MemoryAttention(nn.Module):
    """A frame reads itself and the memory, layer by layer."""

    def __init__(self, width: int, config: MemoryConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            MemoryLayer(width, config.width, config.mlp) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, image: Tensor, memory: Tensor, code: Tensor, pointers: int) -> Tensor:
        """Let a frame read what is remembered.

        Args:
            image: What the encoder saw of the frame, (n, c, h, w).
            memory: (n, m * h * w + pointers, c'): m maps, and then pointers in pieces.
            code: When and where each of it was, broadcastable to ``memory``.
            pointers: How many tokens at the end have no place in the image.

        Returns:
            (n, c, h, w).
        """
        h, w = image.shape[-2:]
        where = map_code(image.shape[1], (h, w)).to(image)
        x = (image + _CODE_SHARE * where).flatten(2).transpose(1, 2)
        turns = rotation(image.shape[1], (h, w)).to(image.device)
        for layer in self.layers:
            x = layer(x, memory, memory + code, turns, pointers)
        read: Tensor = self.norm(x).transpose(1, 2).unflatten(2, (h, w))
        return read


class MemoryLayer(nn.Module):
    """Self-attention, attention to the memory, an MLP; normalised before each."""

    def __init__(self, width: int, memory: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = RotaryAttention(width, width)
        self.cross_attn_image = RotaryAttention(width, memory)
        self.linear1, self.linear2 = Linear(width, hidden), Linear(hidden, width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))

    def forward(
        self, x: Tensor, memory: Tensor, coded: Tensor, turns: Tensor, pointers: int
    ) -> Tensor:
        """Map tokens (n, cells, c) to the same shape; the rest as in `MemoryAttention.forward`."""
        normed = self.norm1(x)
        x = x + self.self_attn(normed, normed, normed, turns, 0)
        x = x + self.cross_attn_image(self.norm2(x), coded, memory, turns, pointers)
        hidden = self.linear1.out_features
        out: Tensor = x + chunk_tokens(self._mlp, self.norm3(x), hidden)
        return out

    def _mlp(self, x: Tensor) -> Tensor:
        mapped: Tensor = self.linear2(F.relu(self.linear1(x)))
        return mapped


class RotaryAttention(nn.Module):
    """Attention of one head; places are told by turning queries and keys (Su et al., 2021).

    Memory has fewer channels than what is read from it, so it is mixed before it is projected: the
    same product in another order.
    """

    def __init__(self, width: int, memory: int) -> None:
        super().__init__()
        self.q_proj, self.out_proj = Linear(width, width), Linear(width, width)
        self.k_proj, self.v_proj = Linear(memory, width), Linear(memory, width)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, turns: Tensor, pointers: int) -> Tensor:
        """Attend.

        Args:
            q: (n, cells, c).
            k: (n, m * cells + pointers, c').
            v: (n, m * cells + pointers, c').
            turns: See `rotation`.
            pointers: How many keys at the end are not turned.
        """
        q, k = rotate(self.q_proj(q), turns, 0), rotate(self.k_proj(k), turns, pointers)
        if v.shape[-1] < q.shape[-1]:
            mixed = attend(q[:, None], k[:, None], v[:, None])[:, 0]
            read = self.v_proj(mixed)  # the weights add up to 1: the bias comes through as it is
        else:
            read = attend(q[:, None], k[:, None], self.v_proj(v)[:, None])[:, 0]
        out: Tensor = self.out_proj(read)
        return out


def rotation(width: int, grid_hw: tuple[int, int]) -> Tensor:
    """Give how far pairs of channels are turned in each cell, as complex64 (cells, width / 2).

    The first half of the pairs goes by the column, the second by the row.
    """
    h, w = grid_hw
    speed = _BASE ** -(torch.arange(0, width, 4)[: width // 4].float() / width)
    cell = torch.arange(h * w)
    column, row = cell % w, torch.div(cell, w, rounding_mode="floor")
    angle = torch.cat([torch.outer(place.float(), speed) for place in (column, row)], dim=-1)
    return torch.polar(torch.ones_like(angle), angle)


def rotate(x: Tensor, turns: Tensor, still: int) -> Tensor:
    """Turn tokens (n, m * cells + still, width), but for the last ones."""
    placed = x.shape[1] - still
    n, _, width = x.shape
    shape = (n, -1, len(turns), width // 2, 2)
    turned = torch.view_as_complex(x[:, :placed].float().reshape(shape)) * turns
    flat = torch.view_as_real(turned).reshape(n, placed, width).to(x.dtype)
    return torch.cat([flat, x[:, placed:]], dim=1) if still else flat


def map_code(width: int, grid_hw: tuple[int, int]) -> Tensor:
    """Give sines and cosines of rows and columns, float32 (1, width, h, w), rows first."""
    each = width // 2
    waves = _BASE ** (2 * torch.div(torch.arange(each), 2, rounding_mode="floor") / each)
    parts = []
    for side in grid_hw:
        place = torch.arange(1, side + 1).float()
        angle = (place / (place[-1] + 1e-6) * 2 * math.pi)[:, None] / waves
        parts.append(torch.stack([angle[:, ::2].sin(), angle[:, 1::2].cos()], 2).flatten(1).T)
    h, w = grid_hw
    rows = parts[0][:, :, None].expand(-1, h, w)
    columns = parts[1][:, None, :].expand(-1, h, w)
    return torch.cat([rows, columns])[None]


def time_code(times: Tensor, width: int) -> Tensor:
    """Give sines and cosines of times (n,), float32 (n, width)."""
    each = width // 2
    waves = _BASE ** (2 * torch.div(torch.arange(each), 2, rounding_mode="floor") / each)
    angle = times[:, None] / waves.to(times.device)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


class MemoryEncoder(nn.Module):
    """A frame and the mask in it to what is remembered."""

    def __init__(self, width: int, config: MemoryConfig) -> None:
        super().__init__()
        self.mask_downsampler = MaskDownsampler(width)
        self.pix_feat_proj = Conv2d(width, width, 1)
        self.fuser = Fuser(width, config.fuser_depth)
        self.out_proj = Conv2d(width, config.width, 1)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Encode.

        Args:
            image: What the encoder saw of the frame, (n, c, h, w).
            mask: -10 outside of the thing to 10 inside, (n, 1, 16h, 16w).

        Returns:
            (n, c', h, w).
        """
        both = self.pix_feat_proj(image) + self.mask_downsampler(mask)
        remembered: Tensor = self.out_proj(self.fuser(both))
        return remembered


class MaskDownsampler(nn.Module):
    """A mask to a sixteenth of its sides, in four steps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for _ in range(4):
            conv = Conv2d(channels, 4 * channels, 3, stride=2, padding=1)
            channels *= 4
            layers += [conv, LayerNorm2d(channels), nn.GELU()]
        self.encoder = nn.Sequential(*layers, Conv2d(channels, width, 1))

    def forward(self, mask: Tensor) -> Tensor:
        """Map (n, 1, 16h, 16w) to (n, width, h, w)."""
        small: Tensor = self.encoder(mask)
        return small


class Fuser(nn.Module):
    """ConvNeXt blocks (Liu et al., 2022) in a row."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(FuserBlock(width) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width, h, w) to the same shape."""
        for layer in self.layers:
            x = layer(x)
        return x


class FuserBlock(nn.Module):
    """A wide convolution in each channel, then an MLP in each cell, scaled, with a way around."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = LayerNorm2d(width)
        self.pwconv1, self.pwconv2 = Linear(width, 4 * width), Linear(4 * width, width)
        self.act = nn.GELU()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width, h, w) to the same shape."""
        tokens = self.norm(self.dwconv(x)).permute(0, 2, 3, 1)
        mixed: Tensor = self.gamma * self.pwconv2(self.act(self.pwconv1(tokens)))
        return x + mixed.permute(0, 3, 1, 2)
