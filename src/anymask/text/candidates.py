"""From what an open detector says of its boxes to detections in an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from anymask.detections import Detections
from anymask.errors import WeightsError
from anymask.image.image import Image

__all__ = ["candidates"]


def candidates(
    image: Image,
    boxes: Tensor,
    frame_hw: tuple[int, int],
    scores: Tensor,
    numbers: Tensor,
    names: Sequence[str | None],
    threshold: float,
    model: str,
) -> Detections:
    """Keep the boxes of an image that are sure enough, cut off at its border.

    Args:
        image: The image.
        boxes: float (n, 4), middle x and y, width and height, as shares of the frame.
        frame_hw: Height and width of the frame, whose corner is the image's, in its pixels.
        scores: float32 (n,), 0 to 1.
        numbers: int64 (n,), which of the names each box has.
        names: What may be in the boxes.
        threshold: Least score.
        model: Who says so.

    Raises:
        WeightsError: Scores are not finite.
    """
    if not torch.isfinite(scores).all():
        raise WeightsError(
            f"expected finite scores from {model!r}, got others; its weights are damaged, or need "
            "a larger dtype than this one: load it in float32"
        )
    keep = scores >= threshold
    middles, sides = boxes[keep].float().chunk(2, dim=-1)
    corners = torch.cat([middles - sides / 2, middles + sides / 2], dim=-1)
    h, w = frame_hw
    return Detections(
        image.size_hw,
        (corners * corners.new_tensor([w, h, w, h])).cpu().numpy(),
        scores[keep].cpu().numpy(),
        tuple(names[number] for number in numbers[keep].tolist()),
        image.source,
        model,
    ).clip()
