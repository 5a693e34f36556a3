"""Requests to end, by Ctrl-C or SIGTERM, which wait until a step is complete."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

__all__ = ["Interrupt"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Holds the first request back; a second one is obeyed at once."""

    def __init__(self) -> None:
        self.pending: int | None = None
        self._at_once = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        """Listen; only the main thread of a process can."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in _SIGNALS}
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Let others listen again."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _hear(self, number: int, _: FrameType | None) -> None:
        if self._at_once or self.pending is not None:
            self.obey(number)
        self.pending = number

    def obey(self, number: int | None) -> None:
        """End as the signal wants it; None: go on.

        Raises:
            KeyboardInterrupt: For Ctrl-C.
            SystemExit: For SIGTERM, with the exit code 143.
        """
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        if number is not None:
            sys.exit(128 + number)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Obey without delay inside the block, where nothing is half done."""
        self._at_once = True
        try:
            self.obey(self.pending)
            yield
        finally:
            self._at_once = False
