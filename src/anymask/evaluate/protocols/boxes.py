"""Boxes: how good a mask is from a box around it, drawn tightly or by a hasty hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from anymask.data.simulate import noisy_box, tight_box
from anymask.evaluate.metrics import SIZES, iou, mean
from anymask.evaluate.protocol import Row, Rows, Summary, Table
from anymask.evaluate.truths import Choice, Truth, chance
from anymask.image import Image
from anymask.prompt import Prompt

if TYPE_CHECKING:
    import PIL.Image

    from anymask.data.dataset import Sample
    from anymask.predict import Segmenter

__all__ = ["Boxes"]

_KINDS = ("tight", "jittered")


@dataclass(frozen=True)
class Boxes:
    """Draw a box around each mask: once along its pixels, once with jittered sides."""

    spread: float = 0.1
    """Standard deviation of the jitter, as a share of the box's side."""
    most: float = 20.0
    """Largest move of a side, in pixels."""
    choice: Choice = field(default_factory=Choice)
    """Which masks take part."""

    name = "boxes"

    def measure(self, model: Segmenter, sample: Sample) -> list[Row]:
        """Ask for all masks of an image at once."""
        truths = self.choice.of(sample)
        if not truths:
            return []
        boxes = self._boxes(sample, truths)
        photo = model.embed(Image.open(sample.image))
        found = {
            kind: model.predict(
                photo, prompts=[Prompt(box=box) for box in boxes[kind]], multimask=False
            )
            for kind in _KINDS
        }
        rows = []
        for i, truth in enumerate(truths):
            overlaps = {
                kind: iou(found[kind][i].dense()[0], truth.mask) if len(found[kind][i]) else 0.0
                for kind in _KINDS
            }
            rows.append(
                {"mask": truth.number, "area": truth.area, "size": truth.size}
                | {kind: round(value, 5) for kind, value in overlaps.items()}
                | {"score": overlaps["tight"]}
            )
        return rows

    def summarise(self, sets: Mapping[str, Rows]) -> Summary:
        """Average the IoU of all masks of a set."""
        overall, by_size = [], []
        for name, rows in sets.items():
            masks = [row for some in rows.values() for row in some]
            overall.append((name, len(masks), *(mean(m[kind] for m in masks) for kind in _KINDS)))
            for size in SIZES:
                some = [m for m in masks if m["size"] == size]
                by_size.append((name, size, len(some), *(mean(m[k] for m in some) for k in _KINDS)))
        return Summary(
            (
                Table("boxes", "Mean IoU from a box", ("set", "masks", *_KINDS), tuple(overall)),
                Table(
                    "boxes-by-size",
                    "Mean IoU from a box, by size of the mask",
                    ("set", "size", "masks", *_KINDS),
                    tuple(by_size),
                ),
            )
        )

    def draw(self, model: Segmenter, sample: Sample, row: Row) -> PIL.Image.Image:
        """Show the answer to the tight box over the image, and the box."""
        truth = sample.masks()[row["mask"]]
        photo = model.embed(Image.open(sample.image))
        return model.predict(photo, box=tight_box(truth), multimask=False).draw(sample.image)

    def _boxes(self, sample: Sample, truths: list[Truth]) -> dict[str, list[np.ndarray]]:
        """Draw the boxes of each kind: float32 (4,) xyxy each."""
        rng = chance(self.choice.seed + 1, sample)
        tight = [tight_box(truth.mask) for truth in truths]
        size_hw = sample.image.shape[:2]
        jittered = [noisy_box(box, size_hw, rng, self.spread, self.most) for box in tight]
        return {"tight": tight, "jittered": jittered}
