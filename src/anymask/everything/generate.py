"""Everything mode: a mask for each thing in the image, without a prompt.

A grid of points asks the model, three answers each. What the model doubts, what a slightly moved
threshold would change, and what another mask already says is dropped. With crop layers the same
happens again in overlapping parts of the image, which finds smaller things (Kirillov et al.,
2023, appendix B).
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from anymask import geometry
from anymask.config import GenerateConfig
from anymask.embedding import Embedding
from anymask.errors import CapabilityError, InputError
from anymask.everything.sampling import add_all, add_coarse_to_fine, add_objects
from anymask.everything.search import Progress, Promptable, Search
from anymask.everything.wholeness import thing_boxes
from anymask.image.image import Image, ImageLike
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

__all__ = ["Promptable", "generate", "least_memory", "refine"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
CropBox = tuple[int, int, int, int]

_MIB = 2**20
_NETWORK = 192 * _MIB  # what a decoder needs for the few prompts that it takes at a time
_BYTES_PER_PIXEL = 14  # to decode a file, and to draw a mask
_LEAST = 16 * _MIB  # for answers
_MANY_CROPS = 100  # more than three layers


def generate(
    model: Promptable,
    image: ImageLike,
    config: GenerateConfig | None = None,
    scout: Callable[[], Promptable] | None = None,
    progress: Progress | None = None,
) -> Masks:
    """Find everything in an image.

    Args:
        model: Anything that embeds and answers points, such as a `Segmenter`.
        image: Path, bytes, Pillow image or array.
        config: What to look for and what to drop; None: SAM's defaults.
        scout: Gives a model that sees boundaries, for the sampler "boxes" and a model that does
            not.
        progress: Told how many points were decoded, and of how many at most; called between batches
            of points and while their answers are settled. What it raises ends the search.

    Returns:
        The masks in SAM's order: best first inside a crop (`GenerateConfig.ranking` says which is
        better), small crops before large ones; none at all if nothing was found. Each knows the
        prompt that found it and its crop, and `Masks.dropped` how many answers went by which
        setting.

    Raises:
        InputError: The image cannot be read, or the memory does not suffice for its size.
        CapabilityError: Neither model sees boundaries, but the sampler needs them.
    """
    config = config or GenerateConfig()
    _warn_if_hopeless(config)
    _warn_of_crops(config)
    opened = Image.open(image)
    memory = _spare(config.memory, opened.size_hw)
    boxes, layers = geometry.crop_boxes(
        opened.size_hw, config.crop_n_layers, config.crop_overlap_ratio
    )
    grids = _grids(config)
    decoded = _counter(progress, sum(len(grids[layer]) + config.thing_boxes for layer in layers))
    found = []
    dropped: Counter[str] = Counter()
    for box, layer in zip(boxes, layers, strict=True):
        x0, y0, x1, y1 = box
        if x0 < x1 and y0 < y1:  # tiny images leave nothing for some crops
            part = opened.crop(box)
            decoded(0)
            embedding = model.embed(part)
            search = Search(model, embedding, box, opened.size_hw, config, memory, decoded)
            points_xy = grids[layer] * (x1 - x0, y1 - y0)
            if config.sampler == "grid":
                add_all(search, points_xy)
            elif config.sampler == "hierarchical":
                add_coarse_to_fine(search, points_xy)
            else:
                add_objects(search, _boundary(search.embedding, part, scout))
            if config.thing_boxes:
                boxes_xyxy = thing_boxes(part, config.thing_boxes)
                search.add([Prompt(box=box) for box in boxes_xyxy], multimask=False)
            found.append(search.nms())
            dropped += search.dropped
    masks = replace(Masks.concat(found), dropped=dropped)
    if len(found) > 1:
        masks = _counted(
            masks, _prefer_small_crops(masks, config.crop_nms_thresh), "crop_nms_thresh"
        )
    if config.min_mask_region_area > 0:
        threshold = max(config.box_nms_thresh, config.crop_nms_thresh)
        cleaned = clean_regions(masks, config.min_mask_region_area, threshold)
        masks = _counted(masks, cleaned, "min_mask_region_area")
    return replace(refine(masks, config), source=opened.source)


def _counter(progress: Progress | None, total: int) -> Callable[[int], None]:
    """Make a function that adds up the points that were decoded, and tells."""
    done = 0

    def decoded(prompts: int) -> None:
        nonlocal done
        done += prompts
        if progress is not None:
            progress(min(done, total), total)

    return decoded


def _counted(before: Masks, after: Masks, setting: str) -> Masks:
    """Note how many masks went by a setting."""
    gone = len(before) - len(after)
    return replace(after, dropped=before.dropped + Counter({setting: gone}))


def _warn_if_hopeless(config: GenerateConfig) -> None:
    for name in ("pred_iou_thresh", "stability_score_thresh"):
        value = getattr(config, name)
        if value > 1 or (value == 1 and name == "pred_iou_thresh"):
            warnings.warn(
                f"{name} is {value:g}, but no mask is better than 1, so hardly any will pass; the "
                f"usual value is {getattr(GenerateConfig, name)}",
                stacklevel=3,
            )


def _warn_of_crops(config: GenerateConfig) -> None:
    crops = sum(4**layer for layer in range(config.crop_n_layers + 1))
    if crops > _MANY_CROPS:
        prompts = sum(4**layer * len(grid) for layer, grid in enumerate(_grids(config)))
        warnings.warn(
            f"crop_n_layers is {config.crop_n_layers}, which means {crops:,} crops and "
            f"{prompts:,} prompts; 1 or 2 find small things, too",
            stacklevel=3,
        )


def _spare(memory: int, size_hw: tuple[int, int]) -> int:
    """Return how many bytes are left for answers, beside the image and what the network needs."""
    least = least_memory(size_hw)
    if memory < least:
        raise InputError(
            f"expected a memory of at least {least} MiB for an image of {size_hw[1]} x "
            f"{size_hw[0]} pixels, got {memory}; raise it, or search in smaller tiles"
        )
    return memory * _MIB - _needed(size_hw)


def least_memory(size_hw: tuple[int, int]) -> int:
    """Return how many MiB a search needs in an image of this size at least."""
    return -(-(_needed(size_hw) + _LEAST) // _MIB)


def _needed(size_hw: tuple[int, int]) -> int:
    return _NETWORK + _BYTES_PER_PIXEL * size_hw[0] * size_hw[1]


def _boundary(
    embedding: Embedding, part: Image, scout: Callable[[], Promptable] | None
) -> Embedding:
    """Find an embedding of a part of the image that knows boundaries."""
    if "boundary" not in embedding.features and scout is not None:
        embedding = scout().embed(part)
    if "boundary" not in embedding.features:
        raise CapabilityError(
            "expected a model that sees boundaries for the sampler 'boxes', got one with "
            f"{', '.join(embedding.features)}; use 'grid' or 'hierarchical'"
        )
    return embedding


def _grids(config: GenerateConfig) -> list[FloatArray]:
    """Lay out the points of each layer: (n, 2), x and y from 0 to 1 of the crop."""
    if config.point_grids is not None:
        return [np.array(grid, dtype=np.float64) for grid in config.point_grids]
    assert config.points_per_side is not None
    return geometry.layer_grids(
        config.points_per_side, config.crop_n_layers, config.crop_n_points_downscale_factor
    )


def _nms(boxes: npt.NDArray[Any], scores: npt.NDArray[Any], threshold: float) -> IntArray:
    """Find the masks to keep, by descending score; equal scores keep their order."""
    order = np.argsort(-scores, kind="stable")
    kept: IntArray = order[geometry.nms_ranked(boxes[order].astype(np.float32), threshold)]
    return kept


def _prefer_small_crops(masks: Masks, threshold: float) -> Masks:
    """Drop duplicates between crops: the mask that was seen from closer stays."""
    assert masks.crop_boxes is not None
    areas = (masks.crop_boxes[:, 2:] - masks.crop_boxes[:, :2]).prod(axis=1)
    return masks[_nms(masks.boxes, 1 / areas, threshold)]


def clean_regions(masks: Masks, min_area: int, threshold: float) -> Masks:
    """Fill small holes and remove small islands, then drop the duplicates that this makes.

    Masks that needed no cleaning come first and win over those that did.
    """
    counts = []
    untouched = np.ones(len(masks), dtype=np.float32)
    for i, (runs, box) in enumerate(zip(masks.counts, masks.boxes, strict=True)):
        x0, y0, x1, y1 = _surroundings(box, min_area, masks.size_hw)
        window = rle.decode_columns(runs, masks.size_hw[0], x0, x1)[:, y0:y1].T
        window, filled = geometry.remove_small_regions(window, min_area, "holes")
        window, removed = geometry.remove_small_regions(window, min_area, "islands")
        untouched[i] = not (filled or removed)
        counts.append(
            runs if untouched[i] else rle.encode_window(window.T, (x0, y0), masks.size_hw)
        )
    fresh = Masks(masks.size_hw, tuple(counts))
    cleaned = replace(masks, counts=fresh.counts, boxes=fresh.boxes, areas=fresh.areas)
    return cleaned[_nms(cleaned.boxes, untouched, threshold)]


def _surroundings(box: npt.NDArray[Any], min_area: int, size_hw: tuple[int, int]) -> CropBox:
    """Find a part of the image that shows all small regions of a mask, and no others.

    Beside the mask it has room for a region of the smallest area, so that what lies around the mask
    is small there only if it is in the whole image.
    """
    x0, y0, x1, y1 = box.astype(int).tolist()
    beside, above = -(-min_area // (y1 - y0 + 1)), -(-min_area // (x1 - x0 + 1))
    left, top = max(0, x0 - beside), max(0, y0 - above)
    return left, top, min(size_hw[1], x1 + 1 + beside), min(size_hw[0], y1 + 1 + above)


def refine(masks: Masks, config: GenerateConfig) -> Masks:
    """Apply what the original lacks: limits of area, and duplicates by masks instead of boxes."""
    masks = _counted(masks, masks.filter(min_area=config.min_area), "min_area")
    masks = _counted(masks, masks.filter(max_area=config.max_area), "max_area")
    by: Literal["score", "order"] = "score" if config.ranking == "iou" else "order"
    if config.mask_nms_thresh < 1:
        kept = masks.nms(config.mask_nms_thresh, "mask", by=by)
        masks = _counted(masks, kept, "mask_nms_thresh")
    if config.containment_nms_thresh < 1:
        kept = masks.nms(config.containment_nms_thresh, "containment", by=by)
        masks = _counted(masks, kept, "containment_nms_thresh")
    return masks
