"""SA-1B JSON: the layout of the data set that SAM was trained on, one file per image.

It holds everything that `Masks` knows but the logits and mask or text prompts. Boxes are xywh with
the last pixel inclusive, as in the data set: a mask of one pixel has width 0.

Beside the published fields, an annotation has ``label`` and ``track_id`` (from `Masks.ids`) where
they are known, and all that is in `Masks.meta`; the image's record has what is in
`Masks.image_meta`. Fields of other programs are read into these two and written again; the numbers
of annotations are kept if they are more than their order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.atomic import Target, output
from anymask.formats import Format, files
from anymask.formats import annotation as fields
from anymask.formats.categories import Numbers, is_number
from anymask.formats.files import Source
from anymask.masks import rle
from anymask.masks.masks import Masks

__all__ = ["FORMAT", "read", "write"]

_ANNOTATION = {
    "id",
    "segmentation",
    "bbox",
    "area",
    "predicted_iou",
    "stability_score",
    "point_coords",
    "point_labels",
    "prompt_box",
    "crop_box",
    "label",
    "track_id",
}
_IMAGE = {"image_id", "width", "height", "file_name", "geo"}
_DOCUMENT = {"image", "annotations", "model"}


def write(target: Target, masks: Masks) -> None:
    """Write the masks of one image.

    Args:
        target: A path, or a file opened for writing bytes.
        masks: Any number of masks.

    Raises:
        OutputError: The file cannot be written; what was there before is untouched.

    Examples:
        >>> import io
        >>> file = io.BytesIO()
        >>> write(file, Masks.from_dense(np.ones((2, 3), bool), labels=["sky"]))
        >>> read(file.getvalue()).labels
        ('sky',)
    """
    numbers = Numbers()
    rest = dict(masks.image_meta.get("document", {})) if _has_document(masks) else {}
    rest = {key: value for key, value in rest.items() if key not in _DOCUMENT}
    rest |= {} if masks.model is None else {"model": masks.model}
    with output(target) as file:
        # Mask by mask, because tens of thousands of them take several times their memory as text.
        file.write(f'{{"image": {json.dumps(_image(masks))}, "annotations": ['.encode())
        for i in range(len(masks)):
            entry = json.dumps(
                _annotation(masks, i, numbers.take(masks.meta[i].get("id"))), allow_nan=False
            )
            file.write(f"{', ' * (i > 0)}{entry}".encode())
        file.write(f"]{', ' * bool(rest)}{json.dumps(rest)[1:]}".encode())


def read(source: Source) -> Masks:
    """Read the masks of one image.

    Args:
        source: A path, the bytes of a file, or a file opened for reading bytes.

    Raises:
        InputError: The file is missing, damaged, or not in this layout.
    """
    content = files.load(source)
    document = fields.read_json(content)
    with fields.understanding(f"{content.name} as SA-1B"):
        image, annotations = document["image"], list(document["annotations"])
        size_hw = (int(image["height"]), int(image["width"]))
        return Masks(
            **fields.read_all(annotations, size_hw, score="predicted_iou"),
            crop_boxes=_crop_boxes(annotations, size_hw),
            source=image.get("file_name") or None,
            model=document.get("model"),
            geo=fields.read_geo(image),
            labels=tuple(_label(entry) for entry in annotations),
            meta=_metas(annotations),
            image_meta=_image_meta(image, document),
        )


def _image(masks: Masks) -> dict[str, Any]:
    h, w = masks.size_hw
    name = fields.file_name(masks.source)
    meta = dict(masks.image_meta)
    number = meta.pop("id") if is_number(meta.get("id")) else fields.image_number(name)
    if _has_document(masks):
        del meta["document"]
    image = {"image_id": number, "width": w, "height": h, "file_name": name}
    return image | fields.geo_field(masks.geo) | fields.meta_fields(meta, _IMAGE)


def _has_document(masks: Masks) -> bool:
    return isinstance(masks.image_meta.get("document"), Mapping)


def _image_meta(image: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    meta = fields.read_meta(image, _IMAGE)
    number = image.get("image_id")
    if number is not None and number != fields.image_number(image.get("file_name") or ""):
        meta["id"] = number
    rest = {k: fields.finite(v) for k, v in document.items() if k not in _DOCUMENT}
    return meta | ({"document": rest} if rest else {})


def _annotation(masks: Masks, i: int, number: Any) -> dict[str, Any]:
    h, w = masks.size_hw
    crop = (0, 0, w, h) if masks.crop_boxes is None else masks.crop_boxes[i]
    meta = {k: v for k, v in masks.meta[i].items() if k != "id" or not is_number(v)}
    return {
        "id": number,
        "segmentation": {"size": [h, w], "counts": rle.to_string(masks.counts[i])},
        "bbox": _xywh(masks.boxes[i]),
        "area": int(masks.areas[i]),
        "predicted_iou": fields.known(masks.scores[i]),
        "stability_score": fields.known(masks.stability[i]),
        **fields.prompt_fields(masks.prompts[i]),
        "crop_box": _xywh(crop),
        **({} if masks.labels[i] is None else {"label": masks.labels[i]}),
        **fields.track_field(masks.ids[i]),
        **fields.meta_fields(meta, fields.names_taken(masks, i, _ANNOTATION)),
    }


def _label(entry: Mapping[str, Any]) -> str | None:
    label = entry.get("label")
    return None if label is None else str(label)


def _metas(annotations: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    numbers = [entry.get("id") for entry in annotations]
    in_order = numbers == list(range(1, len(numbers) + 1)) or set(numbers) == {None}
    return tuple(
        fields.read_meta(entry, _ANNOTATION) | ({} if in_order else {"id": entry.get("id")})
        for entry in annotations
    )


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


FORMAT = Format(".json", write, read, keys=frozenset({"image", "annotations"}))
