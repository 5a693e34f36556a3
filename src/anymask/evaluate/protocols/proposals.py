"""Proposals: how many of the true masks are among everything found (SAM paper, section 7.3).

The measure is the average recall AR@k: the share of the true masks that the best k masks of an
image find, averaged over the thresholds of IoU 0.5, 0.55 ... 0.95. Categories do not count.

LVIS is federated: each of its images is annotated for some categories only. The true masks are
those that were annotated, whether or not all objects of their category were; what is found beside
them may well be there, and costs nothing, because recall counts no false alarms. Frequent, common
and rare are the true masks of the categories that LVIS calls so, all images together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from anymask.config import GenerateConfig, InstanceConfig
from anymask.data.truths import SIZE_NOTE, SIZES, size_of
from anymask.evaluate.metrics import FREQUENCIES, mean
from anymask.evaluate.protocol import Cell, Row, Rows, Summary, Table, flat
from anymask.evaluate.protocols.options import ProposalsOptions
from anymask.evaluate.recall import THRESHOLDS, finders
from anymask.evaluate.report.comparison import draw_comparison
from anymask.image.image import Image
from anymask.masks import rle
from anymask.masks.masks import Masks

if TYPE_CHECKING:
    import PIL.Image

    from anymask.data.dataset import Sample
    from anymask.predict.segmenter import Segmenter

__all__ = ["Proposals"]


@dataclass(frozen=True)
class Proposals(ProposalsOptions):
    """Find everything, and count which of the true masks are among the best of it."""

    legend = "In colour what was found, at an IoU of 0.5 or more; white lines: what was missed."

    def measure(self, model: Segmenter, sample: Sample) -> list[Row]:
        """Count what is found of each group of true masks, at all thresholds together."""
        truths = sample.masks()
        if not truths:
            return []
        masks = self._find(model, sample)
        overlaps = rle.iou(masks.counts, [rle.encode(truth) for truth in truths])
        groups = _groups(sample, truths)
        # Each group by itself: a mask that could find one of the group is not spent on another.
        hits = {name: self._hits(overlaps[:, inside]) for name, inside in groups.items()}
        found_by = finders(overlaps)[0]
        found = found_by[found_by < len(masks)].tolist()
        return [
            {
                "proposals": len(masks),
                "masks": {name: int(inside.sum()) for name, inside in groups.items()},
                "hits": hits,
                "found": [rle.to_string(masks.counts[i]) for i in found],
                "missed": np.flatnonzero(found_by == len(masks)).tolist(),
                "score": round(max(hits["all"]) / (len(truths) * len(THRESHOLDS)), 5),
            }
        ]

    def summarise(self, sets: Mapping[str, Rows]) -> Summary:
        """Divide what was found in all images of a set by what there is."""
        overall: list[tuple[Cell, ...]] = []
        by_size: list[tuple[Cell, ...]] = []
        by_frequency: list[tuple[Cell, ...]] = []
        for name, rows in sets.items():
            images = flat(rows)
            proposals = mean(row["proposals"] for row in images)
            overall.append((name, len(images), proposals, *self._cells(images, "all")))
            by_size += [(name, size, *self._cells(images, size)) for size in SIZES]
            for word in FREQUENCIES.values():
                if any(word in row["masks"] for row in images):
                    by_frequency.append((name, word, *self._cells(images, word)))
        columns = ("masks", *(f"AR@{k}" for k in self.counts))
        header = ("set", "images", "proposals per image", *columns)
        tables = [
            Table("proposals", "Average recall of proposals", header, tuple(overall)),
            Table(
                "proposals-by-size",
                "Average recall of proposals, by size of the mask",
                ("set", "size", *columns),
                tuple(by_size),
                SIZE_NOTE,
            ),
        ]
        if by_frequency:
            title = "Average recall of proposals, by frequency of the category"
            header = ("set", "frequency", *columns)
            tables.append(Table("proposals-by-frequency", title, header, tuple(by_frequency)))
        return Summary(tuple(tables))

    def draw(self, model: Segmenter, sample: Sample, row: Row) -> PIL.Image.Image:
        """Draw the masks that find a true one at IoU 0.5, and the outlines of those not found."""
        truths, size_hw = sample.masks(), sample.image.shape[:2]
        missed = np.zeros(size_hw, np.bool_)
        for number in row["missed"]:
            missed |= truths[number]
        found = Masks(size_hw, tuple(rle.from_string(counts) for counts in row["found"]))
        return draw_comparison(sample.image, found, missed)

    def _find(self, model: Segmenter, sample: Sample) -> Masks:
        """Find everything, best first, no more than count."""
        max_kept = max(self.counts)
        settings: GenerateConfig | InstanceConfig
        if model.variant.kind == "instances":
            settings = InstanceConfig(confidence=0, box_nms_thresh=self.nms, max_instances=max_kept)
        else:
            settings = self._settings(model)
        masks = model.generate(Image.open(sample.image), settings)
        if self.ranking == "model":
            return masks[:max_kept]
        return masks[np.argsort(-_rank(masks), kind="stable")[:max_kept]]

    def _settings(self, model: Segmenter) -> GenerateConfig:
        """Give settings that drop duplicates and nothing else."""
        own = model.variant.generate
        assert isinstance(own, GenerateConfig)
        return replace(
            own if self.ranking == "model" else GenerateConfig(),
            points_per_side=self.points_per_side,
            pred_iou_thresh=0,
            stability_score_thresh=0,
            ranking_thresh=0,
            box_nms_thresh=self.nms,
            mask_nms_thresh=1,
        )

    def _hits(self, overlaps: npt.NDArray[np.float64]) -> list[int]:
        """Count what the best k find at all thresholds, for each k, of overlaps (n, m)."""
        n, found_by = len(overlaps), finders(overlaps)
        return [int(np.count_nonzero(found_by < min(k, n))) for k in self.counts]

    def _cells(self, images: Sequence[Row], group: str) -> tuple[Cell, ...]:
        """Number of true masks of a group, and average recall at each k."""
        there = [row for row in images if group in row["masks"]]
        total = sum(row["masks"][group] for row in there)
        if not total:
            return (0, *(None,) * len(self.counts))
        hits = np.sum([row["hits"][group] for row in there], axis=0)
        return (total, *(hits / (total * len(THRESHOLDS))).tolist())


def _rank(masks: Masks) -> npt.NDArray[np.float32]:
    """Mean of predicted IoU and stability, (n,); a model that has no stability ranks without."""
    known = np.isfinite(masks.stability)
    return np.where(known, (masks.scores + masks.stability) / 2, masks.scores)


def _groups(
    sample: Sample, truths: Sequence[npt.NDArray[np.bool_]]
) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which true masks are in each group that has any: bool (m,) by its name."""
    sizes = np.array([size_of(int(truth.sum())) for truth in truths])
    groups = {"all": np.ones(len(truths), np.bool_)}
    groups |= {size: sizes == size for size in SIZES}
    if frequency := sample.meta.get("frequency"):
        letters = np.array([frequency.get(name, "") for name in sample.names])
        groups |= {word: letters == letter for letter, word in FREQUENCIES.items()}
    return {name: inside for name, inside in groups.items() if inside.any()}
