"""From `Masks` to rows of ``revisions`` and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

__all__ = ["from_rows", "to_rows"]


def to_rows(masks: Masks) -> list[dict[str, Any]]:
    """Describe each mask by what a row says of it: ``label`` stands where the class's number goes.

    A model's low-resolution logits are not kept, neither those of masks nor those of prompts.
    """
    return [
        {
            "counts": rle.to_string(masks.counts[i]),
            "area": int(masks.areas[i]),
            "label": masks.labels[i],
            "score": _number(masks.scores[i]),
            "stability": _number(masks.stability[i]),
            "known": _known(masks, i),
        }
        for i in range(len(masks))
    ]


def _number(value: np.floating[Any]) -> float | None:
    """Give a number, None for an unknown one; as the shortest that means the same float32."""
    return None if math.isnan(value) else float(str(np.float32(value)))


def _known(masks: Masks, i: int) -> str | None:
    said: dict[str, Any] = {}
    prompt = masks.prompts[i]
    if prompt is not None and (described := _describe(prompt)):
        said["prompt"] = described
    if masks.ids[i] is not None:
        said["id"] = masks.ids[i]
    if masks.crop_boxes is not None:
        said["crop"] = masks.crop_boxes[i].tolist()
    if masks.meta[i]:
        said["meta"] = masks.meta[i]
    if not said:
        return None
    return json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _describe(prompt: Prompt) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if len(prompt.points_xy):
        said |= {"points": prompt.points_xy.tolist(), "labels": prompt.labels.tolist()}
    if prompt.box is not None:
        said["box"] = prompt.box.tolist()
    if prompt.text is not None:
        said["text"] = prompt.text
    if prompt.mask is not None:
        counts = rle.to_string(rle.encode(prompt.mask))
        said["mask"] = {"size": list(prompt.mask.shape), "counts": counts}
    return said


def _prompt(said: Mapping[str, Any]) -> Prompt:
    mask = said.get("mask")
    if mask is not None:
        mask = rle.decode(rle.from_string(mask["counts"]), tuple(mask["size"]))
    return Prompt(
        said.get("points"), said.get("labels"), said.get("box"), mask, text=said.get("text")
    )


def from_rows(
    rows: Sequence[Any],
    size_hw: tuple[int, int],
    *,
    source: str | None = None,
    image_meta: Mapping[str, Any] | None = None,
) -> Masks:
    """Make masks of rows, which have ``label`` and ``version`` as names."""
    known = [json.loads(row.known) if row.known else {} for row in rows]
    h, w = size_hw
    crops = None
    if any("crop" in said for said in known):
        crops = np.array([said.get("crop", (0, 0, w, h)) for said in known], np.float32)
    return Masks(
        size_hw,
        tuple(rle.from_string(row.counts) for row in rows),
        scores=_numbers(row.score for row in rows),
        stability=_numbers(row.stability for row in rows),
        prompts=tuple(_prompt(said["prompt"]) if "prompt" in said else None for said in known),
        crop_boxes=crops,
        source=source,
        model=_agreed([row.version for row in rows]),
        labels=tuple(row.label for row in rows),
        ids=tuple(said.get("id") for said in known),
        meta=tuple(said.get("meta", {}) for said in known),
        image_meta=image_meta or {},
    )


def _numbers(values: Iterable[float | None]) -> Any:
    return np.array([np.nan if v is None else v for v in values], np.float32)


def _agreed(versions: list[str | None]) -> str | None:
    return versions[0] if len(set(versions)) == 1 else None
