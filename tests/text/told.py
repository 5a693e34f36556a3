"""A grounder that says what it is told, for tests."""

from __future__ import annotations

from collections.abc import Sequence

from anymask.detections import Detections
from anymask.image.image import Image

Candidate = tuple[tuple[float, float, float, float], float, str]


class Told:
    """Knows all words, or those that it is given, and has seen the same in every image."""

    name = "told"
    threshold = 0.3

    def __init__(self, *candidates: Candidate, words: tuple[str, ...] = ()) -> None:
        self.candidates = candidates
        self.words = words
        self.asked: list[tuple[int, tuple[str, ...], float]] = []

    def unknown(self, phrases: Sequence[str]) -> tuple[str, ...]:
        return tuple(phrase for phrase in phrases if self.words and phrase not in self.words)

    def detect(
        self, images: Sequence[Image], phrases: Sequence[str], threshold: float
    ) -> list[Detections]:
        self.asked.append((len(images), tuple(phrases), threshold))
        some = [one for one in self.candidates if one[1] >= threshold and one[2] in phrases]
        boxes, scores, labels = zip(*some, strict=True) if some else ((), (), ())
        return [
            Detections(image.size_hw, boxes, scores, labels, image.source, self.name)  # type: ignore[arg-type]
            for image in images
        ]
