"""The tables of a store, as SQLAlchemy knows them; ``migrations/`` makes them.

Masks are never overwritten: a row of ``masks`` says which of its rows in ``revisions`` counts. A
revision that leaves the pixels alone does not repeat them: its ``shape`` is the number of the
revision that holds them. Flags are 0 or 1, dictionaries are JSON in text, times are seconds since
1970, so that both databases hold the very same values.
"""

from __future__ import annotations

import functools
from typing import Any

from anymask.optional import optional

__all__ = ["UNKNOWN", "tables"]

UNKNOWN = 2.0
"""Stands in the orders of the queue for what is not known, so that it comes last."""


@functools.cache
def tables() -> Any:
    """Give the tables as SQLAlchemy's ``MetaData``.

    Raises:
        MissingExtraError: SQLAlchemy is not installed.
    """
    sa = optional("sqlalchemy", extra="label")
    metadata = sa.MetaData()
    for name, parts in {**_who(sa), **_images(sa), **_masks(sa), **_quality(sa)}.items():
        sa.Table(name, metadata, *parts)
    return metadata


def _big(sa: Any) -> Any:
    # SQLite numbers rows only in a column that is called INTEGER.
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _id(sa: Any) -> Any:
    return sa.Column("id", _big(sa), primary_key=True, autoincrement=True)


def _of(sa: Any, table: str, name: str, *, nullable: bool = False, primary: bool = False) -> Any:
    key = sa.ForeignKey(f"{table}.id")
    return sa.Column(
        name, _big(sa), key, nullable=nullable, primary_key=primary, autoincrement=False
    )


def _column(sa: Any, name: str, kind: Any, **options: Any) -> Any:
    return sa.Column(name, kind, **{"nullable": False, **options})


def _who(sa: Any) -> dict[str, list[Any]]:
    double = sa.Float(53)
    return {
        "projects": [
            _id(sa),
            _column(sa, "name", sa.String(200), unique=True),
            _column(sa, "at", double),
            # The clock of leases where the database has none of its own, see `clock`.
            _column(sa, "clock", double, server_default="0"),
            _column(sa, "ticks", double, server_default="0"),
            # Share of the images handed out whose masks are known, see `honeypots`.
            _column(sa, "honeypots", double, server_default="0.05"),
        ],
        "people": [
            _id(sa),
            _column(sa, "name", sa.String(100), unique=True),
        ],
        "classes": [
            _id(sa),
            _of(sa, "projects", "project_id"),
            _column(sa, "name", sa.String(200)),
            _column(sa, "color", sa.String(7)),
            sa.UniqueConstraint("project_id", "name", name="one_class_of_a_name"),
        ],
        "versions": [
            _id(sa),
            _of(sa, "projects", "project_id"),
            _column(sa, "name", sa.String(200)),
            _column(sa, "path", sa.Text()),
            _of(sa, "versions", "parent_id", nullable=True),
            _column(sa, "metrics", sa.Text()),
            _column(sa, "promoted", sa.SmallInteger(), server_default="0"),
            _column(sa, "at", double),
            _column(sa, "kind", sa.String(10), server_default="model"),  # or detector
            sa.UniqueConstraint("project_id", "name", name="one_version_of_a_name"),
        ],
        "requests": [
            _of(sa, "projects", "project_id", primary=True),
            sa.Column("token", sa.String(200), primary_key=True),
            _column(sa, "answer", sa.Text()),
        ],
        # Sums that are kept, so that nobody has to count five million masks.
        "counters": [
            _of(sa, "projects", "project_id", primary=True),
            sa.Column("name", sa.String(80), primary_key=True),
            _column(sa, "value", double),
        ],
    }


def _index_of_leases(sa: Any) -> Any:
    """Index the few images that somebody has; of all others, it knows nothing."""
    held = sa.text("lease_person_id IS NOT NULL")
    return sa.Index("images_held", "lease_person_id", sqlite_where=held, postgresql_where=held)


def _images(sa: Any) -> dict[str, list[Any]]:
    double, whole = sa.Float(53), sa.Integer()
    orders = ("place", "confidence", "agreement", "novelty")
    return {
        "images": [
            _id(sa),
            _of(sa, "projects", "project_id"),
            _column(sa, "sha256", sa.String(64)),
            _column(sa, "height", whole),
            _column(sa, "width", whole),
            _column(sa, "state", sa.String(10)),
            _column(sa, "masks", whole, server_default="0"),
            _column(sa, "revision", whole, server_default="0"),
            _column(sa, "seconds", double, server_default="0"),
            _column(sa, "gone", sa.SmallInteger(), server_default="0"),
            _column(sa, "at", double),
            sa.Column("meta", sa.Text()),  # what files said of the image, as JSON
            # Orders of the queue: lowest first, `UNKNOWN` last.
            _column(sa, "place", double, server_default="0"),
            _column(sa, "confidence", double, server_default="2"),
            _column(sa, "agreement", double, server_default="2"),
            _column(sa, "novelty", double, server_default="2"),
            sa.Column("lease", sa.String(40), unique=True),
            _of(sa, "people", "lease_person_id", nullable=True),
            _column(sa, "lease_until", double, server_default="0"),
            sa.UniqueConstraint("project_id", "sha256", name="one_image_of_a_content"),
            _index_of_leases(sa),
            *(
                sa.Index(f"images_by_{order}", "project_id", "state", "gone", order, "id")
                for order in orders
            ),
        ],
        "image_names": [
            _of(sa, "projects", "project_id", primary=True),
            sa.Column("name", sa.String(1000), primary_key=True),
            _of(sa, "images", "image_id"),
            _column(sa, "stamp", sa.String(100)),
            _column(sa, "state", sa.String(10)),  # present, changed or gone
            sa.Index("image_names_of", "image_id"),
            sa.Index("image_names_state", "project_id", "state"),
        ],
        "embeddings": [
            _of(sa, "images", "image_id", primary=True),
            _column(sa, "vector", sa.LargeBinary()),
        ],
        "work": [
            _id(sa),
            _of(sa, "images", "image_id"),
            _of(sa, "people", "person_id", nullable=True),
            _column(sa, "state", sa.String(10)),
            _column(sa, "seconds", double),
            _column(sa, "at", double),
            sa.Index("work_on", "image_id"),
        ],
    }


def _masks(sa: Any) -> dict[str, list[Any]]:
    double, whole = sa.Float(53), sa.Integer()
    return {
        "masks": [
            _id(sa),
            _of(sa, "images", "image_id"),
            _column(sa, "revision", whole),
            _column(sa, "deleted", sa.SmallInteger(), server_default="0"),
            sa.Index("masks_of", "image_id"),
        ],
        "revisions": [
            _of(sa, "masks", "mask_id", primary=True),
            sa.Column("revision", whole, primary_key=True, autoincrement=False),
            _column(sa, "action", sa.String(10)),
            _column(sa, "deleted", sa.SmallInteger(), server_default="0"),
            _column(sa, "shape", whole),
            sa.Column("counts", sa.Text()),  # COCO's compressed run lengths
            _column(sa, "area", sa.BigInteger()),
            _of(sa, "classes", "class_id", nullable=True),
            sa.Column("score", double),
            sa.Column("stability", double),
            sa.Column("known", sa.Text()),  # prompt, id, crop box and meta, as JSON
            _column(sa, "review", sa.String(10)),
            _column(sa, "stage", sa.String(20)),
            _of(sa, "people", "person_id", nullable=True),
            _of(sa, "versions", "version_id", nullable=True),
            sa.Column("seconds", double),
            sa.Column("restores", whole),
            _column(sa, "at", double),
        ],
    }


def _quality(sa: Any) -> dict[str, list[Any]]:
    double, whole = sa.Float(53), sa.Integer()
    return {
        "audits": [
            _id(sa),
            _of(sa, "projects", "project_id"),
            _column(sa, "name", sa.String(200)),
            _column(sa, "at", double),
            sa.UniqueConstraint("project_id", "name", name="one_audit_of_a_name"),
        ],
        "honeypots": [
            _of(sa, "images", "image_id", primary=True),
            _column(sa, "known", sa.Text()),  # run lengths and class of each mask, as JSON
            _column(sa, "at", double),
        ],
        "honeypot_answers": [
            _of(sa, "images", "image_id", primary=True),
            _of(sa, "people", "person_id", primary=True),
            _column(sa, "answer", sa.Text()),  # as the known masks
            _column(sa, "seconds", double),
            _column(sa, "at", double),
        ],
        "audited": [
            _of(sa, "audits", "audit_id", primary=True),
            _of(sa, "masks", "mask_id", primary=True),
            _column(sa, "revision", whole),
            _of(sa, "people", "person_id", nullable=True),
            _of(sa, "versions", "version_id", nullable=True),
            sa.Column("iou", double),
        ],
    }
