"""Masks, boxes and arrays as JSON and back: the server and the client both speak it."""

from __future__ import annotations

import base64
import binascii
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.detections import Detections
from anymask.errors import InputError
from anymask.masks import rle
from anymask.masks.masks import Masks

__all__ = [
    "array_of",
    "boxes_document",
    "boxes_of",
    "counts_of",
    "document_of_array",
    "document_of_mask",
    "masks_document",
    "masks_of",
    "plain",
    "too_deep",
]

_DTYPES = {"float16": "<f2", "float32": "<f4"}
_SIDE = 1 << 14  # of an array
_DEEPEST = 100  # lists and dictionaries of what else is known, one in another


def document_of_array(array: npt.NDArray[Any]) -> dict[str, Any]:
    """Write numbers as shape, dtype and bytes in base64.

    Examples:
        >>> document_of_array(np.array([[1.0, 2.0]], np.float32))
        {'shape': [1, 2], 'dtype': 'float32', 'data': 'AACAPwAAAEA='}
    """
    kind = "float16" if array.dtype == np.float16 else "float32"
    data = np.ascontiguousarray(array, _DTYPES[kind]).tobytes()
    return {"shape": list(array.shape), "dtype": kind, "data": base64.b64encode(data).decode()}


def array_of(document: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """Read what `document_of_array` wrote, as float32.

    Raises:
        InputError: The bytes are not base64, or not as many as the shape says.
    """
    shape, kind = tuple(document["shape"]), document["dtype"]
    try:
        data = base64.b64decode(document["data"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(
            f"expected the bytes of an array in base64, got something else ({error}); encode them"
        ) from error
    if not all(0 < side <= _SIDE for side in shape):
        raise InputError(f"expected sides from 1 to {_SIDE}, got {shape}; send a smaller array")
    wanted = math.prod(shape) * np.dtype(_DTYPES[kind]).itemsize
    if len(data) != wanted:
        raise InputError(
            f"expected {wanted} bytes for {kind} of shape {shape}, got {len(data)}; send as many "
            "as the shape says"
        )
    return np.frombuffer(data, _DTYPES[kind]).reshape(shape).astype(np.float32)


def document_of_mask(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Write a mask, bool (h, w), as COCO's compressed run lengths.

    Examples:
        >>> document_of_mask(np.ones((2, 3), bool))
        {'size': [2, 3], 'counts': '06'}
    """
    return {"size": list(mask.shape), "counts": rle.to_string(rle.encode(mask))}


def counts_of(document: Mapping[str, Any], size_hw: tuple[int, int]) -> rle.Counts:
    """Read run lengths of an image of this size, without making them pixels.

    Raises:
        InputError: They are damaged, or of another size.
    """
    h, w = size_hw
    if tuple(document["size"]) != (h, w):
        raise InputError(
            f"expected a mask of size [{h}, {w}] like the image, got {list(document['size'])}; "
            "give height and width of the image"
        )
    counts = document["counts"]
    if isinstance(counts, str):
        found = rle.from_string(counts.encode(errors="replace"))
    else:
        if not all(0 <= count <= h * w for count in counts):
            raise InputError(
                f"expected run lengths from 0 to {h * w}, got others; count pixels column by column"
            )
        found = np.array(counts, np.uint32)
    if int(found.sum(dtype=np.int64)) != h * w:
        raise InputError(
            f"expected run lengths that add up to {h} * {w} = {h * w} pixels, got "
            f"{int(found.sum(dtype=np.int64))}; check that they are whole"
        )
    return found


# --------------------------------------------------------------------------------- masks


def masks_document(masks: Masks, *, logits: bool = False) -> dict[str, Any]:
    """Write masks with all that is known about each; unknown (NaN) is null.

    Examples:
        >>> masks = Masks.from_dense(np.ones((2, 3), bool), labels=["sky"])
        >>> masks_of(masks_document(masks)) == masks
        True
    """
    kept = masks.logits if logits else None
    records = [
        {
            "rle": code,
            "score": _number(masks.scores[i]),
            "stability": _number(masks.stability[i]),
            "box": masks.boxes[i].tolist(),
            "area": int(masks.areas[i]),
            "label": masks.labels[i],
            "id": masks.ids[i],
            "meta": plain(masks.meta[i]),
            **({} if kept is None else {"logits": document_of_array(kept[i])}),
        }
        for i, code in enumerate(masks.rle())
    ]
    return {
        "size_hw": list(masks.size_hw),
        "model": masks.model,
        "masks": records,
        "dropped": dict(masks.dropped),
        "image_meta": plain(masks.image_meta),
    }


def masks_of(document: Mapping[str, Any], size_hw: tuple[int, int] | None = None) -> Masks:
    """Read masks; what is left out of a record is unknown.

    Args:
        document: As `masks_document` gives it.
        size_hw: Size of the image, if the document need not say it.

    Raises:
        InputError: A record is not as it should be.
    """
    h, w = size_hw or document["size_hw"]
    records: Sequence[Mapping[str, Any]] = document["masks"]
    kept = [one for record in records if (one := record.get("logits"))]
    return Masks(
        (h, w),
        tuple(counts_of(record["rle"], (h, w)) for record in records),
        scores=_numbers(records, "score"),
        stability=_numbers(records, "stability"),
        labels=tuple(record.get("label") for record in records),
        ids=tuple(record.get("id") for record in records),
        meta=tuple(record.get("meta") or {} for record in records),
        logits=np.stack([array_of(one) for one in kept]) if kept else None,
        model=document.get("model"),
        image_meta=document.get("image_meta") or {},
        dropped=Counter(document.get("dropped") or {}),
    )


def boxes_document(found: Detections) -> dict[str, Any]:
    """Write boxes with score and label."""
    records = [
        {
            "box": found.boxes[i].tolist(),
            "score": _number(found.scores[i]),
            "label": found.labels[i],
        }
        for i in range(len(found))
    ]
    return {"size_hw": list(found.size_hw), "model": found.model, "boxes": records}


def boxes_of(document: Mapping[str, Any]) -> Detections:
    """Read what `boxes_document` wrote.

    Examples:
        >>> found = Detections((48, 64), [(10, 20, 15, 40)], labels=["cup"])
        >>> boxes_of(boxes_document(found)) == found
        True
    """
    h, w = document["size_hw"]
    records = document["boxes"]
    boxes = np.array([record["box"] for record in records], np.float32).reshape(-1, 4)
    labels = tuple(record["label"] for record in records)
    return Detections((h, w), boxes, _numbers(records, "score"), labels, model=document["model"])


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _numbers(records: Sequence[Mapping[str, Any]], name: str) -> npt.NDArray[np.float64]:
    values = [record.get(name) for record in records]
    return np.array([math.nan if value is None else value for value in values], np.float64)


def plain(value: Any, deep: int = 0) -> Any:
    """Copy what is known into dictionaries and lists, without NaN, which JSON has not.

    Raises:
        InputError: It is nested too deep.
    """
    if deep > _DEEPEST:
        raise too_deep()
    if isinstance(value, Mapping):
        return {str(name): plain(one, deep + 1) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one, deep + 1) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def too_deep() -> InputError:
    """Say that what else is known of a mask is nested too deep."""
    return InputError(
        f"expected what else is known of a mask nested at most {_DEEPEST} deep, got more; make it "
        "flatter"
    )
