"""SA-1B JSON: the layout of the data set that SAM was trained on, one file per image.

It holds everything that `Masks` knows but the logits and mask or text prompts. Boxes are xywh with
the last pixel inclusive, as in the data set: a mask of one pixel has width 0.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.atomic import atomic_write
from anymask.formats import annotation as fields
from anymask.masks import rle
from anymask.masks.masks import Masks

__all__ = ["read", "write"]


def write(path: str | os.PathLike[str], masks: Masks) -> None:
    """Write the masks of one image.

    Raises:
        OutputError: The file cannot be written; what was there before is untouched.
    """
    h, w = masks.size_hw
    name = fields.file_name(masks.source)
    image = {"image_id": fields.image_number(name), "width": w, "height": h, "file_name": name}
    image |= fields.geo_field(masks.geo)
    with atomic_write(path) as draft, draft.open("w", encoding="utf-8") as file:
        # Mask by mask, because tens of thousands of them take several times their memory as text.
        file.write(f'{{"image": {json.dumps(image)}, "annotations": [')
        for i in range(len(masks)):
            file.write(", " * (i > 0) + json.dumps(_annotation(masks, i), allow_nan=False))
        file.write("]}" if masks.model is None else f'], "model": {json.dumps(masks.model)}}}')


def read(path: str | os.PathLike[str]) -> Masks:
    """Read the masks of one image.

    Raises:
        InputError: The file is missing, damaged, or not in this layout.
    """
    document = fields.read_json(path)
    with fields.understanding(f"{str(path)!r} as SA-1B"):
        image, annotations = document["image"], list(document["annotations"])
        size_hw = (int(image["height"]), int(image["width"]))
        return Masks(
            **fields.read_all(annotations, size_hw, score="predicted_iou"),
            crop_boxes=_crop_boxes(annotations, size_hw),
            source=image.get("file_name") or None,
            model=document.get("model"),
            geo=fields.read_geo(image),
        )


def _annotation(masks: Masks, i: int) -> dict[str, Any]:
    h, w = masks.size_hw
    crop = (0, 0, w, h) if masks.crop_boxes is None else masks.crop_boxes[i]
    return {
        "id": i + 1,
        "segmentation": {"size": [h, w], "counts": rle.to_string(masks.counts[i])},
        "bbox": _xywh(masks.boxes[i]),
        "area": int(masks.areas[i]),
        "predicted_iou": fields.known(masks.scores[i]),
        "stability_score": fields.known(masks.stability[i]),
        **fields.prompt_fields(masks.prompts[i]),
        "crop_box": _xywh(crop),
    }


def _xywh(xyxy: npt.ArrayLike) -> list[Any]:
    x0, y0, x1, y1 = np.asarray(xyxy, dtype=np.float64)
    return fields.plain([x0, y0, x1 - x0, y1 - y0])


def _crop_boxes(
    annotations: list[dict[str, Any]], size_hw: tuple[int, int]
) -> npt.NDArray[np.float32] | None:
    """Read the crop boxes; None, as in `Masks`, where every crop is the whole image."""
    whole = [0, 0, size_hw[1], size_hw[0]]
    boxes = []
    for i, entry in enumerate(annotations):
        with fields.understanding(f"annotation {i + 1}"):
            x, y, w, h = entry.get("crop_box", whole)
            boxes.append([x, y, x + w, y + h])
    return None if all(box == whole for box in boxes) else np.array(boxes, dtype=np.float32)
