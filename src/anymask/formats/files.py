"""Where formats read from: paths, files that are open already, and bytes."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, TypeAlias

from anymask.atomic import Target
from anymask.errors import InputError

__all__ = ["Content", "Source", "load", "path_of"]

Source: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Content"
"""A path, what is in a file, or a file opened for reading bytes, which is read from where it is."""


def path_of(place: Source | Target) -> Path | None:
    """Give the path that something is or, as far as it knows, was opened from."""
    name = place if isinstance(place, str | os.PathLike) else getattr(place, "name", None)
    return Path(name) if isinstance(name, str | os.PathLike) else None


@dataclass(frozen=True)
class Content:
    """What is in a file, what to call it in an error, and where it is, if that is known.

    A file that has a path is read when its content is first asked for, or piece by piece, which a
    file of a gigabyte needs.
    """

    name: str
    given: bytes | None = None
    path: Path | None = None

    @cached_property
    def data(self) -> bytes:
        """All of it.

        Raises:
            InputError: It cannot be read.
        """
        with self.open() as file:
            return _read(file, self.name)

    def head(self, size: int) -> bytes:
        """Give its first bytes.

        Raises:
            InputError: It cannot be read.
        """
        with self.open() as file:
            return _read(file, self.name, size)

    def open(self) -> IO[bytes]:
        """Open it for reading from its beginning.

        Raises:
            InputError: It cannot be opened.
        """
        if self.given is not None or self.path is None:
            return io.BytesIO(self.given or b"")
        try:
            return self.path.open("rb")
        except OSError as error:
            raise _unreadable(self.name, error) from error

    @cached_property
    def document(self) -> Any:
        """What it holds as JSON.

        Raises:
            InputError: It is no JSON.
        """
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"expected a JSON file, got {self.name}, which is none ({error}); check that it is "
                "whole"
            ) from error


def load(source: Source) -> Content:
    """Say where the content of a file comes from; that of a path is read when it is asked for.

    Raises:
        InputError: It is missing, cannot be read, or is no file.
    """
    if isinstance(source, Content):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        return Content("the bytes given", bytes(source))
    path = path_of(source)
    shown = "the file given" if path is None else repr(str(path))
    if isinstance(source, str | os.PathLike):
        content = Content(shown, None, path)
        content.head(1)
        return content
    data = _read(source, shown) if callable(getattr(source, "read", None)) else None
    if not isinstance(data, bytes):
        kind = type(source).__name__ + (" of text" if isinstance(data, str) else "")
        raise InputError(
            f"expected a path, bytes or a file opened for reading bytes, got {kind}; open files "
            'with "rb"'
        )
    return Content(shown, data, path)


def _read(file: IO[bytes], shown: str, size: int = -1) -> bytes:
    try:
        return file.read(size) if size >= 0 else file.read()
    except OSError as error:
        raise _unreadable(shown, error) from error


def _unreadable(shown: str, error: OSError) -> InputError:
    return InputError(f"cannot read {shown}: {error.strerror or error}; check the name")
