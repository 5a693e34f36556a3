"""The formats that a farm writes, each with what makes its sink."""

from __future__ import annotations

from collections.abc import Callable

from anymask.errors import InputError
from anymask.folder import ResumableFolder
from anymask.label.farm.parquet import Parquet
from anymask.label.farm.shards import Shards
from anymask.label.farm.sink import Sink

__all__ = ["SINKS", "make_sink"]

SINKS: dict[str, Callable[[ResumableFolder], Sink]] = {"sa1b": Shards, "parquet": Parquet}
"""What makes each sink, by the name of its format."""


def make_sink(format: str, folder: ResumableFolder) -> Sink:
    """Make the sink of a format.

    Raises:
        InputError: There is no such format.
        MissingExtraError: What writes it is not installed.
    """
    if format not in SINKS:
        raise InputError(f"expected a format out of {', '.join(SINKS)}, got {format!r}; name one")
    return SINKS[format](folder)
