"""Boxes: how good a mask is from a box around it, drawn tightly or by a hasty hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from anymask.data.mask_filter import sample_rng
from anymask.data.simulate import noisy_box, tight_box
from anymask.data.truths import SIZE_NOTE, SIZES, Truth
from anymask.evaluate.metrics import mean
from anymask.evaluate.peers import grabcut
from anymask.evaluate.protocol import Row, Rows, Summary, Table, flat
from anymask.evaluate.protocols.options import BoxesOptions
from anymask.evaluate.report.comparison import draw_comparison
from anymask.image.image import Image
from anymask.prompt import Prompt

if TYPE_CHECKING:
    import PIL.Image

    from anymask.data.dataset import Sample
    from anymask.predict.segmenter import Segmenter

__all__ = ["Boxes"]

_KINDS = ("tight", "jittered")


@dataclass(frozen=True)
class Boxes(BoxesOptions):
    """Draw a box around each mask: once along its pixels, once with jittered sides."""

    legend = (
        "In colour the prediction for the tight box; the white line is the ground truth. The "
        "number is the IoU."
    )

    def measure(self, model: Segmenter, sample: Sample) -> list[Row]:
        """Prompt for all masks of an image at once; the one ranked first counts."""
        truths = self.mask_filter.select(sample)
        if not truths:
            return []
        boxes = self._boxes(sample, truths)
        embedding = model.embed(Image.open(sample.image))
        rows = [truth.row() for truth in truths]
        for kind in _KINDS:
            predictions = model.predict(embedding, prompts=[Prompt(box=box) for box in boxes[kind]])
            for row, truth, found in zip(rows, truths, predictions, strict=True):
                row[kind] = round(truth.overlap(found.dense()[0]), 5) if len(found) else 0.0
        for row, truth, box in zip(rows, truths, boxes["tight"], strict=True):
            if "grabcut" in self.peers:
                row["grabcut"] = round(truth.overlap(grabcut(sample.image, box)), 5)
            row["score"] = row["tight"]
        return rows

    def summarise(self, sets: Mapping[str, Rows]) -> Summary:
        """Average the IoU of all masks of a set."""
        kinds = (*_KINDS, *self.peers)
        overall, by_size = [], []
        for name, rows in sets.items():
            masks = flat(rows)
            overall.append((name, len(masks), *(mean(m[kind] for m in masks) for kind in kinds)))
            for size in SIZES:
                some = [m for m in masks if m["size"] == size]
                by_size.append((name, size, len(some), *(mean(m[k] for m in some) for k in kinds)))
        columns = (*_KINDS, *("GrabCut, tight",) * bool(self.peers))
        return Summary(
            (
                Table("boxes", "Mean IoU from a box", ("set", "masks", *columns), tuple(overall)),
                Table(
                    "boxes-by-size",
                    "Mean IoU from a box, by size of the mask",
                    ("set", "size", "masks", *columns),
                    tuple(by_size),
                    SIZE_NOTE,
                ),
            )
        )

    def draw(self, model: Segmenter, sample: Sample, row: Row) -> PIL.Image.Image:
        """Draw the prediction for the tight box, the box, and the outline of the ground truth."""
        truth = sample.masks()[row["mask"]]
        prediction = model.predict(Image.open(sample.image), box=tight_box(truth))
        return draw_comparison(sample.image, prediction[:1], truth)

    def _boxes(
        self, sample: Sample, truths: Sequence[Truth]
    ) -> dict[str, list[npt.NDArray[np.float32]]]:
        """Draw the boxes of each kind: (4,) xyxy each."""
        rng = sample_rng(self.mask_filter.seed + 1, sample)
        tight = [tight_box(truth.mask) for truth in truths]
        size_hw = (sample.image.shape[0], sample.image.shape[1])
        jittered = [noisy_box(box, size_hw, rng, self.spread, self.max_shift) for box in tight]
        return {"tight": tight, "jittered": jittered}
