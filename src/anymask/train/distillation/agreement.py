"""How much a student agrees with its teacher: the same prompts to both, IoU of their masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import cast

import numpy as np
import PIL.Image
from torch import nn

from anymask.data.dataset import Dataset
from anymask.data.embeddings import EmbeddingStore
from anymask.data.truths import iou
from anymask.embedding import Embedding
from anymask.image.image import Image
from anymask.masks.masks import Masks
from anymask.models.network import Network
from anymask.models.variants import Variant
from anymask.predict.segmenter import Segmenter
from anymask.prompt import Prompt

__all__ = ["Agreement"]

_PLACES = 4  # in each image that are clicked on
_DRAWN = 6
_TILE = 256  # pixels along the longer side of a drawn image


class Agreement:
    """Validates a student on images that it does not learn from; see `Validation`.

    Both models are prompted at random places by a click, and for what the teacher found there by a
    box; of each prediction the mask that its model ranks first counts, as users see it. This
    is how MobileSAM's paper compares students with the original.
    """

    metric = "iou"
    noise_tolerance = 0.0

    def __init__(
        self, variant: Variant, teacher: Segmenter, images: Dataset, store: EmbeddingStore
    ) -> None:
        """Prepare; the teacher predicts when the first student is measured.

        Args:
            variant: What the student is.
            teacher: Whom it should agree with.
            images: What both see.
            store: What the teacher saw in them.
        """
        self.variant, self.teacher = variant, teacher
        self.images, self.store = images, store
        self._targets: dict[int, tuple[list[Prompt], Masks]] = {}

    def __call__(self, model: nn.Module) -> Mapping[str, float]:
        """Measure mean IoU with the teacher: ``click``, ``box``, and ``iou``, their mean."""
        found: dict[str, list[float]] = {"click": [], "box": []}
        for i in range(len(self.images)):
            image = self.images[i].image
            prompts, wanted = self._target(i, image)
            predicted = self._predict(model, image, prompts)
            for prompt, one, other in zip(prompts, wanted.dense(), predicted.dense(), strict=True):
                found["click" if prompt.box is None else "box"].append(iou(one, other))
        means = {name: fmean(values) for name, values in found.items() if values}
        return {**means, self.metric: fmean(means.values())}

    def draw(self, model: nn.Module) -> PIL.Image.Image:
        """Draw masks for one click in a few images: the teacher's above, the student's below."""
        count = min(_DRAWN, len(self.images))
        sheet = PIL.Image.new("RGB", (_TILE * count, 2 * _TILE))
        for i in range(count):
            image = self.images[i].image
            prompts, wanted = self._target(i, image)
            rows = wanted[0], self._predict(model, image, prompts[:1])
            for row, masks in enumerate(rows):
                tile = masks.draw(image).convert("RGB")
                tile.thumbnail((_TILE, _TILE))
                sheet.paste(tile, (_TILE * i, _TILE * row))
        return sheet

    def _target(self, index: int, image: np.ndarray) -> tuple[list[Prompt], Masks]:
        """Prompt the teacher, unless that was done before: prompts and its masks."""
        if index not in self._targets:
            embedding = self.store.read(self.images.key(index), image)
            height, width = embedding.size_hw
            places = np.random.default_rng(index).integers(0, (width, height), (_PLACES, 2))
            clicks = [Prompt(points_xy=[place]) for place in places]
            masks = _first(self.teacher, embedding, clicks)
            drawn = masks[np.flatnonzero(masks.areas > 0)]
            boxes = [Prompt(box=np.add(box, (0, 0, 1, 1))) for box in drawn.boxes]
            if boxes:
                masks = Masks.concat([masks, _first(self.teacher, embedding, boxes)])
            self._targets[index] = [*clicks, *boxes], masks
        return self._targets[index]

    def _predict(self, model: nn.Module, image: np.ndarray, prompts: Sequence[Prompt]) -> Masks:
        student = Segmenter(self.variant, cast(Network, model), "")
        return _first(student, student.embed(Image(image)), prompts)


def _first(model: Segmenter, embedding: Embedding, prompts: Sequence[Prompt]) -> Masks:
    """Predict for each prompt the mask that is ranked first."""
    return Masks.concat([masks[0] for masks in model.predict(embedding, prompts=list(prompts))])
