"""Numbers for names: projects, people, classes and model versions, made where they are new."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from anymask.errors import InputError
from anymask.label.database.clock import wall_time
from anymask.label.database.connection import Transaction
from anymask.label.database.counters import read_counters
from anymask.label.database.requests import once
from anymask.label.records import (
    VERSION_KINDS,
    LabelClass,
    ModelVersion,
    VersionKind,
    check_name,
)

__all__ = [
    "ClassesConflict",
    "add_version",
    "change_classes",
    "class_ids",
    "find_served",
    "list_classes",
    "list_versions",
    "person_id",
    "project_id",
    "promote",
    "recolor_class",
    "register_served",
    "rename_class",
    "version_id",
]

_COLORS = (
    *("#4da3ff", "#ff8c42", "#5ad17a", "#e0559a", "#f2c84b", "#9b7bff", "#3ec9c3", "#e05a4e"),
    *("#8fb339", "#c17f59"),
)


def project_id(transaction: Transaction, name: str, *, make: bool) -> int:
    """Give the number of a project.

    Raises:
        InputError: There is none, and none is to be made.
    """
    found = transaction.value("SELECT id FROM projects WHERE name = :name", name=name)
    if found is None and make:
        transaction.run(
            "INSERT INTO projects (name, at) VALUES (:name, :at) ON CONFLICT DO NOTHING",
            name=name,
            at=wall_time(transaction),
        )
        found = transaction.value("SELECT id FROM projects WHERE name = :name", name=name)
    if found is None and transaction.is_sqlite:  # the folder was renamed: there is only one
        rows = transaction.rows("SELECT id FROM projects")
        found = rows[0].id if len(rows) == 1 else None
    if found is None:
        rows = transaction.rows("SELECT name FROM projects ORDER BY name LIMIT 10")
        known = ", ".join(repr(row.name) for row in rows) or "none"
        raise InputError(f"expected a project out of {known}, got {name!r}; name one, or init it")
    return int(found)


def person_id(transaction: Transaction, name: str | None) -> int | None:
    """Give the number of a person; None for nobody."""
    if name is None:
        return None
    check_name(name, "name of a person")
    if name in transaction.people:
        return transaction.people[name]
    query = "SELECT id FROM people WHERE name = :name"
    found = transaction.value(query, name=name)
    if found is None:  # not to be remembered: the transaction may come to nothing
        transaction.people = {}
        insert = "INSERT INTO people (name) VALUES (:name) ON CONFLICT DO NOTHING"
        transaction.run(insert, name=name)
        return int(transaction.value(query, name=name))
    transaction.people[name] = int(found)
    return int(found)


# -------------------------------------------------------------------------------- classes


def class_ids(
    transaction: Transaction, project: int, names: Iterable[str | None]
) -> dict[str | None, int | None]:
    """Give the numbers of classes by their names; None, a mask without a name, has none."""
    rows = transaction.rows("SELECT id, name FROM classes WHERE project_id = :id", id=project)
    found: dict[str | None, int | None] = {None: None, **{row.name: row.id for row in rows}}
    # In the order of names, or two transactions might wait for each other.
    new = sorted({name for name in names if name is not None and name not in found})
    for name in new:
        check_name(name, "name of a class", 200)
        transaction.run(
            "INSERT INTO classes (project_id, name, color) VALUES (:project, :name, :color) "
            "ON CONFLICT DO NOTHING",
            project=project,
            name=name,
            color=_COLORS[(len(found) - 1) % len(_COLORS)],
        )
        found[name] = transaction.value(
            "SELECT id FROM classes WHERE project_id = :project AND name = :name",
            project=project,
            name=name,
        )
    return found


def list_classes(
    transaction: Transaction, project: int, *, shown: bool = False
) -> list[LabelClass]:
    """List the classes, oldest first; for ``shown``, see `read_counters`."""
    counted = read_counters(transaction, project, shown=shown)
    query = "SELECT id, name, color FROM classes WHERE project_id = :id ORDER BY id"
    return [
        LabelClass(row.id, row.name, row.color, int(counted[f"masks.class.{row.id}"]))
        for row in transaction.rows(query, id=project)
    ]


def rename_class(
    transaction: Transaction, project: int, old: str, new: str, token: str | None = None
) -> None:
    """Give a class another name; see `requests.once` for the token.

    Raises:
        InputError: There is no class of the old name, or one of the new.
    """
    what = f"rename the class {old!r} {new!r}"
    once(transaction, project, token, what, lambda: _rename(transaction, project, old, new))


def _rename(transaction: Transaction, project: int, old: str, new: str) -> None:
    check_name(new, "name of a class", 200)
    found = _class_id(transaction, project, old)
    query = "SELECT id FROM classes WHERE project_id = :project AND name = :name"
    if old != new and transaction.value(query, project=project, name=new) is not None:
        raise InputError(
            f"expected a new name for the class {old!r}, got {new!r}, which another class has; "
            "choose another name"
        )
    transaction.run("UPDATE classes SET name = :new WHERE id = :id", new=new, id=found)


class ClassesConflict(InputError):
    """Somebody else has changed a class meanwhile; nothing was changed."""


def change_classes(
    transaction: Transaction,
    project: int,
    *,
    add: Iterable[str] = (),
    rename: tuple[str, str] | None = None,
    color: Mapping[str, str] | None = None,
    seen: Mapping[str, str] | None = None,
    token: str | None = None,
) -> None:
    """Change several classes, all or none.

    Args:
        transaction: Where to do it.
        project: Whose classes.
        add: Names of new ones; those that are there already stay.
        rename: The name of one as it was seen, and a new one.
        color: New colours of classes, by their names.
        seen: Which colours they had; another one than this is not replaced.
        token: Names the request, see `requests.once`.

    Raises:
        ClassesConflict: There is no class of such a name any more, or it has another colour by now.
        InputError: A name or a colour cannot be.
    """
    color, seen, new = dict(color or {}), seen or {}, list(add)
    what = f"change classes {new} {rename} {color}"[:500]

    def work() -> None:
        transaction.lock_project(project)
        for name in new:
            class_ids(transaction, project, [name])
        known = {one.name: one.color for one in list_classes(transaction, project)}
        gone = [name for name in (*color, *(rename or ())[:1]) if name not in known]
        if gone:
            raise ClassesConflict(
                f"expected a class {gone[0]!r}, got none: somebody has renamed it meanwhile, or it "
                "never was; look at the classes as they are now"
            )
        for name, value in color.items():
            if name in seen and known[name] not in (seen[name], value):
                raise ClassesConflict(
                    f"expected the colour {seen[name]} of the class {name!r}, got {known[name]}: "
                    "somebody has changed it meanwhile; look at it as it is now"
                )
        if rename is not None:
            _rename(transaction, project, *rename)
        for name, value in color.items():
            called = rename[1] if rename is not None and rename[0] == name else name
            recolor_class(transaction, project, called, value)

    once(transaction, project, token, what, work)


def recolor_class(transaction: Transaction, project: int, name: str, color: str) -> None:
    """Give a class another colour.

    Raises:
        InputError: There is no such class, or it is no colour.
    """
    if not re.fullmatch("#[0-9a-fA-F]{6}", color):
        raise InputError(f"expected a colour such as '#4da3ff', got {color[:20]!r}; give it in hex")
    found = _class_id(transaction, project, name)
    transaction.run("UPDATE classes SET color = :color WHERE id = :id", color=color, id=found)


def _class_id(transaction: Transaction, project: int, name: str) -> int:
    query = "SELECT id FROM classes WHERE project_id = :project AND name = :name"
    found = transaction.value(query + transaction.lock, project=project, name=name)
    if found is None:
        known = ", ".join(repr(one.name) for one in list_classes(transaction, project)[:10])
        raise InputError(f"expected a class out of {known or 'none'}, got {name!r}; name one")
    return int(found)


# ------------------------------------------------------------------------------- versions


def version_id(
    transaction: Transaction, project: int, name: str | None, kind: VersionKind = "model"
) -> int | None:
    """Give the number of a model version; one that nobody registered is noted by its name."""
    if name is None:
        return None
    query = "SELECT id FROM versions WHERE project_id = :project AND name = :name"
    found = transaction.value(query, project=project, name=name)
    if found is None:
        _insert_version(transaction, project, name, name, None, {}, kind)
        found = transaction.value(query, project=project, name=name)
    return int(found)


def _insert_version(
    transaction: Transaction,
    project: int,
    name: str,
    path: str,
    parent: int | None,
    metrics: Mapping[str, Any],
    kind: VersionKind,
) -> bool:
    return bool(
        transaction.run(
            "INSERT INTO versions (project_id, name, path, parent_id, metrics, at, kind) "
            "VALUES (:project, :name, :path, :parent, :metrics, :at, :kind) ON CONFLICT DO NOTHING",
            project=project,
            name=check_name(name, "name of a version", 200),
            path=path,
            parent=parent,
            metrics=json.dumps(dict(metrics), sort_keys=True, allow_nan=False),
            at=wall_time(transaction),
            kind=kind,
        )
    )


def add_version(
    transaction: Transaction,
    project: int,
    name: str,
    path: str,
    parent: str | None,
    metrics: Mapping[str, Any],
    kind: VersionKind,
    token: str | None = None,
) -> None:
    """Register a version; see `requests.once` for the token.

    Raises:
        InputError: There is one of that name already, or no such kind.
    """
    if kind not in VERSION_KINDS:
        raise InputError(
            f"expected a kind of version out of {', '.join(VERSION_KINDS)}, got {kind!r}; name one"
        )

    def work() -> None:
        parent_id = version_id(transaction, project, parent, kind)
        if not _insert_version(transaction, project, name, path, parent_id, metrics, kind):
            raise InputError(
                f"expected a new name for the version, got {name!r}, which there is; choose another"
            )

    once(transaction, project, token, f"add the version {name!r}", work)


def find_served(transaction: Transaction, project: int, name: str, digest: str) -> tuple[str, bool]:
    """Give the name of the version of a model that makes masks, and whether it is registered.

    Args:
        transaction: Where to look.
        project: Whose version it is.
        name: What it is called.
        digest: SHA-256 of its weights. If the version of that name has other weights, this one is
            called by both.
    """
    short = f"{name[:180]}@{digest[:12]}"
    query = "SELECT name, metrics FROM versions WHERE project_id = :project AND name IN (:a, :b)"
    rows = transaction.rows(query, project=project, a=name, b=short)
    known = {row.name: json.loads(row.metrics).get("weights") for row in rows}
    if name not in known or known[name] in (None, digest):
        return name, name in known
    return short, short in known


def register_served(
    transaction: Transaction, project: int, name: str, path: str, digest: str
) -> str:
    """Register the version of a model that makes masks, with the digest of its weights.

    Returns:
        Its name, see `find_served`.
    """
    found, there = find_served(transaction, project, name, digest)
    if not there:
        metrics = {"weights": digest}
        _insert_version(transaction, project, found, path, None, metrics, "model")
    return found


def promote(transaction: Transaction, project: int, name: str) -> None:
    """Make a version the one in use of its kind.

    Raises:
        InputError: There is none of that name.
    """
    query = "SELECT id, kind FROM versions WHERE project_id = :project AND name = :name"
    found = transaction.row(query, project=project, name=name)
    if found is None:
        raise InputError(f"expected a registered version, got {name!r}; register it first")
    transaction.run(
        "UPDATE versions SET promoted = CASE WHEN id = :id THEN 1 ELSE 0 END "
        "WHERE project_id = :project AND kind = :kind",
        id=found.id,
        kind=found.kind,
        project=project,
    )


def list_versions(transaction: Transaction, project: int) -> list[ModelVersion]:
    """List the model versions, oldest first."""
    query = """
        SELECT v.id, v.name, v.path, p.name AS parent, v.metrics, v.promoted, v.at, v.kind
        FROM versions v LEFT JOIN versions p ON p.id = v.parent_id
        WHERE v.project_id = :id ORDER BY v.id"""
    return [
        ModelVersion(
            *(row.id, row.name, row.path, row.parent),
            *(json.loads(row.metrics), bool(row.promoted), row.at, row.kind),
        )
        for row in transaction.rows(query, id=project)
    ]
