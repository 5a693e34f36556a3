"""Images whose masks are known, in the queue: handed out, answered, and made fresh again.

One that was answered stays as its annotator left it, until it is handed out to somebody else. Then
what was made there is *set aside* (``masks.deleted`` is 2): it is not seen, and nothing happens to
its history. To whoever goes back to such an image, it is as he left it.

What is told of them is in `anymask.label.review.honeypots`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from anymask.label.database.clock import wall_time
from anymask.label.database.connection import Transaction
from anymask.label.database.counters import KNOWN, LATER, Counters, add_later, apart_of
from anymask.label.records import HIDDEN, SHOWN, ImageState

__all__ = [
    "ASIDE",
    "SHARE",
    "answer",
    "begin",
    "count_later",
    "draw",
    "forget_answers",
    "numbers",
    "read_answer",
    "share_of",
    "visit",
]

ASIDE = 2
"""Stands in ``masks.deleted`` where a mask was set aside."""

SHARE = "(SELECT honeypots FROM projects WHERE id = :project) AS share"
"""A column: see `share_of`."""

_SEEN = "null"
"""Stands for the answer of somebody who has looked at that of another, and gets none of his own."""

_LATER = 0.125  # at so many ends of ordinary images, what waits is counted, see `counters`


def numbers(transaction: Transaction, project: int) -> set[int]:
    """Give the numbers of the images whose masks are known."""
    query = """
        SELECT h.image_id FROM honeypots h JOIN images i ON i.id = h.image_id
        WHERE i.project_id = :id"""
    return {row.image_id for row in transaction.rows(query, id=project)}


def share_of(transaction: Transaction, project: int) -> float:
    """Give the share of the images handed out that should be hidden ones."""
    return float(transaction.value(f"SELECT {SHARE}", project=project))


def draw(
    transaction: Transaction,
    project: int,
    person: int,
    now: float,
    share: float,
    skip: Sequence[int] = (),
) -> Any:
    """Now and then, give an image whose masks are known and that a person has not labelled yet.

    Those that nobody has answered yet come first.

    Returns:
        A row with ``id`` and ``lease``, which is NULL; None if it is not the time, or there is
        none.
    """
    if random.random() >= share:
        return None
    skipped = f"AND id NOT IN ({', '.join(str(int(one)) for one in skip)})" if skip else ""
    states = ", ".join(map(repr, SHOWN))
    return transaction.row(
        f"SELECT id, NULL AS lease FROM images WHERE project_id = :project AND state IN ({states}) "
        f"AND gone = 0 AND lease_until <= :now {skipped} AND NOT EXISTS (SELECT 1 FROM "
        "honeypot_answers a WHERE a.image_id = images.id AND a.person_id = :person) "
        "ORDER BY CASE WHEN state = :fresh THEN 0 ELSE 1 END, place, id LIMIT 1"
        f"{transaction.skip_locked}",
        project=project,
        fresh=HIDDEN["open"],
        now=now,
        person=person,
    )


def begin(transaction: Transaction, project: int, image: int, person: int) -> None:
    """Make an image fresh for a person, to whom it is handed out."""
    state = transaction.value("SELECT state FROM images WHERE id = :id", id=image)
    later = Counters()
    if state != HIDDEN["open"]:
        later.add("images")
        later.add("images.open")
        query = "UPDATE images SET state = :state WHERE id = :id"
        transaction.run(query, state=HIDDEN["open"], id=image)
    clean(transaction, image, person, later)
    later.save(transaction, project, apart_of(LATER, image))


def visit(transaction: Transaction, project: int, image: Any, person: int) -> None:
    """Let an image be as a person should find it who goes to it: as he left it, if he was there.

    Args:
        transaction: Where to do it.
        project: Whose image it is.
        image: Its row.
        person: The number of who takes it.
    """
    query = "SELECT person_id, answer FROM honeypot_answers WHERE image_id = :id ORDER BY at DESC"
    rows = transaction.rows(query, id=image.id)
    own = next((row.answer for row in rows if row.person_id == person), None)
    is_open = SHOWN[image.state] == "open"
    last = next((row.person_id for row in rows if row.answer != _SEEN), None)
    left = None if own is None else json.loads(own)
    if isinstance(left, dict) and (is_open or last != person):
        _show(transaction, project, image, person, left)
    elif is_open:
        begin(transaction, project, image.id, person)
    elif own is None:  # he looks at what another has made
        _note(transaction, image.id, person, _SEEN, 0.0)


def answer(
    transaction: Transaction, project: int, image: Any, state: ImageState, seconds: float
) -> None:
    """Keep what a person made of an image whose masks are known, and give it back.

    Args:
        transaction: Where to do it.
        project: Whose image it is.
        image: Its row, with the lease.
        state: What the person says of it; ``open``: it is not done, and there is no answer.
        seconds: Time that it took.
    """
    person, before = image.lease_person_id, SHOWN[image.state]
    query = "SELECT answer FROM honeypot_answers WHERE image_id = :image AND person_id = :person"
    is_his = transaction.value(query, image=image.id, person=person) != _SEEN
    transaction.run(
        "UPDATE images SET state = :state, revision = revision + 1, seconds = seconds + :seconds, "
        "lease = NULL, lease_person_id = NULL, lease_until = 0 WHERE id = :id",
        state=HIDDEN[state],
        seconds=seconds,
        id=image.id,
    )
    if state != "open" and is_his:
        _note(transaction, image.id, person, _left(transaction, image.id), seconds)
    counters = Counters()
    counters.add(f"images.{before}", -1)
    counters.add(f"images.{state}")
    counters.add("seconds", seconds)
    counters.work(person, seconds)
    counters.save(transaction, project, apart_of(KNOWN, image.id))


def count_later(transaction: Transaction, project: int) -> None:
    """Now and then, at the end of an ordinary image, count what waits."""
    if random.random() < _LATER:
        add_later(transaction, project)


def _note(transaction: Transaction, image: int, person: int, said: str, seconds: float) -> None:
    transaction.run(
        "INSERT INTO honeypot_answers (image_id, person_id, answer, seconds, at) "
        "VALUES (:image, :person, :answer, :seconds, :at) ON CONFLICT (image_id, person_id) "
        "DO UPDATE SET answer = excluded.answer, at = excluded.at, "
        "seconds = honeypot_answers.seconds + excluded.seconds",
        image=image,
        person=person,
        answer=said,
        seconds=seconds,
        at=wall_time(transaction),
    )


def read_answer(said: str) -> list[list[Any]]:
    """Give run lengths and the number of the class of each mask of an answer."""
    found = json.loads(said)
    return list(found["answer"] if isinstance(found, dict) else found)  # formerly it was no more


def _left(transaction: Transaction, image: int) -> str:
    """Write down what an answer is, and how the image was left."""
    query = """
        SELECT s.counts, r.class_id, m.id, m.revision, r.review FROM masks m
        JOIN revisions r ON r.mask_id = m.id AND r.revision = m.revision
        JOIN revisions s ON s.mask_id = m.id AND s.revision = r.shape
        WHERE m.image_id = :image AND m.deleted = 0 ORDER BY m.id"""
    rows = transaction.rows(query, image=image)
    found = transaction.row("SELECT state, revision, seconds FROM images WHERE id = :id", id=image)
    said = {
        "answer": [[row.counts, row.class_id] for row in rows if row.review != "rejected"],
        "masks": [[row.id, row.revision] for row in rows],
        **found._mapping,
    }
    return json.dumps(said)


def _show(transaction: Transaction, project: int, image: Any, person: int, left: Any) -> None:
    """Let an image be as a person left it."""
    query = "UPDATE masks SET deleted = :aside WHERE image_id = :image AND deleted = 0"
    transaction.run(query, aside=ASIDE, image=image.id)
    left["masks"] = [_as_it_was(transaction, image.id, *one) for one in left["masks"]]
    _reset(transaction, image.id)
    transaction.run(
        "UPDATE images SET state = :state, revision = :revision, seconds = :seconds WHERE id = :id",
        state=left["state"],
        revision=left["revision"],
        seconds=left["seconds"],
        id=image.id,
    )
    _note(transaction, image.id, person, json.dumps(left), 0.0)
    later = Counters()
    if SHOWN[image.state] == "open":  # it was to be done once more, and is not
        later.add("images", -1)
        later.add("images.open", -1)
    later.save(transaction, project, apart_of(LATER, image.id))


def _as_it_was(transaction: Transaction, image: int, mask: int, revision: int) -> tuple[int, int]:
    """Bring a mask back that was set aside; if somebody has changed it since, a copy of it."""
    latest = transaction.value("SELECT revision FROM masks WHERE id = :id", id=mask)
    if latest != revision:
        return _copy(transaction, image, mask, revision), 1
    transaction.run("UPDATE masks SET deleted = 0 WHERE id = :id", id=mask)
    return mask, revision


def _copy(transaction: Transaction, image: int, mask: int, revision: int) -> int:
    fresh = {"image_id": image, "revision": 1, "deleted": 0}
    (new,) = transaction.insert_numbered("masks", [fresh])
    transaction.run(_AGAIN, new=new, old=mask, revision=revision)
    return new


# By name, or by somebody without one: models have a version or a stage of their own.
_BY_PEOPLE = """({0}.person_id IS NOT NULL
    OR ({0}.version_id IS NULL AND {0}.stage = 'assisted'))"""
_COLUMNS = "area, class_id, score, stability, known, review, stage"
_INSERT = f"""INSERT INTO revisions (mask_id, revision, action, deleted, shape, counts, {_COLUMNS},
    person_id, version_id, seconds, restores, at) SELECT """
_RETIRE = f"""{_INSERT} mask_id, revision + 1, 'retire', 1, shape, NULL, {_COLUMNS},
    NULL, version_id, NULL, restores, at FROM revisions
    WHERE mask_id = :old AND revision = :revision"""
_NAMES = ", ".join(f"r.{name}" for name in _COLUMNS.split(", "))
_AGAIN = f"""{_INSERT} CAST(:new AS BIGINT), 1, 'add', 0, 1, s.counts, {_NAMES},
    r.person_id, r.version_id, r.seconds, NULL, r.at
    FROM revisions r JOIN revisions s ON s.mask_id = r.mask_id AND s.revision = r.shape
    WHERE r.mask_id = :old AND r.revision = :revision"""


def clean(
    transaction: Transaction, image: int, keep: int | None = None, later: Counters | None = None
) -> None:
    """Set aside what people made on an image, and put what models made back in its first form.

    What comes back is a new mask, or its number of revisions would tell that others were there
    before. It comes back once: who saves an old state of the image late may bring back a mask that
    has done so.

    Args:
        transaction: Where to do it; the image is hidden.
        image: Its number.
        keep: The number of a person whose work stays.
        later: Counts what comes back.
    """
    query = f"""
        SELECT m.id, m.deleted AS away, {_BY_PEOPLE.format("f")} AS is_own, EXISTS (
            SELECT 1 FROM revisions p WHERE p.mask_id = m.id AND {_BY_PEOPLE.format("p")}
            AND (p.person_id IS NULL OR p.person_id <> :keep)) AS is_touched, f.*
        FROM masks m JOIN revisions r ON r.mask_id = m.id AND r.revision = m.revision
        JOIN revisions f ON f.mask_id = m.id AND f.revision = 1
        WHERE m.image_id = :image AND r.action <> 'retire' ORDER BY m.id"""
    rows = transaction.rows(query, image=image, keep=-1 if keep is None else keep)
    aside = [row.id for row in rows if row.is_touched and not row.away]
    for mask in aside:
        transaction.run("UPDATE masks SET deleted = :aside WHERE id = :id", aside=ASIDE, id=mask)
    first = [row for row in rows if not row.is_own]
    there = {_form(row) for row in first if row.away != ASIDE and not row.is_touched}
    copied = 0
    for row in first:
        if _form(row) not in there:
            there.add(_form(row))
            _copy(transaction, image, row.mask_id, 1)
            copied += 1
            if later is not None:
                later.mask(row._mapping, 1)
                later.revision(row._mapping, first=False)
    if aside or copied:
        _reset(transaction, image)


def _form(row: Any) -> tuple[Any, ...]:
    names = ("counts", "class_id", "version_id", "stage", "score", "known")
    return tuple(getattr(row, name) for name in names)


def forget_answers(transaction: Transaction, image: int) -> None:
    """Delete for good what people made on an image, which is to be like all others again."""
    clean(transaction, image)
    query = f"""
        SELECT m.id, m.revision FROM masks m
        JOIN revisions r ON r.mask_id = m.id AND r.revision = m.revision
        WHERE m.image_id = :image AND r.action <> 'retire' AND (m.deleted = :aside OR EXISTS (
            SELECT 1 FROM revisions p WHERE p.mask_id = m.id AND {_BY_PEOPLE.format("p")}))"""
    for row in transaction.rows(query, image=image, aside=ASIDE):
        transaction.run(_RETIRE, old=row.id, revision=row.revision)
        transaction.run(
            "UPDATE masks SET revision = revision + 1, deleted = 1 WHERE id = :id", id=row.id
        )
    for table in ("honeypot_answers", "honeypots"):
        transaction.run(f"DELETE FROM {table} WHERE image_id = :image", image=image)
    _reset(transaction, image)


def _reset(transaction: Transaction, image: int) -> None:
    """Let an image look as one that nobody has opened: filled in by a model, or untouched."""
    query = """
        SELECT count(*) AS number, avg(r.score) AS confidence FROM masks m
        JOIN revisions r ON r.mask_id = m.id AND r.revision = m.revision
        WHERE m.image_id = :image AND m.deleted = 0"""
    found = transaction.row(query, image=image)
    transaction.run(
        "UPDATE images SET masks = :masks, revision = :revision, seconds = 0, "
        "confidence = :confidence WHERE id = :id",
        masks=found.number,
        revision=min(1, found.number),
        confidence=2.0 if found.confidence is None else found.confidence,
        id=image,
    )
