"""Known masks, mixed into the queue, that score annotators.

An image whose masks are known is labelled by everybody once, as if it were any other: `Store.next`
hands it out now and then, without a word, and what it says of it is what it says of a fresh image.
When a person is done, it stays as he left it, and so he finds it when he goes back; the next one
who gets it finds it as it was in the beginning, see `hidden`. Such images are no part of the work:
exports, statistics, audits and retraining leave them out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anymask.errors import InputError
from anymask.label.database.clock import wall_time
from anymask.label.database.connection import Transaction
from anymask.label.database.counters import KNOWN, Counters, apart_of, forget
from anymask.label.images import find_image, image_row
from anymask.label.names import class_ids
from anymask.label.queue.leases import check_free
from anymask.label.records import HIDDEN, SHOWN, ImageRecord
from anymask.label.review.agreement import Share, honeypots, pair, share
from anymask.label.review.hidden import forget_answers, numbers, read_answer, share_of
from anymask.label.transfer import image_of
from anymask.masks import rle
from anymask.masks.masks import Masks

if TYPE_CHECKING:
    from anymask.label.store import Store

__all__ = [
    "HoneypotScore",
    "Honeypots",
    "add_honeypot",
    "import_honeypots",
    "list_honeypots",
    "remove_honeypot",
    "score_annotators",
    "set_honeypot_share",
]


@dataclass(frozen=True)
class Honeypots:
    """The images of a project whose masks are known.

    Attributes:
        images: Name of each, and the number of its known masks.
        share: Of the images that are handed out, so many are of these.
    """

    images: tuple[tuple[str, int], ...]
    share: float


@dataclass(frozen=True)
class HoneypotScore:
    """How good an annotator was on known masks.

    Attributes:
        person: Name of the annotator.
        images: Number of images that were labelled.
        known: Number of known masks in them.
        found: Share of these that have a partner, a mask of the annotator with an IoU of 0.5 or
            more; what else the annotator made does not count, for it may be right.
        mean_iou: Of the known masks and their partners; NaN without any.
        above_90: Share of the known masks whose partner has an IoU above 0.9.
        above_75: The same for 0.75.
        named: Share of the partners with the class of the known mask, of those that have one.
        seconds: Time spent on these images.
    """

    person: str
    images: int
    known: int
    found: Share
    mean_iou: float
    above_90: Share
    above_75: Share
    named: Share
    seconds: float


# -------------------------------------------------------------------------- which they are


def add_honeypot(store: Store, image: ImageRecord | int | str, known: Masks) -> None:
    """Say which masks an image has; from now on it scores annotators, and is no part of the work.

    Once more for the same image, other known masks take their place.

    Args:
        store: The store.
        image: An image that is open and that people have not labelled, or its number, name or
            digest. What models have filled in stays, for annotators to find.
        known: At least one mask of it, of the size of the image; labels may be None.

    Raises:
        LeaseConflict: Somebody has it at the moment.
        InputError: There is no such image, people have labelled it, or the masks do not fit.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from anymask import Image
        >>> from anymask.label import Provenance, Store
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in "ab":
        ...     Image.open(np.full((4, 6, 3), ord(name), np.uint8)).save(folder / f"{name}.png")
        >>> store = Store.init(folder)
        >>> added = store.add(folder)
        >>> known = Masks.from_dense(np.eye(4, 6, dtype=bool), labels=["line"])
        >>> add_honeypot(store, "b.png", known)
        >>> set_honeypot_share(store, 1)  # the very next image, to see it
        >>> lease = store.next("Ada")
        >>> lease.image.name, lease.image.state
        ('b.png', 'open')
        >>> made = store.add_masks(lease.image, known, Provenance(person="Ada"))
        >>> store.finish(lease)
        >>> (ada,) = score_annotators(store)
        >>> ada.person, ada.found.value, ada.mean_iou
        ('Ada', 1.0, 1.0)
        >>> store.status().images, store.status().masks
        (1, 0)
        >>> store.close()
    """
    number = image.id if isinstance(image, ImageRecord) else image

    def work(transaction: Transaction) -> None:
        found = find_image(transaction, store.project_id, number)
        row = image_row(transaction, store.project_id, found.id)
        _check(transaction, store.project_id, row, found, known)
        names = class_ids(transaction, store.project_id, known.labels)
        rows = [
            [rle.to_string(counts), names[label]]
            for counts, label in zip(known.counts, known.labels, strict=True)
        ]
        transaction.run(
            "INSERT INTO honeypots (image_id, known, at) VALUES (:image, :known, :at) "
            "ON CONFLICT (image_id) DO UPDATE SET known = excluded.known",
            image=row.id,
            known=json.dumps(rows),
            at=wall_time(transaction),
        )
        if row.state not in SHOWN:
            _count(transaction, store.project_id, row, -1)
            _count(transaction, store.project_id, row, 1, apart_of(KNOWN, row.id))
            _become(transaction, row.id, HIDDEN["open"])

    store.database.write(work)


def _check(
    transaction: Transaction, project: int, row: Any, image: ImageRecord, known: Masks
) -> None:
    check_free(transaction, project, row, None)
    if known.size_hw != image.size_hw or not len(known) or not (known.areas > 0).all():
        (h, w), (found_h, found_w) = image.size_hw, known.size_hw
        raise InputError(
            f"expected known masks of {w} x {h}, none of them empty, for {image.name!r}, got "
            f"{len(known)} of {found_w} x {found_h}; draw them on the image as it is"
        )
    query = """
        SELECT count(*) FROM masks m JOIN revisions r ON r.mask_id = m.id
        JOIN revisions l ON l.mask_id = m.id AND l.revision = m.revision
        WHERE m.image_id = :image AND r.person_id IS NOT NULL AND l.action <> 'retire'"""
    touched = row.state not in SHOWN and transaction.value(query, image=row.id)
    if touched or row.state not in ("open", *SHOWN):
        raise InputError(
            f"expected an open image that nobody has worked on, got {image.name!r}; take a photo "
            "that is new, or a copy of it under another content"
        )


def _count(transaction: Transaction, project: int, image: Any, by: int, apart: str = "") -> None:
    """Count an image and its masks in or out."""
    counters = Counters()
    counters.add("images", by)
    counters.add(f"images.{SHOWN.get(image.state, image.state)}", by)
    counters.add("seconds", by * image.seconds)
    query = """
        SELECT r.*, m.revision AS latest FROM masks m JOIN revisions r ON r.mask_id = m.id
        WHERE m.image_id = :image"""
    counters.history(transaction.rows(query, image=image.id), by)
    counters.save(transaction, project, apart)


def _become(transaction: Transaction, image: int, state: str) -> None:
    """Give an image another state; a lease that ran out ends, for it was of the image before."""
    query = """
        UPDATE images SET state = :state, lease = NULL, lease_person_id = NULL, lease_until = 0
        WHERE id = :image"""
    transaction.run(query, state=state, image=image)


def remove_honeypot(store: Store, image: ImageRecord | int | str) -> None:
    """Make an image whose masks are known one like all others; what people answered is forgotten.

    Raises:
        LeaseConflict: Somebody has it at the moment.
        InputError: Its masks are not known.
    """
    number = image.id if isinstance(image, ImageRecord) else image

    def work(transaction: Transaction) -> None:
        found = find_image(transaction, store.project_id, number)
        row = image_row(transaction, store.project_id, found.id)
        check_free(transaction, store.project_id, row, None)
        if row.state not in SHOWN:
            raise InputError(
                f"expected an image whose masks are known, got {found.name!r}; see which there "
                "are: anymask label honeypots"
            )
        forget(transaction, store.project_id, row.id)
        forget_answers(transaction, row.id)
        _become(transaction, row.id, "open")
        _count(transaction, store.project_id, image_row(transaction, store.project_id, row.id), 1)
        if not numbers(transaction, store.project_id):
            forget(transaction, store.project_id)

    store.database.write(work)


def set_honeypot_share(store: Store, value: float) -> None:
    """Say which share of the images that are handed out should be ones whose masks are known.

    Raises:
        InputError: It is not from 0 to 1.
    """
    if not 0 <= value <= 1:
        raise InputError(f"expected a share from 0 to 1, got {value}; 0.05 is usual")
    query = "UPDATE projects SET honeypots = :share WHERE id = :id"
    store.database.write(lambda t: t.run(query, share=float(value), id=store.project_id))


def list_honeypots(store: Store) -> Honeypots:
    """List the images whose masks are known."""
    query = """
        SELECT h.image_id, h.known FROM honeypots h JOIN images i ON i.id = h.image_id
        WHERE i.project_id = :project ORDER BY h.image_id"""

    def look(transaction: Transaction) -> Honeypots:
        rows = transaction.rows(query, project=store.project_id)
        images = [
            (
                find_image(transaction, store.project_id, row.image_id).name,
                len(json.loads(row.known)),
            )
            for row in rows
        ]
        return Honeypots(tuple(images), share_of(transaction, store.project_id))

    return store.database.read(look)


def import_honeypots(
    store: Store,
    source: str | Path,
    *,
    format: str | None = None,
    images: str | Path | None = None,
) -> tuple[int, tuple[tuple[str, str], ...]]:
    """Read known masks from files of any format; images that are new are added.

    Args:
        store: The store.
        source: A file of masks, or a folder of such files or of a data set.
        format: Name of the format; None: what is in the files tells.
        images: Folder of the images; None: they are looked for beside the masks.

    Returns:
        The number of images, and those that were refused with the reason.

    Raises:
        InputError: There are no masks, or a file is damaged; images before it are known by then.
    """
    from anymask.formats import conversion

    number, failed = 0, []
    place = None if images is None else Path(images)
    for found in conversion.read_place(Path(source), format, place):
        name = found.masks.source or found.name
        try:
            image = image_of(store, found)
            if image is None:
                raise InputError(
                    f"expected an image for the masks of {found.name!r}, got none; put it beside "
                    "them, or say where it is (images)"
                )
            add_honeypot(store, image, found.masks)
        except InputError as error:
            failed.append((name, str(error)))
        else:
            number += 1
    if not number and not failed:
        raise InputError(
            f"expected masks in {str(source)!r}, got none; give a file or a folder of masks"
        )
    return number, tuple(failed)


# ------------------------------------------------------------------------------ scores


def score_annotators(store: Store) -> list[HoneypotScore]:
    """Say how good annotators were on the images whose masks are known, by name.

    Raises:
        MissingExtraError: SciPy is not installed.
    """
    query = """
        SELECT p.name AS person, h.known, a.answer, a.seconds, i.height, i.width
        FROM honeypot_answers a JOIN honeypots h ON h.image_id = a.image_id
        JOIN images i ON i.id = a.image_id JOIN people p ON p.id = a.person_id
        WHERE i.project_id = :project AND a.answer <> 'null' ORDER BY p.name, a.image_id"""
    rows = store.database.read(lambda t: t.rows(query, project=store.project_id))
    answers: dict[str, list[tuple[Masks, Masks, float]]] = {}
    for row in rows:
        size_hw = (row.height, row.width)
        known, made = (
            _masks(rows, size_hw) for rows in (json.loads(row.known), read_answer(row.answer))
        )
        answers.setdefault(row.person, []).append((known, made, row.seconds))
    return [_score(person, some) for person, some in answers.items()]


def _masks(rows: Sequence[Sequence[Any]], size_hw: tuple[int, int]) -> Masks:
    """Make masks of known ones or of an answer; labels are numbers of classes."""
    labels = tuple(None if row[1] is None else str(row[1]) for row in rows)
    return Masks(size_hw, tuple(rle.from_string(row[0]) for row in rows), labels=labels)


def _score(person: str, answers: Sequence[tuple[Masks, Masks, float]]) -> HoneypotScore:
    found = honeypots((person, known, made) for known, made, _ in answers)[person]
    number = len(found.ious) + found.only_first
    right = list(_named(answers))
    return HoneypotScore(
        person,
        len(answers),
        number,
        share(len(found.ious), number),
        found.mean_iou,
        share(sum(iou > 0.9 for iou in found.ious), number),
        share(sum(iou > 0.75 for iou in found.ious), number),
        share(sum(right), len(right)),
        sum(seconds for _, _, seconds in answers),
    )


def _named(answers: Iterable[tuple[Masks, Masks, float]]) -> Iterable[bool]:
    """Say of each pair whose known mask has a class whether the annotator gave it."""
    for known, made, _ in answers:
        for one in pair(known, made):
            if known.labels[one.first] is not None:
                yield known.labels[one.first] == made.labels[one.second]
