"""Instances: masks for the boxes that a detector found (SAM paper, section 7.4).

The detector says where something is and what; the model draws it. The measure is COCO's average
precision of masks, or LVIS's where a data set says which categories are surely absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from anymask.data.readers.detections import Detection, read_detections
from anymask.data.truths import SIZE_NOTE
from anymask.errors import InputError
from anymask.evaluate.average_precision import NAMES, average_precision
from anymask.evaluate.metrics import mean
from anymask.evaluate.protocol import Cell, Row, Rows, Summary, Table, flat
from anymask.evaluate.protocols.options import InstancesOptions
from anymask.evaluate.report.comparison import draw_comparison
from anymask.formats.segmentation import read_segmentation
from anymask.image.image import Image
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

if TYPE_CHECKING:
    import PIL.Image

    from anymask.data.dataset import Sample
    from anymask.predict.segmenter import Segmenter

__all__ = ["Instances"]

_AT_ONCE = 64  # boxes


@dataclass(frozen=True)
class Instances(InstancesOptions):
    """Draw a mask for each box that a detector found."""

    legend = (
        "In colour the best masks, as many as there are objects; white lines are the ground truth."
    )

    def measure(self, model: Segmenter, sample: Sample) -> list[Row]:
        """Draw the masks of one image; they are measured when those of all images are there.

        Raises:
            InputError: The boxes cannot be read, are of unknown images or categories, or the data
                set is not in COCO's layout.
        """
        own = sample.meta.get("coco")
        if own is None:
            raise InputError(
                f"expected an annotation file in COCO's or LVIS's layout, got "
                f"{sample.meta.get('set')!r}, which is none; give one"
            )
        self._check(own)
        detections = self._detections.get(own["image"]["id"], [])[: self.limit]
        if not detections and not own["annotations"]:
            return []
        masks = self._draw(model, sample, detections)
        truths = [rle.encode(mask) for mask in sample.masks()]
        overlaps = rle.iou(truths, masks.counts)
        return [
            {
                "image": own["image"],
                "truths": [_truth(entry, masks.size_hw) for entry in own["annotations"]],
                "categories": _categories(own),
                "found": self._results(detections, masks),
                "score": mean(overlaps.max(axis=1, initial=0)),
            }
        ]

    def summarise(self, sets: Mapping[str, Rows]) -> Summary:
        """Measure the average precision of each set."""
        images = {name: flat(rows) for name, rows in sets.items()}
        measured = {name: _precision(some) for name, some in images.items()}
        federated = any("rare" in values for values in measured.values())
        columns = list(NAMES) if federated else list(NAMES)[:6]
        cells: list[tuple[Cell, ...]] = []
        for name, values in measured.items():
            boxes = sum(len(row["found"]) for row in images[name])
            cells.append((name, len(images[name]), boxes, *map(values.get, columns)))
        header = ("set", "images", "boxes", *columns)
        note = SIZE_NOTE
        return Summary(
            (Table("instances", "Average precision of masks", header, tuple(cells), note),)
        )

    def draw(self, model: Segmenter, sample: Sample, row: Row) -> PIL.Image.Image:
        """Show as many of the best masks as there are objects, and the outlines of these."""
        truths, (h, w) = sample.masks(), sample.image.shape[:2]
        best = sorted(row["found"], key=lambda entry: -entry["score"])[: len(truths)]
        strings = [entry["segmentation"]["counts"] for entry in best]
        masks = Masks((h, w), tuple(rle.from_string(string) for string in strings))
        return draw_comparison(
            sample.image, masks, np.any([np.zeros((h, w), bool), *truths], axis=0)
        )

    @cached_property
    def _detections(self) -> dict[Any, list[Detection]]:
        return read_detections(self.boxes)

    def _check(self, own: Mapping[str, Any]) -> None:
        """Refuse boxes that belong to another data set."""
        categories = {one.category for some in self._detections.values() for one in some}
        for what, unknown in (
            ("images", self._detections.keys() - set(own["ids"])),
            ("categories", categories - set(own["categories"])),
        ):
            if unknown:
                raise InputError(
                    f"expected boxes of the {what} of the data set, got {len(unknown)} unknown ids "
                    f"in {str(self.boxes)!r}, such as {min(unknown, key=str)!r}; check that both "
                    "files are of the same set and split"
                )

    def _draw(self, model: Segmenter, sample: Sample, detections: Sequence[Detection]) -> Masks:
        """Draw one mask for each box; an empty one where the box holds nothing of the image."""
        embedding = model.embed(Image.open(sample.image))
        size_hw = (sample.image.shape[0], sample.image.shape[1])
        nothing = Masks.from_dense(np.zeros(size_hw, np.bool_), scores=np.zeros(1))
        drawn = [nothing] * len(detections)
        places = [i for i, one in enumerate(detections) if _touches(one, size_hw)]
        for start in range(0, len(places), _AT_ONCE):
            some = places[start : start + _AT_ONCE]
            prompts = [Prompt(box=detections[i].box) for i in some]
            predictions = model.predict(embedding, prompts=prompts)
            for _ in range(self.rounds if "mask" in model.variant.capabilities else 0):
                prompts = [_fed_back(*pair) for pair in zip(prompts, predictions, strict=True)]
                predictions = model.predict(embedding, prompts=prompts)
            for i, prediction in zip(some, predictions, strict=True):
                drawn[i] = prediction[:1] if len(prediction) else nothing
        scores = np.array([one.scores[0] for one in drawn])
        return Masks(size_hw, tuple(one.counts[0] for one in drawn), scores=scores)

    def _results(self, detections: Sequence[Detection], masks: Masks) -> list[dict[str, Any]]:
        """Write masks in COCO's format of results."""
        factors = masks.scores if self.score == "product" else np.ones(len(masks))
        return [
            {
                "image_id": one.image,
                "category_id": one.category,
                "score": one.score * float(factor),
                "segmentation": {"size": list(masks.size_hw), "counts": rle.to_string(counts)},
            }
            for one, factor, counts in zip(detections, factors, masks.counts, strict=True)
        ]


def _touches(detection: Detection, size_hw: tuple[int, int]) -> bool:
    """Return whether a box holds anything of the image."""
    (h, w), (x0, y0, x1, y1) = size_hw, detection.box
    return max(x0, 0) < min(x1, w) and max(y0, 0) < min(y1, h)


def _fed_back(prompt: Prompt, prediction: Masks) -> Prompt:
    """Prompt with the same box, and with what was predicted for it."""
    logits = prediction.logits[0] if prediction.logits is not None and len(prediction) else None
    return Prompt(box=prompt.box, mask_logits=logits)


def _truth(entry: Mapping[str, Any], size_hw: tuple[int, int]) -> dict[str, Any]:
    """Take from an annotation what decides the measure."""
    names = ("image_id", "category_id", "segmentation", "area")
    kept = {name: entry[name] for name in names if name in entry}
    if "area" not in kept:
        kept["area"] = rle.area(read_segmentation(entry["segmentation"], size_hw))
    return {**kept, "iscrowd": entry.get("iscrowd", 0)}


def _categories(own: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Describe the categories of an image's true masks."""
    used = dict.fromkeys(entry["category_id"] for entry in own["annotations"])
    described = [own["categories"].get(number, {"id": number}) for number in used]
    return [{k: one[k] for k in ("id", "frequency") if k in one} for one in described]


def _precision(images: Sequence[Row]) -> dict[str, float | None]:
    """Measure all images of a set together."""
    if not images:
        return {}
    return average_precision(
        [row["image"] for row in images],
        # Those without any object do not count, so those of the true masks are enough.
        list({one["id"]: one for row in images for one in row["categories"]}.values()),
        [truth for row in images for truth in row["truths"]],
        [entry for row in images for entry in row["found"]],
        federated="neg_category_ids" in images[0]["image"],
    )
