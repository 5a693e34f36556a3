"""How far the work in a store is."""

from __future__ import annotations

from dataclasses import dataclass

from anymask.label.counters import read_counters
from anymask.label.database import Transaction
from anymask.label.leases import list_leases
from anymask.label.names import list_classes, list_versions
from anymask.label.records import IMAGE_STATES, REVIEWS, STAGES, LabelClass, Lease

__all__ = ["Status", "read_status"]


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
    detector: str | None


def read_status(transaction: Transaction, project: int) -> Status:
    """Work it out from the counters."""
    counted = read_counters(transaction, project)
    timed = counted["revisions.timed"]
    used = {one.kind: one.name for one in list_versions(transaction, project) if one.promoted}
    return Status(
        images=int(counted["images"]),
        by_state={state: int(counted[f"images.{state}"]) for state in IMAGE_STATES},
        masks=int(counted["masks"]),
        by_review={review: int(counted[f"masks.review.{review}"]) for review in REVIEWS},
        by_stage={stage: int(counted[f"masks.stage.{stage}"]) for stage in STAGES},
        unnamed=int(counted["masks.class.0"]),
        classes=list_classes(transaction, project),
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
    )
