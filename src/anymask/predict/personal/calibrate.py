"""How alike is alike enough: learned from views of the references, and from what is beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anymask.embedding import Embedding
from anymask.predict.personal.examples import Example
from anymask.predict.personal.instances import candidates
from anymask.predict.personal.matching import (
    Cells,
    View,
    describe,
    distances,
    pool_masks,
    resemblance,
)
from anymask.predict.personal.model import Model
from anymask.predict.personal.views import VIEWS, change

__all__ = ["Scale", "calibrate"]

BoolArray = npt.NDArray[np.bool_]

_SAME, _OTHER = 0.5, 0.2  # IoU with the thing from which on, share in it up to which
_NOT_FOUND = 0.3  # how much less alike a thing is taken to be if the model did not cut it out
_FARTHER = 1.6  # times as unlike as a view is what lies beside a thing, where nothing does
# Chosen on photos for training (`benchmarks/personal.py`); nothing in them is of one model's scale.
_HERE_WEIGHT, _ABSENT_WEIGHT = 0.9, 0.3
_STEEPNESS = 5.0


@dataclass(frozen=True)
class Scale:
    """What resemblances to a thing mean.

    Attributes:
        here: Of other views of it.
        absent: Of the most alike that is something else.
    """

    here: float
    absent: float

    @property
    def limit(self) -> float:
        """The resemblance that parts "here" from "not here"."""
        return min(_HERE_WEIGHT * self.here + _ABSENT_WEIGHT * self.absent, -1e-6)

    def confidence(self, resemblance: Tensor) -> Tensor:
        """Turn resemblances into 0 to 1; the limit is 0.5."""
        return torch.sigmoid(_STEEPNESS * (1 - resemblance / self.limit))


def calibrate(
    model: Model,
    examples: Sequence[Example],
    embeddings: Sequence[Embedding],
    views: tuple[View, ...],
    count: int,
) -> Scale:
    """Look for a thing where it is known to be, and where it is known not to be.

    Args:
        model: Who answers.
        examples: Of the thing, in references of its own.
        embeddings: Of these references.
        views: Of the thing.
        count: Clicks for each image, as in `candidates`.
    """
    here: list[float] = []
    absent: list[float] = []
    for example, embedding in zip(examples, embeddings, strict=True):
        cells = describe(model, embedding)
        absent += _beside(model, embedding, cells, views, [example.mask], count)
        made = [change(example.image.pixels, example.mask, how) for how in VIEWS]
        for (_, pasted, turned), view in zip(made, model.embed([v[0] for v in made]), strict=True):
            cells = describe(model, view)
            here.append(_again(model, view, cells, views, pasted, count))
            absent += _beside(model, view, cells, views, [pasted, turned], count)
    level = sum(here) / len(here)
    return Scale(level, max(absent, default=_FARTHER * level))


def _again(
    model: Model,
    embedding: Embedding,
    cells: Cells,
    views: tuple[View, ...],
    mask: BoolArray,
    count: int,
) -> float:
    """Tell how alike the best answer that is the thing is to it."""
    between = [distances(cells, view) for view in views]
    found = candidates(model, embedding, cells, views, between, count)
    (truth,) = pool_masks(mask[None], cells)
    same = _share(torch.minimum(found.covered, truth), torch.maximum(found.covered, truth))
    if bool((same >= _SAME).any()):
        return float(found.resemblance[same >= _SAME].max())
    alike = [
        resemblance(cells, view, distance, truth[None], torch.ones(1))
        for view, distance in zip(views, between, strict=True)
    ]
    return float(torch.stack(alike).max()) - _NOT_FOUND


def _beside(
    model: Model,
    embedding: Embedding,
    cells: Cells,
    views: tuple[View, ...],
    masks: Sequence[BoolArray],
    count: int,
) -> list[float]:
    """List how alike answers elsewhere in an image are to a thing that these masks (h, w) show."""
    taken = pool_masks(np.stack(masks), cells).amax(dim=0)
    between = [distances(cells, view) for view in views]
    found = candidates(model, embedding, cells, views, between, count, taken > 0.05)
    inside = _share(found.covered * taken, found.covered)
    return [float(value) for value in found.resemblance[inside < _OTHER] if value > -math.inf]


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return part.sum(dim=1) / whole.sum(dim=1).clamp(min=1e-6)
