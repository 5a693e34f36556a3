"""Clicks: how good a mask is after N of them (SAM paper, section 7.1).

The first click is the point of the true mask farthest from its border, each next one the point
of the error region farthest from its border; the model's own previous prediction is fed back
with it. A single click can mean several things, so it gets three masks: the one the model ranks
first counts ("ranked first"), and so does the best of them ("oracle").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anymask.data.mask_filter import sample_rng
from anymask.data.simulate import farthest_inside, random_inside
from anymask.data.truths import SIZE_NOTE, SIZES, Truth
from anymask.evaluate.click_session import ClickSession
from anymask.evaluate.metrics import mean, rank_correlation
from anymask.evaluate.peers import felzenszwalb
from anymask.evaluate.protocol import Cell, Curve, Row, Rows, Summary, Table, flat
from anymask.evaluate.protocols.options import PointsOptions
from anymask.evaluate.report.comparison import draw_comparison
from anymask.image.image import Image

if TYPE_CHECKING:
    import PIL.Image

    from anymask.data.dataset import Sample
    from anymask.embedding import Embedding
    from anymask.predict.segmenter import Segmenter

__all__ = ["Points"]

_LEVELS = (0.85, 0.90)  # of the number of clicks, as the literature has it


@dataclass(frozen=True)
class Points(PointsOptions):
    """Click on each mask, then correct the prediction click by click."""

    legend = (
        "In colour the prediction for the first click, the dot; the white line is the ground "
        "truth. The number is the IoU."
    )

    def measure(self, model: Segmenter, sample: Sample) -> list[Row]:
        """Click on all masks of an image at once, round after round."""
        truths = self.mask_filter.select(sample)
        if not truths:
            return []
        sessions = self._sessions(model, sample, truths)
        starts = [session.points[0] for session in sessions]
        embedding = model.embed(Image.open(sample.image))
        for _ in self._rounds(model, embedding, sessions):
            pass
        rows = [session.row() for session in sessions]
        if "felzenszwalb" in self.peers:
            for row, truth, masks in zip(
                rows, truths, felzenszwalb(sample.image, starts), strict=True
            ):
                row["felzenszwalb"] = round(max(map(truth.overlap, masks)), 5)
        return rows

    def summarise(self, sets: Mapping[str, Rows]) -> Summary:
        """Average the IoU of all masks of a set at each number of clicks."""
        listed = {name: flat(rows) for name, rows in sets.items()}
        return Summary(
            tables=(
                self._by_set(listed),
                self._by_size(listed),
                self._efforts(listed),
                _predicted_iou(listed),
            ),
            curves=(self._curve(listed),),
        )

    def draw(self, model: Segmenter, sample: Sample, row: Row) -> PIL.Image.Image:
        """Draw the prediction for the first click, the click, and the ground truth's outline."""
        truths = self.mask_filter.select(sample)
        sessions = self._sessions(model, sample, truths)
        session = next(session for session in sessions if session.truth.number == row["mask"])
        embedding = model.embed(Image.open(sample.image))
        next(self._rounds(model, embedding, [session]))
        assert session.answer is not None
        return draw_comparison(sample.image, session.answer[:1], session.truth.mask)

    def _sessions(
        self, model: Segmenter, sample: Sample, truths: Sequence[Truth]
    ) -> list[ClickSession]:
        rng = sample_rng(self.mask_filter.seed + 1, sample)
        if self.start == "random":
            return [ClickSession(t, random_inside(t.mask, rng, power=0), model) for t in truths]
        return [ClickSession(t, farthest_inside(t.mask), model) for t in truths]

    def _rounds(
        self, model: Segmenter, embedding: Embedding, sessions: Sequence[ClickSession]
    ) -> Iterator[None]:
        """Let all sessions click, as long as one of them has a reason to."""
        variant, last = model.variant, max(self.counts)
        for turn in range(1, max(self.max_clicks, last) + 1):
            active = [u for u in sessions if turn <= last or u.content < max(_LEVELS)]
            active = [u for u in active if u.click()]
            if not active:
                return
            three = turn == 1 or self.multimask == "always" or variant.always_three
            three = three and "multimask" in variant.capabilities
            prompts = [session.prompt() for session in active]
            for session, answer in zip(
                active, model.predict(embedding, prompts=prompts, multimask=three), strict=True
            ):
                session.see(answer)
            yield

    # ------------------------------------------------------------------- tables

    def _by_set(self, sets: Mapping[str, list[Row]]) -> Table:
        header = ("set", "masks", *(f"{n} ranked first" for n in self.counts))
        several = [n for n in self.counts if n == 1 or self.multimask == "always"]
        header += tuple(f"{n} oracle" for n in several)
        header += ("Felzenszwalb, 1 click, best of 3 scales",) * bool(self.peers)
        rows: list[tuple[Cell, ...]] = []
        for name, masks in sets.items():
            cells = [_average(masks, "first", n) for n in self.counts]
            cells += [_average(masks, "oracle", n) for n in several]
            cells += [mean(m[peer] for m in masks) for peer in self.peers]
            rows.append((name, len(masks), *cells))
        note = (
            'Ranked first: the mask of the highest predicted IoU. Oracle: the best one. "-": more '
            "clicks than the model takes."
        )
        return Table("points", "Mean IoU after N clicks", header, tuple(rows), note)

    def _by_size(self, sets: Mapping[str, list[Row]]) -> Table:
        rows = []
        for name, masks in sets.items():
            for size in SIZES:
                some = [m for m in masks if m["size"] == size]
                cells = (_average(some, "first", n) for n in self.counts)
                rows.append((name, size, len(some), *cells))
        return Table(
            "points-by-size",
            "Mean IoU (ranked first) by size of the mask",
            ("set", "size", "masks", *(str(n) for n in self.counts)),
            tuple(rows),
            SIZE_NOTE,
        )

    def _efforts(self, sets: Mapping[str, list[Row]]) -> Table:
        """Number of clicks to a level; masks that never reach it count with the most allowed."""
        rows = []
        for name, masks in sets.items():
            cells: list[float | None] = []
            for level in _LEVELS:
                needed = [_clicks_to(m["first"], level, self.max_clicks) for m in masks]
                if not all(_listens(m, self.max_clicks) for m in masks):
                    cells += [None, None]
                    continue
                cells += [
                    mean(n or self.max_clicks for n in needed),
                    mean(n is None for n in needed),
                ]
            rows.append((name, len(masks), *cells))
        columns = (text for x in _LEVELS for text in (f"NoC@{x:.0%}", f"failed@{x:.0%}"))
        note = f"Masks that do not reach the level count with {self.max_clicks} clicks."
        header = ("set", "masks", *columns)
        return Table("clicks-needed", "Number of clicks needed", header, tuple(rows), note)

    def _curve(self, sets: Mapping[str, list[Row]]) -> Curve:
        lines = {}
        for name, masks in sets.items():
            series = [_average(masks, "first", n) for n in range(1, max(self.counts) + 1)]
            known = [value for value in series if value is not None]
            if known:
                lines[name] = (range(1, len(known) + 1), known)
        return Curve("iou-by-clicks", "Mean IoU by clicks", "clicks", "mean IoU", lines)


def _predicted_iou(sets: Mapping[str, list[Row]]) -> Table:
    """Measure how well the predicted IoU ranks the masks."""
    rows = []
    for name, masks in sets.items():
        pairs = [pair for mask in masks for pair in mask["judged"]]
        rows.append((name, len(pairs), rank_correlation(pairs)))
    note = (
        "Spearman's rank correlation of the predicted IoU with the IoU, over all masks predicted "
        'from one click; "-": the model predicts none.'
    )
    header = ("set", "masks", "rank correlation")
    return Table(
        "predicted-iou", "How well the predicted IoU ranks the masks", header, tuple(rows), note
    )


def _average(masks: Sequence[Row], kind: str, clicks: int) -> float | None:
    """Average the IoU after so many clicks, if the model takes so many.

    Who had no reason to go on, or no way to say what is wrong, keeps the last prediction.
    """
    if not all(_listens(m, clicks) for m in masks):
        return None
    return mean(m[kind][min(clicks, len(m[kind])) - 1] for m in masks)


def _listens(mask: Row, clicks: int) -> bool:
    """Return whether the model takes so many clicks."""
    most: int | None = mask["most_clicks"]
    return most is None or clicks <= most


def _clicks_to(series: Sequence[float], level: float, most: int) -> int | None:
    """Number of the first click that reaches a level."""
    return next((n for n, value in enumerate(series[:most], 1) if value >= level), None)
