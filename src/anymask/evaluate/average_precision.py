"""Average precision of masks as COCO and LVIS count it, by faster-coco-eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anymask.optional import optional

__all__ = ["NAMES", "average_precision"]

NAMES = {
    "AP": "AP_all",
    "AP50": "AP_50",
    "AP75": "AP_75",
    "small": "AP_small",
    "medium": "AP_medium",
    "large": "AP_large",
    "frequent": "APf",
    "common": "APc",
    "rare": "APr",
}
"""What is measured, by the name that we give it; the last three for LVIS alone."""

_MOST_OF_LVIS = 300  # masks of an image


def average_precision(
    images: Sequence[Mapping[str, Any]],
    categories: Sequence[Mapping[str, Any]],
    truths: Sequence[Mapping[str, Any]],
    found: Sequence[Mapping[str, Any]],
    federated: bool,
) -> dict[str, float | None]:
    """Measure masks of known categories against the true ones.

    Args:
        images: Entries of an annotation file.
        categories: The same.
        truths: Its annotations.
        found: Entries of a file of results, with ``segmentation``.
        federated: Count as LVIS does: at most 300 masks of an image; those whose category was
            neither found in the image nor surely absent do not count, nor do false alarms of
            categories of which not every object was annotated.

    Returns:
        0 to 1 by name, see `NAMES`; None where there is nothing to find.

    Raises:
        MissingExtraError: faster-coco-eval is not installed.
    """
    package = optional("faster_coco_eval", extra="eval")
    # Copies, because the package writes into its input; numbers from 1, because 0 means no match.
    known = package.COCO(
        {
            "images": [dict(entry) for entry in images],
            "categories": [dict(entry) for entry in categories],
            "annotations": [{**entry, "id": i} for i, entry in enumerate(truths, 1)],
        }
    )
    chosen = _best_of_each(found) if federated else found
    predictions = known.loadRes([dict(entry) for entry in chosen])
    evaluator = package.COCOeval_faster(known, predictions, "segm", lvis_style=federated)
    if federated:
        evaluator.params.maxDets = [_MOST_OF_LVIS]
    evaluator.run()
    measured = evaluator.stats_as_dict
    values = {name: measured[label] for name, label in NAMES.items() if label in measured}
    return {name: None if value < 0 else float(value) for name, value in values.items()}


def _best_of_each(found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Keep the best masks of each image, as many as LVIS allows."""
    of_image: dict[Any, list[Mapping[str, Any]]] = {}
    for entry in sorted(found, key=lambda entry: -entry["score"]):
        of_image.setdefault(entry["image_id"], []).append(entry)
    return [entry for some in of_image.values() for entry in some[:_MOST_OF_LVIS]]
