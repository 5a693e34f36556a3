"""What the library warns of while it answers a request, for who asked: a header of the answer."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar

__all__ = ["HEADER", "NOTES", "collect_warnings", "header_of", "with_notes"]

HEADER = "anymask-notes"
"""The header: a list of sentences as JSON, in ASCII."""

NOTES: ContextVar[list[str] | None] = ContextVar("NOTES", default=None)
"""What the request at hand has been told so far; whoever works for it shares the list."""

_MOST, _LONGEST = 10, 300

Result = TypeVar("Result")


def with_notes(work: Callable[[], Result]) -> Callable[[], Result]:
    """Let work in a thread belong to the request that it is begun for."""
    context = copy_context()
    return lambda: context.run(work)


def header_of(notes: list[str]) -> str | None:
    """Write the header; None: there is nothing to say."""
    unlike = list(dict.fromkeys(" ".join(note.split())[:_LONGEST] for note in notes))
    return json.dumps(unlike[:_MOST]) if unlike else None


@contextmanager
def collect_warnings() -> Iterator[None]:
    """Collect warnings of the library, each for its request, as long as the server runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        before = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: Any = None,
            line: str | None = None,
        ) -> None:
            notes = NOTES.get()
            if notes is None or not issubclass(category, UserWarning):
                before(message, category, filename, lineno, file or sys.stderr, line)
            else:
                notes.append(str(message))

        warnings.showwarning = show
        yield
