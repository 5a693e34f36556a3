"""SAM's mask decoder: embedding and prompt tokens to masks and their predicted quality."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anymask.models.config import DecoderConfig
from anymask.models.layers import ACTIVATIONS, LayerNorm2d
from anymask.models.two_way import TwoWayTransformer

__all__ = ["MaskDecoder"]

SLOTS = 4
"""Masks per prompt: slot 0 is the one answer, slots 1..3 are the nested answers."""


class MaskDecoder(nn.Module):
    """Two-way transformer, up-sampling, and a small network per slot that makes its classifier."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width = config.width
        norm = LayerNorm2d(width // 4) if config.norm == "pixel" else nn.GroupNorm(1, width // 4)
        self.transformer = TwoWayTransformer(config)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(SLOTS, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, stride=2),
            norm,
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            Perceptron(width, width // 8, config.activation) for _ in range(SLOTS)
        )
        self.iou_prediction_head = Perceptron(width, SLOTS, config.activation)

    def forward(
        self, image: Tensor, image_code: Tensor, prompt_tokens: Tensor, prompt_map: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts in all four slots.

        Args:
            image: Embedding (1, c, h, w), or (n, c, h, w) for n images with one prompt each.
            image_code: Position code of its cells, (1, c, h, w).
            prompt_tokens: (n, t, c).
            prompt_map: Added to the embedding, broadcastable to (n, c, h, w).

        Returns:
            Mask logits (n, 4, 4h, 4w) and predicted IoU (n, 4).
        """
        n, h = len(prompt_tokens), image.shape[-2]
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(n, -1, -1), prompt_tokens], dim=1)
        cells = (image + prompt_map).flatten(2).transpose(1, 2).contiguous()
        code = image_code.flatten(2).transpose(1, 2)
        tokens, cells = self.transformer(tokens, cells, code)
        upscaled = self.output_upscaling(cells.transpose(1, 2).unflatten(2, (h, -1)))
        classifiers = torch.stack(
            [mlp(tokens[:, 1 + i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1
        )
        logits = (classifiers @ upscaled.flatten(2)).unflatten(2, upscaled.shape[-2:])
        return logits, self.iou_prediction_head(tokens[:, 0])


class Perceptron(nn.Module):
    """Three linear layers with an activation between them."""

    def __init__(self, width: int, out: int, activation: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, out)]
        )
        self.act = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to (..., out)."""
        first, second, last = self.layers
        out: Tensor = last(self.act(second(self.act(first(x)))))
        return out
