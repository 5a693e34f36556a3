"""Sums that are kept up to date, so that nobody has to count five million masks.

Each change adds to the counters in the transaction in which it happens, last of all and in the
order of their names, so that no two transactions wait for each other in a circle. On a server, a
sum is kept in several parts, for whoever adds to a row holds it until his commit is on the disk.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from anymask.label.database import Transaction

__all__ = ["Counters", "count_again", "read_counters"]

_SAVE = (
    "INSERT INTO counters (project_id, name, value) VALUES (:project, :name, :value) "
    "ON CONFLICT (project_id, name) DO UPDATE SET value = counters.value + excluded.value"
)


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

    def revision(self, state: Any) -> None:
        """Count one more entry of the history, and the time that it took."""
        self.add("revisions")
        if state["seconds"] is not None:
            self.add("revisions.timed")
            self.add("revisions.seconds", state["seconds"])
        if state["person_id"] is not None:
            self.add(f"revisions.person.{state['person_id']}")

    def save(self, transaction: Transaction, project: int) -> None:
        """Write them; do it last."""
        rows = [
            {"project": project, "name": f"{name}{transaction.part}", "value": by}
            for name, by in sorted(self._by.items())
            if by
        ]
        if rows:
            transaction.run(_SAVE, rows)


def read_counters(transaction: Transaction, project: int) -> Counter[str]:
    """Give all counters of a project; one that is not there is 0."""
    rows = transaction.rows("SELECT name, value FROM counters WHERE project_id = :id", id=project)
    found: Counter[str] = Counter()
    for row in rows:
        found[row.name.partition("#")[0]] += row.value
    return Counter({name: value for name, value in found.items() if value})


def count_again(transaction: Transaction, project: int) -> Counter[str]:
    """Work the counters out from all rows; takes long, and is what they must equal."""
    counters = Counters()
    query = "SELECT state, seconds FROM images WHERE project_id = :id"
    for image in transaction.rows(query, id=project):
        counters.add("images")
        counters.add(f"images.{image.state}")
        counters.add("seconds", image.seconds)
    query = "SELECT state FROM image_names WHERE project_id = :id"
    for name in transaction.rows(query, id=project):
        counters.add(f"names.{name.state}")
    query = """
        SELECT r.*, m.revision AS latest FROM images i JOIN masks m ON m.image_id = i.id
        JOIN revisions r ON r.mask_id = m.id WHERE i.project_id = :id"""
    for row in transaction.stream(query, id=project):
        counters.revision(row._mapping)
        if row.revision == row.latest:
            counters.mask(row._mapping, 1)
    return Counter({name: value for name, value in counters._by.items() if value})
