"""Images whose masks are known, in the queue: handed out, answered, and made fresh again.

What is told of them is in `anymask.label.honeypots`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from anymask.label.clock import wall_time
from anymask.label.database import Transaction
from anymask.label.records import HIDDEN

__all__ = ["answer", "clean", "draw", "share_of"]


def share_of(transaction: Transaction, project: int) -> float:
    """Give the share of the images handed out that should be hidden ones."""
    query = "SELECT honeypots FROM projects WHERE id = :project"
    return float(transaction.value(query, project=project))


def draw(
    transaction: Transaction, project: int, person: int, now: float, skip: Sequence[int] = ()
) -> Any:
    """Now and then, give an image whose masks are known and that a person has not labelled yet.

    Returns:
        A row with ``id`` and ``lease``, which is NULL; None if it is not the time, or there is
        none.
    """
    if random.random() >= share_of(transaction, project):
        return None
    skipped = f"AND id NOT IN ({', '.join(str(int(one)) for one in skip)})" if skip else ""
    return transaction.row(
        "SELECT id, NULL AS lease FROM images WHERE project_id = :project AND state = :hidden "
        f"AND gone = 0 AND lease_until <= :now {skipped} AND NOT EXISTS (SELECT 1 FROM "
        "honeypot_answers a WHERE a.image_id = images.id AND a.person_id = :person) "
        f"ORDER BY place, id LIMIT 1{transaction.skip_locked}",
        project=project,
        hidden=HIDDEN,
        now=now,
        person=person,
    )


def answer(transaction: Transaction, image: Any, state: str, seconds: float) -> None:
    """Set aside what a person made of an image whose masks are known, and give it back.

    Args:
        transaction: Where to do it.
        image: Its row, with the lease.
        state: What the person says of it; ``open``: it is not done, and nothing is set aside.
        seconds: Time that it took.
    """
    if state != "open":
        query = """
            SELECT s.counts, r.class_id FROM masks m
            JOIN revisions r ON r.mask_id = m.id AND r.revision = m.revision
            JOIN revisions s ON s.mask_id = m.id AND s.revision = r.shape
            WHERE m.image_id = :image AND m.deleted = 0 AND r.review <> 'rejected' ORDER BY m.id"""
        made = [[row.counts, row.class_id] for row in transaction.rows(query, image=image.id)]
        transaction.run(
            "INSERT INTO honeypot_answers (image_id, person_id, answer, seconds, at) "
            "VALUES (:image, :person, :answer, :seconds, :at) ON CONFLICT DO NOTHING",
            image=image.id,
            person=image.lease_person_id,
            answer=json.dumps(made),
            seconds=seconds,
            at=wall_time(transaction),
        )
        clean(transaction, image.id)
    transaction.run(
        "UPDATE images SET lease = NULL, lease_person_id = NULL, lease_until = 0 WHERE id = :id",
        id=image.id,
    )


# By name, or by somebody without one: models have a version or a stage of their own.
_BY_PEOPLE = """({0}.person_id IS NOT NULL
    OR ({0}.version_id IS NULL AND {0}.stage = 'assisted'))"""
_COLUMNS = """area, class_id, score, stability, known, review, stage, {person}, version_id,
    {seconds}, restores, at FROM revisions WHERE mask_id = :old AND revision = :from"""
_INSERT = """INSERT INTO revisions (mask_id, revision, action, deleted, shape, counts, area,
    class_id, score, stability, known, review, stage, person_id, version_id, seconds, restores, at)
    SELECT """
_RETIRE = f"{_INSERT} mask_id, revision + 1, 'retire', 1, shape, NULL, {_COLUMNS}"
_AGAIN = f"{_INSERT} CAST(:new AS BIGINT), 1, action, 0, 1, counts, {_COLUMNS}"


def clean(transaction: Transaction, image: int, keep: int | None = None) -> None:
    """Take what people made on an image away, and put what models made back in its first form.

    Nothing of the history is lost: what goes is deleted by a revision, ``retire``, and what comes
    back is a new mask, or its number of revisions would tell that others were there before. It
    comes back once: who saves an old state of the image late restores a mask that has done so.

    Args:
        transaction: Where to do it; the image is hidden.
        image: Its number.
        keep: The number of a person whose work stays.
    """
    query = f"""
        SELECT m.id, m.revision, CASE WHEN {_BY_PEOPLE.format("f")} OR EXISTS (
            SELECT 1 FROM revisions e WHERE e.mask_id = m.id AND e.action = 'retire')
            THEN 0 ELSE 1 END AS comes_back
        FROM masks m JOIN revisions r ON r.mask_id = m.id AND r.revision = m.revision
        JOIN revisions f ON f.mask_id = m.id AND f.revision = 1
        WHERE m.image_id = :image AND r.action <> 'retire' AND EXISTS (
            SELECT 1 FROM revisions p WHERE p.mask_id = m.id AND {_BY_PEOPLE.format("p")}
            AND (p.person_id IS NULL OR p.person_id <> :keep))
        ORDER BY m.id"""
    touched = transaction.rows(query, image=image, keep=-1 if keep is None else keep)
    for row in touched:
        if row.comes_back:
            fresh = {"image_id": image, "revision": 1, "deleted": 0}
            (new,) = transaction.insert_numbered("masks", [fresh])
            again = _AGAIN.format(person="person_id", seconds="seconds")
            transaction.run(again, **{"new": new, "old": row.id, "from": 1})
        retire = _RETIRE.format(person="NULL", seconds="NULL")
        transaction.run(retire, **{"old": row.id, "from": row.revision})
        transaction.run(
            "UPDATE masks SET revision = revision + 1, deleted = 1 WHERE id = :id", id=row.id
        )
    if touched:
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
