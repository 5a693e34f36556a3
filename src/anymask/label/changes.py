"""Changes of masks: each a new revision, and refused if it was made of an old one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anymask.errors import InputError
from anymask.label.database.clock import wall_time
from anymask.label.database.connection import Transaction
from anymask.label.database.counters import KNOWN, Counters, apart_of
from anymask.label.database.requests import answer_of, note
from anymask.label.database.rows import from_rows, to_rows
from anymask.label.images import find_image, image_row
from anymask.label.names import class_ids, person_id, version_id
from anymask.label.queue.leases import check_free
from anymask.label.records import (
    REVIEWS,
    SHOWN,
    Change,
    Provenance,
    Revision,
    RevisionConflict,
    StoredMasks,
)
from anymask.label.review.hidden import ASIDE

__all__ = ["answered", "apply", "history", "read_masks", "was_done"]

Number = tuple[int, int]
"""A mask and its revision."""

_NAMED = """
    c.name AS label, p.name AS person, v.name AS version
    FROM masks m JOIN revisions r ON r.mask_id = m.id {and_current}
    JOIN revisions s ON s.mask_id = m.id AND s.revision = r.shape
    LEFT JOIN classes c ON c.id = r.class_id
    LEFT JOIN people p ON p.id = {person}.person_id
    LEFT JOIN versions v ON v.id = s.version_id"""
_COLUMNS = """r.mask_id, r.revision, r.action, r.deleted, r.shape, s.counts, r.area, r.score,
    r.stability, r.known, r.review, r.stage, r.seconds, r.restores, r.at,"""
_FILLS = ("semi-automatic", "automatic")
_KEPT = (
    *("deleted", "shape", "area", "class_id", "score", "stability", "known", "review", "stage"),
    "version_id",
)


def read_masks(transaction: Transaction, project: int, image: int) -> StoredMasks:
    """Give the masks of an image as they are now, in the order in which they were added."""
    found = find_image(transaction, project, image)
    named = _NAMED.format(and_current="AND r.revision = m.revision", person="s")
    query = f"""
        SELECT {_COLUMNS} w.name AS origin, {named}
        JOIN revisions o ON o.mask_id = m.id AND o.revision = 1
        LEFT JOIN versions w ON w.id = o.version_id
        WHERE m.image_id = :image AND m.deleted = 0 ORDER BY m.id"""
    rows = transaction.rows(query, image=found.id)
    return StoredMasks(
        found,
        from_rows(rows, found.size_hw, source=found.name),
        ids=tuple(row.mask_id for row in rows),
        revisions=tuple(row.revision for row in rows),
        reviews=tuple(row.review for row in rows),
        stages=tuple(row.stage for row in rows),
        people=tuple(row.person for row in rows),
        versions=tuple(row.version for row in rows),
        seconds=tuple(row.seconds for row in rows),
        origins=tuple(row.origin for row in rows),
    )


def history(transaction: Transaction, project: int, mask: int) -> list[Revision]:
    """List all revisions of a mask, the first one first.

    Raises:
        InputError: There is no such mask.
    """
    query = f"""
        SELECT {_COLUMNS} i.height, i.width, {_NAMED.format(and_current="", person="r")}
        JOIN images i ON i.id = m.image_id
        WHERE m.id = :mask AND i.project_id = :project ORDER BY r.revision"""
    rows = transaction.rows(query, mask=mask, project=project) if 0 < mask < 2**63 else []
    if not rows:
        raise InputError(f"expected the number of a mask, got {mask!r}; list the image's masks")
    return [
        Revision(
            mask=row.mask_id,
            revision=row.revision,
            action=row.action,
            masks=from_rows([row], (row.height, row.width)),
            deleted=bool(row.deleted),
            review=row.review,
            stage=row.stage,
            person=row.person,
            version=row.version,
            seconds=row.seconds,
            at=row.at,
            restores=row.restores,
        )
        for row in rows
    ]


def apply(
    transaction: Transaction,
    project: int,
    image: int,
    changes: Sequence[Change],
    provenance: Provenance,
    *,
    is_free: bool = False,
) -> list[Number]:
    """Make changes of the masks of one image, all or none; give each mask's new revision.

    Args:
        transaction: Where to do it.
        project: Whose image it is.
        image: Its number.
        changes: What to do.
        provenance: Who does it.
        is_free: Whether the caller has looked, in this transaction, that nobody else has the image
            and that it may be changed.

    Raises:
        LeaseConflict: Somebody else has the image.
        InputError: A program adds masks to an image that people are done with, or a change is none.
    """
    locked = image_row(transaction, project, image)
    if (answer := answered(transaction, project, provenance.token)) is not None:
        _check_answer(transaction, image, answer)
        return answer
    if not is_free:
        _check_free(transaction, project, locked, changes, provenance)
    # Of a model, they are filled in like others; a person's would be put away for the next one.
    if locked.state in SHOWN and provenance.stage == "imported" and provenance.person is not None:
        raise InputError(
            f"expected an image of the work for masks of {provenance.person!r}, got image {image}, "
            "whose masks are known; take it out first (anymask label honeypots --remove), or leave "
            "it out"
        )
    work = _Work(transaction, project, locked, provenance)
    for change in changes:
        work.prepare(change)
    answer = work.save()
    if provenance.token is not None:
        note(transaction, project, provenance.token, answer)
    if not work.is_aside:
        apart = apart_of(KNOWN, image) if locked.state in SHOWN else ""
        work.counters.save(transaction, project, apart)
    return answer


def _check_free(
    transaction: Transaction,
    project: int,
    image: Any,
    changes: Sequence[Change],
    provenance: Provenance,
) -> None:
    """Refuse what would change beneath somebody who is at work, or what nobody would look at."""
    check_free(transaction, project, image, provenance.person)
    fills = provenance.person is None and provenance.stage in _FILLS
    is_new = any(change.action == "add" for change in changes)
    if fills and is_new and image.state not in ("open", *SHOWN):
        name = find_image(transaction, project, image.id).name
        raise InputError(
            f"expected an open image for masks of a model, got {name!r}, which is {image.state}; "
            "let a reviewer open it again, or say who adds them"
        )


def was_done(transaction: Transaction, project: int, token: str) -> bool:
    """Return whether a request was done."""
    return answer_of(transaction, project, token) is not None


def answered(transaction: Transaction, project: int, token: str | None) -> list[Number] | None:
    """Give the answer of a request that was done; None: it was not, or has no token."""
    if token is None:
        return None
    found = answer_of(transaction, project, token)
    if found is None:
        return None
    if not isinstance(found, list):
        raise InputError(
            f"expected a token of changes of an image, got {token[:40]!r} of another request; give "
            "each request a token of its own"
        )
    return [(one, revision) for one, revision in found]


def _check_answer(transaction: Transaction, image: int, answer: list[Number]) -> None:
    """Refuse a token that belongs to another image, or its changes would be lost without a word."""
    query = "SELECT image_id FROM masks WHERE id = :mask"
    if answer and (of := transaction.value(query, mask=answer[0][0])) != image:
        raise InputError(
            f"expected a token of a request on image {image}, got one of image {of}; give each "
            "request a token of its own"
        )


class _Work:
    """The changes of one transaction, until they are written together."""

    def __init__(
        self, transaction: Transaction, project: int, image: Any, provenance: Provenance
    ) -> None:
        self._transaction, self._project, self._image = transaction, project, image
        self._provenance = provenance
        self._person = person_id(transaction, provenance.person)
        self._versions: dict[str, int | None] = {}
        self._at = wall_time(transaction)
        self.counters = Counters()
        self._rows: list[dict[str, Any]] = []  # of revisions, in the order of the changes
        self._new: list[int] = []  # places in it of masks that are to be added
        self._latest: dict[int, dict[str, Any]] = {}
        self._more = 0  # masks
        # What a program fills in where an annotator was done already is for the next one.
        is_program = provenance.person is None and provenance.stage in _FILLS
        self.is_aside = is_program and image.state in SHOWN and SHOWN[image.state] != "open"

    def prepare(self, change: Change) -> None:
        """Check a change and work out its row."""
        if change.action == "add":
            self._add(change)
            return
        state = self._current(change)
        row = {
            **{name: state[name] for name in _KEPT},
            **self._by(change),
            "mask_id": change.mask,
            "revision": state["revision"] + 1,
        }
        make = {
            "edit": self._edit,
            "review": self._review,
            "delete": self._delete,
            "restore": self._restore,
        }.get(change.action)
        if make is None:
            raise InputError(
                "expected an action out of add, edit, review, delete, restore, got "
                f"{change.action!r}; name one"
            )
        make(change, state, row)
        self._count(state, row)
        self._rows.append(row)
        self._latest[row["mask_id"]] = {**row, "counts": row["counts"] or state["counts"]}

    def save(self) -> list[Number]:
        """Write everything but the counters."""
        transaction = self._transaction
        image = self._image.id
        away = ASIDE if self.is_aside else 0
        made = [{"image_id": image, "revision": 1, "deleted": away} for _ in self._new]
        numbers = transaction.insert_numbered("masks", made)
        for place, number in zip(self._new, numbers, strict=True):
            self._rows[place]["mask_id"] = number
        transaction.insert("revisions", self._rows)
        for row in self._latest.values():
            transaction.run(
                "UPDATE masks SET revision = :revision, deleted = :deleted WHERE id = :id",
                revision=row["revision"],
                deleted=row["deleted"],
                id=row["mask_id"],
            )
        if self._rows and not self.is_aside:
            self._update_image()
        return [(row["mask_id"], row["revision"]) for row in self._rows]

    def _update_image(self) -> None:
        """Note how many masks there are, and how sure the models are of them."""
        transaction, image = self._transaction, self._image.id
        confidence = transaction.value(
            "SELECT avg(r.score) FROM masks m JOIN revisions r ON r.mask_id = m.id "
            "AND r.revision = m.revision WHERE m.image_id = :image AND m.deleted = 0",
            image=image,
        )
        transaction.run(
            "UPDATE images SET masks = masks + :more, revision = revision + 1, "
            "confidence = :confidence WHERE id = :image",
            more=self._more,
            confidence=2.0 if confidence is None else confidence,
            image=image,
        )

    # ------------------------------------------------------------------- the kinds of changes

    def _by(self, change: Change) -> dict[str, Any]:
        said = self._provenance
        return {
            "action": change.action,
            "counts": None,
            "person_id": self._person,
            "seconds": said.seconds if change.seconds is None else change.seconds,
            "restores": None,
            "at": self._at,
        }

    def _version_of(self, change: Change) -> int | None:
        name = self._provenance.version if change.version is None else change.version
        if name is not None and name not in self._versions:
            self._versions[name] = version_id(self._transaction, self._project, name)
        return None if name is None else self._versions[name]

    def _add(self, change: Change) -> None:
        if change.masks is None or change.mask is not None:
            raise InputError("expected masks to add, and no number of one, got others; give Masks")
        self._check_size(change)
        review = _checked_review(change.review or "pending")
        shares = len(change.masks) or 1
        for row in self._described(change):
            row |= {**self._by(change), "counts": row["counts"], "revision": 1, "shape": 1}
            row |= {"deleted": 0, "review": review, "stage": self._provenance.stage}
            row |= {"version_id": self._version_of(change)}
            if row["seconds"] is not None:
                row["seconds"] /= shares
            self._new.append(len(self._rows))
            self._rows.append(row)
            self._count(None, row)

    def _edit(self, change: Change, state: dict[str, Any], row: dict[str, Any]) -> None:
        if change.masks is None or len(change.masks) != 1:
            number = "none" if change.masks is None else len(change.masks)
            raise InputError(
                f"expected one mask in place of another, got {number}; give Masks of one"
            )
        self._check_size(change)
        (new,) = self._described(change)
        counts = new.pop("counts")
        row |= {**new, "stage": self._provenance.stage, "deleted": 0}
        if counts != state["counts"]:
            row |= {"counts": counts, "shape": row["revision"]}
            row["version_id"] = self._version_of(change)

    def _review(self, change: Change, state: dict[str, Any], row: dict[str, Any]) -> None:
        row["review"] = _checked_review(change.review)

    def _delete(self, change: Change, state: dict[str, Any], row: dict[str, Any]) -> None:
        row["deleted"] = 1

    def _restore(self, change: Change, state: dict[str, Any], row: dict[str, Any]) -> None:
        to = (state["restores"] or state["revision"]) - 1 if change.to is None else change.to
        query = """
            SELECT r.*, s.counts AS pixels FROM revisions r JOIN revisions s
            ON s.mask_id = r.mask_id AND s.revision = r.shape
            WHERE r.mask_id = :mask AND r.revision = :revision"""
        found = self._transaction.row(query, mask=change.mask, revision=to)
        if found is None:
            raise InputError(
                f"expected a revision of mask {change.mask} from 1 to {state['revision']} to bring "
                f"back, got {to}; there is nothing to undo before the first"
            )
        row |= {name: getattr(found, name) for name in _KEPT}
        row["restores"] = found.restores or to  # so that undo goes on where undo left off
        state["counts"] = found.pixels

    # -------------------------------------------------------------------------------- pieces

    def _current(self, change: Change) -> dict[str, Any]:
        """Give the latest revision of the mask of a change, and check that the change knows it."""
        if change.mask in self._latest:
            state = self._latest[change.mask]
        else:
            query = """
                SELECT r.*, s.counts AS pixels, m.deleted AS away FROM masks m
                JOIN revisions r ON r.mask_id = m.id AND r.revision = m.revision
                JOIN revisions s ON s.mask_id = m.id AND s.revision = r.shape
                WHERE m.id = :mask AND m.image_id = :image"""
            found = self._transaction.row(query, mask=change.mask, image=self._image.id)
            if found is None:
                raise InputError(
                    f"expected a mask of image {self._image.id}, got {change.mask!r}; list the "
                    "image's masks"
                )
            # One that was set aside (`hidden`) is as good as deleted.
            state = {**found._mapping, "counts": found.pixels, "deleted": int(found.away > 0)}
        if change.revision != state["revision"]:
            current = history(self._transaction, self._project, change.mask or 0)[-1]
            raise RevisionConflict(
                f"expected the latest revision {current.revision} of mask {change.mask}, got "
                f"{change.revision}: {current.person or 'somebody'} has changed it meanwhile; look "
                "at it as it is now, and change that",
                current,
            )
        return state

    def _described(self, change: Change) -> list[dict[str, Any]]:
        rows = to_rows(change.masks) if change.masks is not None else []
        numbers = class_ids(self._transaction, self._project, [row["label"] for row in rows])
        for row in rows:
            row["class_id"] = numbers[row.pop("label")]
        return rows

    def _check_size(self, change: Change) -> None:
        size_hw = (self._image.height, self._image.width)
        if change.masks is not None and change.masks.size_hw != size_hw:
            (h, w), (found_h, found_w) = size_hw, change.masks.size_hw
            raise InputError(
                f"expected masks of {w} x {h} like image {self._image.id}, got {found_w} x "
                f"{found_h}; make them for the image as it is, its orientation applied"
            )

    def _count(self, before: dict[str, Any] | None, after: dict[str, Any]) -> None:
        if before is not None:
            self.counters.mask(before, -1)
            self._more -= not before["deleted"]
        self.counters.mask(after, 1)
        self._more += not after["deleted"]
        seen = before is not None and after["seconds"] is not None
        first = not (seen and self._is_timed(after["mask_id"]))
        self.counters.revision(after, first=first)

    def _is_timed(self, mask: int) -> bool:
        """Return whether the person's time on a mask was counted before."""
        query = """
            SELECT 1 FROM revisions
            WHERE mask_id = :mask AND person_id = :person AND seconds IS NOT NULL LIMIT 1"""
        stored = self._transaction.value(query, mask=mask, person=self._person) is not None
        return stored or any(
            row["seconds"] is not None for row in self._rows if row.get("mask_id") == mask
        )


def _checked_review(review: object) -> str:
    if review not in REVIEWS:
        raise InputError(f"expected a review out of {', '.join(REVIEWS)}, got {review!r}; name one")
    return str(review)
