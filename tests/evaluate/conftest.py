"""A data set whose masks are known, and a model that knows them."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from anymask.data.dataset import Sample
from anymask.image.image import Image
from anymask.masks.masks import Masks
from anymask.prompt import Prompt


class Squares:
    """Grey images with a square each; image i has side 10 + i."""

    def __init__(self, count: int = 3) -> None:
        self.count = count
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.count

    def key(self, index: int) -> str:
        return f"square-{index}"

    def __getitem__(self, index: int) -> Sample:
        self.read.append(index)
        labels = np.zeros((48, 64), np.uint8)
        labels[8 : 18 + index, 20 : 30 + index] = 1
        image = np.full((48, 64, 3), 40 + index, np.uint8)
        return Sample(image, (labels,), {"set": "squares", "id": self.key(index)})


class Knowing:
    """Answers every prompt with the square, shrunk by a column for each click that is missing."""

    weights_digest = "0" * 64
    device = "cpu"

    def __init__(
        self,
        needed: int = 1,
        capabilities: Sequence[str] = ("negative_points", "multimask", "mask"),
        max_points: int | None = None,
        always_three: bool = False,
    ) -> None:
        self.needed = needed
        self.variant = SimpleNamespace(
            name="knowing",
            capabilities=frozenset({"points", "box", *capabilities}),
            max_points=max_points,
            always_three=always_three,
        )
        self.asked: list[tuple[list[Prompt], bool | None]] = []

    def embed(self, image: Image) -> int:
        return int(image.pixels[0, 0, 0]) - 40  # the number of the square

    def predict(
        self, photo: int, *, prompts: Any = None, multimask: Any = None, box: Any = None
    ) -> Any:
        if prompts is None:
            return self.predict(photo, prompts=[Prompt(box=box)], multimask=multimask)[0]
        self.asked.append((list(prompts), multimask))
        return [self._answer(photo, prompt, bool(multimask)) for prompt in prompts]

    def _answer(self, photo: int, prompt: Prompt, three: bool) -> Masks:
        missing = max(0, self.needed - max(1, len(prompt.points_xy)))
        dense = np.zeros((3 if three else 1, 48, 64), bool)
        dense[0, 8 : 18 + photo, 20 : 30 + photo - missing] = True
        dense[1:, 8 : 18 + photo, 20 : 30 + photo] = True
        scores = np.linspace(0.9, 0.7, len(dense))
        logits = np.zeros((len(dense), 12, 16), np.float32)
        return Masks.from_dense(dense, scores=scores, logits=logits, prompts=(prompt,) * len(dense))


@pytest.fixture
def squares() -> Squares:
    return Squares()


@pytest.fixture
def knowing() -> type[Knowing]:
    return Knowing
