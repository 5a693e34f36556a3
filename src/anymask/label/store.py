"""The store of a project: images, masks and their history, and who works on what."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.label import changes, images, names
from anymask.label.adding import add_files, check_files
from anymask.label.database import migrate
from anymask.label.database.connection import Database, Transaction
from anymask.label.database.counters import count_again, read_counters
from anymask.label.database.exclusive import exclusive
from anymask.label.database.place import Place, find_place, point_to
from anymask.label.files import open_file
from anymask.label.queue import leases
from anymask.label.queue import order as queue
from anymask.label.queue.order import Order
from anymask.label.records import (
    Added,
    Change,
    ImageRecord,
    ImageState,
    LabelClass,
    Lease,
    ModelVersion,
    Provenance,
    Review,
    Revision,
    StoredMasks,
    VersionKind,
)
from anymask.label.status import Status, read_status
from anymask.masks.masks import Masks

__all__ = ["Store"]

Result = TypeVar("Result")
Folder = str | os.PathLike[str]


class Store:
    """The store of a project, in a file of SQLite or a database of PostgreSQL.

    It may be used from any number of threads and processes at once. What a method has returned is
    on the disk: a process that is killed afterwards loses nothing of it.

    Attributes:
        root: Folder of the project, from which the paths of images count.
        project: Its name in the database.
        project_id: Its number there.
        database: The connection.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from anymask import Image, Masks
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.open(np.zeros((4, 6, 3), np.uint8)).save(folder / "a.png")
        >>> store = Store.init(folder)
        >>> store.add(folder).added
        ('a.png',)
        >>> lease = store.next("Ada")
        >>> sky = Masks.from_dense(np.ones((4, 6), bool), labels=["sky"])
        >>> ((mask, revision),) = store.add_masks(lease.image, sky, Provenance(person="Ada"))
        >>> store.finish(lease, seconds=12)
        >>> store.edit_mask(mask, revision, sky.filter(), Provenance(person="Bob"))
        2
        >>> [(one.revision, one.action, one.person) for one in store.history(mask)]
        [(1, 'add', 'Ada'), (2, 'edit', 'Bob')]
        >>> store.close()
    """

    def __init__(self, place: Place, database: Database, project_id: int) -> None:
        """Use `init` or `open`."""
        self.root, self.project, self.database = place.root, place.project, database
        self.project_id = project_id

    # ------------------------------------------------------------------ making and opening

    @classmethod
    def init(
        cls,
        folder: Folder,
        *,
        database: str | None = None,
        project: str | None = None,
        patience: float = 30.0,
    ) -> Store:
        """Make the store of a folder, or open it if there is one.

        Args:
            folder: Folder of the images; made when missing.
            database: Address of a database of PostgreSQL, such as
                ``"postgresql://user@host/name"``; the folder remembers it, without its password
                (give that in ``PGPASSWORD`` or ``~/.pgpass``). None: a file in the folder.
            project: Its name in the database, where there are several; None: that of the folder.
            patience: See `open`.

        Raises:
            InputError: The address is of no known database, or what is there is no store, is
                damaged, or was written by a newer version of anymask.
            OutputError: The database cannot be reached, or not be written to.
            MissingExtraError: SQLAlchemy or another package of the extra ``label`` is missing.
        """
        from anymask.atomic import make_folder

        place = find_place(folder, database, project)
        make_folder(place.root)
        opened = Database(place.url, patience)
        try:
            migrate.upgrade(opened)
            number = opened.write(lambda t: names.project_id(t, place.project, make=True))
            opened.project = number
            if database is not None or project is not None:
                point_to(place)
        except BaseException:
            opened.close()
            raise
        return cls(place, opened, number)

    @classmethod
    def open(
        cls,
        folder: Folder,
        *,
        database: str | None = None,
        project: str | None = None,
        patience: float = 30.0,
    ) -> Store:
        """Open the store of a folder.

        Args:
            folder: Folder of the images.
            database: See `init`; None: what the folder remembers.
            project: See `init`.
            patience: Seconds for which everything is tried again while others keep the database
                busy, or while the server is away.

        Raises:
            InputError: There is no store, or as for `init`.
            OutputError: As for `init`.
        """
        place = find_place(folder, database, project)
        opened = Database(place.url, patience)
        try:
            if not migrate.is_store(opened):
                raise InputError(
                    f"expected a store for {str(place.root)!r}, got none; make it with: anymask "
                    f"label init {place.root}"
                )
            migrate.upgrade(opened)
            number = opened.read(lambda t: names.project_id(t, place.project, make=False))
            opened.project = number
        except BaseException:
            opened.close()
            raise
        return cls(place, opened, number)

    def close(self) -> None:
        """Close all connections."""
        self.database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, work: Callable[..., Result], *values: Any, **named: Any) -> Result:
        return self.database.read(lambda t: work(t, self.project_id, *values, **named))

    def _write(self, work: Callable[..., Result], *values: Any, **named: Any) -> Result:
        return self.database.write(lambda t: work(t, self.project_id, *values, **named))

    # ------------------------------------------------------------------------------ images

    def add(
        self,
        places: Folder | Iterable[Folder],
        *,
        accept_changes: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> Added:
        """Add images. Those that are there already, under whatever name, are not added twice.

        Args:
            places: Files, folders (with all that is in them), patterns such as ``"in/**/*.jpg"``,
                or addresses that fsspec knows, such as ``"s3://bucket/photos"``.
            accept_changes: Where a file has another content than when its masks were made, take
                the new content as a new image. The masks stay with the old one.
            progress: Called with the number of files so far.

        Returns:
            What became of each.

        Raises:
            InputError: A place is not there, or holds no image.
        """
        given = [places] if isinstance(places, str | os.PathLike) else list(places)
        return add_files(self.database, self.project_id, self.root, given, accept_changes, progress)

    def check(self, *, progress: Callable[[int], object] | None = None) -> Added:
        """Look at the files of all images again: which are gone, and which were changed?

        Returns:
            What became of each name; those that are as they were are ``known``.
        """
        return check_files(self.database, self.project_id, self.root, progress)

    def image(self, image: int | str) -> ImageRecord:
        """Give an image by its number, one of its names, or its digest.

        Raises:
            InputError: There is none.
        """
        return self._read(images.find_image, image)

    def images(self, *, honeypots: bool = False) -> Iterator[ImageRecord]:
        """Go through all images, in the order in which they were added.

        Args:
            honeypots: Also through those whose masks are known, see
                `anymask.label.review.honeypots`.
        """
        last = 0
        while found := self._read(images.list_images, after=last, honeypots=honeypots):
            yield from found
            last = found[-1].id

    def open_image(self, image: ImageRecord) -> Path | bytes:
        """Give the file of an image, for `anymask.Image.open`.

        Raises:
            InputError: It is under none of its names any more.
        """
        wrong = InputError(f"expected an image with a name, got {image.sha256[:12]}; add it again")
        for name in image.names:
            try:
                return open_file(self.root, name)
            except InputError as error:
                wrong = error
        raise wrong

    def find_image(self, name: str) -> ImageRecord | None:
        """Give the image of a name; None if there is none."""
        return self._read(images.image_of_name, name)

    def image_meta(self, image: int) -> dict[str, Any]:
        """Give what files of masks said of an image, as plain JSON values."""
        return self._read(images.read_meta, image)

    def set_image_meta(self, image: int, meta: Mapping[str, Any]) -> None:
        """Keep what is said of an image, besides its masks, as plain JSON values."""
        self._write(images.save_meta, image, meta)

    def problems(self, limit: int = 100) -> list[tuple[str, str]]:
        """List names of images whose file was ``"gone"`` or ``"changed"`` when last looked at."""
        query = """
            SELECT name, state FROM image_names WHERE project_id = :id AND state = :state
            ORDER BY name LIMIT :limit"""

        def look(transaction: Transaction) -> list[tuple[str, str]]:
            return [
                (row.name, row.state)
                for state in ("changed", "gone")
                for row in transaction.rows(query, id=self.project_id, state=state, limit=limit)
            ]

        return self.database.read(look)[:limit]

    # ------------------------------------------------------------------------------- masks

    def masks(self, image: ImageRecord | int | str) -> StoredMasks:
        """Give the masks of an image as they are now, with what a change of each must name.

        Raises:
            InputError: There is no such image.
        """
        return self._read(changes.read_masks, self._number(image))

    def add_masks(
        self,
        image: ImageRecord | int | str,
        masks: Masks,
        provenance: Provenance,
        *,
        review: Review = "pending",
    ) -> list[tuple[int, int]]:
        """Add masks to an image; classes of their labels are made when missing.

        Args:
            image: The image, or its number, name or digest.
            masks: Of that image; low-resolution logits are not kept.
            provenance: Who or what made them. With a ``token``, the same call again adds nothing.
            review: Whether they count as reviewed.

        Returns:
            For each mask its number and its revision, which is 1.

        Raises:
            LeaseConflict: Somebody else has the image at the moment.
            InputError: There is no such image, or it has another size; or the masks are a model's
                (no ``person``) and people are done with the image.
        """
        return self.change(image, [Change("add", masks=masks, review=review)], provenance)

    def edit_mask(self, mask: int, revision: int, masks: Masks, provenance: Provenance) -> int:
        """Put another mask, a `Masks` of one with its label, in the place of one.

        Args:
            mask: Its number.
            revision: The revision that you saw.
            masks: How it should be.
            provenance: Who does it.

        Returns:
            The new revision.

        Raises:
            RevisionConflict: Somebody else has changed it meanwhile; nothing happens.
            LeaseConflict: Somebody else has the image at the moment; nothing happens.
        """
        return self._change_one(Change("edit", mask, revision, masks=masks), provenance)

    def review_mask(self, mask: int, revision: int, review: Review, provenance: Provenance) -> int:
        """Accept or reject a mask, see `edit_mask`."""
        return self._change_one(Change("review", mask, revision, review=review), provenance)

    def delete_mask(self, mask: int, revision: int, provenance: Provenance) -> int:
        """Take a mask away; its history stays, and it can be restored. See `edit_mask`."""
        return self._change_one(Change("delete", mask, revision), provenance)

    def restore_mask(
        self, mask: int, revision: int, provenance: Provenance, *, to: int | None = None
    ) -> int:
        """Bring an earlier revision of a mask back, as a new revision, see `edit_mask`.

        Args:
            mask: Its number.
            revision: The revision that you saw.
            provenance: Who does it.
            to: Which one to bring back; None: undo. To undo again goes one further back.
        """
        return self._change_one(Change("restore", mask, revision, to=to), provenance)

    def change(
        self,
        image: ImageRecord | int | str,
        all_or_none: Sequence[Change],
        provenance: Provenance,
    ) -> list[tuple[int, int]]:
        """Make several changes of the masks of one image, all or none.

        Returns:
            For each mask that was changed or added, in order, its number and its new revision.

        Raises:
            RevisionConflict: Somebody else has changed one of them meanwhile; nothing happens.
            LeaseConflict: Somebody else has the image at the moment; nothing happens.
            InputError: A change is none, or of a mask of another image.
        """
        return self._write(changes.apply, self._number(image), all_or_none, provenance)

    def was_done(self, token: str) -> bool:
        """Return whether a request of this token was done, see `Provenance`."""
        return self._read(changes.was_done, token)

    def history(self, mask: int) -> list[Revision]:
        """List all revisions of a mask, the first one first.

        Raises:
            InputError: There is no such mask.
        """
        return self._read(changes.history, mask)

    def _change_one(self, change: Change, provenance: Provenance) -> int:
        def work(transaction: Transaction) -> int:
            query = """
                SELECT m.image_id FROM masks m JOIN images i ON i.id = m.image_id
                WHERE m.id = :mask AND i.project_id = :project"""
            image = transaction.value(query, mask=change.mask, project=self.project_id)
            if image is None:
                raise InputError(
                    f"expected the number of a mask, got {change.mask!r}; list the image's masks"
                )
            return changes.apply(transaction, self.project_id, int(image), [change], provenance)[0][
                1
            ]

        return self.database.write(work)

    def _number(self, image: ImageRecord | int | str) -> int:
        if isinstance(image, str):
            return self.image(image).id
        return image.id if isinstance(image, ImageRecord) else image

    # ----------------------------------------------------------------------- who does what

    def next(
        self,
        person: str,
        *,
        order: Order = "added",
        state: ImageState = "open",
        seconds: float = 900.0,
        skip: Sequence[int] = (),
        tab: str | None = None,
    ) -> Lease | None:
        """Give a person an image to work on, which nobody else gets meanwhile.

        Who has one gets the same again, so that nothing is lost when a page is loaded anew.

        Args:
            person: Who asks.
            order: Which images come first, see `anymask.label.queue.order`.
            state: Which images: ``"open"`` to label, ``"done"`` to review.
            seconds: How long the lease lasts unless it is renewed, at least 1.
            skip: Numbers of images that are not wanted.
            tab: Names one of several pages of a person: each of them gets an image of its own, and
                so does who names none, such as the command line.

        Returns:
            The lease; None if there is no image left, or others have all that are.
        """
        return self._write(
            leases.take, person, order=order, state=state, seconds=seconds, skip=skip, tab=tab
        )

    def lease(
        self,
        image: ImageRecord | int | str,
        person: str,
        *,
        seconds: float = 900.0,
        tab: str | None = None,
    ) -> Lease:
        """Give a person a certain image, whatever its state; see `next`.

        Raises:
            LeaseConflict: Somebody else has it, or another tab of this person.
            InputError: There is no such image.
        """
        return self._write(leases.take_image, person, self._number(image), seconds=seconds, tab=tab)

    def renew(self, lease: Lease | str, seconds: float = 900.0) -> None:
        """Let a lease, or that of a token, last for so many seconds from now.

        Raises:
            InputError: It ran out, and somebody else has the image by now.
        """
        self._write(leases.renew, _token(lease), seconds)

    def release(self, lease: Lease | str, *, skip: bool = False) -> None:
        """Give an image back as it is; with ``skip``, it comes last from now on."""
        self._write(leases.release, _token(lease), skip=skip)

    def finish(
        self, lease: Lease | str, state: ImageState = "done", *, seconds: float = 0.0
    ) -> None:
        """Say that the work on an image is done, and how long it took; to say it again is no harm.

        Whoever heard no answer may say it again: it happens once.

        Args:
            lease: That of the image.
            state: ``"done"``; ``"accepted"`` or ``"open"`` by a reviewer.
            seconds: Time spent.

        Raises:
            InputError: The lease ran out, and somebody else has the image by now; or it ended with
                another state before.
        """
        self._write(leases.finish, _token(lease), state, seconds)

    def leases(self) -> list[Lease]:
        """List who has which image at the moment; the tokens are left out."""
        return self._read(leases.list_leases)

    # ------------------------------------------------------------------ classes and versions

    def classes(self, *, shown: bool = False) -> list[LabelClass]:
        """List the classes, oldest first; for ``shown``, see `status`."""
        return self._read(names.list_classes, shown=shown)

    def add_classes(self, classes: Iterable[str]) -> list[LabelClass]:
        """Make classes, in this order; those that are there already stay."""
        for name in classes:
            self._write(names.class_ids, [name])
        return self.classes()

    def rename_class(self, old: str, new: str, *, token: str | None = None) -> None:
        """Give a class another name: all its masks have it at once, in their history, too.

        Args:
            old: Its name.
            new: Another, which no class has.
            token: Names the request, see `Provenance`.

        Raises:
            InputError: There is none of the old name, or one of the new.
        """
        self._write(names.rename_class, old, new, token)

    def recolor_class(self, name: str, color: str) -> None:
        """Give a class another colour, such as ``"#4da3ff"``.

        Raises:
            InputError: There is no such class, or it is no colour.
        """
        self._write(names.recolor_class, name, color)

    def versions(self) -> list[ModelVersion]:
        """List the model versions, oldest first."""
        return self._read(names.list_versions)

    def add_version(
        self,
        name: str,
        path: str,
        *,
        parent: str | None = None,
        metrics: Mapping[str, Any] | None = None,
        kind: VersionKind = "model",
        token: str | None = None,
    ) -> None:
        """Register a version of a model, see `ModelVersion`; the token names the request.

        Raises:
            InputError: There is one of that name already, or no such kind.
        """
        self._write(names.add_version, name, path, parent, metrics or {}, kind, token)

    def promote(self, name: str) -> None:
        """Make a version the one in use of its kind.

        Raises:
            InputError: There is none of that name.
        """
        self._write(names.promote, name)

    # -------------------------------------------------------------------- orders and numbers

    def set_embeddings(self, vectors: Mapping[int, npt.NDArray[np.float32]]) -> None:
        """Keep embeddings of images, and order those that are open by novelty.

        Args:
            vectors: float32 (k,) each, by the numbers of the images.
        """
        self._write(queue.save_embeddings, vectors)
        queue.order_by_novelty(self.database, self.project_id)

    def set_agreement(self, agreement: Mapping[int, float]) -> None:
        """Keep how well two model versions agree, 0 to 1, by the numbers of the images."""
        self._write(queue.save_agreement, agreement)

    def status(self, *, shown: bool = False) -> Status:
        """Say how far the work is; ``shown``: as annotators see it, known masks counted, too."""
        return self._read(read_status, shown=shown)

    def counters(self) -> dict[str, float]:
        """Give the sums that are kept: images, masks, revisions and time, by what they are."""
        return dict(self._read(read_counters))

    def count_again(self) -> dict[str, float]:
        """Work these sums out from all rows, which takes long; they must be the same."""
        return dict(self._read(count_again))

    @contextmanager
    def exclusive(self, what: str) -> Iterator[None]:
        """Do something that only one process may do at a time, such as ``"retrain"``.

        The system or the server takes the lock away when the process ends, even if killed.

        Raises:
            InputError: Somebody is at it.
        """
        with exclusive(self.database, self.project_id, what):
            yield


def _token(lease: Lease | str) -> str:
    return lease if isinstance(lease, str) else lease.token
