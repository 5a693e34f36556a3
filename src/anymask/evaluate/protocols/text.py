"""Text: what a model makes of the name of a category (SAM paper, section 7.5).

The paper shows pictures of this and no numbers, so the measure is ours. A name can mean several
objects of an image: "first" is the IoU of the mask ranked first with the object that it fits
best, "together" that of all masks with all objects of the name. LVIS lists categories that are not
in an image: the right prediction for these is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from anymask.data.truths import Truth
from anymask.errors import InputError
from anymask.evaluate.metrics import FREQUENCIES, mean
from anymask.evaluate.protocol import Cell, Row, Rows, Summary, Table, flat
from anymask.evaluate.protocols.options import TextOptions
from anymask.evaluate.report.comparison import draw_comparison
from anymask.image.image import Image
from anymask.prompt import Prompt

if TYPE_CHECKING:
    import PIL.Image

    from anymask.data.dataset import Sample
    from anymask.masks.masks import Masks
    from anymask.predict.segmenter import Segmenter

__all__ = ["Text"]


@dataclass(frozen=True)
class Text(TextOptions):
    """Prompt with the name of each category of an image."""

    legend = "In colour the masks predicted for the name; the white line is the ground truth."

    def measure(self, model: Segmenter, sample: Sample) -> list[Row]:
        """Prompt with all names of an image at once.

        Raises:
            CapabilityError: The model takes no text.
            InputError: The data set does not name its masks.
        """
        model.variant.check_capable(["text"])
        objects = _by_name(sample)
        absent = () if self.present_only else sample.meta.get("negative", ())
        names = [*objects, *absent]
        if not names:
            return []
        predictions = self._predict(model, sample, names)
        rows = [
            _row(sample, name, truths, prediction)
            for (name, truths), prediction in zip(objects.items(), predictions, strict=False)
        ]
        unfounded = zip(absent, predictions[len(objects) :], strict=True)
        return rows + [{"name": n, "objects": 0, "predicted": len(masks)} for n, masks in unfounded]

    def summarise(self, sets: Mapping[str, Rows]) -> Summary:
        """Average over all names of all images of a set."""
        overall, by_frequency = [], []
        for name, rows in sets.items():
            asked = flat(rows)
            there = [row for row in asked if row["objects"]]
            absent = [row for row in asked if not row["objects"]]
            silent = mean(row["predicted"] == 0 for row in absent)
            overall.append((name, *_cells(there), len(absent), silent))
            for letter, word in FREQUENCIES.items():
                some = [row for row in there if row.get("frequency") == letter]
                if some:
                    by_frequency.append((name, word, *_cells(some)))
        columns = ("names", "first", "together")
        note = (
            "First: IoU of the mask ranked first with the object that it fits best. Together: of "
            "all masks with all objects, where all were annotated. Silent: share of absent names "
            "for which nothing was predicted."
        )
        tables = [
            Table(
                "text",
                "Mean IoU from a name",
                ("set", *columns, "absent names", "silent"),
                tuple(overall),
                note,
            )
        ]
        if by_frequency:
            title = "Mean IoU from a name, by frequency of the category"
            header = ("set", "frequency", *columns)
            tables.append(Table("text-by-frequency", title, header, tuple(by_frequency)))
        return Summary(tuple(tables))

    def draw(self, model: Segmenter, sample: Sample, row: Row) -> PIL.Image.Image:
        """Draw the masks predicted for a name, and the outline of its objects."""
        prediction = self._predict(model, sample, [row["name"]])[0]
        return draw_comparison(sample.image, prediction, _all(_by_name(sample)[row["name"]]).mask)

    def _predict(self, model: Segmenter, sample: Sample, names: Sequence[str]) -> list[Masks]:
        texts = [self.template.replace("{}", name.replace("_", " ")) for name in names]
        return model.predict(
            Image.open(sample.image), prompts=[Prompt(text=words) for words in texts]
        )


def _by_name(sample: Sample) -> dict[str, list[Truth]]:
    """Sort the objects of an image by what they are."""
    masks = sample.masks()
    if len(sample.names) != len(masks):
        raise InputError(
            f"expected a data set that names its masks, such as COCO or LVIS, got "
            f"{sample.meta.get('set')!r} with {len(sample.names)} names of {len(masks)} masks; "
            "choose another"
        )
    objects: dict[str, list[Truth]] = {}
    for i, (name, mask) in enumerate(zip(sample.names, masks, strict=True)):
        if name:  # else its category is not known, and there is nothing to say
            objects.setdefault(name, []).append(Truth(i, mask, sample.void))
    return objects


def _all(objects: Sequence[Truth]) -> Truth:
    """Take all objects of a name for one."""
    mask = np.logical_or.reduce([each.mask for each in objects])
    return Truth(objects[0].number, mask, objects[0].void)


def _row(sample: Sample, name: str, objects: Sequence[Truth], prediction: Masks) -> Row:
    found = prediction.dense()
    first = max(each.overlap(found[0]) for each in objects) if len(found) else 0.0
    together = _all(objects).overlap(np.asarray(found.any(axis=0)))
    complete = name not in sample.meta.get("incomplete", ())
    return {
        "name": name,
        "objects": len(objects),
        "predicted": len(prediction),
        "frequency": sample.meta.get("frequency", {}).get(name),
        "first": round(first, 5),
        "together": round(together, 5) if complete else None,
        "score": round(first, 5),
    }


def _cells(rows: Sequence[Row]) -> tuple[Cell, ...]:
    """Count names, and average both measures."""
    together = [row["together"] for row in rows if row["together"] is not None]
    return len(rows), mean(row["first"] for row in rows), mean(together)
