"""Numbers of groups, for formats in which several shapes of one label and number are one object."""

from __future__ import annotations

__all__ = ["Groups", "is_group"]


class Groups:
    """Hands out numbers of groups, so that no two masks of one label have the same.

    Examples:
        >>> groups = Groups()
        >>> [groups.number("cup", wanted, needed=True) for wanted in (None, 1, 7)]
        [1, 2, 7]
        >>> groups.number("cup", None, needed=False) is None
        True
    """

    def __init__(self) -> None:
        self._taken: set[tuple[str, int]] = set()
        self._next = 1

    def number(self, label: str, wanted: int | None, needed: bool) -> int | None:
        """Give the number that a mask had, if it is free, or a new one if it needs one."""
        if wanted is None and not needed:
            return None
        number = wanted
        while number is None or (label, number) in self._taken:
            number, self._next = self._next, self._next + 1
        self._taken.add((label, number))
        return number


def is_group(value: object) -> bool:
    """Return whether something is a number of a group: a whole one."""
    return isinstance(value, int) and not isinstance(value, bool)
