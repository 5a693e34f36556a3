"""Sums that are kept up to date, so that nobody has to count five million masks.

Each change adds to the counters in the transaction in which it happens, last of all and in the
order of their names, so that no two transactions wait for each other in a circle. On a server, a
sum is kept in several parts, for whoever adds to a row holds it until his commit is on the disk.

What happens on images whose masks are known is counted apart, under the same names behind `KNOWN`
and the number of the image: whoever labels must see it count, whoever reads the result must not,
and when the image becomes one like all others, these sums go. There, every time that one is handed
out is an image of its own. What has to be added for that waits behind `LATER`, or the sums would
move when such an image is handed out, which would tell.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from anymask.label.database.clock import lease_time
from anymask.label.database.connection import Transaction
from anymask.label.records import HIDDEN, IMAGE_STATES, IN_WORK, MASK_SECONDS

__all__ = [
    *("KNOWN", "LATER", "Counters", "add_later", "apart_of", "count_again", "forget"),
    "read_counters",
]

KNOWN, LATER = "known.", "later."

_SAVE = (
    "INSERT INTO counters (project_id, name, value) VALUES (:project, :name, :value) "
    "ON CONFLICT (project_id, name) DO UPDATE SET value = counters.value + excluded.value"
)


def apart_of(kind: str, image: int) -> str:
    """Give what the sums of an image begin with whose masks are known; `KNOWN` or `LATER`."""
    return f"{kind}{image}."


class Counters:
    """What a transaction adds to the counters of a project."""

    def __init__(self) -> None:
        self._by: dict[str, float] = defaultdict(float)

    def add(self, name: str, by: float = 1) -> None:
        """Add to a counter."""
        self._by[name] += by

    def mask(self, state: Any, by: int) -> None:
        """Count a mask in or out, by its row of ``revisions``."""
        if state["deleted"]:
            return
        self.add("masks", by)
        self.add(f"masks.review.{state['review']}", by)
        self.add(f"masks.stage.{state['stage']}", by)
        self.add(f"masks.class.{state['class_id'] or 0}", by)
        if state["version_id"] is not None:
            self.add(f"masks.version.{state['version_id']}.{state['review']}", by)

    def revision(self, state: Any, by: int = 1, *, first: bool) -> None:
        """Count one more entry of the history, or one less, and the time that it took.

        Args:
            state: Its row.
            by: 1, or -1.
            first: Whether the person's time on the mask was not counted before, or is no more.
        """
        self.add("revisions", by)
        if state["seconds"] is not None:
            self.add("revisions.timed", by)
            self.add("revisions.seconds", by * state["seconds"])
            if state["seconds"] > MASK_SECONDS:
                self.add("revisions.slow", by)
        if state["person_id"] is not None:
            person = state["person_id"]
            self.add(f"revisions.person.{person}", by)
            if state["seconds"] is not None:
                self.add(f"timed.masks.person.{person}", by * first)
                self.add(f"timed.seconds.person.{person}", by * state["seconds"])

    def history(self, rows: Iterable[Any], by: int = 1) -> None:
        """Count whole histories in or out: rows of ``revisions``, with the mask's ``latest``."""
        timed: set[tuple[int, int]] = set()
        for row in rows:
            pair = (row.mask_id, row.person_id)
            self.revision(row._mapping, by, first=pair not in timed)
            if row.seconds is not None and row.person_id is not None:
                timed.add(pair)
            if row.revision == row.latest:
                self.mask(row._mapping, by)

    def work(self, person: int | None, seconds: float) -> None:
        """Count that somebody was done with an image, and how long it took."""
        if person is not None:
            self.add(f"work.images.person.{person}")
            self.add(f"work.seconds.person.{person}", seconds)

    def save(self, transaction: Transaction, project: int, apart: str = "") -> None:
        """Write them; do it last.

        Args:
            transaction: Where to do it.
            project: Whose they are.
            apart: See `apart_of`. Such sums have no parts: mostly one who has the image adds.
        """
        part = "" if apart else transaction.part
        rows = [
            {"project": project, "name": f"{apart}{name}{part}", "value": by}
            for name, by in sorted(self._by.items())
            if by
        ]
        if rows:
            transaction.run(_SAVE, rows)


_APART = re.compile(rf"^{re.escape(KNOWN)}(?:\d+\.)?")  # formerly there was no number
# Not by two ends, between which databases put names by the rules of some language.
_REMOVE = "DELETE FROM counters WHERE project_id = :project AND name LIKE :like"


def read_counters(transaction: Transaction, project: int, *, shown: bool = False) -> Counter[str]:
    """Give all counters of a project; one that is not there is 0.

    Args:
        transaction: Where to read.
        project: Whose they are.
        shown: As annotators see them: images whose masks are known count like all others. Where no
            other image is open, they are not handed out, and those that nobody has do not count as
            open.
    """
    rows = transaction.rows("SELECT name, value FROM counters WHERE project_id = :id", id=project)
    found: Counter[str] = Counter()
    known: Counter[str] = Counter()
    for row in rows:
        name = row.name.partition("#")[0]
        if name.startswith(KNOWN):
            known[_APART.sub("", name)] += row.value
        elif not name.startswith(LATER):
            found[name] += row.value
    if shown:
        _join(found, known, _at_work(transaction, project))
    return Counter({name: value for name, value in found.items() if value})


def _at_work(transaction: Transaction, project: int) -> int:
    """Count the images whose masks are known that somebody has to label at the moment."""
    query = """
        SELECT count(*) FROM images
        WHERE project_id = :project AND state = :fresh AND lease_until > :now"""
    now = lease_time(transaction, project, keep=False)
    return int(transaction.value(query, project=project, fresh=HIDDEN["open"], now=now))


def _join(found: Counter[str], known: Counter[str], at_work: int) -> None:
    is_open = found["images.open"] > 0
    found.update(known)
    states = [f"images.{state}" for state in IMAGE_STATES]
    if not is_open:
        found["images.open"] = at_work
    for name in found:  # what waits behind `LATER` may be missing
        found[name] = max(found[name], int(is_open and name == "images.open"))
    found["images"] = sum(found[name] for name in states)


def add_later(transaction: Transaction, project: int) -> None:
    """Count what waits; do it at a moment that tells nothing."""
    counters = Counters()
    query = f"{_REMOVE} RETURNING name, value"
    for row in transaction.rows(query, project=project, like=f"{LATER}%"):
        counters.add(row.name.partition("#")[0].replace(LATER, KNOWN, 1), row.value)
    counters.save(transaction, project)


def forget(transaction: Transaction, project: int, image: int | None = None) -> None:
    """Count no more what happened on an image whose masks were known; None: on all of them.

    What waits goes first, or `add_later` of somebody else could count it after all.
    """
    for kind in (LATER, KNOWN):
        like = f"{kind if image is None else apart_of(kind, image)}%"
        transaction.run(_REMOVE, project=project, like=like)


def count_again(transaction: Transaction, project: int) -> Counter[str]:
    """Work the counters out from all rows; takes long, and is what they must equal."""
    counters = Counters()
    query = f"SELECT state, seconds FROM images WHERE project_id = :id AND {IN_WORK}"
    for image in transaction.rows(query, id=project):
        counters.add("images")
        counters.add(f"images.{image.state}")
        counters.add("seconds", image.seconds)
    query = "SELECT state FROM image_names WHERE project_id = :id"
    for name in transaction.rows(query, id=project):
        counters.add(f"names.{name.state}")
    query = f"""
        SELECT r.*, m.revision AS latest FROM images i JOIN masks m ON m.image_id = i.id
        JOIN revisions r ON r.mask_id = m.id
        WHERE i.project_id = :id AND i.{IN_WORK}"""
    counters.history(transaction.stream(query, id=project))
    query = """
        SELECT w.person_id, w.seconds FROM images i JOIN work w ON w.image_id = i.id
        WHERE i.project_id = :id"""
    for row in transaction.rows(query, id=project):
        counters.work(row.person_id, row.seconds)
    return Counter({name: value for name, value in counters._by.items() if value})
