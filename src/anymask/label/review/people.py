"""How well people agree who made masks on the same images of a store."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from anymask.label.database.connection import Transaction
from anymask.label.records import IN_WORK, StoredMasks
from anymask.label.review.agreement import Agreement, agreement

if TYPE_CHECKING:
    from anymask.label.store import Store
    from anymask.masks.masks import Masks

__all__ = ["PeopleAgreement", "compare_people"]

_LATEST, _AT_ONCE = 10_000, 500  # images that are looked through, and so many with each query


@dataclass(frozen=True)
class PeopleAgreement:
    """How two people agree.

    Attributes:
        first: One of them.
        second: The other one.
        images: Number of images on which both made masks.
        agreement: Of their masks on these.
    """

    first: str
    second: str
    images: int
    agreement: Agreement

    def document(self) -> dict[str, Any]:
        """Give the numbers as plain JSON values; what is not known is None."""
        found = self.agreement
        return {
            "first": self.first,
            "second": self.second,
            "images": self.images,
            "pairs": len(found.ious),
            "mean_iou": None if math.isnan(found.mean_iou) else found.mean_iou,
            "above_90": found.above(0.9).value if found.ious else None,
            "above_75": found.above(0.75).value if found.ious else None,
            "only_first": found.only_first,
            "only_second": found.only_second,
        }


def compare_people(store: Store, *, limit: int = 200) -> list[PeopleAgreement]:
    """Compare people on images on which several have made masks, the latest such images first.

    They are looked for among the latest 10,000 images that have masks.

    A mask belongs to who gave it its pixels; rejected ones count for nothing, nor do images whose
    masks are known: what one person left there half done is not for another.

    Args:
        store: The store.
        limit: Most images to look at.

    Raises:
        MissingExtraError: SciPy is not installed.
    """
    some = f"""
        SELECT id FROM images WHERE project_id = :id AND id < :below AND masks > 0 AND {IN_WORK}
        ORDER BY id DESC LIMIT {_AT_ONCE}"""
    query = """
        SELECT m.image_id FROM masks m
        JOIN revisions r ON r.mask_id = m.id AND r.revision = m.revision
        JOIN revisions s ON s.mask_id = m.id AND s.revision = r.shape
        WHERE m.image_id IN ({numbers}) AND m.deleted = 0 AND r.review <> 'rejected'
        GROUP BY m.image_id HAVING count(DISTINCT s.person_id) > 1
        ORDER BY m.image_id DESC LIMIT :limit"""

    def shared(transaction: Transaction) -> list[int]:
        found: list[int] = []
        below = 1 << 62
        for _ in range(_LATEST // _AT_ONCE):
            rows = transaction.rows(some, id=store.project_id, below=below)
            if not rows or len(found) >= limit:
                break
            below = rows[-1].id
            numbers = ", ".join(str(row.id) for row in rows)
            more = transaction.rows(query.format(numbers=numbers), limit=limit - len(found))
            found += [row.image_id for row in more]
        return found

    parts: dict[tuple[str, str], list[Agreement]] = defaultdict(list)
    for image in store.database.read(shared):
        by_person = _by_person(store.masks(image))
        for first, second in combinations(sorted(by_person), 2):
            one = agreement(by_person[first], by_person[second], boundary=False)
            parts[first, second].append(one)
    return [
        PeopleAgreement(first, second, len(found), Agreement.joined(found))
        for (first, second), found in sorted(parts.items())
    ]


def _by_person(stored: StoredMasks) -> dict[str, Masks]:
    places: dict[str, list[int]] = defaultdict(list)
    for i, (person, review) in enumerate(zip(stored.people, stored.reviews, strict=True)):
        if person is not None and review != "rejected":
            places[person].append(i)
    return {person: stored.masks[found] for person, found in places.items()}
