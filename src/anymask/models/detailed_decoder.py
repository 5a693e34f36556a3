"""SAM 2's mask decoder: SAM's, with finer maps in the up-sampling, and a word on presence.

Stage by stage, the up-sampling adds what the encoder saw at strides 8 and 4. A token of its own
says whether the thing is there at all (Ravi et al., 2024, section 4 and appendix D.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from anymask.models.config import DecoderConfig
from anymask.models.kernels import Conv2d, saves_memory
from anymask.models.mask_decoder import _CELLS_AT_ONCE, SLOTS, MaskDecoder, Perceptron

__all__ = ["Decoded", "DetailedDecoder", "in_cells"]


class Decoded(NamedTuple):
    """All that is said of n prompts.

    Attributes:
        logits: Of the masks, (n, k, 4h, 4w).
        predicted_iou: 0 to 1, (n, k).
        tokens: Of all four slots, (n, 4, c): what object pointers are made of.
        object_score: A logit, above 0 if the thing is there, (n, 1).
    """

    logits: Tensor
    predicted_iou: Tensor
    tokens: Tensor
    object_score: Tensor


class DetailedDecoder(MaskDecoder):
    """SAM's decoder with details; its `forward` gives what makes a `Decoded`.

    The details are what `conv_s1` and `conv_s0` make of the pyramid's maps at strides 8 and 4, laid
    out by `in_cells`: (1 or n, cells, 4, c / 4) and (1 or n, cells, 4, 4, c / 8).
    """

    leading = 1

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        width = config.width
        self.obj_score_token = nn.Embedding(1, width)
        self.conv_s0 = Conv2d(width, width // 8, 1)
        self.conv_s1 = Conv2d(width, width // 4, 1)
        self.pred_obj_score_head = Perceptron(width, 1, config.activation)

    def _own_tokens(self) -> Tensor:
        return torch.cat([self.obj_score_token.weight, super()._own_tokens()])

    def _judged(self, tokens: Tensor, slots: slice) -> tuple[Tensor, ...]:
        predicted_iou = self.iou_prediction_head(tokens[:, 1])[:, slots].sigmoid()
        object_score = self.pred_obj_score_head(tokens[:, 0])
        return predicted_iou, tokens[:, 2 : 2 + SLOTS], object_score

    def _classify(self, cells: Tensor, classifiers: Tensor, details: Sequence[Tensor]) -> Tensor:
        enlarge, norm, gelu, enlarge_again, _ = self.output_upscaling
        step = _CELLS_AT_ONCE if saves_memory(cells) else cells.shape[1]
        shares = (torch.split(x, step, dim=1) for x in (cells, *details))
        logits = []
        for x, fine, finer in zip(*shares, strict=True):
            x = gelu(norm(enlarge(x) + fine))
            x = gelu(enlarge_again(x) + finer)
            logits.append(classifiers @ x.flatten(1, 3).mT)
        return torch.cat(logits, dim=2)


def in_cells(fine: Tensor, depth: int) -> Tensor:
    """Lay out a finer map by the cells of the embedding and their quarters.

    Args:
        fine: (b, c, 2^depth h, 2^depth w).
        depth: 1 for quarters, 2 for quarters of quarters.

    Returns:
        (b, h * w, 4, c), or (b, h * w, 4, 4, c).

    Examples:
        >>> in_cells(torch.arange(16).view(1, 1, 4, 4), 1)[0, 0, :, 0].tolist()
        [0, 1, 4, 5]
    """
    b, c = fine.shape[:2]
    h, w = (int(side) >> depth for side in fine.shape[2:])  # numbers, for a recorded graph
    halves = (2,) * depth
    x = fine.reshape(b, c, h, *halves, w, *halves)
    quarters = [axis for row in range(3, 3 + depth) for axis in (row, row + depth + 1)]
    return x.permute(0, 2, 3 + depth, *quarters, 1).reshape(b, h * w, *(4,) * depth, c)
