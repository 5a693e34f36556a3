"""SAM's mask decoder in the order of work in which it was published, to compare ours with.

Every prompt has a copy of the embedding, every layer projects all of its cells, the attention is
laid out in full, and transposed convolutions enlarge the maps.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.models.mask_decoder import MapNorm, MaskDecoder

__all__ = ["PlainDecoder"]


class PlainDecoder(nn.Module):
    """Uses the weights of a SAM's `MaskDecoder`, with its arguments and results."""

    def __init__(self, decoder: MaskDecoder) -> None:
        super().__init__()
        self.weights: Any = decoder

    def forward(
        self, image: Tensor, image_code: Tensor, prompt_tokens: Tensor, prompt_map: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts in all four slots; see `MaskDecoder.forward`."""
        weights, n, (h, w) = self.weights, len(prompt_tokens), image.shape[-2:]
        own = torch.cat([weights.iou_token.weight, weights.mask_tokens.weight])
        tokens = torch.cat([own.expand(n, -1, -1), prompt_tokens], dim=1)
        image = image.repeat_interleave(n // len(image), dim=0) + prompt_map
        code = image_code.repeat_interleave(n, dim=0)
        cells, code = (x.flatten(2).transpose(1, 2) for x in (image, code))
        tokens, cells = self._exchange(tokens, cells, code)
        maps = self._enlarge(cells.transpose(1, 2).view(n, -1, h, w))
        mlps = weights.output_hypernetworks_mlps
        classifiers = torch.stack([mlp(tokens[:, 1 + i]) for i, mlp in enumerate(mlps)], dim=1)
        logits = (classifiers @ maps.flatten(2)).view(n, -1, 4 * h, 4 * w)
        return logits, weights.iou_prediction_head(tokens[:, 0])

    def _exchange(self, tokens: Tensor, cells: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        transformer, own = self.weights.transformer, tokens
        for i, layer in enumerate(transformer.layers):
            coded = tokens + own if i else tokens
            if layer.add_code:  # EfficientSAM's
                tokens = coded
            told = attend(layer.self_attn, coded, coded, tokens)
            tokens = layer.norm1(tokens + told if i or layer.add_code else told)
            read = attend(layer.cross_attn_token_to_image, tokens + own, cells + code, cells)
            tokens = layer.norm2(tokens + read)
            tokens = layer.norm3(tokens + layer.mlp(tokens))
            told = attend(layer.cross_attn_image_to_token, cells + code, tokens + own, tokens)
            cells = layer.norm4(cells + told)
        last = transformer.final_attn_token_to_image
        tokens = tokens + attend(last, tokens + own, cells + code, cells)
        return transformer.norm_final_attn(tokens), cells

    def _enlarge(self, maps: Tensor) -> Tensor:
        first, norm, bend, second, _ = self.weights.output_upscaling
        maps = F.conv_transpose2d(maps, first.weight, first.bias, stride=2)
        if isinstance(norm, MapNorm):  # EfficientSAM's
            maps = norm(maps.movedim(1, -1)).movedim(-1, 1)
        else:
            mean = maps.mean(dim=1, keepdim=True)
            spread = (maps - mean).pow(2).mean(dim=1, keepdim=True)
            maps = (maps - mean) / torch.sqrt(spread + norm.eps)
            maps = norm.weight[:, None, None] * maps + norm.bias[:, None, None]
        maps = bend(maps)
        enlarged: Tensor = bend(F.conv_transpose2d(maps, second.weight, second.bias, stride=2))
        return enlarged


def attend(attention: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend with projections of everything and the whole matrix of weights."""
    projections = attention.q_proj, attention.k_proj, attention.v_proj
    q, k, v = (
        project(x).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
        for project, x in zip(projections, (q, k, v), strict=True)
    )
    weights = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).softmax(dim=-1)
    joined: Tensor = attention.out_proj((weights @ v).transpose(1, 2).flatten(2))
    return joined
