"""The images of a store: known by their content, whatever they are called."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anymask.errors import InputError
from anymask.label.database.clock import wall_time
from anymask.label.database.connection import Transaction
from anymask.label.database.counters import Counters
from anymask.label.files import Content, File
from anymask.label.records import IN_WORK, SHOWN, Added, ImageRecord

__all__ = [
    "FIELDS",
    "Sighting",
    "add",
    "find_image",
    "image_of_name",
    "image_row",
    "known_stamps",
    "list_images",
    "read_meta",
    "records",
    "save_meta",
]

FIELDS = "id, sha256, height, width, state, masks, revision, seconds, gone"
"""Columns of ``images`` that `records` needs."""


@dataclass(frozen=True)
class Sighting:
    """A file, and what was found in it: nothing if it is not there or cannot be read."""

    file: File
    content: Content | None = None


# ------------------------------------------------------------------------------- reading


def records(transaction: Transaction, rows: Sequence[Any]) -> list[ImageRecord]:
    """Make records of rows of ``images``, with all their names."""
    names: dict[int, list[str]] = defaultdict(list)
    for start in range(0, len(rows), 500):
        numbers = ", ".join(str(int(row.id)) for row in rows[start : start + 500])
        query = f"SELECT image_id, name FROM image_names WHERE image_id IN ({numbers})"
        for found in transaction.rows(query):
            names[found.image_id].append(found.name)
    return [
        ImageRecord(
            row.id,
            row.sha256,
            (row.height, row.width),
            tuple(sorted(names[row.id])),
            SHOWN.get(row.state, row.state),
            row.masks,
            row.revision,
            row.seconds,
            bool(row.gone),
        )
        for row in rows
    ]


def find_image(transaction: Transaction, project: int, image: int | str) -> ImageRecord:
    """Give an image by its number, one of its names or its digest.

    Raises:
        InputError: There is none.
    """
    query = f"SELECT {FIELDS} FROM images WHERE project_id = :project AND "
    if isinstance(image, str):
        row = transaction.row(
            query + "id = (SELECT image_id FROM image_names WHERE project_id = :project "
            "AND name = :image)",
            project=project,
            image=image,
        ) or transaction.row(query + "sha256 = :image", project=project, image=image)
    else:
        row = transaction.row(query + "id = :image", project=project, image=image)
    if row is None:
        raise InputError(
            f"expected an image of the project, by number, name or digest, got {image!r}; add it "
            "first"
        )
    return records(transaction, [row])[0]


def image_of_name(transaction: Transaction, project: int, name: str) -> ImageRecord | None:
    """Give the image of a name; None if there is none."""
    query = "SELECT image_id FROM image_names WHERE project_id = :project AND name = :name"
    number = transaction.value(query, project=project, name=name)
    return None if number is None else find_image(transaction, project, int(number))


def read_meta(transaction: Transaction, project: int, image: int) -> dict[str, Any]:
    """Give what is said of an image, as plain JSON values."""
    query = "SELECT meta FROM images WHERE id = :image AND project_id = :project"
    said = transaction.value(query, image=image, project=project)
    found: dict[str, Any] = json.loads(said) if said else {}
    return found


def save_meta(transaction: Transaction, project: int, image: int, meta: Mapping[str, Any]) -> None:
    """Keep what is said of an image."""
    transaction.run(
        "UPDATE images SET meta = :meta WHERE id = :image AND project_id = :project",
        meta=json.dumps(dict(meta), sort_keys=True, allow_nan=False),
        image=image,
        project=project,
    )


def image_row(transaction: Transaction, project: int, image: int) -> Any:
    """Give the row of an image, and keep others from changing it until the transaction ends.

    Raises:
        InputError: There is none.
    """
    query = "SELECT * FROM images WHERE id = :image AND project_id = :project"
    found = transaction.row(query + transaction.lock, image=image, project=project)
    if found is None:
        raise InputError(f"expected the number of an image, got {image!r}; add the image first")
    return found


def list_images(
    transaction: Transaction,
    project: int,
    *,
    after: int = 0,
    limit: int = 1000,
    honeypots: bool = False,
) -> list[ImageRecord]:
    """List images in the order in which they were added, from one on."""
    among = "" if honeypots else f"AND {IN_WORK}"
    query = f"""
        SELECT {FIELDS} FROM images WHERE project_id = :project AND id > :after {among}
        ORDER BY id LIMIT :limit"""
    return records(transaction, transaction.rows(query, project=project, after=after, limit=limit))


def known_stamps(transaction: Transaction, project: int, names: Iterable[str]) -> dict[str, str]:
    """Give the stamps that files had which were there, unchanged, when they were looked at last."""
    query = """
        SELECT name, stamp FROM image_names
        WHERE project_id = :project AND name = :name AND state = 'present'"""
    found = (transaction.row(query, project=project, name=name) for name in names)
    return {row.name: row.stamp for row in found if row is not None}


# -------------------------------------------------------------------------------- adding


def add(
    transaction: Transaction, project: int, seen: Sequence[Sighting], *, accept_changes: bool
) -> Added:
    """Note what files hold; see `Added` for what can become of each."""
    transaction.lock_project(project)  # or two who add the same images might wait for each other
    work = _Adding(transaction, project, accept_changes)
    for one in seen:
        work.find(one)
        work.add(one)
    work.finish()
    found: dict[str, Any] = {name: tuple(values) for name, values in work.found.items()}
    return Added(**found)


@dataclass
class _Adding:
    transaction: Transaction
    project: int
    accept_changes: bool
    found: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    counters: Counters = field(default_factory=Counters)
    touched: set[int] = field(default_factory=set)
    _ids: dict[str, int] = field(default_factory=dict)
    _new: set[int] = field(default_factory=set)

    def find(self, seen: Sighting) -> None:
        """Find the image of a content, or make it."""
        content, project = seen.content, self.project
        if content is None or content.sha256 in self._ids:
            return
        query = "SELECT id FROM images WHERE project_id = :project AND sha256 = :sha256"
        number = self.transaction.value(query, project=project, sha256=content.sha256)
        if number is None and not self._waits(seen):
            number = self._make(content)
        if number is not None:
            self._ids[content.sha256] = int(number)

    def _make(self, content: Content) -> int:
        height, width = content.size_hw
        query = """
            INSERT INTO images (project_id, sha256, height, width, state, at)
            VALUES (:project, :sha256, :height, :width, 'open', :at) RETURNING id"""
        number = self.transaction.value(
            query,
            project=self.project,
            sha256=content.sha256,
            height=height,
            width=width,
            at=wall_time(self.transaction),
        )
        self._new.add(int(number))
        self.counters.add("images")
        self.counters.add("images.open")
        return int(number)

    def _row(self, name: str) -> Any:
        query = """
            SELECT n.image_id, n.state, i.sha256, i.masks FROM image_names n
            JOIN images i ON i.id = n.image_id WHERE n.project_id = :project AND n.name = :name"""
        return self.transaction.row(query, project=self.project, name=name)

    def _waits(self, seen: Sighting) -> bool:
        """Return whether a new content of a known name has to be accepted first."""
        before = self._row(seen.file.name)
        return before is not None and before.masks > 0 and not self.accept_changes

    def add(self, seen: Sighting) -> None:
        """Note where a content is."""
        name, before = seen.file.name, self._row(seen.file.name)
        if seen.content is None:
            if before is not None:
                self._point(before, before.image_id, seen.file, "gone")
                self.found["gone"].append(name)
            return
        number = self._ids.get(seen.content.sha256)
        if before is None:
            assert number is not None
            self._name(number, seen.file)
            kind = "added" if number in self._new else "again"
            self._new.discard(number)
        elif number is not None and before.image_id == number:
            self._point(before, number, seen.file, "present")
            kind = "known"
        elif before.masks and not self.accept_changes:
            self._point(before, before.image_id, seen.file, "changed")
            kind = "changed"
        else:
            assert number is not None
            self._point(before, number, seen.file, "present")
            kind = "replaced"
        self.found[kind].append(name)

    def _name(self, image: int, file: File) -> None:
        row = {"project_id": self.project, "name": file.name, "image_id": image}
        self.transaction.insert("image_names", [row | {"stamp": file.stamp, "state": "present"}])
        self.counters.add("names.present")
        self.touched.add(image)

    def _point(self, before: Any, image: int, file: File, state: str) -> None:
        self.transaction.run(
            "UPDATE image_names SET image_id = :image, stamp = :stamp, state = :state "
            "WHERE project_id = :project AND name = :name",
            image=image,
            stamp=file.stamp,
            state=state,
            project=self.project,
            name=file.name,
        )
        self.counters.add(f"names.{before.state}", -1)
        self.counters.add(f"names.{state}")
        self.touched |= {before.image_id, image}

    def finish(self) -> None:
        """Note which images are under none of their names any more, and count."""
        for image in sorted(self.touched):
            self.transaction.run(
                "UPDATE images SET gone = CASE WHEN EXISTS (SELECT 1 FROM image_names "
                "WHERE image_id = :image AND state = 'present') THEN 0 ELSE 1 END "
                "WHERE id = :image",
                image=image,
            )
        self.counters.save(self.transaction, self.project)
