"""Classes by number, for formats that write a number where a mask has a label.

The numbers of a data set mean something only together with its list of names, and files that were
written before must stay right when more are added: by a run that is resumed, by another run, or by
two at the same time. So a number that was once given stays; new names come after the others; and
the list is on disk before the first file that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from anymask.folder import ResumableFolder

__all__ = ["UNLABELLED", "Classes", "SharedClasses", "shown_names"]

UNLABELLED = "object"
"""What masks without a label are called, in formats where each has to have one."""

Names = Sequence[str | None]
"""Names in the order of the numbers; None for masks without a label."""


class Classes:
    """The numbers of labels, from 0 on.

    Args:
        names: Those that have the first numbers.

    Examples:
        >>> classes = Classes(["cat"])
        >>> [classes.number(label) for label in ("dog", "cat", None, "dog")], classes.names
        ([1, 0, 2, 1], ['cat', 'dog', None])
    """

    def __init__(self, names: Iterable[str | None] = ()) -> None:
        self.names: list[str | None] = []
        self._numbers: dict[str | None, int] = {}
        self._extend(names)

    def number(self, label: str | None) -> int:
        """Give the number of a label, a new one if it has none."""
        if label not in self._numbers:
            self.add([label])
        return self._numbers[label]

    def add(self, labels: Iterable[str | None]) -> None:
        """Give numbers to all labels that have none, in this order."""
        self._extend(label for label in dict.fromkeys(labels) if label not in self._numbers)

    def _extend(self, names: Iterable[str | None]) -> None:
        for name in names:
            self._numbers.setdefault(name, len(self.names))
            self.names.append(name)


class SharedClasses(Classes):
    """The numbers of labels in a folder that others may be writing to as well.

    Args:
        folder: The folder.
        name: The file in it that lists the names.
        read: Reads that file; gives no names if it is not there.
        write: Writes it, given a draft's path, that of the file, and all names.
        first: Names that get the first numbers that are free, in this order.
    """

    def __init__(
        self,
        folder: ResumableFolder,
        name: str,
        read: Callable[[Path], Names],
        write: Callable[[Path, Path, Names], Any],
        first: Iterable[str | None] = (),
    ) -> None:
        self._folder, self._name, self._read, self._write = folder, name, read, write
        self._listed = False
        super().__init__()
        self.add(first)

    def add(self, labels: Iterable[str | None]) -> None:
        """Give numbers to all labels that have none, and write the list before they are used."""
        labels = list(labels)
        if self._listed and all(label in self._numbers for label in labels):
            return
        lock = self._folder.lock(self._name)
        lock.acquire(float("inf"))
        try:
            path = self._folder.path / self._name
            before = list(self._read(path))
            self._extend(before[len(self.names) :])
            super().add(labels)
            if len(self.names) > len(before) or not path.is_file():
                with self._folder.writing(self._name) as draft:
                    self._write(draft, path, self.names)
            self._listed = True
        finally:
            lock.release()


def shown_names(names: Names) -> list[str]:
    """Give the names as a format lists them, with one for masks that have no label.

    Examples:
        >>> shown_names(["cat", None]), shown_names(["object", None])
        (['cat', 'object'], ['object', 'unlabelled'])
    """
    choices = chain((UNLABELLED, "unlabelled"), (f"unlabelled {i}" for i in count(2)))
    free = next(name for name in choices if name not in names)
    return [free if name is None else name for name in names]
