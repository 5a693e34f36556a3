"""Boxes, grids, crops and regions: the arithmetic around masks, without knowledge of any model.

Boxes are xyxy. Boxes of masks name the first and the last pixel, so a mask of one pixel has a box
without area; a ratio of areas is 0 where both are 0. What takes arrays or tensors is worked out in
numpy, and gives what it was given; torch is imported only where there are nothing but tensors.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from anymask.arrays import Array, floats, is_tensor, placed, to_numpy
from anymask.errors import InputError
from anymask.optional import optional

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "box_iou",
    "crop_boxes",
    "layer_grids",
    "mask_boxes",
    "near_crop_edge",
    "nms",
    "nms_ranked",
    "point_grid",
    "remove_small_regions",
    "stability_score",
]

_ROWS = 256  # boxes that non-maximum suppression compares with all others at a time

# -------------------------------------------------------------------------- boxes


def box_iou(a: Array, b: Array) -> Array:
    """Measure intersection over union of every box of one list with every box of another.

    Args:
        a: float (n, 4) xyxy, an array or a tensor.
        b: float (m, 4) xyxy, of the same kind.

    Returns:
        Same kind and dtype as the boxes, (n, m).

    Examples:
        >>> box_iou(np.float32([[0, 0, 4, 4]]), np.float32([[0, 0, 4, 4], [2, 0, 6, 4]])).tolist()
        [[1.0, 0.3333333432674408]]
    """
    one, other = to_numpy(a)[:, None], to_numpy(b)[None]
    shared = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    shared = shared.clip(min=0).prod(axis=2)
    areas = ((boxes[..., 2:] - boxes[..., :2]).prod(axis=2) for boxes in (one, other))
    union = sum(areas) - shared
    ratios = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return placed(ratios, a.device, a.dtype) if is_tensor(a) else ratios


def nms(
    boxes: Tensor,
    scores: Tensor,
    threshold: float,
    groups: Tensor | None = None,
    max_kept: int | None = None,
) -> Tensor:
    """Drop boxes that overlap a better one: non-maximum suppression.

    Args:
        boxes: (n, 4) xyxy.
        scores: (n,). Of boxes with equal scores, the earlier one is the better one.
        threshold: A box goes when its intersection over union with a better one that stays is
            greater than this; equal is not greater.
        groups: int (n,); boxes of different groups leave each other alone.
        max_kept: Only so many of the best are wanted; None: all.

    Returns:
        int64 (k,), numbers of the boxes that stay, best first, on the device of the boxes.

    Examples:
        >>> import torch
        >>> boxes = torch.tensor([[0, 0, 9, 9], [1, 0, 9, 9], [20, 0, 29, 9]])
        >>> nms(boxes, torch.tensor([0.8, 0.9, 0.5]), threshold=0.7)
        tensor([1, 2])
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1]:
        raise InputError(
            "expected boxes of shape (n, 4) and scores of shape (n,), got "
            f"{tuple(boxes.shape)} and {tuple(scores.shape)}; give one score for each box"
        )
    import torch

    # On the CPU in float32, because devices differ in the last bit.
    order = torch.argsort(scores.detach().cpu(), descending=True, stable=True)
    ranked = boxes.detach().float().cpu()[order].numpy()
    group = None if groups is None else groups.detach().cpu()[order].numpy()
    return order[torch.from_numpy(nms_ranked(ranked, threshold, group, max_kept))].to(boxes.device)


def nms_ranked(
    boxes: npt.NDArray[np.float32],
    threshold: float,
    groups: npt.NDArray[Any] | None = None,
    max_kept: int | None = None,
) -> npt.NDArray[np.int64]:
    """Drop boxes that overlap an earlier one that stays: `nms` of boxes that are sorted already.

    Args:
        boxes: float32 (n, 4) xyxy, best first.
        threshold: See `nms`.
        groups: See `nms`, (n,).
        max_kept: See `nms`.

    Returns:
        int64 (k,), numbers of the boxes that stay, rising.

    Examples:
        >>> nms_ranked(np.float32([[1, 0, 9, 9], [0, 0, 9, 9], [20, 0, 29, 9]]), threshold=0.7)
        array([0, 2])
    """
    with np.errstate(invalid="ignore", over="ignore"):
        sides = boxes[:, 2:] - boxes[:, :2]
        areas = sides[:, 0] * sides[:, 1]
    stays = np.ones(len(boxes), dtype=np.bool_)
    # A few hundred rows at a time, because a matrix of all pairs can be larger than the image.
    for start in range(0, len(boxes), _ROWS):
        rows = start + np.flatnonzero(stays[start : start + _ROWS])
        others = start + np.flatnonzero(stays[start:])
        with np.errstate(invalid="ignore", over="ignore"):  # boxes of a network that overflowed
            clash = _ious(boxes, areas, rows, others) > threshold
        if groups is not None:
            clash &= groups[rows, None] == groups[None, others]
        for row, clashing in zip(rows, clash, strict=True):
            if stays[row]:
                stays[others[clashing & (others > row)]] = False
        if max_kept is not None and stays[: start + _ROWS].sum() >= max_kept:
            break
    return np.flatnonzero(stays)[:max_kept]


def _ious(
    boxes: npt.NDArray[np.float32],
    areas: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    others: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """Do what `box_iou` does, in the same order of operations, so that the last bit agrees."""
    a, b = boxes[rows, None], boxes[None, others]
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    shared = width.clip(min=0) * height.clip(min=0)
    union = areas[rows, None] + areas[None, others] - shared
    ratios: npt.NDArray[np.float32] = np.divide(
        shared, union, out=np.zeros_like(shared), where=union > 0
    )
    return ratios


def mask_boxes(masks: Tensor) -> Tensor:
    """Find the boxes of masks.

    Args:
        masks: bool (n, h, w).

    Returns:
        float32 (n, 4) xyxy, first and last pixel inclusive; zeros for an empty mask.

    Examples:
        >>> import torch
        >>> mask_boxes(torch.tensor([[[False, True, True]]]))
        tensor([[1., 0., 2., 0.]])
    """
    import torch

    if masks.numel() == 0:
        return torch.zeros((len(masks), 4), device=masks.device)
    pixels = masks.view(torch.uint8)  # the maximum of bytes is ten times as fast as any()
    x0, x1 = _first_and_last(pixels.amax(dim=1))
    y0, y1 = _first_and_last(pixels.amax(dim=2))
    return torch.stack([x0, y0, x1, y1], dim=1).float()


def _first_and_last(lines: Tensor) -> tuple[Tensor, Tensor]:
    """Find the first and last 1 of each row of uint8 (n, k): int64 (n,) each; none: zeros."""
    first = lines.argmax(dim=1)
    last = lines.shape[1] - 1 - lines.flip(1).argmax(dim=1)
    return first, last * lines.amax(dim=1)


# ------------------------------------------------------------------------- logits


def stability_score(logits: Tensor, threshold: float, offset: float) -> Tensor:
    """Measure how little masks change when the threshold moves up and down.

    Args:
        logits: float (n, h, w).
        threshold: Above it a pixel belongs to the mask.
        offset: How far the threshold moves, both ways.

    Returns:
        float32 (n,), intersection over union of the mask of the higher threshold with that of the
        lower one. NaN where both are empty, which any comparison drops.

    Examples:
        >>> import torch
        >>> stability_score(torch.tensor([[[-3.0, 0.5, 2.0, 4.0]]]), threshold=0, offset=1)
        tensor([0.6667])
    """
    inner = _count(logits > threshold + offset)
    outer = _count(logits > threshold - offset)
    return inner / outer


def _count(masks: Tensor) -> Tensor:
    import torch

    # In 32 bits, because a row of a wide image holds more pixels than 16 bits can count.
    return masks.sum(dim=-1, dtype=torch.int32).sum(dim=-1, dtype=torch.int32)


# ---------------------------------------------------------------- grids and crops


def point_grid(n_per_side: int) -> npt.NDArray[np.float64]:
    """Spread points evenly over the unit square.

    Returns:
        float64 (n * n, 2) numpy, x before y, row by row, each in the middle of its cell.

    Examples:
        >>> point_grid(2).tolist()
        [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    """
    if n_per_side < 1:
        raise InputError(f"expected at least 1 point per side, got {n_per_side}; give 1 or more")
    line = (np.arange(n_per_side) + 0.5) / n_per_side
    x, y = np.meshgrid(line, line)
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def layer_grids(
    n_per_side: int, n_layers: int, downscale: int = 1
) -> list[npt.NDArray[np.float64]]:
    """Make the point grids of the whole image and of each layer of crops.

    Args:
        n_per_side: Points per side on the whole image.
        n_layers: Layers of crops besides the whole image.
        downscale: With each layer, the points per side are divided by this once more.

    Returns:
        ``n_layers + 1`` grids as `point_grid` makes them, the whole image's first.
    """
    sides = [int(n_per_side / downscale**layer) for layer in range(n_layers + 1)]
    if min(sides) < 1:
        raise InputError(
            f"expected at least 1 point per side in every layer, got {n_per_side} divided by "
            f"{downscale} {n_layers} times; use more points, fewer layers or a smaller divisor"
        )
    return [point_grid(side) for side in sides]


def crop_boxes(
    size_hw: tuple[int, int], n_layers: int, overlap_ratio: float
) -> tuple[list[tuple[int, int, int, int]], list[int]]:
    """Lay layers of overlapping crops over an image; layer i has 2**i crops per side.

    Args:
        size_hw: Height and width of the image.
        n_layers: Layers besides the whole image, which is layer 0.
        overlap_ratio: Overlap of neighbours, as a share of the image's shorter side in layer 1; it
            halves with each further layer.

    Returns:
        Boxes xyxy (last pixel exclusive) in pixels of the image, column by column, and the layer of
        each.

    Examples:
        >>> crop_boxes((40, 60), n_layers=1, overlap_ratio=0.25)[0][:3]
        [(0, 0, 60, 40), (0, 0, 35, 25), (0, 15, 35, 40)]
    """
    h, w = size_hw
    boxes, layers = [(0, 0, w, h)], [0]
    for layer in range(1, n_layers + 1):
        n = 2**layer
        overlap = int(overlap_ratio * min(h, w) * (2 / n))
        crop_w, crop_h = (math.ceil((overlap * (n - 1) + side) / n) for side in (w, h))
        for i, j in product(range(n), range(n)):
            x0, y0 = (crop_w - overlap) * i, (crop_h - overlap) * j
            boxes.append((x0, y0, min(x0 + crop_w, w), min(y0 + crop_h, h)))
            layers.append(layer)
    return boxes, layers


def near_crop_edge(
    boxes: Array,
    crop_box: tuple[int, int, int, int],
    size_hw: tuple[int, int],
    tolerance: float = 20.0,
) -> Array:
    """Find boxes that touch an edge of their crop where the image goes on: their object is cut off.

    Args:
        boxes: (n, 4) xyxy, in pixels of the crop, an array or a tensor.
        crop_box: The crop, xyxy in pixels of the image.
        size_hw: Height and width of the image.
        tolerance: Distance in pixels, itself included, at which a box still touches.

    Returns:
        bool (n,), of the same kind.
    """
    x0, y0 = crop_box[:2]
    h, w = size_hw
    placed_boxes = floats(to_numpy(boxes)) + floats([x0, y0, x0, y0])
    edges = floats([crop_box, (0, 0, w, h)])
    near_crop, near_image = np.abs(placed_boxes[None] - edges[:, None]) <= tolerance
    cut_off = (near_crop & ~near_image).any(axis=1)
    return placed(cut_off, boxes.device) if is_tensor(boxes) else cut_off


# ------------------------------------------------------------------------ regions


def remove_small_regions(
    mask: npt.NDArray[np.bool_], min_area: float, mode: Literal["holes", "islands"]
) -> tuple[npt.NDArray[np.bool_], bool]:
    """Fill the small holes of a mask, or delete its small islands.

    Pixels that touch at a corner are connected. A mask that has nothing but small islands keeps the
    largest of them.

    Args:
        mask: bool (h, w).
        min_area: Regions of fewer pixels are small.
        mode: "holes" or "islands".

    Returns:
        The new mask, bool (h, w), and whether there was any small region.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    if mode not in ("holes", "islands"):
        raise InputError(f"expected a mode out of holes, islands, got {mode!r}; name one")
    cv2 = optional("cv2", extra="image")
    holes = mode == "holes"
    regions = (~mask if holes else mask).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(regions, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]  # 0 is everything that is no region
    small = areas < min_area
    if not small.any():
        return mask, False
    chosen = small if holes else ~small
    if not chosen.any():
        chosen[np.argmax(areas)] = True
    return np.concatenate([[holes], chosen])[labels], True
