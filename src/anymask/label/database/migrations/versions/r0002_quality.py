"""Kinds of versions, known masks that score annotators, and how many changes took too long."""

from __future__ import annotations

from anymask.optional import optional

__all__ = ["down_revision", "revision", "upgrade"]

revision = "r0002"
down_revision = "r0001"

_SLOW = """
    INSERT INTO counters (project_id, name, value)
    SELECT i.project_id, 'revisions.slow', count(*) FROM revisions r
    JOIN masks m ON m.id = r.mask_id JOIN images i ON i.id = m.image_id
    WHERE r.seconds > 30 GROUP BY i.project_id"""


def upgrade() -> None:
    """Add the columns and tables, and count what was not counted before."""
    op, sa = optional("alembic.op", extra="label"), optional("sqlalchemy", extra="label")
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    double = sa.Float(precision=53)
    op.add_column(
        "versions", sa.Column("kind", sa.String(length=10), server_default="model", nullable=False)
    )
    op.add_column("projects", sa.Column("honeypots", double, server_default="0.05", nullable=False))
    op.create_table(
        "honeypots",
        sa.Column("image_id", big, autoincrement=False, nullable=False),
        sa.Column("known", sa.Text(), nullable=False),
        sa.Column("at", double, nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"]),
        sa.PrimaryKeyConstraint("image_id"),
    )
    op.create_table(
        "honeypot_answers",
        sa.Column("image_id", big, autoincrement=False, nullable=False),
        sa.Column("person_id", big, autoincrement=False, nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("seconds", double, nullable=False),
        sa.Column("at", double, nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"]),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"]),
        sa.PrimaryKeyConstraint("image_id", "person_id"),
    )
    op.execute(_SLOW)
