"""The network of EfficientSAM (Xiong et al., 2023): a plain vision transformer and SAM's decoder.

Its blocks attend over the whole image, without windows and relative positions. The decoder always
reads the same number of points, see `PointEncoder`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.models.config import EfficientSamConfig, PlainVitConfig
from anymask.models.kernels import Linear, attend
from anymask.models.layers import Neck
from anymask.models.mask_decoder import MaskDecoder
from anymask.models.prompt_encoder import PointEncoder
from anymask.models.sam import Promptable
from anymask.models.vit import Block, PatchEmbed, Transformer

__all__ = ["EfficientSam"]

PUBLISHED_NAMES = {
    r"^(image_encoder\.blocks\.\d+\.mlp)\.lin([12])\.": r"\1.fc\2.",
    r"^(mask_decoder\.transformer\.layers\.\d+\.mlp)\.lin1\.": r"\1.layers.0.0.",
    r"^(mask_decoder\.transformer\.layers\.\d+\.mlp)\.lin2\.": r"\1.fc.",
    r"(_mlps\.\d+|_head)\.layers\.([01])\.": r"\1.layers.\2.0.",
    r"(_mlps\.\d+|_head)\.layers\.2\.": r"\1.fc.",
    r"\.output_upscaling\.([01])\.": r".final_output_upscaling_layers.0.\1.",
    r"\.output_upscaling\.3\.": r".final_output_upscaling_layers.1.0.",
}
"""Where the published files call a layer by another name than SAM's."""


class EfficientSam(Promptable):
    """EfficientSAM; its `state_dict` has the key names of the published files."""

    def __init__(self, config: EfficientSamConfig) -> None:
        super().__init__(
            PlainVit(config.encoder, config.decoder.width),
            PointEncoder(config),
            MaskDecoder(config.decoder),
        )
        self.config = config
        rename_keys(self, published_name)


class PlainVit(Transformer):
    """An image encoder whose table of positions is stretched to the grid."""

    def __init__(self, config: PlainVitConfig, out: int) -> None:
        super().__init__()
        width = config.width
        self.trained_grid = config.trained_grid
        self.patch_embed = PatchEmbed(width, config.patch)
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.trained_grid**2, width))
        self.blocks = nn.ModuleList(
            Block(width, Attention(width, config.heads)) for _ in range(config.depth)
        )
        self.neck = Neck(width, out)
        self.adapter = None

    def position(self, grid_hw: tuple[int, int]) -> Tensor:
        """Stretch the position table, without its class token, to (1, *grid_hw, width)."""
        side = self.trained_grid
        table = self.pos_embed[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
        return F.interpolate(table, grid_hw, mode="bicubic").permute(0, 2, 3, 1)


class Attention(nn.Module):
    """Self-attention over the whole grid."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, h, w, width) to the same shape."""
        b, h, w, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        out = attend(q, k, v).transpose(1, 2).reshape(x.shape)
        projected: Tensor = self.proj(out)
        return projected


def published_name(key: str) -> str:
    """Translate a key of our modules into that of the published files."""
    for ours, theirs in PUBLISHED_NAMES.items():
        key = re.sub(ours, theirs, key)
    return key


def rename_keys(network: nn.Module, rename: Callable[[str], str]) -> None:
    """Let a network write and read its `state_dict` under other names than its modules have.

    Keys that come up later, such as those of low-rank adapters, keep the modules' names.
    """
    names = {key: rename(key) for key in network.state_dict()}

    def write(_: nn.Module, state: dict[str, Any], prefix: str, __: Any) -> None:
        for key in [key for key in state if key.startswith(prefix)]:
            name = key.removeprefix(prefix)
            state[prefix + names.get(name, name)] = state.pop(key)

    def read(_: nn.Module, state: dict[str, Any], prefix: str, *__: Any) -> None:
        for name, published in names.items():
            if prefix + published in state:
                state[prefix + name] = state.pop(prefix + published)

    network.register_state_dict_post_hook(write)  # type: ignore[no-untyped-call]
    network.register_load_state_dict_pre_hook(read)  # type: ignore[no-untyped-call]
