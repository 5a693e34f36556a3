"""SAM's mask decoder: embedding and prompt tokens to masks and their predicted IoU.

The image stays a row of tokens, one per cell, from the beginning to the logits; pixels come into
their order only there, where they are few. docs/decoder.md has the reasons and the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymask.models.config import DecoderConfig
from anymask.models.kernels import linear, saves_memory, tracing
from anymask.models.layers import ACTIVATIONS
from anymask.models.two_way import FirstLook, Guidance, TwoWayTransformer

__all__ = ["SLOTS", "MaskDecoder", "pixel_order"]

SLOTS = 4
"""Masks per prompt: slot 0 is the one answer, slots 1..3 are the nested answers."""

_AT_ONCE = 2  # prompts worked on together on a CPU: what its caches hold
_CELLS_AT_ONCE = 1024  # upscaled together on a CPU
_FAR = -1e4  # whose exponential is 0, and which float16 can hold
_MANY = 5  # prompts on one image, from which on `MaskDecoder.look` saves time


class MaskDecoder(nn.Module):
    """Two-way transformer, up-sampling, and a small network per slot that makes its classifier."""

    leading = 0
    """Tokens of its own that stand before the one that predicts the IoU."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width = config.width
        norm = nn.LayerNorm(width // 4, eps=1e-6) if config.norm == "pixel" else MapNorm(width // 4)
        self.transformer = TwoWayTransformer(config)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(SLOTS, width)
        self.output_upscaling = nn.Sequential(
            Upsample2x(width, width // 4),
            norm,
            nn.GELU(),
            Upsample2x(width // 4, width // 8),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            Perceptron(width, width // 8, config.activation) for _ in range(SLOTS)
        )
        self.iou_prediction_head = Perceptron(width, SLOTS, config.activation)

    def look(self, image: Tensor, image_code: Tensor, prompt_map: Tensor) -> FirstLook:
        """Work out once what all prompts without a mask of their own share.

        Args:
            image: Embedding of one image, (1, c, h, w).
            image_code: Position code of its cells, (1, c, h, w).
            prompt_map: Added to the embedding, broadcastable to (1, c, h, w).
        """
        return self.transformer.look(as_cells(image + prompt_map), as_cells(image_code))

    def forward(
        self,
        image: Tensor,
        image_code: Tensor,
        prompt_tokens: Tensor,
        prompt_map: Tensor,
        look: FirstLook | None = None,
        slots: slice = slice(SLOTS),
        guidance: Guidance | None = None,
        ignored: Tensor | None = None,
        details: Sequence[Tensor] = (),
    ) -> tuple[Tensor, ...]:
        """Answer n prompts.

        Args:
            image: Embedding (1, c, h, w), or (n, c, h, w) for n images with one prompt each.
            image_code: Position code of its cells, (1, c, h, w).
            prompt_tokens: (n, t, c).
            prompt_map: Added to the embedding, broadcastable to (n, c, h, w).
            look: What `look` made of the same image and map; None: worked out if it pays.
            slots: Which of the slots to answer in.
            guidance: Where and what to look for, the same for all.
            ignored: Which of the prompt tokens only fill up, bool (n, t); None: none of them.
            details: What is added in the up-sampling, of decoders that do so, each (1 or n, cells,
                ...); see `detailed_decoder`.

        Returns:
            Mask logits (n, k, 4h, 4w) and predicted IoU (n, k); and what else a decoder says.
        """
        cells, code = as_cells(image + prompt_map), as_cells(image_code)
        if look is None and len(cells) == 1 and not tracing() and len(prompt_tokens) >= _MANY:
            look = self.transformer.look(cells, code)
        answer = partial(
            self._answer,
            code=code,
            look=look,
            order=pixel_order(image),
            slots=slots,
            guidance=guidance,
        )
        if tracing() or image.device.type != "cpu":
            return answer(prompt_tokens, cells, ignored, details)
        few = torch.split(prompt_tokens, _AT_ONCE)
        seen, *fine = (
            torch.split(x, _AT_ONCE) if len(x) > 1 else [x] * len(few) for x in (cells, *details)
        )
        spare = [None] * len(few) if ignored is None else torch.split(ignored, _AT_ONCE)
        finer = zip(*fine, strict=True) if fine else [()] * len(few)
        answers = map(answer, few, seen, spare, finer)
        return tuple(torch.cat(parts) for parts in zip(*answers, strict=True))

    def _answer(
        self,
        prompt_tokens: Tensor,
        cells: Tensor,
        ignored: Tensor | None,
        details: Sequence[Tensor],
        code: Tensor,
        look: FirstLook | None,
        order: Tensor,
        slots: slice,
        guidance: Guidance | None,
    ) -> tuple[Tensor, ...]:
        """Answer prompts that are worked on together."""
        n = prompt_tokens.shape[0]
        own = self._own_tokens()
        tokens = torch.cat([own.expand(n, -1, -1), prompt_tokens], dim=1)
        bias = None
        if ignored is not None:
            bias = F.pad(ignored.to(tokens.dtype) * _FAR, (len(own), 0))[:, None, None]
        tokens, cells = self.transformer(tokens, cells, code, look, len(own), guidance, bias)
        masks = self._masks(tokens, cells, slots, details, order)
        return masks, *self._judged(tokens, slots)

    def _masks(
        self, tokens: Tensor, cells: Tensor, slots: slice, details: Sequence[Tensor], order: Tensor
    ) -> Tensor:
        """Draw the masks of some slots, (n, k, 4h, 4w), from tokens (n, own, c) and cells."""
        logits = self._classify(cells, self._classifiers(tokens, slots), details)
        pixels = logits.gather(2, order.flatten().expand(*logits.shape[:2], -1))
        return pixels.reshape(-1, pixels.shape[1], *order.shape)  # -1: a graph would freeze n

    def _classifiers(self, tokens: Tensor, slots: slice) -> Tensor:
        """Make what upscaled cells are multiplied by, (n, k, c / 8)."""
        mlps = list(self.output_hypernetworks_mlps)[slots]
        chosen = tokens[:, self.leading + 1 :][:, slots].unbind(dim=1)
        return torch.stack([f(x) for f, x in zip(mlps, chosen, strict=True)], dim=1)

    def _own_tokens(self) -> Tensor:
        """Give the tokens that stand before those of the prompt, (t, c)."""
        return torch.cat([self.iou_token.weight, self.mask_tokens.weight])

    def _judged(self, tokens: Tensor, slots: slice) -> tuple[Tensor, ...]:
        """Say what the tokens say beside the masks, (n, own, c): predicted IoU (n, k), at least."""
        predicted_iou: Tensor = self.iou_prediction_head(tokens[:, 0])[:, slots]
        return (predicted_iou,)

    def _classify(self, cells: Tensor, classifiers: Tensor, details: Sequence[Tensor]) -> Tensor:
        """Upscale cells (n, cells, c) and multiply by classifiers (n, k, c'): (n, k, 16 * cells).

        Where the maps are largest, it goes by a share of the cells at a time.
        """
        maps = self.output_upscaling[:2](cells)
        shares = torch.split(maps, _CELLS_AT_ONCE if saves_memory(maps) else maps.shape[1], dim=1)
        upscale = self.output_upscaling[2:]
        return torch.cat([classifiers @ upscale(x).flatten(1, 3).mT for x in shares], dim=2)


class Upsample2x(nn.ConvTranspose2d):
    """Every token becomes four, for the quarters of its cell.

    It is a transposed 2x2 convolution with a stride of 2, as the matrix product that it is.
    """

    bias: Tensor

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__(inside, outside, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Map (..., inside) to (..., 4, outside): top left, top right, bottom left and right."""
        weight = self.weight.permute(2, 3, 1, 0).flatten(0, 2)
        return linear(x, weight, self.bias.repeat(4)).view(*x.shape[:-1], 4, -1)


class MapNorm(nn.LayerNorm):
    """Normalisation of all tokens and channels together, with a scale and shift per channel."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, ..., c) to the same shape."""
        sizes = [int(side) for side in x.shape[1:]]  # which a recorded graph wants as numbers
        return torch.addcmul(self.bias, F.layer_norm(x, sizes, eps=self.eps), self.weight)


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


def as_cells(image: Tensor) -> Tensor:
    """Lay out maps (b, c, h, w) as tokens, one per cell, (b, h * w, c)."""
    return image.flatten(2).transpose(1, 2).contiguous()


def pixel_order(image: Tensor) -> Tensor:
    """Find the pixels (4h, 4w) among the quarters of the quarters of the cells (b, c, h, w)."""
    h, w = image.shape[-2:]
    y, x = (torch.arange(4 * side, device=image.device) for side in (h, w))
    rows = y // 4 * (16 * w) + y // 2 % 2 * 8 + y % 2 * 2
    columns = x // 4 * 16 + x // 2 % 2 * 4 + x % 2
    return rows[:, None] + columns
