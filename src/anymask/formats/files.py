"""Where formats read from: paths, files that are open already, and bytes."""

from __future__ import annotations

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
    """What is in a file, what to call it in an error, and where it is, if that is known."""

    name: str
    data: bytes
    path: Path | None = None

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
    """Read all that is in a file.

    Raises:
        InputError: It is missing, cannot be read, or is no file.
    """
    if isinstance(source, Content):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        return Content("the bytes given", bytes(source))
    path = path_of(source)
    shown = "the file given" if path is None else repr(str(path))
    try:
        if isinstance(source, str | os.PathLike):
            return Content(shown, Path(source).read_bytes(), path)
        data = source.read() if callable(getattr(source, "read", None)) else None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot read {shown}: {reason}; check the name") from error
    if not isinstance(data, bytes):
        kind = type(source).__name__ + (" of text" if isinstance(data, str) else "")
        raise InputError(
            f"expected a path, bytes or a file opened for reading bytes, got {kind}; open files "
            'with "rb"'
        )
    return Content(shown, data, path)
