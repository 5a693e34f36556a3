"""The order in which images are worked on: what teaches most comes first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.label.database.connection import Database, Transaction

__all__ = [
    "ORDERS",
    "Order",
    "column_of",
    "embedded",
    "farthest_first",
    "order_by_novelty",
    "save_agreement",
    "save_confidence",
    "save_embeddings",
]

Order = Literal["added", "low-confidence", "disagreement", "novelty"]
"""``added``: as they were added; ``low-confidence``: the lowest mean predicted IoU first;
``disagreement``: where two model versions agree least; ``novelty``: farthest from all before."""

ORDERS: tuple[Order, ...] = get_args(Order)

_COLUMNS = {
    "added": "place",
    "low-confidence": "confidence",
    "disagreement": "agreement",
    "novelty": "novelty",
}
_AT_ONCE = 2000  # places in the order that are written together
_PIECE = 512  # vectors that are looked at together
_PRODUCTS = 1 << 24  # numbers of a product of matrices that are in memory together


def column_of(order: str) -> str:
    """Give the column of ``images`` that an order goes by; what is unknown comes last in it.

    Raises:
        InputError: There is no such order.
    """
    if order not in _COLUMNS:
        raise InputError(f"expected an order out of {', '.join(ORDERS)}, got {order!r}; name one")
    return _COLUMNS[order]


def farthest_first(
    vectors: npt.NDArray[np.float32], known: int = 0, limit: int = 2000
) -> npt.NDArray[np.int64]:
    """Order vectors so that each is the farthest from all that come before it.

    Args:
        vectors: float32 (n, k).
        known: The first so many have been worked on: they count as seen, and are not ordered.
            What is nearest among them is found by products of matrices, piece by piece.
        limit: How many are ordered in this way; the rest comes by its distance to these, for each
            step takes as long as a look at all.

    Returns:
        int64 (n - known,), places in ``vectors``. Without known ones, it begins with the vector
        farthest from the mean. Of equally far ones, the earlier one is first.

    Examples:
        >>> farthest_first(np.array([[0], [1], [9], [5]], np.float32), known=1).tolist()
        [2, 3, 1]
    """
    rest = np.ascontiguousarray(vectors[known:])
    if not len(rest):
        return np.empty(0, np.int64)
    ordered: list[int] = []
    if known:
        far = _nearest(rest, np.ascontiguousarray(vectors[:known]))
    else:
        ordered.append(int(np.argmax(_squared(rest, rest.mean(axis=0, dtype=np.float64)))))
        far = _squared(rest, rest[ordered[0]])
        far[ordered[0]] = -1
    for _ in range(min(limit, len(rest)) - len(ordered)):
        place = int(np.argmax(far))
        ordered.append(place)
        far = np.minimum(far, _squared(rest, rest[place]))
        far[ordered] = -1
    left = [int(place) for place in np.argsort(-far, kind="stable") if far[place] >= 0]
    return known + np.array(ordered + left, np.int64)


def _squared(
    vectors: npt.NDArray[np.float32], others: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.float64]:
    """Give the squared distances (n,) of vectors (n, k) to one (k,), or to one each (n, k)."""
    found = np.empty(len(vectors))
    for start in range(0, len(vectors), _PIECE):  # pieces that the processor has at hand
        piece = slice(start, start + _PIECE)
        difference = vectors[piece] - (others if others.ndim == 1 else others[piece])
        np.einsum("ij,ij->i", difference, difference, dtype=np.float64, out=found[piece])
    return found


def _nearest(
    vectors: npt.NDArray[np.float32], known: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Give the squared distance (n,) of each vector to the nearest of some that are known.

    Which is nearest, products tell; how far it is, differences do, for these are exact.
    """
    middle = known.mean(axis=0, dtype=np.float64).astype(np.float32)
    moved = known - middle
    lengths, scaled = np.einsum("ij,ij->i", moved, moved), np.ascontiguousarray(-2 * moved.T)
    nearest = np.zeros(len(vectors), np.int64)
    rows = max(1, _PRODUCTS // len(known))
    for start in range(0, len(vectors), rows):
        piece = vectors[start : start + rows] - middle
        product = piece @ scaled
        product += lengths
        nearest[start : start + rows] = np.argmin(product, axis=1)
    return _squared(vectors, known[nearest])


def save_embeddings(
    transaction: Transaction, project: int, vectors: Mapping[int, npt.NDArray[np.float32]]
) -> None:
    """Keep an embedding of each image.

    Args:
        transaction: Where to do it.
        project: Whose images they are.
        vectors: float32 (k,) each, by the numbers of the images.
    """
    for image, vector in sorted(vectors.items()):
        transaction.run(
            "INSERT INTO embeddings (image_id, vector) VALUES (:image, :vector) "
            "ON CONFLICT (image_id) DO UPDATE SET vector = excluded.vector",
            image=image,
            vector=np.ascontiguousarray(vector, np.float32).tobytes(),
        )


def embedded(transaction: Transaction, project: int) -> set[int]:
    """Give the numbers of the images that there are embeddings of."""
    query = """
        SELECT e.image_id FROM embeddings e JOIN images i ON i.id = e.image_id
        WHERE i.project_id = :project"""
    return {row.image_id for row in transaction.rows(query, project=project)}


def order_by_novelty(database: Database, project: int) -> None:
    """Order the open images that there are embeddings of: farthest from all before comes first.

    That may take minutes, in which others can write.

    Raises:
        InputError: The embeddings are of several models.
    """
    query = """
        SELECT i.id, i.state, e.vector FROM images i JOIN embeddings e ON e.image_id = i.id
        WHERE i.project_id = :project ORDER BY CASE i.state WHEN 'open' THEN 1 ELSE 0 END, i.id"""
    rows = database.read(lambda t: t.rows(query, project=project))
    if not rows:
        return
    if len({len(row.vector) for row in rows}) > 1:
        raise InputError(
            "expected embeddings of one model, got vectors of several lengths; make all of them "
            "again: anymask label order --again"
        )
    stacked = np.stack([np.frombuffer(row.vector, np.float32) for row in rows])
    known = sum(row.state != "open" for row in rows)
    ranks = [
        {"rank": rank / len(rows), "id": rows[int(place)].id}
        for rank, place in enumerate(farthest_first(stacked, known))
    ]
    # By their numbers, or two who do this at once might wait for each other.
    ranks.sort(key=lambda one: one["id"])
    update = "UPDATE images SET novelty = :rank WHERE id = :id"
    for start in range(0, len(ranks), _AT_ONCE):
        some = ranks[start : start + _AT_ONCE]
        database.write(lambda t, some=some: t.run(update, some))  # type: ignore[misc]


def save_confidence(
    transaction: Transaction, project: int, confidence: Mapping[int, float]
) -> None:
    """Note how sure a model is of images that have no masks, by the numbers of the images."""
    for image, value in sorted(confidence.items()):
        transaction.run(
            "UPDATE images SET confidence = :value "
            "WHERE id = :id AND project_id = :project AND masks = 0",
            value=float(value),
            id=image,
            project=project,
        )


def save_agreement(transaction: Transaction, project: int, agreement: Mapping[int, float]) -> None:
    """Note how well two model versions agree on images, 0 to 1, by the numbers of the images."""
    for image, value in sorted(agreement.items()):
        if not 0 <= value <= 1:
            raise InputError(
                f"expected an agreement of 0 to 1, got {value} for image {image}; give the mean IoU"
            )
        transaction.run(
            "UPDATE images SET agreement = :value WHERE id = :id AND project_id = :project",
            value=float(value),
            id=image,
            project=project,
        )
