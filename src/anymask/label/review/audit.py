"""How good the masks are: a sample is looked at by people, and compared with what it was.

As in the Segment Anything paper (section 5, "Mask quality"): people correct a random sample of
masks, and the share of those that had an IoU above 90 % and 75 % with their correction is told.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anymask.errors import InputError
from anymask.label import changes
from anymask.label.database.clock import lease_time, wall_time
from anymask.label.database.connection import Transaction
from anymask.label.images import image_row
from anymask.label.names import list_versions, person_id
from anymask.label.queue.leases import check_free, of_tab, take_image
from anymask.label.records import (
    IN_WORK,
    STAGES,
    Change,
    ImageRecord,
    Lease,
    LeaseConflict,
    Provenance,
    Stage,
    check_name,
)
from anymask.label.review import agreement
from anymask.masks import rle

if TYPE_CHECKING:
    from anymask.label.store import Store

__all__ = [
    "Audit",
    "AuditRow",
    "begin_audit",
    "confirm",
    "list_audits",
    "next_audited",
    "read_audit",
    "waiting_masks",
]

_TRIES = 10  # for each mask of a sample, before all masks are listed
_MASKS_AT_ONCE = 1000  # in one query


@dataclass(frozen=True)
class AuditRow:
    """How good some masks were.

    Attributes:
        of: Whose: ``all``, an annotator (``person Ada``) or a model version (``model bundled``).
        masks: Number of them that were looked at.
        above_90: Share with an IoU above 0.9 with their correction; None without any.
        above_75: The same for 0.75.
        mean_iou: Mean IoU.
    """

    of: str
    masks: int
    above_90: float | None
    above_75: float | None
    mean_iou: float | None


@dataclass(frozen=True)
class Audit:
    """What an audit has found so far.

    Attributes:
        name: What it is called.
        sampled: Number of masks in it.
        rows: All, then each annotator and each model version.
        waiting: Masks that nobody has looked at yet, each with the name of its image. To edit,
            to review or to delete a mask is to look at it; one that was rejected has an IoU of 0,
            like one that was deleted.
    """

    name: str
    sampled: int
    rows: tuple[AuditRow, ...]
    waiting: tuple[tuple[int, str], ...]


def begin_audit(
    store: Store,
    name: str,
    sample: int = 500,
    *,
    stage: Stage | None = None,
    model_version: str | None = None,
    seed: int | None = None,
) -> int:
    """Draw masks at random that people should look at, and give their number.

    Args:
        store: The store.
        name: What to call the audit.
        sample: How many; all, if there are fewer.
        stage: Only masks that are as this stage left them, such as "automatic" (the paper audits
            these); None: of all stages.
        model_version: Only masks whose pixels are of this version; None: of all, and of people.
        seed: Start of the random sequence; None: another sample each time.

    Raises:
        InputError: There is an audit of that name, or no such mask, stage or version.
    """
    check_name(name, "name of an audit", 200)
    if sample < 1:
        raise InputError(f"expected a sample of at least one mask, got {sample}; 500 is usual")
    if stage is not None and stage not in STAGES:
        raise InputError(f"expected a stage out of {', '.join(STAGES)}, got {stage!r}; name one")
    project = store.project_id
    among = store.database.read(lambda t: _Among.find(t, project, stage, model_version))
    drawn = store.database.read(lambda t: among.draw(t, sample, random.Random(seed)))

    def work(transaction: Transaction) -> int:
        rows = among.rows(transaction, drawn)
        if not rows:
            of = f" of stage {stage}" if stage is not None else ""
            by = f" by {model_version}" if model_version is not None else ""
            raise InputError(f"expected masks{of}{by} to audit, got none; label some first")
        made = transaction.run(
            "INSERT INTO audits (project_id, name, at) VALUES (:project, :name, :at) "
            "ON CONFLICT DO NOTHING",
            project=project,
            name=name,
            at=wall_time(transaction),
        )
        if not made:
            raise InputError(f"expected a new name for the audit, got {name!r}; choose another")
        number = _number(transaction, project, name)
        transaction.insert("audited", [{"audit_id": number, **row._mapping} for row in rows])
        return len(rows)

    return store.database.write(work)


def _number(transaction: Transaction, project: int, name: str) -> int | None:
    query = "SELECT id FROM audits WHERE project_id = :project AND name = :name"
    found: int | None = transaction.value(query, project=project, name=name)
    return found


@dataclass(frozen=True)
class _Among:
    """Of which masks an audit is drawn: the end of a condition, and its values."""

    which: str
    values: dict[str, Any]

    @classmethod
    def find(
        cls, transaction: Transaction, project: int, stage: str | None, version: str | None
    ) -> _Among:
        which = ""
        values: dict[str, Any] = {"project": project}
        if stage is not None:
            which, values = " AND r.stage = :stage", {**values, "stage": stage}
        if version is not None:
            known = {one.name: one.id for one in list_versions(transaction, project)}
            if version not in known:
                raise InputError(
                    f"expected a model version out of {', '.join(known) or 'none'}, got "
                    f"{version!r}; see anymask label status"
                )
            which = f"{which} AND s.version_id = :version"
            values = {**values, "version": known[version]}
        return cls(which, values)

    def draw(self, transaction: Transaction, sample: int, rng: random.Random) -> list[int]:
        """Draw numbers of masks, in order; where most masks will do, without a look at all."""
        ends = transaction.row("SELECT min(id) AS first, max(id) AS last FROM masks")
        if ends.first is None:
            return []
        found: set[int] = set()
        if ends.last - ends.first >= 20 * sample:
            for _ in range(_TRIES * sample):  # others may share the numbers: projects, stages
                number = rng.randint(ends.first, ends.last)
                if number not in found and self.rows(transaction, [number]):
                    found.add(number)
                if len(found) == sample:
                    return sorted(found)
        rows = transaction.stream(f"{self._query('m.id')} ORDER BY m.id", **self.values)
        numbers = [row.id for row in rows]
        return sorted(rng.sample(numbers, min(sample, len(numbers))))

    def rows(self, transaction: Transaction, numbers: Sequence[int]) -> list[Any]:
        """Give what is kept of masks, without those that are none of these, or not any more."""
        query = self._query("m.id AS mask_id, m.revision, s.person_id, s.version_id")
        found: list[Any] = []
        for start in range(0, len(numbers), _MASKS_AT_ONCE):
            some = ", ".join(map(str, numbers[start : start + _MASKS_AT_ONCE]))
            found += transaction.rows(f"{query} AND m.id IN ({some}) ORDER BY m.id", **self.values)
        return found

    def _query(self, columns: str) -> str:
        return f"""
            SELECT {columns} FROM masks m JOIN images i ON i.id = m.image_id
            JOIN revisions r ON r.mask_id = m.id AND r.revision = m.revision
            JOIN revisions s ON s.mask_id = m.id AND s.revision = r.shape
            WHERE m.deleted = 0 AND i.project_id = :project AND i.{IN_WORK}{self.which}"""


def list_audits(store: Store) -> list[str]:
    """List the names of the audits, oldest first."""
    query = "SELECT name FROM audits WHERE project_id = :id ORDER BY id"
    return store.database.read(lambda t: [row.name for row in t.rows(query, id=store.project_id)])


_WAITING = f"""
    FROM audited a JOIN masks m ON m.id = a.mask_id AND m.revision = a.revision
    JOIN images i ON i.id = m.image_id
    WHERE a.audit_id = :audit AND m.deleted = 0 AND i.{IN_WORK}"""


def next_audited(
    store: Store, name: str, person: str, *, seconds: float = 900.0, tab: str | None = None
) -> Lease | None:
    """Give a person an image with masks of an audit that nobody has looked at, see `Store.next`.

    Raises:
        InputError: There is no audit of that name.
    """
    query = f"""
        SELECT i.id {_WAITING} AND i.gone = 0
        AND (i.lease_person_id IS NULL OR i.lease_until <= :now
            OR (i.lease_person_id = :who {of_tab(tab)}))
        ORDER BY CASE WHEN i.lease_person_id = :who AND i.lease_until > :now THEN 0 ELSE 1 END,
        i.id LIMIT 1"""

    def work(transaction: Transaction) -> Lease | None:
        project = store.project_id
        audit = _known(transaction, project, name)
        who = person_id(transaction, person)
        while True:
            now = lease_time(transaction, project, keep=False)
            found = transaction.value(query, audit=audit, now=now, who=who)
            if found is None:
                return None
            with suppress(LeaseConflict):  # somebody was faster: there may be another one
                return take_image(transaction, project, person, found, seconds=seconds, tab=tab)

    return store.database.write(work)


def waiting_masks(store: Store, name: str, image: ImageRecord | int) -> list[int]:
    """List the masks of an audit on an image that nobody has looked at, by their numbers.

    Raises:
        InputError: There is no audit of that name.
    """
    query = f"SELECT m.id {_WAITING} AND i.id = :image ORDER BY m.id"
    number = image if isinstance(image, int) else image.id

    def work(transaction: Transaction) -> list[int]:
        audit = _known(transaction, store.project_id, name)
        return [row.id for row in transaction.rows(query, audit=audit, image=number)]

    return store.database.read(work)


def confirm(store: Store, name: str, image: ImageRecord, *, person: str | None) -> int:
    """Say that the masks of an audit on an image are right as they are; give their number.

    Those that somebody has changed, accepted or deleted since are not touched.

    Raises:
        LeaseConflict: Somebody else than ``person`` has the image; with None that is not looked at.
        InputError: There is no audit of that name.
    """
    query = f"SELECT m.id, m.revision {_WAITING} AND i.id = :image ORDER BY m.id"

    def work(transaction: Transaction) -> int:
        locked = image_row(transaction, store.project_id, image.id)  # keeps others out
        audit = _known(transaction, store.project_id, name)
        rows = transaction.rows(query, audit=audit, image=image.id)
        accepted = [Change("review", row.id, row.revision, review="accepted") for row in rows]
        if accepted:
            if person is not None:
                check_free(transaction, store.project_id, locked, person)
            by = Provenance(person=person)
            changes.apply(transaction, store.project_id, image.id, accepted, by, is_free=True)
        return len(accepted)

    return store.database.write(work)


def _known(transaction: Transaction, project: int, name: str) -> int:
    number = _number(transaction, project, name)
    if number is None:
        raise InputError(f"expected the name of an audit, got {name!r}; begin it first")
    return number


def read_audit(store: Store, name: str) -> Audit:
    """Compare the masks of an audit with what people made of them.

    Images whose masks have become known since (`anymask.label.review.honeypots`) count no more.

    Raises:
        InputError: There is no audit of that name.
    """
    query = f"""
        SELECT a.mask_id, a.revision, m.revision AS latest, m.deleted, y.review, i.id AS image_id,
            old.counts AS before, new.counts AS after, p.name AS person, v.name AS version
        FROM audited a JOIN masks m ON m.id = a.mask_id JOIN images i ON i.id = m.image_id
        JOIN revisions x ON x.mask_id = a.mask_id AND x.revision = a.revision
        JOIN revisions old ON old.mask_id = a.mask_id AND old.revision = x.shape
        JOIN revisions y ON y.mask_id = a.mask_id AND y.revision = m.revision
        JOIN revisions new ON new.mask_id = a.mask_id AND new.revision = y.shape
        LEFT JOIN people p ON p.id = a.person_id LEFT JOIN versions v ON v.id = a.version_id
        WHERE a.audit_id = :audit AND i.{IN_WORK} AND y.action <> 'retire'
        ORDER BY a.mask_id"""

    def work(transaction: Transaction) -> list[Any]:
        return transaction.rows(query, audit=_known(transaction, store.project_id, name))

    rows = store.database.read(work)
    seen = [row for row in rows if row.latest > row.revision]
    ious = [_iou(row) for row in seen]
    groups = {"all": list(ious)}
    for row, value in zip(seen, ious, strict=True):
        for kind, who in (("person", row.person), ("model", row.version)):
            if who is not None:
                groups.setdefault(f"{kind} {who}", []).append(value)
    names = ["all", *sorted(one for one in groups if one != "all")]
    waiting = [row for row in rows if row.latest == row.revision]
    images = {row.image_id: store.image(row.image_id).name for row in waiting}
    return Audit(
        name,
        len(rows),
        tuple(_row(of, groups[of]) for of in names),
        tuple((row.mask_id, images[row.image_id]) for row in waiting),
    )


def _iou(row: Any) -> float:
    if row.deleted or row.review == "rejected":
        return 0.0
    if row.before == row.after:
        return 1.0
    before, after = rle.from_string(row.before), rle.from_string(row.after)
    return float(rle.iou([before], [after])[0, 0])


def _row(of: str, ious: Sequence[float]) -> AuditRow:
    if not ious:
        return AuditRow(of, 0, None, None, None)
    (found,) = agreement.audit((of, iou) for iou in ious)
    above_90, above_75 = (found.above[level].value for level in agreement.LEVELS)
    return AuditRow(of, found.number, above_90, above_75, found.mean_iou)
