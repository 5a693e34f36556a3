"""Numbers and categories of a COCO file that is being written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Categories", "Numbers", "category_name", "is_number"]


def is_number(value: object) -> bool:
    """Return whether something can be an id: a whole number or, as some files have it, a text."""
    return isinstance(value, int | str) and not isinstance(value, bool)


def category_name(record: Mapping[str, Any]) -> str | None:
    """Give the name of a category, which some files have as a number; None if it has none."""
    name = record.get("name")
    return None if name is None else str(name)


class Numbers:
    """Hands out numbers: the one that is wanted while it is free, else the next one."""

    def __init__(self) -> None:
        self._taken: set[Any] = set()
        self._next = 1

    def take(self, wanted: Any = None) -> Any:
        """Give a number that was not given before.

        Examples:
            >>> numbers = Numbers()
            >>> [numbers.take(wanted) for wanted in (None, 7, 7, "a")]
            [1, 7, 2, 'a']
        """
        number = wanted
        if not is_number(wanted) or wanted in self._taken:
            while self._next in self._taken:
                self._next += 1
            number = self._next
        self._taken.add(number)
        return number


class Categories:
    """The categories of a file, by id and by name."""

    def __init__(self) -> None:
        self._numbers = Numbers()
        self._by_id: dict[Any, dict[str, Any]] = {}
        self._by_name: dict[str | None, Any] = {}
        self._at: dict[tuple[Any, str], Any] = {}

    def records(self) -> list[dict[str, Any]]:
        """List the categories; there is at least one."""
        if not self._by_id:
            self.of(None, None)
        return list(self._by_id.values())

    def add(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take in the categories of another file.

        Each keeps its id while that is free. A category whose name came from an earlier file is
        that one; of one file, two may share a name.
        """
        earlier = dict(self._by_name)
        for record in records:
            wanted, name = record.get("id"), _name(record)
            if (wanted, name) in self._at:
                continue
            number = earlier.get(name)
            if number is None:
                number = self._numbers.take(wanted)
                self._by_id[number] = {"name": name, **record, "id": number}
                self._by_name.setdefault(name, number)
            self._at[wanted, name] = number

    def of(self, label: str | None, record: Mapping[str, Any] | None) -> Any:
        """Find or make the category of a mask.

        Args:
            label: Its name.
            record: What a file said of the category; it counts if it still has that name.
        """
        if record is not None and category_name(record) == label:
            self.add([record])
            return self._at[record.get("id"), _name(record)]
        if label not in self._by_name:
            number = self._numbers.take()
            # A name for those that have none, which is told from a real one when it is read.
            name = {"name": "object"} if label is None else {"name": label}
            mark = {"unlabelled": True} if label is None else {}
            self._by_id[number] = {"id": number, **name, "supercategory": "object", **mark}
            self._by_name[label] = number
        return self._by_name[label]


def _name(record: Mapping[str, Any]) -> str:
    return category_name(record) or str(record.get("id"))
