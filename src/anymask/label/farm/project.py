"""The images of a project with a store as a source, and that store as a sink."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anymask.errors import InputError
from anymask.formats import sa1b
from anymask.label.farm.sink import Labelled
from anymask.label.farm.source import Entry, Reader
from anymask.label.files import open_file
from anymask.label.records import Provenance
from anymask.label.store import Store

__all__ = ["Project", "StoreSink"]


@dataclass(frozen=True)
class Project:
    """All images that a store knows.

    Attributes:
        store: It; stays open.
    """

    store: Store

    here_only = False

    @property
    def place(self) -> str:
        """The folder of the project, and its name in the database."""
        return f"{self.store.root} ({self.store.project})"

    @property
    def reader(self) -> Reader:
        """Reads images where the store knows them to be, without the store."""
        return _ProjectReader(self.store.root)

    def entries(self) -> Iterator[Entry]:
        """List the images, each by the first of its names."""
        for image in self.store.images(honeypots=True):
            yield Entry(image.name, image.sha256)


@dataclass(frozen=True)
class _ProjectReader:
    root: Path

    def __call__(self, name: str, /) -> bytes:
        found = open_file(self.root, name)
        return found if isinstance(found, bytes) else found.read_bytes()


@dataclass(frozen=True)
class StoreSink:
    """Adds masks to a store, as those of the automatic stage, to be reviewed.

    Attributes:
        store: It.
        identity: All that decides how the masks look: the same masks are added once.
    """

    store: Store
    identity: Mapping[str, Any]

    def files(self, shard: int) -> list[str]:
        """Name no file."""
        return []

    def write(self, shard: int, images: Iterator[Labelled]) -> Mapping[int, str]:
        """Add the masks of a shard; see `Sink`. Images that the store does not know are missing."""
        purpose = json.dumps(dict(self.identity), sort_keys=True)
        token = hashlib.sha256(purpose.encode()).hexdigest()[:32]
        missing: dict[int, str] = {}
        for image in images:
            masks = sa1b.read(json.dumps(image.document()).encode())
            by = Provenance(
                version=masks.model, stage="automatic", token=f"farm {token} {image.sha256.hex()}"
            )
            try:
                self.store.add_masks(image.sha256.hex(), masks, by)
            except InputError as error:
                missing[image.number] = str(error)
        return missing
