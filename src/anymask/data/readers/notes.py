"""What a reader leaves out or reads in its own way: named once for each kind, not for each case."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["DataWarning", "Notes"]


class DataWarning(UserWarning):
    """Part of a data set is not what it should be; the message says what becomes of it."""


@dataclass
class Notes:
    """What was noticed about one file or folder, by kind."""

    path: Path
    """The file or folder."""
    _found: dict[str, tuple[int, str]] = field(default_factory=dict)
    _warned: set[str] = field(default_factory=set)

    def add(self, kind: str, example: object) -> None:
        """Count one more case of a kind, to be named by `warn`.

        Args:
            kind: What becomes of what, such as "annotations without a mask are left out".
            example: Which case this is.
        """
        count, first = self._found.get(kind, (0, str(example)))
        self._found[kind] = count + 1, first

    def warn(self) -> None:
        """Warn of each kind, with the number of its cases and the first of them."""
        for kind, (count, first) in self._found.items():
            self._say(f"{kind}: {count} in {str(self.path)!r}, the first is {first}")
        self._found.clear()

    def once(self, kind: str, example: object) -> None:
        """Warn of a case that shows only while samples are read, and not again of its kind."""
        if kind not in self._warned:
            self._warned.add(kind)
            self._say(f"{kind}: the first in {str(self.path)!r} is {example}")

    def _say(self, words: str) -> None:
        warnings.warn(words, DataWarning, stacklevel=4)
