"""A memory of what was worked out lately, for things that may be asked about again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["Recent"]

Subject = TypeVar("Subject")
Result = TypeVar("Result")


class Recent(Generic[Subject, Result]):
    """Results for the latest few subjects; one is forgotten as soon as nobody holds its subject.

    Any number of threads may share it. A copy of it, in another process say, begins empty.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: WeakKeyDictionary[Subject, tuple[int, Result]] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[type[Recent[Subject, Result]], tuple[int]]:
        return type(self), (self._size,)

    def get(self, subject: Subject, state: int, make: Callable[[Subject], Result]) -> Result:
        """Return the result for a subject, remembered or made anew.

        Args:
            subject: Told from others by identity, unless it says otherwise.
            state: Of whatever else the result depends on; one of another state is made anew.
            make: Makes the result. Two threads that ask for the same may both do it.
        """
        with self._lock:
            known = self._known.pop(subject, None)
            if known is not None and known[0] == state:
                self._known[subject] = known  # now the latest
                return known[1]
        result = make(subject)
        with self._lock:
            self._known[subject] = state, result
            while len(self._known) > self._size:
                del self._known[next(iter(self._known))]
        return result
