"""The first layout of a store."""

from __future__ import annotations

from anymask.optional import optional

__all__ = ["down_revision", "revision", "upgrade"]

revision = "r0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op, sa = optional("alembic.op", extra="label"), optional("sqlalchemy", extra="label")
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    double = sa.Float(precision=53)
    op.create_table(
        "people",
        sa.Column("id", big, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "projects",
        sa.Column("id", big, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("at", double, nullable=False),
        sa.Column("clock", double, server_default="0", nullable=False),
        sa.Column("ticks", double, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "audits",
        sa.Column("id", big, autoincrement=True, nullable=False),
        sa.Column("project_id", big, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("at", double, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project_id", "name", name="one_audit_of_a_name"),
    )
    op.create_table(
        "classes",
        sa.Column("id", big, autoincrement=True, nullable=False),
        sa.Column("project_id", big, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("color", sa.String(length=7), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project_id", "name", name="one_class_of_a_name"),
    )
    op.create_table(
        "counters",
        sa.Column("project_id", big, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("value", double, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
        ),
        sa.PrimaryKeyConstraint("project_id", "name"),
    )
    op.create_table(
        "images",
        sa.Column("id", big, autoincrement=True, nullable=False),
        sa.Column("project_id", big, autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("masks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("revision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("seconds", double, server_default="0", nullable=False),
        sa.Column("gone", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("at", double, nullable=False),
        sa.Column("meta", sa.Text(), nullable=True),
        sa.Column("place", double, server_default="0", nullable=False),
        sa.Column("confidence", double, server_default="2", nullable=False),
        sa.Column("agreement", double, server_default="2", nullable=False),
        sa.Column("novelty", double, server_default="2", nullable=False),
        sa.Column("lease", sa.String(length=40), nullable=True),
        sa.Column("lease_person_id", big, autoincrement=False, nullable=True),
        sa.Column("lease_until", double, server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["lease_person_id"],
            ["people.id"],
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("lease"),
        sa.UniqueConstraint("project_id", "sha256", name="one_image_of_a_content"),
    )
    op.create_index(
        "images_by_agreement",
        "images",
        ["project_id", "state", "gone", "agreement", "id"],
        unique=False,
    )
    op.create_index(
        "images_by_confidence",
        "images",
        ["project_id", "state", "gone", "confidence", "id"],
        unique=False,
    )
    op.create_index(
        "images_by_novelty",
        "images",
        ["project_id", "state", "gone", "novelty", "id"],
        unique=False,
    )
    op.create_index(
        "images_by_place", "images", ["project_id", "state", "gone", "place", "id"], unique=False
    )
    held = sa.text("lease_person_id IS NOT NULL")
    op.create_index(
        "images_held",
        "images",
        ["lease_person_id"],
        unique=False,
        sqlite_where=held,
        postgresql_where=held,
    )
    op.create_table(
        "requests",
        sa.Column("project_id", big, autoincrement=False, nullable=False),
        sa.Column("token", sa.String(length=200), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
        ),
        sa.PrimaryKeyConstraint("project_id", "token"),
    )
    op.create_table(
        "versions",
        sa.Column("id", big, autoincrement=True, nullable=False),
        sa.Column("project_id", big, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("parent_id", big, autoincrement=False, nullable=True),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("promoted", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("at", double, nullable=False),
        sa.ForeignKeyConstraint(
            ["parent_id"],
            ["versions.id"],
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project_id", "name", name="one_version_of_a_name"),
    )
    op.create_table(
        "embeddings",
        sa.Column("image_id", big, autoincrement=False, nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"],
            ["images.id"],
        ),
        sa.PrimaryKeyConstraint("image_id"),
    )
    op.create_table(
        "image_names",
        sa.Column("project_id", big, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=1000), nullable=False),
        sa.Column("image_id", big, autoincrement=False, nullable=False),
        sa.Column("stamp", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"],
            ["images.id"],
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
        ),
        sa.PrimaryKeyConstraint("project_id", "name"),
    )
    op.create_index("image_names_of", "image_names", ["image_id"], unique=False)
    op.create_index("image_names_state", "image_names", ["project_id", "state"], unique=False)
    op.create_table(
        "masks",
        sa.Column("id", big, autoincrement=True, nullable=False),
        sa.Column("image_id", big, autoincrement=False, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("deleted", sa.SmallInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"],
            ["images.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("masks_of", "masks", ["image_id"], unique=False)
    op.create_table(
        "work",
        sa.Column("id", big, autoincrement=True, nullable=False),
        sa.Column("image_id", big, autoincrement=False, nullable=False),
        sa.Column("person_id", big, autoincrement=False, nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("seconds", double, nullable=False),
        sa.Column("at", double, nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"],
            ["images.id"],
        ),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["people.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("work_on", "work", ["image_id"], unique=False)
    op.create_table(
        "audited",
        sa.Column("audit_id", big, autoincrement=False, nullable=False),
        sa.Column("mask_id", big, autoincrement=False, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("person_id", big, autoincrement=False, nullable=True),
        sa.Column("version_id", big, autoincrement=False, nullable=True),
        sa.Column("iou", double, nullable=True),
        sa.ForeignKeyConstraint(
            ["audit_id"],
            ["audits.id"],
        ),
        sa.ForeignKeyConstraint(
            ["mask_id"],
            ["masks.id"],
        ),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["people.id"],
        ),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["versions.id"],
        ),
        sa.PrimaryKeyConstraint("audit_id", "mask_id"),
    )
    op.create_table(
        "revisions",
        sa.Column("mask_id", big, autoincrement=False, nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("action", sa.String(length=10), nullable=False),
        sa.Column("deleted", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("shape", sa.Integer(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=True),
        sa.Column("area", sa.BigInteger(), nullable=False),
        sa.Column("class_id", big, autoincrement=False, nullable=True),
        sa.Column("score", double, nullable=True),
        sa.Column("stability", double, nullable=True),
        sa.Column("known", sa.Text(), nullable=True),
        sa.Column("review", sa.String(length=10), nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("person_id", big, autoincrement=False, nullable=True),
        sa.Column("version_id", big, autoincrement=False, nullable=True),
        sa.Column("seconds", double, nullable=True),
        sa.Column("restores", sa.Integer(), nullable=True),
        sa.Column("at", double, nullable=False),
        sa.ForeignKeyConstraint(
            ["class_id"],
            ["classes.id"],
        ),
        sa.ForeignKeyConstraint(
            ["mask_id"],
            ["masks.id"],
        ),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["people.id"],
        ),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["versions.id"],
        ),
        sa.PrimaryKeyConstraint("mask_id", "revision"),
    )
