"""Everything mode: a mask for each thing in the picture, without a prompt.

A grid of points asks the model, three answers each. What the model doubts, what a slightly moved
threshold would change, and what another mask already says is dropped. With crop layers the same
happens again in overlapping parts of the picture, which finds smaller things (Kirillov et al.,
2023, appendix B).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anymask import geometry, rle
from anymask.config import GenerateConfig
from anymask.embedding import Embedding
from anymask.image import Image, ImageLike
from anymask.masks import Masks
from anymask.prompt import Prompt

__all__ = ["Promptable", "generate", "refine"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
CropBox = tuple[int, int, int, int]

_VALUES_AT_ONCE = 2**25  # enlarged logits held at a time: 128 MiB of float32


class Promptable(Protocol):
    """What everything mode needs of a model."""

    def embed(self, image: Image, /) -> Embedding:
        """Encode one image."""
        ...

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Answer n prompts: logits (n, k, h', w') over the model frame, predicted IoU (n, k)."""
        ...


def generate(model: Promptable, image: ImageLike, config: GenerateConfig | None = None) -> Masks:
    """Find everything in a picture.

    Args:
        model: Anything that embeds and answers points, such as a `Segmenter`.
        image: Path, bytes, Pillow image or array.
        config: What to look for and what to drop; None: SAM's defaults.

    Returns:
        The masks in SAM's order: best first inside a crop, small crops before large ones; none at
        all if nothing was found. Each knows the point that found it and its crop.
    """
    config = config or GenerateConfig()
    picture = Image.open(image)
    boxes, layers = geometry.crop_boxes(
        picture.size_hw, config.crop_n_layers, config.crop_overlap_ratio
    )
    grids = _grids(config)
    found = []
    for box, layer in zip(boxes, layers, strict=True):
        x0, y0, x1, y1 = box
        if x0 < x1 and y0 < y1:  # tiny pictures leave nothing for some crops
            crop = _Crop(box, picture.size_hw, model.embed(picture.crop(box)), config)
            found.append(crop.search(model, grids[layer]))
    masks = Masks.concat(found)
    if len(found) > 1:
        masks = _prefer_small_crops(masks, config.crop_nms_thresh)
    if config.min_mask_region_area > 0:
        threshold = max(config.box_nms_thresh, config.crop_nms_thresh)
        masks = _clean(masks, config.min_mask_region_area, threshold)
    return replace(refine(masks, config), source=picture.source)


def _grids(config: GenerateConfig) -> list[FloatArray]:
    """Lay out the points of each layer: (n, 2), x and y from 0 to 1 of the crop."""
    if config.point_grids is not None:
        return [np.array(grid, dtype=np.float64) for grid in config.point_grids]
    assert config.points_per_side is not None
    return geometry.layer_grids(
        config.points_per_side, config.crop_n_layers, config.crop_n_points_downscale_factor
    )


@dataclass(frozen=True)
class _Crop:
    """One part of the picture under search."""

    box: CropBox  # xyxy, pixels of the picture
    size_hw: tuple[int, int]  # of the whole picture
    embedding: Embedding
    config: GenerateConfig

    def search(self, model: Promptable, grid: FloatArray) -> Masks:
        """Ask all points of a grid; return what is good, without duplicates, best first."""
        x0, y0, x1, y1 = self.box
        points_xy = grid * (x1 - x0, y1 - y0)
        found = [Masks.empty(self.size_hw)]
        for start in range(0, len(points_xy), self.config.points_per_batch):
            batch = points_xy[start : start + self.config.points_per_batch]
            prompts = [Prompt(points_xy=xy) for xy in batch]
            logits, iou = model.decode(self.embedding, prompts, multimask=True)
            asked_xy = np.repeat(batch, logits.shape[1], axis=0)
            found += self._good(logits.flatten(0, 1), iou.flatten(), asked_xy)
        masks = Masks.concat(found)
        return masks[_nms(masks.boxes, masks.scores, self.config.box_nms_thresh)]

    def _good(self, logits: Tensor, iou: Tensor, points_xy: FloatArray) -> Iterator[Masks]:
        """Drop what the model doubts before anything is enlarged, then judge the rest."""
        trusted = torch.arange(len(iou), device=iou.device)
        if self.config.pred_iou_thresh > 0:
            trusted = trusted[iou > self.config.pred_iou_thresh]
        h, w = self.embedding.size_hw
        for some in torch.split(trusted, max(1, _VALUES_AT_ONCE // (h * w))):
            yield self._judge(logits[some], iou[some], points_xy[some.cpu().numpy()])

    def _judge(self, logits: Tensor, iou: Tensor, points_xy: FloatArray) -> Masks:
        """Keep the stable masks that the crop's border does not cut off."""
        enlarged = self.embedding.transform.masks_to_image(logits)
        stability = geometry.stability_score(enlarged, 0.0, self.config.stability_score_offset)
        inside = enlarged > 0
        boxes = geometry.mask_boxes(inside)
        keep = ~geometry.near_crop_edge(boxes, self.box, self.size_hw)
        if self.config.stability_score_thresh > 0:
            keep &= stability >= self.config.stability_score_thresh
        x0, y0, x1, y1 = self.box
        whole = np.zeros((int(keep.sum()), *self.size_hw), dtype=np.bool_)
        whole[:, y0:y1, x0:x1] = inside[keep].cpu().numpy()
        return Masks.from_dense(
            whole,
            scores=iou[keep].float().cpu().numpy(),
            stability=stability[keep].cpu().numpy(),
            prompts=[Prompt(points_xy=xy) for xy in points_xy[keep.cpu().numpy()] + (x0, y0)],
            crop_boxes=np.tile(np.array(self.box, dtype=np.float32), (len(whole), 1)),
        )


def _nms(boxes: npt.NDArray[Any], scores: npt.NDArray[Any], threshold: float) -> IntArray:
    """Find the masks to keep, by descending score; equal scores keep their order."""
    kept: IntArray = geometry.nms(torch.tensor(boxes), torch.tensor(scores), threshold).numpy()
    return kept


def _prefer_small_crops(masks: Masks, threshold: float) -> Masks:
    """Drop duplicates between crops: the mask that was seen from closer stays."""
    assert masks.crop_boxes is not None
    areas = (masks.crop_boxes[:, 2:] - masks.crop_boxes[:, :2]).prod(axis=1)
    return masks[_nms(masks.boxes, 1 / areas, threshold)]


def _clean(masks: Masks, min_area: int, threshold: float) -> Masks:
    """Fill small holes and remove small islands, then drop the duplicates that this makes.

    Masks that needed no cleaning come first and win over those that did.
    """
    counts = []
    untouched = np.ones(len(masks), dtype=np.float32)
    for i, runs in enumerate(masks.counts):
        mask = rle.decode(runs, masks.size_hw)
        mask, filled = geometry.remove_small_regions(mask, min_area, "holes")
        mask, removed = geometry.remove_small_regions(mask, min_area, "islands")
        untouched[i] = not (filled or removed)
        counts.append(runs if untouched[i] else rle.encode(mask))
    fresh = Masks(masks.size_hw, tuple(counts))
    cleaned = replace(masks, counts=fresh.counts, boxes=fresh.boxes, areas=fresh.areas)
    return cleaned[_nms(cleaned.boxes, untouched, threshold)]


def refine(masks: Masks, config: GenerateConfig) -> Masks:
    """Apply what the original lacks: limits of area, and duplicates by masks instead of boxes."""
    masks = masks.filter(min_area=config.min_area, max_area=config.max_area)
    if config.mask_nms_thresh < 1:
        masks = masks.nms(config.mask_nms_thresh, "mask")
    if config.containment_nms_thresh < 1:
        masks = masks.nms(config.containment_nms_thresh, "containment")
    return masks
