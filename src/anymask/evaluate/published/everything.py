"""Everything mode in the original's order of work, to measure against and to test with.

All masks are enlarged to the size of the image; then those of low predicted IoU are dropped; the
rest is measured, cut at the threshold and run-length encoded; and only then the duplicates go
(Kirillov et al., 2023, appendix B).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from anymask import geometry
from anymask.config import GenerateConfig
from anymask.everything.search import Promptable
from anymask.image.image import Image, ImageLike
from anymask.image.transform import Transform
from anymask.masks.masks import Masks
from anymask.masks.rle import Counts
from anymask.prompt import Prompt

__all__ = ["generate", "remove_small_regions"]


def generate(model: Promptable, image: ImageLike, config: GenerateConfig) -> Masks:
    """Find everything with a grid on the whole image: records as everything mode has them."""
    opened = Image.open(image)
    embedding = model.embed(opened)
    h, w = opened.size_hw
    assert config.points_per_side is not None and config.crop_n_layers == 0
    points_xy = geometry.point_grid(config.points_per_side) * (w, h)
    found = [Masks.empty(opened.size_hw)]
    for start in range(0, len(points_xy), config.points_per_batch):
        prompts = [Prompt(xy) for xy in points_xy[start : start + config.points_per_batch]]
        logits, iou = model.decode(embedding, prompts, multimask=True)
        enlarged = enlarge(logits, embedding.transform).flatten(0, 1)
        repeated = [prompt for prompt in prompts for _ in range(logits.shape[1])]
        found.append(_measure(enlarged, iou.flatten(), repeated, config))
    masks = Masks.concat(found)
    kept = geometry.nms(
        torch.tensor(masks.boxes), torch.tensor(masks.scores), config.box_nms_thresh
    )
    return masks[kept.numpy()]


def enlarge(logits: Tensor, transform: Transform) -> Tensor:
    """Enlarge logits (n, k, h', w') to the frame, cut the padding off, and enlarge to the image."""
    framed = functional.interpolate(
        logits, transform.frame_hw, mode="bilinear", align_corners=False
    )
    (top, left), (h, w) = transform.offset_hw, transform.resized_hw
    cut = framed[..., top : top + h, left : left + w]
    return functional.interpolate(cut, transform.original_hw, mode="bilinear", align_corners=False)


def _measure(enlarged: Tensor, iou: Tensor, given: list[Prompt], config: GenerateConfig) -> Masks:
    prompts = np.array(given, dtype=object)
    if config.pred_iou_thresh > 0:
        trusted = iou > config.pred_iou_thresh
        enlarged, iou, prompts = enlarged[trusted], iou[trusted], prompts[trusted.numpy()]
    stability = geometry.stability_score(enlarged, 0.0, config.stability_score_offset)
    if config.stability_score_thresh > 0:
        stable = stability >= config.stability_score_thresh
        enlarged, iou, stability = enlarged[stable], iou[stable], stability[stable]
        prompts = prompts[stable.numpy()]
    inside = enlarged > 0
    boxes = geometry.mask_boxes(inside)
    h, w = inside.shape[1:]
    return Masks(
        (h, w),
        tuple(_encode(inside)),
        scores=iou.numpy(),
        stability=stability.numpy(),
        boxes=boxes.numpy(),
        prompts=tuple(prompts),
        crop_boxes=np.tile(np.array([0, 0, w, h], dtype=np.float32), (len(boxes), 1)),
    )


def _encode(masks: Tensor) -> list[Counts]:
    """Run-length encode masks (n, h, w) by turning all of them round."""
    n, h, w = masks.shape
    flat = masks.transpose(1, 2).flatten(1)
    changes = (flat[:, 1:] ^ flat[:, :-1]).nonzero().numpy()
    ends = np.array([0, h * w])
    return [
        np.diff(
            np.concatenate(
                [ends[:1], ends[: int(flat[i, 0])], changes[changes[:, 0] == i, 1] + 1, ends[1:]]
            )
        ).astype(np.uint32)
        for i in range(n)
    ]


def remove_small_regions(
    mask: npt.NDArray[np.bool_], min_area: float, holes: bool
) -> tuple[npt.NDArray[np.bool_], bool]:
    """Fill small holes or remove small islands, with the whole image as one field of work."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        (mask ^ holes).astype(np.uint8), connectivity=8
    )
    areas = stats[1:, cv2.CC_STAT_AREA]
    small = [i + 1 for i, area in enumerate(areas) if area < min_area]
    if not small:
        return mask, False
    if holes:
        return mask | np.isin(labels, small), True
    kept = [i + 1 for i in range(len(areas)) if i + 1 not in small]
    return np.isin(labels, kept or [int(np.argmax(areas)) + 1]), True
