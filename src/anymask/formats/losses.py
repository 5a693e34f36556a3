"""What a format cannot hold of some masks: counted by kind, and said once."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection

import numpy as np

from anymask.data.readers.notes import DataWarning
from anymask.masks.masks import Masks

__all__ = ["Losses"]


class Losses:
    """Counts what is lost on the way into a file or a folder.

    Args:
        name: What the format is called.

    Examples:
        >>> losses = Losses("YOLO")
        >>> losses.add("empty mask")
        >>> losses.add("score", 2)
        >>> losses.sentence("'x.txt'")
        "YOLO cannot hold all that is known: 1 empty mask and 2 scores are not in 'x.txt'"
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._counts: Counter[str] = Counter()
        self._changes: Counter[tuple[str, str]] = Counter()

    def add(self, kind: str, number: int = 1) -> None:
        """Count what is left out, by a noun in the singular."""
        if number:
            self._counts[kind] += number

    def change(self, kind: str, what: str, number: int = 1) -> None:
        """Count what comes back changed, by a noun in the singular and what happens to it."""
        if number:
            self._changes[kind, what] += number

    def add_fields(self, masks: Masks, held: Collection[str] = ()) -> None:
        """Count the fields of masks that are known and that the format has no place for.

        Args:
            masks: Those that are written.
            held: Names of the fields that it has a place for.
        """
        known = {
            "score": ("scores", int((~np.isnan(masks.scores)).sum())),
            "stability score": ("stability", int((~np.isnan(masks.stability)).sum())),
            "prompt": ("prompts", sum(prompt is not None for prompt in masks.prompts)),
            "id": ("ids", sum(number is not None for number in masks.ids)),
            "entry of meta": ("meta", sum(len(meta) for meta in masks.meta)),
            "place on the earth": ("geo", int(masks.geo is not None)),
        }
        for kind, (field, number) in known.items():
            if field not in held:
                self.add(kind, number)

    def sentence(self, where: str) -> str:
        """Say it in one sentence; nothing if nothing is lost."""
        lost = [f"{n:,} {_plural(kind, n)}" for kind, n in self._counts.items()]
        changed = [f"{n:,} {_plural(kind, n)} {what}" for (kind, what), n in self._changes.items()]
        parts = []
        if lost:
            parts.append(f"{_listed(lost)} {'is' if _one(self._counts) else 'are'} not in {where}")
        if changed:
            parts.append(_listed(changed))
        return f"{self.name} cannot hold all that is known: {'; '.join(parts)}" if parts else ""

    def warn(self, where: str) -> None:
        """Warn of it once, with a `DataWarning`."""
        if sentence := self.sentence(where):
            warnings.warn(sentence, DataWarning, stacklevel=3)


_PLURALS = {"entry": "entries"}
_FIRST = (
    "entry of",
    "place on",
    "mask that",
    "mask beyond",
    "mask without",
)  # whose first word is the noun


def _plural(kind: str, number: int) -> str:
    if number == 1:
        return kind
    noun, *rest = kind.split(" ", 1) if kind.startswith(_FIRST) else [kind]
    return " ".join([_PLURALS.get(noun, f"{noun}s"), *rest])


def _one(counts: Counter[str]) -> bool:
    return sum(counts.values()) == 1


def _listed(parts: list[str]) -> str:
    """Join words with commas and an "and"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)
