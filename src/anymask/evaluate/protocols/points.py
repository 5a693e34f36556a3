"""Clicks: how good a mask is after N of them (SAM paper, section 7.1).

The first click is the point of the true mask farthest from its border, each next one the point
of the error region farthest from its border; the model's own previous answer is fed back with it.
A single click can mean several things, so it gets three answers: the one the model ranks first
counts ("ranked first"), and so does the best of them ("oracle").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from anymask.data.simulate import farthest_error, farthest_inside
from anymask.evaluate.metrics import SIZES, iou, mean
from anymask.evaluate.protocol import Curve, Row, Rows, Summary, Table
from anymask.evaluate.truths import Choice, Truth
from anymask.image import Image
from anymask.masks import Masks
from anymask.prompt import Prompt

if TYPE_CHECKING:
    import PIL.Image

    from anymask.data.dataset import Sample
    from anymask.embedding import Embedding
    from anymask.predict import Segmenter

__all__ = ["Points"]

_LEVELS = (0.85, 0.90)  # of the number of clicks, as the literature has it


@dataclass(frozen=True)
class Points:
    """Click on each mask, then correct the answer click by click."""

    counts: tuple[int, ...] = (1, 2, 3, 5, 9)
    """Numbers of clicks that the table shows."""
    most: int = 20
    """Clicks at most, for the number of clicks to 85 and 90 % IoU."""
    answers: Literal["first", "always"] = "first"
    """Ask for three answers at the first click only, or at every click."""
    choice: Choice = field(default_factory=Choice)
    """Which masks take part."""

    name = "points"

    def measure(self, model: Segmenter, sample: Sample) -> list[Row]:
        """Click on all masks of an image at once, round after round."""
        truths = self.choice.of(sample)
        if not truths:
            return []
        users = [_User(truth) for truth in truths]
        photo = model.embed(Image.open(sample.image))
        for _ in self._rounds(model, photo, users):
            pass
        return [user.row() for user in users]

    def summarise(self, sets: Mapping[str, Rows]) -> Summary:
        """Average the IoU of all masks of a set at each number of clicks."""
        listed = {
            name: [row for some in rows.values() for row in some] for name, rows in sets.items()
        }
        return Summary(
            tables=(self._by_set(listed), self._by_size(listed), self._efforts(listed)),
            curves=(self._curve(listed),),
        )

    def draw(self, model: Segmenter, sample: Sample, row: Row) -> PIL.Image.Image:
        """Show the answer to the first click over the image, and the click."""
        truth = Truth(row["mask"], sample.masks()[row["mask"]])
        user = _User(truth)
        photo = model.embed(Image.open(sample.image))
        next(self._rounds(model, photo, [user]))
        assert user.answer is not None
        return user.answer.draw(sample.image)

    def _rounds(self, model: Segmenter, photo: Embedding, users: Sequence[_User]) -> Iterator[None]:
        """Let all users click, as long as one of them has a reason to."""
        last = max(self.counts)
        for turn in range(1, max(self.most, last) + 1):
            active = [u for u in users if turn <= last or u.best < max(_LEVELS)]
            active = [u for u in active if u.click(model)]
            if not active:
                return
            three = "multimask" in model.variant.capabilities
            three = three and (turn == 1 or self.answers == "always")
            prompts = [user.prompt(model) for user in active]
            for user, answer in zip(
                active, model.predict(photo, prompts=prompts, multimask=three), strict=True
            ):
                user.see(answer)
            yield

    def _by_set(self, sets: Mapping[str, list[Row]]) -> Table:
        header = ("set", "masks", *(f"{n} ranked first" for n in self.counts))
        header += tuple(f"{n} oracle" for n in self.counts)
        rows = []
        for name, masks in sets.items():
            cells = [
                mean(_after(m[kind], n) for m in masks)
                for kind in ("first", "oracle")
                for n in self.counts
            ]
            rows.append((name, len(masks), *cells))
        return Table("points", "Mean IoU after N clicks", header, tuple(rows))

    def _by_size(self, sets: Mapping[str, list[Row]]) -> Table:
        rows = []
        for name, masks in sets.items():
            for size in SIZES:
                some = [m for m in masks if m["size"] == size]
                rows.append(
                    (
                        name,
                        size,
                        len(some),
                        *(mean(_after(m["first"], n) for m in some) for n in self.counts),
                    )
                )
        header = ("set", "size", "masks", *(str(n) for n in self.counts))
        return Table(
            "points-by-size", "Mean IoU (ranked first) by size of the mask", header, tuple(rows)
        )

    def _efforts(self, sets: Mapping[str, list[Row]]) -> Table:
        """Number of clicks to a level; masks that never reach it count with the most allowed."""
        rows = []
        for name, masks in sets.items():
            cells: list[float | None] = []
            for level in _LEVELS:
                needed = [_clicks_to(m["first"], level, self.most) for m in masks]
                cells += [mean(n or self.most for n in needed), mean(n is None for n in needed)]
            rows.append((name, len(masks), *cells))
        header = (
            "set",
            "masks",
            *(t for x in _LEVELS for t in (f"NoC@{x:.0%}", f"failed@{x:.0%}")),
        )
        note = f"Masks that do not reach the level count with {self.most} clicks."
        return Table("clicks-needed", "Number of clicks needed", header, tuple(rows), note)

    def _curve(self, sets: Mapping[str, list[Row]]) -> Curve:
        clicks = range(1, max(self.counts) + 1)
        lines = {
            name: (
                list(clicks),
                [mean(_after(m["first"], n) for m in masks) or 0.0 for n in clicks],
            )
            for name, masks in sets.items()
            if masks
        }
        return Curve("iou-by-clicks", "Mean IoU by clicks", "clicks", "mean IoU", lines)


class _User:
    """Wants one mask, clicks until it is there, and keeps account."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.points: list[tuple[float, float]] = []
        self.labels: list[int] = []
        self.first: list[float] = []
        self.oracle: list[float] = []
        self.answer: Masks | None = None
        self.shown: npt.NDArray[np.bool_] | None = None

    @property
    def best(self) -> float:
        """The highest IoU of an answer so far."""
        return max(self.first, default=0.0)

    def click(self, model: Segmenter) -> bool:
        """Add the next click, if there is anything to say."""
        if self.shown is None:
            self.points.append(farthest_inside(self.truth.mask))
            self.labels.append(1)
            return True
        negative = "negative_points" in model.variant.capabilities
        error = farthest_error(self.truth.mask, self.shown, negative=negative)
        if error is not None:
            self.points.append(error[0])
            self.labels.append(error[1])
        return error is not None

    def prompt(self, model: Segmenter) -> Prompt:
        """Say all clicks so far, and the answer they correct if the model takes it."""
        logits = None
        if (
            self.answer is not None
            and self.answer.logits is not None
            and "mask" in model.variant.capabilities
        ):
            logits = self.answer.logits[0]
        return Prompt(self.points, self.labels, mask_logits=logits)

    def see(self, answer: Masks) -> None:
        """Judge the answers; the one ranked first is what the next click corrects."""
        shown = answer.dense()
        overlaps = [iou(mask, self.truth.mask) for mask in shown]
        self.answer, self.shown = answer, shown[0] if len(shown) else np.zeros_like(self.truth.mask)
        self.first.append(overlaps[0] if overlaps else 0.0)
        self.oracle.append(max(overlaps, default=0.0))

    def row(self) -> Row:
        """Report."""
        return {
            "mask": self.truth.number,
            "area": self.truth.area,
            "size": self.truth.size,
            "first": [round(x, 5) for x in self.first],
            "oracle": [round(x, 5) for x in self.oracle],
            "score": self.first[0],
        }


def _after(series: Sequence[float], clicks: int) -> float:
    """IoU after so many clicks; who had no reason to go on keeps the last answer."""
    return series[min(clicks, len(series)) - 1]


def _clicks_to(series: Sequence[float], level: float, most: int) -> int | None:
    """Number of the first click that reaches a level."""
    return next((n for n, value in enumerate(series[:most], 1) if value >= level), None)
