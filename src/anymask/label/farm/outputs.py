"""The formats that a farm writes, each with what makes its sink."""

from __future__ import annotations

from collections.abc import Callable

from anymask.errors import InputError
from anymask.folder import ResumableFolder
from anymask.label.farm.parquet import Parquet
from anymask.label.farm.shards import Shards
from anymask.label.farm.sink import Sink
from anymask.label.farm.source import Source

__all__ = ["SINKS", "make_sink"]


def _store(folder: ResumableFolder, source: Source) -> Sink:
    from anymask.label.farm.project import Project, StoreSink  # needs the extra "label"

    if not isinstance(source, Project):
        raise InputError(
            f"expected a project for the format 'store', got {source.place!r}; make one of the "
            "images (anymask label init)"
        )
    return StoreSink(source.store, folder.identity)


SINKS: dict[str, Callable[[ResumableFolder, Source], Sink]] = {
    "sa1b": lambda folder, source: Shards(folder),
    "parquet": lambda folder, source: Parquet(folder),
    "store": _store,
}
"""What makes each sink, of results and their source, by the name of its format."""


def make_sink(format: str, folder: ResumableFolder, source: Source) -> Sink:
    """Make the sink of a format.

    Raises:
        InputError: There is no such format, or it cannot take what the source holds.
        MissingExtraError: What writes it is not installed.
    """
    if format not in SINKS:
        raise InputError(f"expected a format out of {', '.join(SINKS)}, got {format!r}; name one")
    return SINKS[format](folder, source)
