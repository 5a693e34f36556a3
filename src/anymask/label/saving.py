"""All masks of an image at once, as an editor has them: what differs becomes revisions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from anymask.errors import InputError
from anymask.label import changes
from anymask.label.database.connection import Transaction
from anymask.label.images import find_image, image_row
from anymask.label.queue.leases import check_free
from anymask.label.records import (
    Change,
    ImageRecord,
    Provenance,
    Review,
    RevisionConflict,
    StoredMasks,
)
from anymask.masks.masks import Masks

if TYPE_CHECKING:
    from anymask.label.store import Store

__all__ = ["Saved", "Wanted", "save_masks"]


@dataclass(frozen=True)
class Wanted:
    """How the masks of an image should be; those that are not in it are deleted.

    Attributes:
        masks: n masks, with their labels.
        ids: The number of each in the store; None for a new one. That of a deleted mask brings it
            back.
        reviews: What is said of each.
        seconds: Time that somebody has worked on each since it was saved last, or None.
        versions: The model version that the pixels of each came from, where they are new; None:
            drawn by hand. Empty: all of them are.
    """

    masks: Masks
    ids: tuple[int | None, ...]
    reviews: tuple[Review, ...]
    seconds: tuple[float | None, ...]
    versions: tuple[str | None, ...] = ()

    def version(self, i: int) -> str | None:
        """Give the model version that a mask came from."""
        return self.versions[i] if self.versions else None

    def __post_init__(self) -> None:
        """Check that every mask has everything, and none is there twice."""
        lengths = {len(self.masks), len(self.ids), len(self.reviews), len(self.seconds)}
        lengths |= {len(self.versions)} if self.versions else set()
        if len(lengths) > 1:
            raise InputError(
                f"expected a number, a review and seconds for each of {len(self.masks)} masks, got "
                f"{len(self.ids)}, {len(self.reviews)} and {len(self.seconds)}; give None for what "
                "is not known"
            )
        known = [one for one in self.ids if one is not None]
        if len(set(known)) < len(known):
            raise InputError("expected each mask once, got a number twice; leave one out")


@dataclass(frozen=True)
class Saved:
    """What came of it.

    Attributes:
        revision: That of the image now.
        ids: The number of each mask.
    """

    revision: int
    ids: tuple[int, ...]


def save_masks(
    store: Store,
    image: ImageRecord | int,
    wanted: Wanted,
    revision: int,
    provenance: Provenance,
) -> Saved:
    """Let the masks of an image be as wanted: each that differs gets a revision, all or none.

    A mask that is again what it was in an earlier revision is restored to that one, so that what
    an editor undoes is an undo in its history, too.

    Args:
        store: The store.
        image: The image, or its number.
        wanted: All its masks.
        revision: The `ImageRecord.revision` that you saw.
        provenance: Who does it. With a ``token``, the same call again changes nothing, and gives
            the same answer.

    Raises:
        RevisionConflict: Somebody else has changed the image meanwhile; nothing happens.
        LeaseConflict: Somebody else has the image.
        InputError: A mask is of another image, or of another size.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from anymask import Image
        >>> from anymask.label import Store
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.open(np.zeros((4, 6, 3), np.uint8)).save(folder / "a.png")
        >>> store = Store.init(folder)
        >>> _ = store.add(folder)
        >>> sky = Masks.from_dense(np.ones((4, 6), bool), labels=["sky"])
        >>> ada = Provenance(person="Ada")
        >>> save_masks(store, 1, Wanted(sky, (None,), ("pending",), (3.0,)), 0, ada)
        Saved(revision=1, ids=(1,))
        >>> save_masks(store, 1, Wanted(sky, (1,), ("accepted",), (None,)), 1, ada)
        Saved(revision=2, ids=(1,))
        >>> [one.action for one in store.history(1)]
        ['add', 'review']
        >>> store.close()
    """
    number = image if isinstance(image, int) else image.id

    def work(transaction: Transaction) -> Saved:
        project = store.project_id
        row = image_row(transaction, project, number)
        done = changes.answered(transaction, project, provenance.token)
        if done is None:
            current = changes.read_masks(transaction, project, number)
            different = list(_changes(transaction, project, current, wanted))
            if not different:  # whoever wants what is there is in nobody's way
                return Saved(row.revision, tuple(one for one in wanted.ids if one is not None))
            check_free(transaction, project, row, provenance.person)
            _check_revision(transaction, project, row, revision)
            done = changes.apply(transaction, project, number, different, provenance, is_free=True)
        added = iter(mask for mask, _ in done)  # new masks come first in the answer
        ids = tuple(next(added) if one is None else one for one in wanted.ids)
        return Saved(revision + bool(done), ids)

    return store.database.write(work)


def _check_revision(transaction: Transaction, project: int, row: object, revision: int) -> None:
    if row.revision == revision:  # type: ignore[attr-defined]
        return
    record = find_image(transaction, project, row.id)  # type: ignore[attr-defined]
    raise RevisionConflict(
        f"expected the latest revision {record.revision} of the image {record.name!r}, got "
        f"{revision}: somebody has changed it meanwhile; look at it as it is now, and change that",
        record,
    )


def _changes(
    transaction: Transaction, project: int, current: StoredMasks, wanted: Wanted
) -> Iterator[Change]:
    """Say what has to happen; new masks first."""
    places = {mask: place for place, mask in enumerate(current.ids)}
    for i, number in enumerate(wanted.ids):
        if number is None:
            review, seconds = wanted.reviews[i], wanted.seconds[i]
            masks, version = wanted.masks[i], wanted.version(i)
            yield Change("add", masks=masks, review=review, seconds=seconds, version=version)
    for i, number in enumerate(wanted.ids):
        if number is None:
            continue
        at = places.pop(number, None)
        if at is None:
            yield from _back(transaction, project, number, wanted, i)
        else:
            now = _Now(current.masks[at], current.revisions[at], current.reviews[at])
            yield from _one(transaction, project, number, now, wanted, i)
    for number, at in places.items():
        yield Change("delete", number, current.revisions[at])


@dataclass(frozen=True)
class _Now:
    """A mask as the store has it."""

    masks: Masks
    revision: int
    review: Review


def _one(
    transaction: Transaction, project: int, number: int, now: _Now, wanted: Wanted, i: int
) -> Iterator[Change]:
    """Say what has to happen to a mask that is there."""
    masks, review, seconds = wanted.masks[i], wanted.reviews[i], wanted.seconds[i]
    if not _alike(masks, now.masks):
        earlier = changes.history(transaction, project, number)[:-1]
        like = [one for one in reversed(earlier) if not one.deleted and _alike(masks, one.masks)]
        same = next((one for one in like if one.review == review), None)
        if same is not None:
            yield Change("restore", number, now.revision, to=same.revision, seconds=seconds)
            return
        edited = _with_rest(masks, now.masks)
        version = wanted.version(i)
        yield Change("edit", number, now.revision, masks=edited, seconds=seconds, version=version)
        now = replace(now, revision=now.revision + 1)
        seconds = 0.0
    if review != now.review:
        yield Change("review", number, now.revision, review=review, seconds=seconds)


def _back(
    transaction: Transaction, project: int, number: int, wanted: Wanted, i: int
) -> Iterator[Change]:
    """Bring back a mask that was deleted, and make it what is wanted."""
    told = changes.history(transaction, project, number)
    there = [one for one in told if not one.deleted]
    alike = [one for one in there if _alike(wanted.masks[i], one.masks)]
    old = (alike or there)[-1]
    yield Change("restore", number, told[-1].revision, to=old.revision, seconds=wanted.seconds[i])
    now = _Now(old.masks, told[-1].revision + 1, old.review)
    quickly = replace(wanted, seconds=(None,) * len(wanted.ids))
    yield from _one(transaction, project, number, now, quickly, i)


def _alike(a: Masks, b: Masks) -> bool:
    """Return whether an editor would see no difference: pixels, class, and what else is said."""
    same = np.array_equal(a.counts[0], b.counts[0])
    return same and a.labels == b.labels and a.meta == b.meta and a.ids == b.ids


def _with_rest(masks: Masks, before: Masks) -> Masks:
    """Keep what is known of the pixels, where these are the same, and what no editor carries."""
    kept: dict[str, object] = {"crop_boxes": before.crop_boxes}
    if np.array_equal(masks.counts[0], before.counts[0]):
        for name in ("scores", "stability", "prompts"):
            kept[name] = getattr(before, name)
    return replace(masks, **kept)  # type: ignore[arg-type]
