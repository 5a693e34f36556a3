"""What commands print arrives, in whatever encoding, and also where nobody reads it.

Windows redirects into files of its old code pages, servers speak ASCII, and names of files may hold
bytes that are no text at all. None of this may end a run that has done its work: what an encoding
does not hold is written otherwise. Ornaments become similar ones, all else becomes an escape.
"""

from __future__ import annotations

import codecs
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

__all__ = ["forget_output", "prepare_terminal", "say"]

_HANDLER = "anymask.readable"
# Who asks for one of these in PYTHONIOENCODING gets it.
_CHOSEN = ("ignore", "replace", "xmlcharrefreplace", "namereplace")

_ORNAMENTS = str.maketrans(
    {
        **dict.fromkeys("•·●", "*"),
        **dict.fromkeys("─━╸╺╴╶‐‑‒–—", "-"),
        **dict.fromkeys("│┃", "|"),
        **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼", "+"),
        **dict.fromkeys("‘’", "'"),
        **dict.fromkeys("“”", '"'),
        **dict.fromkeys("\u00a0\u202f", " "),
        "…": "...",
        "×": "x",
        "→": "->",
        "≤": "<=",
        "≥": ">=",
        "µ": "u",
        **{chr(dots): "*" for dots in range(0x2800, 0x2900)},  # of the wheel that turns
    }
)


@contextmanager
def prepare_terminal() -> Iterator[None]:
    """Let everything that is printed meanwhile arrive, warnings as one line each."""
    codecs.register_error(_HANDLER, _readable)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _open(sys.stdout), _open(sys.stderr)
    errors = [_set_errors(stream, _HANDLER) for stream in (sys.stdout, sys.stderr)]
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    finally:
        for stream, usual, old in zip((sys.stdout, sys.stderr), errors, before, strict=True):
            _set_errors(stream, usual)
            if stream is not old:
                stream.close()
        sys.stdout, sys.stderr = before


def say(message: str) -> None:
    """Print a line about what the program does, to standard error."""
    print(f"anymask: {message}", file=sys.stderr)


def forget_output() -> None:
    """Lead standard output into nothing, so that Python does not complain of it at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open(stream: TextIO | None) -> TextIO:
    """Give a stream that can be written to: of ``>&-`` and of programs without a console, none."""
    if stream is None or stream.closed:
        return open(os.devnull, "w", encoding="utf-8")
    return stream


def _set_errors(stream: TextIO, errors: str | None) -> str | None:
    """Say what a stream does with characters that it cannot write; gives what it did before."""
    before = stream.errors
    if errors and before not in _CHOSEN:
        with suppress(AttributeError, OSError, ValueError):  # no file, or its reader has gone
            stream.reconfigure(errors=errors)  # type: ignore[attr-defined]
    return before


def _readable(error: UnicodeError) -> tuple[str, int]:
    """Write what an encoding does not hold otherwise; an error handler as `codecs` wants them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_ORNAMENTS)
    return "".join(c if c.isascii() else _escaped(c) for c in text), error.end


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte of a file's name that is no text
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("ascii", "backslashreplace").decode("ascii")


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"warning: {message}")
