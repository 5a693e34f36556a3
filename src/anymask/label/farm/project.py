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
from anymask.label import changes
from anymask.label.database.connection import Transaction
from anymask.label.farm.sink import Labelled, Left
from anymask.label.farm.source import Entry, Reader
from anymask.label.files import open_file
from anymask.label.images import find_image, image_row
from anymask.label.queue.leases import check_free
from anymask.label.records import SHOWN, Change, LeaseConflict, Provenance
from anymask.label.store import Store
from anymask.masks.masks import Masks

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

    What people have finished stays as it is, and so does what somebody is at work on; both are
    looked at in the same transaction that adds the masks.

    Attributes:
        store: It.
        identity: All that decides how the masks look: the same masks are added once.
    """

    store: Store
    identity: Mapping[str, Any]

    def files(self, shard: int) -> list[str]:
        """Name no file."""
        return []

    def write(self, shard: int, images: Iterator[Labelled]) -> Mapping[int, Left]:
        """Add the masks of a shard; see `Sink`. Images that the store does not know are missing."""
        purpose = json.dumps(dict(self.identity), sort_keys=True)
        token = hashlib.sha256(purpose.encode()).hexdigest()[:32]
        left: dict[int, Left] = {}
        for image in images:
            masks = sa1b.read(json.dumps(image.document()).encode())
            by = Provenance(
                version=masks.model, stage="automatic", token=f"farm {token} {image.sha256.hex()}"
            )
            try:
                found = self._add(image.sha256.hex(), masks, by)
            except LeaseConflict as error:
                found = Left("leased", str(error))
            except InputError as error:
                found = Left("missing", str(error))
            if found is not None:
                left[image.number] = found
        return left

    def _add(self, sha256: str, masks: Masks, by: Provenance) -> Left | None:
        """Add masks once; say why not if people are done with the image.

        Raises:
            LeaseConflict: Somebody is at work on it.
            InputError: The store does not know it.
        """

        def work(transaction: Transaction) -> Left | None:
            project = self.store.project_id
            image = find_image(transaction, project, sha256)
            row = image_row(transaction, project, image.id)
            if changes.was_done(transaction, project, by.token or ""):
                return None
            if row.state not in ("open", *SHOWN):  # of known masks, they are for whoever comes next
                return Left("finished", _FINISHED.format(image.name))
            check_free(transaction, project, row, None)
            add = Change("add", masks=masks)
            changes.apply(transaction, project, image.id, [add], by, is_free=True)
            return None

        return self.store.database.write(work)


_FINISHED = "{!r} stays as it is: people have finished it; open it again for masks of a model"
