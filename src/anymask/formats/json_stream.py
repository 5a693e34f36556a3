"""The entries of a JSON list, one by one, so that a file of a gigabyte needs the memory of one."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import IO, Any

from anymask.errors import InputError

__all__ = ["entries"]

_PIECE = 1 << 18  # bytes that are read at a time, at first
_SPACE = re.compile(r"[ \t\r\n]*")
_UNFINISHED = ("Unterminated string", "Invalid \\uXXXX escape", "Invalid \\escape")
_TAIL = 3  # characters after a number without which it may go on, as in 1e+
_NEAR = 64  # characters before the end of a piece at which a broken word may be a cut one


def entries(file: IO[bytes], shown: str) -> Iterator[Any]:
    """Read the entries of the list that a file holds.

    Args:
        file: Opened for reading bytes, UTF-8.
        shown: What it is called in an error.

    Raises:
        InputError: It is no JSON, or no list.

    Examples:
        >>> import io
        >>> list(entries(io.BytesIO(b'[1, {"a": [2]}]'), "a.json"))
        [1, {'a': [2]}]
    """
    text = _Text(file, shown)
    if text.character() != "[":
        raise text.wrong("expected a list")
    text.at += 1
    if text.character() == "]":
        text.at += 1
    else:
        while True:
            yield text.value()
            separator = text.character()
            text.at += 1
            if separator == "]":
                break
            if separator != ",":
                raise text.wrong("expected ',' or ']'")
    if text.character():
        raise text.wrong("expected nothing after the list")


class _Text:
    """What was read of a file and is not used yet."""

    def __init__(self, file: IO[bytes], shown: str) -> None:
        self._file, self._shown = file, shown
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder()
        self._ended = False
        self._before = 0  # characters that are used
        self._text = ""
        self.at = 0

    def character(self) -> str:
        """Give the next character that is no white space; empty at the end of the file."""
        while True:
            found = _SPACE.match(self._text, self.at)
            assert found is not None  # for it may be empty
            self.at = found.end()
            if self.at < len(self._text) or not self._read(_PIECE):
                return self._text[self.at : self.at + 1]

    def value(self) -> Any:
        """Read a value from where the next character is."""
        self.character()
        size = _PIECE
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self.at)
            except json.JSONDecodeError as error:
                cut = error.pos >= len(self._text) - _NEAR or error.msg.startswith(_UNFINISHED)
                if cut and not self._ended:
                    self._read(size)
                    size *= 2  # or a large value would be begun anew too often
                    continue
                raise self.wrong(error.msg, error.pos) from error
            except (RecursionError, ValueError) as error:  # also a number of too many digits
                raise self.wrong(str(error)) from error
            if end + _TAIL <= len(self._text) or self._ended:
                self.at = end
                return value
            self._read(size)

    def wrong(self, what: str, at: int | None = None) -> InputError:
        """Make an error of what is not as it should be."""
        place = self._before + (self.at if at is None else at)
        return InputError(
            f"expected a JSON list, got {self._shown}, which is none ({what} at character {place:,}"
            "); check that it is whole"
        )

    def _read(self, size: int) -> bool:
        """Read more, and drop what is used; return whether there was more."""
        if self._ended:
            return False
        try:
            piece = self._file.read(size)
            text = self._decoder.decode(piece, not piece)
        except UnicodeDecodeError as error:
            raise self.wrong(f"{error.reason}, which is not UTF-8,") from error
        except OSError as error:
            raise InputError(
                f"cannot read {self._shown}: {error.strerror or error}; check the disk"
            ) from error
        self._ended = not piece
        self._before += self.at
        self._text = self._text[self.at :] + text
        self.at = 0
        return not self._ended or bool(text)
