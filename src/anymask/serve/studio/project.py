"""What a person made in the studio, as files in the folder of the images: each change whole or not.

The masks of an image are a file in SA-1B's layout, ``anymask-studio/a.jpg.json`` for ``a.jpg``,
which every reader of the library takes. Beside them ``anymask-studio.json`` lists the classes. Both
have a revision: a number that rises with each change. Who saves names the revision that he saw, so
that two windows do not overwrite each other's work without a word.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from anymask import formats
from anymask.atomic import atomic_write, make_folder
from anymask.errors import InputError
from anymask.masks.masks import Masks

__all__ = ["FOLDER", "THING", "Class", "Project", "RevisionConflict", "Stored", "named"]

FOLDER = "anymask-studio"
"""Folder of the files, in that of the images."""

THING = "studio_thing"
"""What a mask's meta calls the id by which the page knows it."""

_REVISION = "studio_revision"
_CLASSES = f"{FOLDER}.json"
_LONGEST_NAME = 100
_IN_USE = 8  # files whose content is kept in memory

Part = TypeVar("Part")


@dataclass(frozen=True)
class Class:
    """A name for things, and its colour.

    Attributes:
        name: What masks have as their label.
        color: ``#rrggbb``.
    """

    name: str
    color: str

    def __post_init__(self) -> None:
        """Check both."""
        if not self.name.strip() or len(self.name) > _LONGEST_NAME:
            raise InputError(
                f"expected the name of a class of 1 to {_LONGEST_NAME} characters, got "
                f"{self.name[:_LONGEST_NAME]!r}; choose another"
            )
        digits = self.color[1:].lower()
        if len(self.color) != 7 or self.color[0] != "#" or set(digits) - set("0123456789abcdef"):
            raise InputError(
                f"expected a colour such as '#4da3ff', got {self.color[:20]!r}; give it in hex"
            )


@dataclass(frozen=True)
class Stored(Generic[Part]):
    """A part of a project, and which revision of it."""

    part: Part
    revision: int


class RevisionConflict(Exception):
    """Somebody else has saved meanwhile.

    Attributes:
        current: What is there now.
    """

    def __init__(self, current: Stored[Any]) -> None:
        super().__init__("somebody else has saved meanwhile")
        self.current = current


@dataclass(frozen=True)
class _Seen:
    """A file as it was read or written last."""

    stamp: tuple[int, int]
    count: int
    revision: int


class Project:
    """The files of a project. May be used from several threads.

    Args:
        images: Folder of the images. Nothing is written to it before something is saved.

    Examples:
        >>> import tempfile
        >>> project = Project(Path(tempfile.mkdtemp()))
        >>> project.save_classes([Class("cup", "#4da3ff")], revision=0)
        1
        >>> project.classes().part
        (Class(name='cup', color='#4da3ff'),)
    """

    def __init__(self, images: Path) -> None:
        self._images, self.folder = images, images / FOLDER
        self._lock = threading.Lock()
        self._seen: dict[Path, _Seen] = {}
        self._parts: OrderedDict[Path, Any] = OrderedDict()  # of those in use: all may be large

    # ------------------------------------------------------------------------- masks

    def path_of(self, name: str) -> Path:
        """Say where the masks of an image are: its path below the folder of the images."""
        return self.folder / f"{name}.json"

    def masks(self, name: str, size_hw: tuple[int, int]) -> Stored[Masks]:
        """Read the masks of an image; none, of revision 0, if nothing was saved yet.

        Raises:
            InputError: The file is damaged, of an image of another size, or outside the folder.
        """
        with self._lock:
            return self._masks(name, size_hw)

    def save_masks(self, name: str, masks: Masks, revision: int) -> int:
        """Write the masks of an image, and give the new revision.

        What the page does not show stays: what is known of the image, and of each mask that was
        there before its id and the part of the image that the model saw.

        Args:
            name: Path of the image below the folder of the images.
            masks: All of them.
            revision: That which they replace.

        Raises:
            RevisionConflict: There is another by now.
            OutputError: The file cannot be written; what was there before is untouched.
        """
        with self._lock:
            current = self._masks(name, masks.size_hw)
            if current.revision != revision:
                raise RevisionConflict(current)
            masks = _with_rest(masks, current.part)
            meta = {**masks.image_meta, _REVISION: revision + 1}
            path = self.path_of(name)
            make_folder(path.parent)
            formats.write(path, replace(masks, image_meta=meta, source=name), "sa1b")
            self._keep(path, Stored(masks, revision + 1))
            return revision + 1

    def _masks(self, name: str, size_hw: tuple[int, int]) -> Stored[Masks]:
        path = self._inside(self.path_of(name))
        if not path.exists():
            return Stored(Masks.empty(size_hw), 0)
        kept = self._kept(path) or self._load(path)
        if kept.part.size_hw != size_hw:
            (h, w), (found_h, found_w) = size_hw, kept.part.size_hw
            raise InputError(
                f"expected masks of {w} x {h} like the image {name!r}, got {found_w} x {found_h} "
                f"in {str(path)!r}; the image was changed: put it back, or move the file away"
            )
        return kept

    def _load(self, path: Path) -> Stored[Masks]:
        masks = _read(path)
        number = masks.image_meta.get(_REVISION)
        # What another program wrote has no revision, or that of what it read.
        found = Stored(named(masks), self._newer(path, number))
        self._keep(path, found)
        return found

    def forget(self, name: str) -> bool:
        """Remove the file of an image that has no masks; return whether that is so."""
        with self._lock:
            path = self._inside(self.path_of(name))
            if not path.exists():
                return True
            if len((self._kept(path) or self._load(path)).part):
                return False
            path.unlink()
            self._seen.pop(path, None)
            self._parts.pop(path, None)
            return True

    def counted(self, name: str) -> tuple[int, int]:
        """Say how many masks an image has, and their revision, without looking twice at a file.

        A file that cannot be read counts as none: to open the image says what is wrong.
        """
        with self._lock:
            try:
                path = self._inside(self.path_of(name))
                stamp = _stamp(path)
                if stamp is None:
                    return 0, 0
                seen = self._seen.get(path)
                if seen is None or seen.stamp != stamp:
                    self._load(path)
                    seen = self._seen[path]
            except (InputError, KeyError):  # damaged, or gone meanwhile
                return 0, 0
            return seen.count, seen.revision

    # ----------------------------------------------------------------------- classes

    def classes(self) -> Stored[tuple[Class, ...]]:
        """Read the classes; none, of revision 0, if nothing was saved yet.

        Raises:
            InputError: The file is damaged, or outside the folder.
        """
        with self._lock:
            return self._classes()

    def save_classes(self, classes: Sequence[Class], revision: int) -> int:
        """Write the classes, and give the new revision; see `save_masks`."""
        names = [one.name for one in classes]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"expected classes of different names, got {twice!r} twice; name one")
        with self._lock:
            current = self._classes()
            if current.revision != revision:
                raise RevisionConflict(current)
            path = self.folder / _CLASSES
            make_folder(self.folder)
            known = [vars(one) for one in classes]
            document = {"revision": revision + 1, "classes": known}
            with atomic_write(path) as draft:
                draft.write_text(json.dumps(document, indent=1), encoding="utf-8")
            self._keep(path, Stored(tuple(classes), revision + 1))
            return revision + 1

    def _classes(self) -> Stored[tuple[Class, ...]]:
        path = self._inside(self.folder / _CLASSES)
        kept = self._kept(path)
        if kept is None:
            if not path.exists():
                return Stored((), 0)
            try:
                document = json.loads(path.read_text(encoding="utf-8"))
                known = tuple(Class(one["name"], one["color"]) for one in document["classes"])
                kept = Stored(known, self._newer(path, document["revision"]))
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(
                    f"expected the classes of a studio in {str(path)!r}, got something else "
                    f"({error}); correct it, or move it away"
                ) from error
            self._keep(path, kept)
        return kept

    # ------------------------------------------------------------------------- files

    def _inside(self, path: Path) -> Path:
        """Check that no link leads out of the folder of the images: it may come from elsewhere."""
        if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self._images)):
            raise InputError(
                f"expected {str(path)!r} in the folder of the images, got a link that leads out of "
                "it; put the file itself there"
            )
        return path

    def _kept(self, path: Path) -> Stored[Any] | None:
        seen, part = self._seen.get(path), self._parts.get(path)
        if seen is None or part is None or seen.stamp != _stamp(path):
            return None
        self._parts.move_to_end(path)
        return Stored(part, seen.revision)

    def _keep(self, path: Path, stored: Stored[Any]) -> None:
        stamp = _stamp(path)
        if stamp is not None:
            self._seen[path] = _Seen(stamp, len(stored.part), stored.revision)
            self._parts[path] = stored.part
            self._parts.move_to_end(path)
            while len(self._parts) > _IN_USE:
                self._parts.popitem(last=False)

    def _newer(self, path: Path, said: object) -> int:
        """Give what was changed by somebody else a revision that nobody here has seen."""
        seen = self._seen.get(path)
        if seen is not None and seen.stamp == _stamp(path):
            return seen.revision  # not changed: only its content was let go
        is_number = isinstance(said, int) and not isinstance(said, bool) and said > 0
        revision = int(str(said)) if is_number else 1
        return revision if seen is None else max(revision, seen.revision + 1)


def _with_rest(masks: Masks, before: Masks) -> Masks:
    """Add to masks what was known before and the page does not carry."""
    places = {meta[THING]: i for i, meta in enumerate(before.meta)}
    places_of = [places.get(meta.get(THING)) for meta in masks.meta]
    ids = (
        before.ids[at] if known is None and at is not None else known
        for known, at in zip(masks.ids, places_of, strict=True)
    )
    crops = masks.crop_boxes
    if crops is None and before.crop_boxes is not None:
        h, w = masks.size_hw
        seen = [(0, 0, w, h) if at is None else before.crop_boxes[at] for at in places_of]
        crops = np.array(seen, np.float32).reshape(-1, 4)
    return replace(
        masks,
        ids=tuple(ids),
        crop_boxes=crops,
        geo=before.geo if masks.geo is None else masks.geo,
        image_meta={**before.image_meta, **masks.image_meta},
    )


def _read(path: Path) -> Masks:
    try:
        return formats.read(path)
    except RecursionError as error:
        raise InputError(
            f"expected masks in {str(path)!r}, got something nested too deep; make it flatter"
        ) from error


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def named(masks: Masks) -> Masks:
    """Give each mask an id, those that another program wrote, too; no id twice."""
    taken: set[str] = set()
    metas = []
    for i, meta in enumerate(masks.meta):
        known = meta.get(THING)
        if not isinstance(known, str) or not known or known in taken:
            content = f"{i} ".encode() + masks.counts[i].tobytes()
            known = hashlib.sha256(content).hexdigest()[:16]
        taken.add(known)
        metas.append({**meta, THING: known})
    rest = {name: value for name, value in masks.image_meta.items() if name != _REVISION}
    return replace(masks, meta=tuple(metas), image_meta=rest)
