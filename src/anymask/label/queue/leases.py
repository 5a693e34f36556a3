"""Who works on which image: a lease is for one person, for a while, and can be renewed."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any

from anymask.errors import InputError
from anymask.label.database.clock import lease_time, wall_time
from anymask.label.database.connection import Transaction
from anymask.label.database.counters import Counters
from anymask.label.database.requests import answer_of, note
from anymask.label.images import FIELDS, find_image, image_row, records
from anymask.label.names import person_id
from anymask.label.queue.order import column_of
from anymask.label.records import (
    HIDDEN,
    IMAGE_STATES,
    SHOWN,
    ImageRecord,
    ImageState,
    Lease,
    LeaseConflict,
)
from anymask.label.review import hidden

__all__ = [
    "check_free",
    "finish",
    "list_leases",
    "of_tab",
    "release",
    "renew",
    "take",
    "take_image",
]

_LONGEST = 7 * 24 * 3600.0


def take(
    transaction: Transaction,
    project: int,
    person: str,
    *,
    order: str,
    state: ImageState,
    seconds: float,
    skip: Sequence[int] = (),
    tab: str | None = None,
) -> Lease | None:
    """Give a person an image that nobody else has; the one that he has, if there is one.

    Each ``tab`` of a person has an image of its own, and so has who names none.

    Returns:
        None if there is none left, or others have all that are.
    """
    _check(seconds, state)
    who, now = person_id(transaction, person), lease_time(transaction, project)
    assert who is not None  # there is a name
    skipped = f"AND id NOT IN ({', '.join(str(int(one)) for one in skip)})" if skip else ""
    among = f"project_id = :project AND state = :state AND gone = 0 {skipped}"
    values: dict[str, Any] = {"project": project, "state": state, "now": now}
    own = among.replace("= :state", "IN (:state, :hidden)")
    found = transaction.row(
        "SELECT id, lease FROM images WHERE lease_person_id = :who AND lease_until > :now "
        f"AND {own} {of_tab(tab)} ORDER BY id LIMIT 1{transaction.lock}",
        who=who,
        hidden=HIDDEN[state],
        **values,
    )
    if found is None:
        found = transaction.row(
            f"SELECT id, NULL AS lease, {hidden.SHARE} FROM images "
            f"WHERE {among} AND lease_until <= :now ORDER BY {column_of(order)}, id "
            f"LIMIT 1{transaction.skip_locked}",
            **values,
        )
        # Never when nothing else is left, or that would tell.
        if found is not None and state == "open":
            known = hidden.draw(transaction, project, who, now, found.share, skip)
            if known is not None:
                hidden.begin(transaction, project, known.id, who)
                found = known
    if found is None:
        return None
    token = found.lease or _token(tab)
    return Lease(token, _note(transaction, found.id, token, who, now + seconds), person, seconds)


def take_image(
    transaction: Transaction,
    project: int,
    person: str,
    image: int,
    *,
    seconds: float,
    tab: str | None = None,
) -> Lease:
    """Give a person an image that he names.

    Raises:
        LeaseConflict: Somebody else has it, or another tab of this person.
    """
    _check(seconds)
    who, now = person_id(transaction, person), lease_time(transaction, project)
    row = image_row(transaction, project, image)
    check_free(transaction, project, row, person, of=tab or "")
    assert who is not None  # there is a name
    is_his = row.lease_person_id == who and row.lease_until > now
    if row.state in SHOWN and not is_his:
        hidden.visit(transaction, project, row, who)
    token = row.lease if is_his else _token(tab)
    return Lease(token, _note(transaction, image, token, who, now + seconds), person, seconds)


def _token(tab: str | None) -> str:
    return f"{secrets.token_hex(12)}-{_mark(tab)}" if tab else secrets.token_hex(16)


def _mark(tab: str) -> str:
    return hashlib.sha256(tab.encode()).hexdigest()[:7]


def of_tab(tab: str | None) -> str:
    """Give the end of a condition: that a lease is of a tab; None or empty: of none."""
    return f"AND lease LIKE '%-{_mark(tab)}'" if tab else "AND lease NOT LIKE '%-%'"


def check_free(
    transaction: Transaction,
    project: int,
    image: Any,
    person: str | None,
    *,
    of: str | None = None,
) -> None:
    """Check that nobody but one person has an image, by its row.

    Args:
        transaction: Where to look.
        project: Whose image it is.
        image: Its row.
        person: Who may have it; None: nobody.
        of: The tab of that person that may have it, empty: none of them; None: whichever.

    Raises:
        LeaseConflict: Somebody else has it.
    """
    if image.lease_person_id is None:
        return
    left = image.lease_until - lease_time(transaction, project, keep=False)
    name = transaction.value("SELECT name FROM people WHERE id = :id", id=image.lease_person_id)
    mark = image.lease.partition("-")[2]
    is_elsewhere = of is not None and mark != (_mark(of) if of else "")
    if left > 0 and (name != person or is_elsewhere):
        raise LeaseConflict(find_image(transaction, project, image.id).name, name, left)


def _note(
    transaction: Transaction, image: int, token: str, who: int | None, until: float
) -> ImageRecord:
    rows = transaction.rows(
        "UPDATE images SET lease = :token, lease_person_id = :who, lease_until = :until "
        f"WHERE id = :id RETURNING {FIELDS}",
        token=token,
        who=who,
        until=until,
        id=image,
    )
    return records(transaction, rows)[0]


def renew(transaction: Transaction, project: int, token: str, seconds: float) -> None:
    """Let a lease last for so many seconds from now, also if it has run out and nobody came.

    Raises:
        InputError: Somebody else has the image by now, or it was given back.
    """
    _check(seconds)
    now = lease_time(transaction, project)
    _held(
        transaction.run(
            "UPDATE images SET lease_until = :until WHERE lease = :token AND project_id = :project",
            until=now + seconds,
            token=token,
            project=project,
        )
    )


def release(transaction: Transaction, project: int, token: str, *, skip: bool) -> None:
    """Give an image back; nothing happens if the lease was lost before.

    Args:
        transaction: Where to do it.
        project: Whose image it is.
        token: Of the lease.
        skip: Put the image behind all others, in the order in which they were added.
    """
    now = lease_time(transaction, project)
    transaction.run(
        "UPDATE images SET lease = NULL, lease_person_id = NULL, lease_until = 0, "
        "place = CASE WHEN :skip = 1 THEN :now ELSE place END "
        "WHERE lease = :token AND project_id = :project",
        skip=int(skip),
        now=now,
        token=token,
        project=project,
    )


def finish(
    transaction: Transaction, project: int, token: str, state: ImageState, seconds: float
) -> None:
    """Say that the work on an image is done, how long it took, and give it back.

    To say so again changes nothing: the token of the lease names the request.

    Raises:
        InputError: The lease was lost, or ended as something else.
    """
    if not 0 <= seconds < 1e9:
        raise InputError(f"expected seconds of 0 or more, got {seconds}; correct them")
    _check(1.0, state)
    query = "SELECT * FROM images WHERE lease = :token AND project_id = :project"
    found = transaction.row(query + transaction.lock, token=token, project=project)
    request = f"finish {token}"
    if found is None:
        _held((before := answer_of(transaction, project, request)) is not None)
        if before != state:
            raise InputError(
                f"expected the end of a lease that holds, got one that ended as {before!r}, not as "
                f"{state!r}; ask for the image again"
            )
        return
    note(transaction, project, request, state)
    if found.state in SHOWN:
        hidden.answer(transaction, project, found, state, seconds)
        return
    transaction.run(
        "UPDATE images SET state = :state, revision = revision + 1, seconds = seconds + :seconds, "
        "lease = NULL, lease_person_id = NULL, lease_until = 0 WHERE id = :id",
        state=state,
        seconds=seconds,
        id=found.id,
    )
    done = {"image_id": found.id, "person_id": found.lease_person_id, "state": state}
    done |= {"seconds": seconds, "at": wall_time(transaction)}
    transaction.insert("work", [done])
    counters = Counters()
    counters.add(f"images.{found.state}", -1)
    counters.add(f"images.{state}")
    counters.add("seconds", seconds)
    counters.work(found.lease_person_id, seconds)
    counters.save(transaction, project)
    hidden.count_later(transaction, project)  # after all others, as everywhere, see `counters`


def list_leases(transaction: Transaction, project: int) -> list[Lease]:
    """List the leases that last, and for how long; their tokens stay secret."""
    now = lease_time(transaction, project, keep=False)
    query = """
        SELECT i.*, p.name AS person FROM images i JOIN people p ON p.id = i.lease_person_id
        WHERE i.lease_person_id IS NOT NULL AND i.lease_until > :now AND i.project_id = :project
        ORDER BY p.name, i.id"""
    rows = transaction.rows(query, now=now, project=project)
    found = zip(rows, records(transaction, rows), strict=True)
    return [Lease("", image, row.person, row.lease_until - now) for row, image in found]


def _held(held: object) -> None:
    if not held:
        raise InputError(
            "expected a lease that holds, got one that ran out, and somebody else has the image "
            "by now; ask for the next image"
        )


def _check(seconds: float, state: str = "open") -> None:
    if not 1 <= seconds <= _LONGEST:
        raise InputError(f"expected a lease of 1 to {_LONGEST:.0f} s, got {seconds}; 900 is usual")
    if state not in IMAGE_STATES:
        raise InputError(
            f"expected a state out of {', '.join(IMAGE_STATES)}, got {state!r}; name one"
        )
