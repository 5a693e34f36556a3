"""The original's everything mode: the same settings, the same list of dictionaries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anymask.compat.modeling import Sam
from anymask.compat.predictor import SamPredictor
from anymask.compat.utils.amg import box_xyxy_to_xywh
from anymask.config import GenerateConfig
from anymask.embedding import Embedding
from anymask.errors import InputError
from anymask.everything.generate import generate
from anymask.geometry import layer_grids
from anymask.image.image import Image, ImageLike
from anymask.image.transform import Transform
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

__all__ = ["SamAutomaticMaskGenerator"]

OUTPUT_MODES = ("binary_mask", "uncompressed_rle", "coco_rle")


@dataclass(eq=False, repr=False)
class SamAutomaticMaskGenerator:
    """Finds everything in an image.

    The settings between the first and the last are those of `GenerateConfig`, where each has its
    sentence.

    Attributes:
        model: The `Sam` to ask.
        output_mode: What a record's ``segmentation`` is: "binary_mask", bool (h, w);
            "uncompressed_rle", run lengths as a list; or "coco_rle", COCO's compressed string.
        predictor: What is asked; a stand-in with the methods of `SamPredictor` will do.
    """

    model: Sam
    points_per_side: int | None = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    point_grids: Sequence[Any] | None = None
    min_mask_region_area: int = 0
    output_mode: str = "binary_mask"

    def __post_init__(self) -> None:
        """Check the settings, early."""
        if self.output_mode not in OUTPUT_MODES:
            raise InputError(
                f"expected an output_mode out of {', '.join(OUTPUT_MODES)}, got "
                f"{self.output_mode!r}; name one"
            )
        self._grids: Sequence[Any] | None = None  # those of points_per_side
        config = self._config()
        self.predictor = SamPredictor(self.model)
        if self.point_grids is None:  # the original's scripts read them, and put others there
            layers, factor = config.crop_n_layers, config.crop_n_points_downscale_factor
            assert config.points_per_side is not None
            self.point_grids = self._grids = layer_grids(config.points_per_side, layers, factor)

    def generate(self, image: ImageLike) -> list[dict[str, Any]]:
        """Find everything in an image.

        Args:
            image: uint8 (h, w, 3), RGB.

        Returns:
            For each mask a dictionary of ``segmentation``, as `output_mode` says; ``area`` in
            pixels; ``bbox``, xywh; ``predicted_iou``; ``point_coords``, the point that found it, as
            [[x, y]]; ``stability_score``; and ``crop_box``, xywh of the crop that it was found in.
        """
        try:
            masks = generate(_AsPromptable(self.predictor), image, self._config())
        finally:
            self.predictor.reset_image()
        return [self._record(one) for one in masks]

    def _config(self) -> GenerateConfig:
        _, *settings, _ = (field.name for field in fields(self))
        given = {name: getattr(self, name) for name in settings}
        # The original checks none of these: less than 0 keeps all, as 0 does; an IoU is never above
        # 1; a side of less than a pixel is no region; the factor counts only where there are crops.
        for name in ("pred_iou_thresh", "stability_score_thresh"):
            given[name] = max(0, given[name])
        for name in ("box_nms_thresh", "crop_nms_thresh"):
            given[name] = min(1, given[name])
        if self._grids is not None:
            own = self.point_grids is not self._grids
            given["points_per_side" if own else "point_grids"] = None
        side = given["points_per_side"]
        if isinstance(side, float) and side.is_integer():
            given["points_per_side"] = int(side)
        given["min_mask_region_area"] = max(0, math.ceil(given["min_mask_region_area"]))
        factor = given["crop_n_points_downscale_factor"]
        if given["crop_n_layers"] == 0:
            given["crop_n_points_downscale_factor"] = 1
        elif isinstance(factor, float) and factor.is_integer():
            given["crop_n_points_downscale_factor"] = int(factor)
        return GenerateConfig(**given)

    def _record(self, one: Masks) -> dict[str, Any]:
        (points_xy,) = one.points_xy
        assert points_xy is not None and one.crop_boxes is not None
        return {
            "segmentation": self._segmentation(one),
            "area": int(one.areas[0]),
            "bbox": _xywh(one.boxes[0]),
            "predicted_iou": float(one.scores[0]),
            "point_coords": points_xy.tolist(),
            "stability_score": float(one.stability[0]),
            "crop_box": _xywh(one.crop_boxes[0]),
        }

    def _segmentation(self, one: Masks) -> Any:
        if self.output_mode == "coco_rle":
            return one.rle()[0]
        if self.output_mode == "uncompressed_rle":
            return {"size": list(one.size_hw), "counts": one.counts[0].tolist()}
        return one.dense()[0]


class _AsPromptable:
    """A predictor as everything mode asks it.

    It goes through public methods, so that a subclass or a stand-in is heard. Enlarging is left to
    everything mode, which enlarges only what it keeps, if the predictor's own is the usual one.
    """

    def __init__(self, predictor: SamPredictor) -> None:
        self.predictor = predictor
        answer = getattr(predictor.predict_torch, "__func__", None)
        self.usual = answer is SamPredictor.predict_torch

    def embed(self, image: Image, /) -> Embedding:
        self.predictor.set_image(image.pixels)
        size_hw = image.size_hw
        transform = Transform(size_hw, size_hw, size_hw)
        if self.usual:
            transform = Transform.fit(size_hw, side=self.predictor.transform.target_length)
        # The predictor keeps what it saw; only the way back to the image is asked for here.
        return Embedding({"kept": torch.empty(1, 1, 0, 0)}, transform, signature="")

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask: bool
    ) -> tuple[Tensor, Tensor]:
        points_xy = np.stack([prompt.points_xy for prompt in prompts])
        placed = self.predictor.transform.apply_coords(points_xy, embedding.size_hw)
        points = torch.as_tensor(placed.astype(np.float32), device=self.predictor.device)
        labels = torch.ones(points.shape[:2], dtype=torch.int, device=points.device)
        if self.usual:
            logits, predicted_iou = self.predictor.predict_low_res(
                points, labels, multimask_output=multimask
            )
        else:
            logits, predicted_iou, _ = self.predictor.predict_torch(
                points, labels, multimask_output=multimask, return_logits=True
            )
        return logits - self.predictor.model.mask_threshold, predicted_iou


def _xywh(box: npt.NDArray[np.float32]) -> list[int]:
    width_height: list[int] = box_xyxy_to_xywh(box).astype(int).tolist()
    return width_height
