"""How far the work in a store is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from anymask.label.database.connection import Transaction
from anymask.label.database.counters import read_counters
from anymask.label.names import list_classes, list_versions
from anymask.label.queue.leases import list_leases
from anymask.label.records import IMAGE_STATES, REVIEWS, STAGES, LabelClass, Lease

__all__ = ["PersonWork", "Status", "VersionWork", "read_status"]


@dataclass(frozen=True)
class PersonWork:
    """What a person has done.

    Attributes:
        person: Who.
        images: Number of times that an image was done or reviewed.
        seconds: Time spent on them.
        changes: Number of changes of masks.
        seconds_per_mask: Mean time on a mask, over all its changes by this person; None if no time
            is known.
    """

    person: str
    images: int
    seconds: float
    changes: int
    seconds_per_mask: float | None


@dataclass(frozen=True)
class VersionWork:
    """What became of the masks that a model version made, as far as they are as it made them.

    Attributes:
        version: Name of the version.
        by_review: Number of masks by what reviewers said.
    """

    version: str
    by_review: dict[str, int]


@dataclass(frozen=True)
class Status:
    """How far the work is.

    Attributes:
        images: Number of images.
        by_state: The same by state: ``open``, ``done``, ``accepted``.
        masks: Number of masks.
        by_review: The same by what reviewers said.
        by_stage: The same by how they came about.
        unnamed: Number of masks without a class.
        classes: The classes, with the number of masks of each.
        revisions: Number of changes of masks, all in all.
        seconds: Time that people spent.
        seconds_per_mask: Mean time of the changes whose time is known; None if there is none.
        timed: Number of these changes.
        slow: Number of those of them that took longer than the time budget of a mask, 30 s.
        gone: Number of names of images whose file is gone.
        changed: Number of those whose file has another content than when it was labelled.
        leases: Who has which image at the moment.
        version: Name of the model version in use, or None.
        people: What each person has done, by name.
        versions: What became of the masks of each model version, oldest first.
        detector: Name of the detector in use, see `anymask.label.proposals`, or None.
    """

    images: int
    by_state: dict[str, int]
    masks: int
    by_review: dict[str, int]
    by_stage: dict[str, int]
    unnamed: int
    classes: list[LabelClass]
    revisions: int
    seconds: float
    seconds_per_mask: float | None
    timed: int
    slow: int
    gone: int
    changed: int
    leases: list[Lease]
    version: str | None
    people: list[PersonWork]
    versions: list[VersionWork]
    detector: str | None


def read_status(transaction: Transaction, project: int, *, shown: bool = False) -> Status:
    """Work it out from the counters, see `read_counters`."""
    counted = read_counters(transaction, project, shown=shown)
    timed = counted["revisions.timed"]
    versions = list_versions(transaction, project)
    used = {one.kind: one.name for one in versions if one.promoted}
    return Status(
        images=int(counted["images"]),
        by_state={state: int(counted[f"images.{state}"]) for state in IMAGE_STATES},
        masks=int(counted["masks"]),
        by_review=_by_review(counted, "masks.review."),
        by_stage={stage: int(counted[f"masks.stage.{stage}"]) for stage in STAGES},
        unnamed=int(counted["masks.class.0"]),
        classes=list_classes(transaction, project, shown=shown),
        revisions=int(counted["revisions"]),
        seconds=float(counted["seconds"]),
        seconds_per_mask=counted["revisions.seconds"] / timed if timed else None,
        timed=int(timed),
        slow=int(counted["revisions.slow"]),
        gone=int(counted["names.gone"]),
        changed=int(counted["names.changed"]),
        leases=list_leases(transaction, project),
        version=used.get("model"),
        detector=used.get("detector"),
        people=_people(transaction, counted),
        versions=[
            VersionWork(one.name, _by_review(counted, f"masks.version.{one.id}."))
            for one in versions
            if one.kind == "model"
        ],
    )


def _by_review(counted: Counter[str], prefix: str) -> dict[str, int]:
    return {review: int(counted[f"{prefix}{review}"]) for review in REVIEWS}


def _people(transaction: Transaction, counted: Counter[str]) -> list[PersonWork]:
    """Tell of everybody who has done something."""
    marks = ("revisions.person.", "work.images.person.")
    ids = {int(name.rpartition(".")[2]) for name in counted if name.startswith(marks)}
    if not ids:
        return []
    numbers = ", ".join(map(str, sorted(ids)))
    rows = transaction.rows(f"SELECT id, name FROM people WHERE id IN ({numbers}) ORDER BY name")
    return [_work_of(row.id, row.name, counted) for row in rows]


def _work_of(person: int, name: str, counted: Counter[str]) -> PersonWork:
    masks = counted[f"timed.masks.person.{person}"]
    return PersonWork(
        name,
        images=int(counted[f"work.images.person.{person}"]),
        seconds=float(counted[f"work.seconds.person.{person}"]),
        changes=int(counted[f"revisions.person.{person}"]),
        seconds_per_mask=counted[f"timed.seconds.person.{person}"] / masks if masks else None,
    )
