"""Images that were painted and that nobody has kept yet: files beside nothing, for a while."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from anymask.atomic import cannot_write
from anymask.errors import InputError
from anymask.image.image import Image
from anymask.serve.errors import ApiError
from anymask.serve.studio.gallery import Gallery, Picture
from anymask.serve.studio.project import Project

__all__ = ["Draft", "Drafts"]

_MOST = 8  # drafts, saved ones too, which undo and redo take away and bring back


@dataclass(frozen=True)
class Draft:
    """An image that was made of another.

    Attributes:
        id: Tells it from others.
        name: What its file would be called.
        path: Where it is for now, a PNG.
        size_hw: Height and width.
    """

    id: str
    name: str
    path: Path
    size_hw: tuple[int, int]


class Drafts:
    """What was painted lately. May be used from several threads.

    Args:
        gallery: Where drafts are saved.
        project: Where their masks are.
    """

    def __init__(self, gallery: Gallery, project: Project) -> None:
        self._gallery, self._project = gallery, project
        self._kept: OrderedDict[str, Draft] = OrderedDict()
        self._saved: dict[str, Picture] = {}
        self._taken_back: dict[str, tuple[Picture, int]] = {}
        self._folder: Path | None = None
        self._lock = threading.Lock()

    def add(self, image: Image, name: str) -> Draft:
        """Keep an image for a while; the oldest go first.

        Raises:
            OutputError: The disk is full.
        """
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="anymask-drafts-"))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            key = secrets.token_hex(8)
            path = self._folder / f"{key}.png"
        try:
            image.save(path)
        except OSError as error:
            raise cannot_write(path, error) from error
        draft = Draft(key, name, path, image.size_hw)
        with self._lock:
            self._kept[key] = draft
            while len(self._kept) > _MOST:
                self._forget(next(iter(self._kept)))
        return draft

    def get(self, key: str) -> Draft:
        """Find a draft.

        Raises:
            ApiError: There is none of that id, or it had to go.
        """
        with self._lock:
            if key not in self._kept:
                raise ApiError(
                    404,
                    f"expected the id of a painted image, got {key[:80]!r}, which is not here (any "
                    "more); paint it again",
                    "no_draft",
                )
            return self._kept[key]

    def drop(self, key: str) -> None:
        """Forget a draft; what was saved of it stays."""
        self.get(key)
        with self._lock:
            self._forget(key)

    def save(self, key: str) -> Picture:
        """Put a draft into the folder as an image of its own, under a name that is free there.

        One that was saved before and taken back is the same image again; one that is there as it
        was saved stays as it is, for whoever has not heard the answer asks once more.

        Raises:
            ApiError: There is no such draft.
            OutputError: It cannot be written.
        """
        draft = self.get(key)
        with self._lock:
            before, saved = self._taken_back.get(key), self._saved.get(key)
        if saved is not None and self._gallery.is_unchanged(saved):
            return saved
        data = draft.path.read_bytes()
        if before is None:
            picture = self._gallery.add(data, draft.name)
        else:
            picture = self._gallery.put_back(before[0], data, before[1])
        with self._lock:
            self._taken_back.pop(key, None)
            self._saved[key] = picture
        return picture

    def take_back(self, key: str) -> str:
        """Take away the image that a draft was saved as; give the id of that image.

        Nothing else can be taken away: not an image that was changed since, nor one with masks.

        Raises:
            ApiError: There is no such draft, or it was not saved.
            InputError: It has been changed, or has masks.
        """
        self.get(key)
        with self._lock:
            picture = self._saved.get(key)
        if picture is None:
            raise ApiError(404, f"expected a draft that was saved, got {key[:80]!r}; save it first")
        if not self._gallery.is_unchanged(picture):
            raise InputError(
                f"expected {picture.name!r} as it was saved, got another file in its place, or "
                "none; look at it yourself"
            )
        if not self._project.forget(picture.name):
            raise InputError(
                f"expected no masks of {picture.name!r}, got some; delete them first, for they "
                "would be lost"
            )
        changed = self._gallery.remove(picture)
        with self._lock:
            self._saved.pop(key, None)
            self._taken_back[key] = picture, changed
        return picture.id

    def _forget(self, key: str) -> None:
        self._saved.pop(key, None)
        self._taken_back.pop(key, None)
        self._kept.pop(key).path.unlink(missing_ok=True)
