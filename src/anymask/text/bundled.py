"""The grounder that ships inside the package: 23 everyday things, without a download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from anymask.arrays import Device
from anymask.detections import Detections
from anymask.image.image import Image
from anymask.models import companions
from anymask.models.ssd import DetectorNetwork, detect
from anymask.models.vocabulary import LABELS, labels_of

__all__ = ["Bundled", "load"]


class Bundled:
    """The bundled detector as a `Grounder`.

    Args:
        detector: See `companions.detector`.
    """

    name = "bundled"
    threshold = 0.3
    words = tuple(label.lower() for label in LABELS)

    def __init__(self, detector: DetectorNetwork) -> None:
        self.detector = detector

    def unknown(self, phrases: Sequence[str]) -> tuple[str, ...]:
        """Tell which of the phrases are no words, plurals or synonyms that it knows."""
        return tuple(phrase for phrase in phrases if not labels_of(phrase))

    def detect(
        self, images: Sequence[Image], phrases: Sequence[str], threshold: float
    ) -> list[Detections]:
        """Find what the phrases mean; of equal scores, that of the narrower word comes first."""
        meant = {phrase: labels_of(phrase) for phrase in phrases}
        narrow_first = sorted(phrases, key=lambda phrase: len(meant[phrase]))
        wanted = tuple(dict.fromkeys(label for labels in meant.values() for label in labels))
        answers = []
        for image in images:
            found = detect(self.detector, image, min_score=threshold, labels=wanted)
            named = [_named(found, meant[phrase], phrase) for phrase in narrow_first]
            answers.append(Detections.concat(named).sort())
        return answers


def _named(found: Detections, labels: Sequence[str], phrase: str) -> Detections:
    """Take the things of some labels, and call them by a phrase."""
    some = found.filter(labels=labels)
    return replace(some, labels=(phrase,) * len(some), model=Bundled.name)


def load(name_or_path: str, device: Device) -> Bundled:
    """Load it; there is but one, so the name says nothing."""
    return Bundled(companions.detector(device))
