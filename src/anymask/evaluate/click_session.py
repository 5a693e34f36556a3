"""Clicking on one mask until it is there: what the simulated user said, and what came of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from anymask.data.simulate import SimulatedUser
from anymask.data.truths import Truth
from anymask.evaluate.protocol import Row
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

if TYPE_CHECKING:
    from anymask.predict.segmenter import Segmenter

__all__ = ["ClickSession"]


class ClickSession:
    """A simulated user clicks on one mask, then on the errors of the predictions."""

    def __init__(self, truth: Truth, start_xy: tuple[float, float], model: Segmenter) -> None:
        """Begin.

        Args:
            truth: The mask that the user wants.
            start_xy: The first click.
            model: What is prompted; it decides which clicks are understood, and how many.
        """
        self.truth = truth
        self.points = [start_xy]
        self.labels = [1]
        self.first: list[float] = []
        """IoU of the answer ranked first, after each click."""
        self.oracle: list[float] = []
        """IoU of the best answer, after each click."""
        self.judged: list[tuple[float, float]] = []
        """IoU as predicted and as it is, of each answer to the first click, if it is predicted."""
        self.answer: Masks | None = None
        self._shown = np.zeros_like(truth.mask)
        self._known = model.variant.capabilities
        self._user = SimulatedUser(negative="negative_points" in self._known)
        self._most = model.variant.max_points

    @property
    def content(self) -> float:
        """The highest IoU of an answer ranked first so far."""
        return max(self.first, default=0.0)

    def click(self) -> bool:
        """Add the next click, if there is anything to say and the model listens to one more."""
        if self.answer is None:
            return True
        if len(self.points) == self._most:
            return False
        error = self._user.correction(*map(self.truth.counted, (self.truth.mask, self._shown)))
        if error is not None:
            self.points.append(error[0])
            self.labels.append(error[1])
        return error is not None

    def prompt(self) -> Prompt:
        """Say all clicks so far, and the answer they correct if the model takes it."""
        logits = None
        if self.answer is not None and self.answer.logits is not None and "mask" in self._known:
            logits = self.answer.logits[0]
        return Prompt(self.points, self.labels, mask_logits=logits)

    def see(self, answer: Masks) -> None:
        """Measure the answers; the one ranked first is what the next click corrects."""
        masks = answer.dense()
        overlaps = [self.truth.overlap(mask) for mask in masks]
        if self.answer is None:
            pairs = zip(answer.scores.tolist(), overlaps, strict=True)
            self.judged = [pair for pair in pairs if not math.isnan(pair[0])]
        self.answer = answer
        self._shown = masks[0] if len(masks) else np.zeros_like(self.truth.mask)
        self.first.append(overlaps[0] if overlaps else 0.0)
        self.oracle.append(max(overlaps, default=0.0))

    def row(self) -> Row:
        """Report."""
        return {
            **self.truth.row(),
            "first": [round(x, 5) for x in self.first],
            "oracle": [round(x, 5) for x in self.oracle],
            "judged": [[round(x, 5) for x in pair] for pair in self.judged],
            "most_clicks": self._most,
            "score": round(self.first[0], 5),
        }
