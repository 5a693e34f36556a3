"""Arithmetic around masks, in the original's words; the work is done by `geometry` and `rle`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anymask import geometry
from anymask.compat.utils.transforms import Size, as_size
from anymask.errors import InputError
from anymask.geometry import point_grid as build_point_grid
from anymask.masks.rle import Counts, area, decode, encode_many, to_string

__all__ = [
    "area_from_rle",
    "batch_iterator",
    "batched_mask_to_box",
    "box_xyxy_to_xywh",
    "build_all_layer_point_grids",
    "build_point_grid",
    "calculate_stability_score",
    "coco_encode_rle",
    "generate_crop_boxes",
    "is_box_near_crop_edge",
    "mask_to_rle_pytorch",
    "remove_small_regions",
    "rle_to_mask",
]

Box = TypeVar("Box", npt.NDArray[Any], Tensor, list[Any])


def batched_mask_to_box(masks: Tensor) -> Tensor:
    """Find the boxes of masks (..., h, w): int64 (..., 4) xyxy, inclusive; empty: zeros."""
    if masks.numel() == 0:
        return torch.zeros((*masks.shape[:-2], 4), dtype=torch.long, device=masks.device)
    flat = masks.bool().reshape(-1, *masks.shape[-2:])
    return geometry.mask_boxes(flat).long().reshape(*masks.shape[:-2], 4)


def box_xyxy_to_xywh(box_xyxy: Box) -> Box:
    """Give the last two of four numbers relative to the first two."""
    x0, y0, x1, y1 = box_xyxy
    if isinstance(box_xyxy, Tensor):
        return torch.stack([x0, y0, x1 - x0, y1 - y0])
    if isinstance(box_xyxy, list):
        return [x0, y0, x1 - x0, y1 - y0]
    return np.stack([x0, y0, x1 - x0, y1 - y0])


def calculate_stability_score(
    masks: Tensor, mask_threshold: float, threshold_offset: float
) -> Tensor:
    """Measure the stability of logits (n, h, w); see `geometry.stability_score`."""
    return geometry.stability_score(masks, mask_threshold, threshold_offset)


def remove_small_regions(
    mask: npt.NDArray[np.bool_], area_thresh: float, mode: Literal["holes", "islands"]
) -> tuple[npt.NDArray[np.bool_], bool]:
    """Clean a mask, and return whether it was dirty; see `geometry.remove_small_regions`."""
    return geometry.remove_small_regions(mask, area_thresh, mode)


def is_box_near_crop_edge(
    boxes: Tensor, crop_box: Sequence[int], orig_box: Sequence[int], atol: float = 20.0
) -> Tensor:
    """Find boxes (n, 4) of a crop that it cuts off: bool (n,); see `geometry.near_crop_edge`."""
    x0, y0, x1, y1 = crop_box
    near: Tensor = geometry.near_crop_edge(
        boxes, (x0, y0, x1, y1), (orig_box[3], orig_box[2]), atol
    )
    return near


def build_all_layer_point_grids(
    n_per_side: int, n_layers: int, scale_per_layer: int
) -> list[npt.NDArray[np.float64]]:
    """Make the point grids of the image and of each layer of crops; see `geometry.layer_grids`."""
    return geometry.layer_grids(n_per_side, n_layers, scale_per_layer)


def generate_crop_boxes(
    im_size: Size, n_layers: int, overlap_ratio: float
) -> tuple[list[list[int]], list[int]]:
    """Lay crops over an image of (h, w): boxes xyxy and their layers; see `geometry.crop_boxes`."""
    boxes, layers = geometry.crop_boxes(as_size(im_size), n_layers, overlap_ratio)
    return [list(box) for box in boxes], layers


def batch_iterator(batch_size: int, *args: Any) -> Iterator[list[Any]]:
    """Go through sequences of one length together, a batch of each at a time.

    Raises:
        InputError: There are none, or some are longer than others.
    """
    lengths = [len(values) for values in args]
    if len(set(lengths)) != 1:
        raise InputError(
            f"expected sequences of one length, got lengths of {lengths}; give as many of each"
        )
    for start in range(0, len(args[0]), batch_size):
        yield [values[start : start + batch_size] for values in args]


# ---------------------------------------------------------------- run lengths


def mask_to_rle_pytorch(tensor: Tensor) -> list[dict[str, Any]]:
    """Encode masks, bool (n, h, w): for each ``{"size": [h, w], "counts": [...]}``."""
    encoded = encode_many(tensor.bool().cpu().numpy())
    return [{"size": list(tensor.shape[1:]), "counts": counts.tolist()} for counts in encoded]


def rle_to_mask(rle: dict[str, Any]) -> npt.NDArray[np.bool_]:
    """Decode what `mask_to_rle_pytorch` made of one mask: bool (h, w)."""
    return decode(_counts(rle), as_size(rle["size"]))


def area_from_rle(rle: dict[str, Any]) -> int:
    """Count the pixels of what `mask_to_rle_pytorch` made of one mask."""
    return area(_counts(rle))


def coco_encode_rle(uncompressed_rle: dict[str, Any]) -> dict[str, Any]:
    """Write the run lengths as COCO's compressed string."""
    size = list(uncompressed_rle["size"])
    return {"size": size, "counts": to_string(_counts(uncompressed_rle))}


def _counts(rle: dict[str, Any]) -> Counts:
    return np.asarray(rle["counts"], dtype=np.uint32)
