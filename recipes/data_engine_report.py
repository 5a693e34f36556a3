"""What the recipe `data_engine` tells: its stages as values, two tables, a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from recipes.data_engine_thresholds import Thresholds

    from anymask.label.retrain import Retrained

SAME = 0.5  # IoU from which on a mask is of a thing, however well


@dataclass(frozen=True)
class Stage:
    """What a stage came to; measured on what the reviewer accepted, or on all masks of the last."""

    stage: str
    photos: int
    version: str
    detector: str
    masks: int
    right: int
    """Those that fit a thing of the truth, once for each, with the IoU that a reviewer wants."""
    minutes: float
    """Of all people, the reviewer's included."""
    filled: int
    """Masks that a model filled in before a person came."""
    kept: int
    """Those of them that people and reviewer kept."""
    unknown: float
    """Share of the masks that have an IoU of less than 0.5 with everything in the truth: wrong, or
    of parts and of things that the truth does not have."""
    iou: float
    """Of the others, with the truth, and so are the next two."""
    above_75: float
    above_90: float
    found: float
    """Share of the things that were to be labelled which have a right mask."""
    clicks_minutes: float
    """The same photos by clicks on the model that the engine started with."""
    clicks_masks: int
    clicks_iou: float

    @property
    def rate(self) -> float:
        """Right masks per minute."""
        return self.right / self.minutes if self.minutes else 0.0

    @property
    def clicks_rate(self) -> float:
        """Masks per minute by clicks alone, on the same photos."""
        return self.clicks_masks / self.clicks_minutes if self.clicks_minutes else 0.0


def told(one: Retrained) -> dict[str, Any]:
    """Give what came of a retrain as plain values."""
    return {
        "version": one.version,
        "parent": one.parent,
        "train_images": one.train_images,
        "val_images": one.val_images,
        "before": dict(one.before),
        "after": dict(one.after),
        "promoted": one.promoted,
    }


def table(
    stages: Sequence[Stage],
    learned: Sequence[dict[str, Any]],
    thresholds: Sequence[Thresholds],
) -> str:
    """Write what came out as three tables of Markdown."""
    lines = [
        "| stage | photos | model | detector | masks | right | filled in, kept | minutes | right "
        "per minute | by clicks | of nothing known | IoU | > 0.75 | > 0.9 | of the things |",
        "| --- | ---: | --- | --- |" + " ---: |" * 11,
    ]
    for s in stages:
        lines.append(
            f"| {s.stage} | {s.photos} | {s.version} | {s.detector} | {s.masks} | {s.right} | "
            f"{s.filled}, {s.kept} | {s.minutes:.0f} | {s.rate:.1f} | {s.clicks_rate:.1f} | "
            f"{s.unknown:.0%} | {s.iou:.3f} | {s.above_75:.0%} | {s.above_90:.0%} | "
            f"{s.found:.0%} |"
        )
    lines += [
        "",
        "| retrain | from | learned from | held back | measure | before | after | put to use |",
        "| --- | --- | ---: | ---: | --- | ---: | ---: | --- |",
    ]
    for one in learned:
        name = "iou" if "iou" in one["before"] else "average_precision"
        lines.append(
            f"| {one['version']} | {one['parent']} | {one['train_images']} | {one['val_images']} | "
            f"{name.replace('_', ' ')} | {one['before'][name]:.3f} | {one['after'][name]:.3f} | "
            f"{'yes' if one['promoted'] else 'no'} |"
        )
    lines += [
        "",
        "| masks from | tried on | right | predicted IoU from | stability from | pass | right |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, t in zip(("detector", "everything mode"), thresholds, strict=True):
        lines.append(
            f"| {name} | {t.tried} | {t.tried_right:.0%} | {t.predicted_iou:.2f} | "
            f"{t.stability:.2f} | {t.passed} | {t.passed_right:.0%} |"
        )
    return "\n".join(lines) + "\n"


def plot(stages: Sequence[Stage], path: Path) -> None:
    """Draw masks per minute and their quality, stage by stage."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    x, names = np.arange(len(stages)), [s.stage for s in stages]
    left.bar(x - 0.2, [s.clicks_rate for s in stages], 0.4, color="#8a8f98", label="clicks alone")
    left.bar(x + 0.2, [s.rate for s in stages], 0.4, color="#2f86cb", label="the stage")
    left.set(title="right masks per minute of people", xticks=x, xticklabels=names)
    left.legend(frameon=False)
    right.plot(x, [s.clicks_iou for s in stages], "o-", color="#8a8f98", label="clicks alone")
    right.plot(x, [s.iou for s in stages], "o-", color="#2f86cb", label="IoU, the stage")
    shares = [s.right / max(1, s.masks) for s in stages]
    right.plot(x, shares, "o--", color="#2a9d5c", label="right, of the masks")
    right.plot(x, [s.found for s in stages], "o--", color="#e08a00", label="found, of the things")
    right.set(title="quality", xticks=x, xticklabels=names, ylim=(0, 1.02))
    right.legend(frameon=False, loc="lower left")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=100)
