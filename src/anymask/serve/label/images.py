"""The images of a label project, each known by the digest of its content."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from anymask.errors import AnymaskError, InputError
from anymask.formats.conversion import Found
from anymask.formats.images import free_name
from anymask.label.names import find_served, register_served
from anymask.serve.compute import Task
from anymask.serve.errors import ApiError
from anymask.serve.exports import write_zip
from anymask.serve.studio.gallery import Picture, Thumbnails, as_shown

if TYPE_CHECKING:
    from anymask.label.records import ImageRecord
    from anymask.label.store import Store
    from anymask.serve.server import Server

__all__ = ["LabelImages", "LabelStudio"]

Result = TypeVar("Result")

_DIGEST = re.compile("[0-9a-f]{64}")
_IN_USE = 4  # images from addresses whose files are kept in memory


class LabelImages:
    """What browsers are shown of the images of a store; blocks. May be used from several threads.

    Args:
        store: The store.
        max_pixels: Larger images are refused before they are decoded.
    """

    def __init__(self, store: Store, max_pixels: int) -> None:
        self._store, self._max_pixels = store, max_pixels
        self._thumbnails = Thumbnails()
        self._fetched: OrderedDict[str, bytes] = OrderedDict()

    def record(self, digest: str) -> ImageRecord:
        """Find an image.

        Raises:
            ApiError: There is none of this digest.
        """
        wrong = ApiError(
            404,
            f"expected the digest of an image of the project, got {digest[:80]!r}; load the page "
            "again",
            "no_picture",
        )
        if not _DIGEST.fullmatch(digest):
            raise wrong
        try:
            return self._store.image(digest)
        except InputError:
            raise wrong from None

    def find(self, digest: str) -> Picture:
        """Find an image, as the studio has them."""
        found = self.record(digest)
        return Picture(digest, found.name, self._store.root / found.name, found.size_hw)

    def data(self, picture: Picture) -> bytes:
        """Read the file of an image.

        Raises:
            InputError: It is gone, or has another content than when it was added: masks of one must
                not be drawn on another.
        """
        known = self._fetched.get(picture.id)
        if known is not None:
            return known
        source = self._store.open_image(self.record(picture.id))
        data = source.read_bytes() if isinstance(source, Path) else source
        if hashlib.sha256(data).hexdigest() != picture.id:
            raise InputError(
                f"expected {picture.name!r} as it was when it was added, got another content; put "
                "the file back, or add it again with `anymask label add --accept-changes`"
            )
        if not isinstance(source, Path):
            self._fetched[picture.id] = data
            while len(self._fetched) > _IN_USE:
                self._fetched.popitem(last=False)
        return data

    def file(self, picture: Picture, folder: Path) -> Path:
        """Give the file of an image, which is put into a folder if it is elsewhere; see `data`."""
        data = self.data(picture)
        if picture.id not in self._fetched:
            source = self._store.open_image(self.record(picture.id))
            if isinstance(source, Path):
                return source
        path = folder / f"{picture.id}{Path(picture.name).suffix}"
        path.write_bytes(data)
        return path

    def thumbnail(self, picture: Picture) -> bytes:
        """Give a small JPEG of an image."""
        known = self._thumbnails.kept(picture.id)
        if known is not None:
            return known
        return self._thumbnails.get(picture.id, self.data(picture), self._max_pixels)

    def shown(self, picture: Picture) -> tuple[bytes, str]:
        """Give an image as browsers show it, and its media type."""
        return as_shown(self.data(picture), self._max_pixels)


class LabelStudio:
    """The store of a label project, behind the studio's routes.

    Args:
        store: The store; whoever opened it closes it.
        server: Who answers.
        version: What the store calls the model that serves; None: the name of its variant.
    """

    def __init__(self, store: Store, server: Server, version: str | None = None) -> None:
        self.store, self.server = store, server
        self.gallery = LabelImages(store, server.config.max_pixels)
        self._named, self._registered = version or server.model.variant.name, ""
        known = f"{store.database.shown} {store.project_id} {store.root.resolve()}"
        self.key = hashlib.sha256(known.encode()).hexdigest()[:16]
        """Tells the project from others of its name, on pages that keep something of it."""

    def version(self, *, register: bool) -> str:
        """Give the version of the model that serves, by which the store knows its very weights.

        Args:
            register: Note it in the store, because it makes masks.
        """
        if self._registered:
            return self._registered
        model, project = self.server.model, self.store.project_id
        name, digest = self._named, model.weights_digest
        if not register:
            return self.store.database.read(lambda t: find_served(t, project, name, digest))[0]
        self._registered = self.store.database.write(
            lambda t: register_served(t, project, name, name, digest)
        )
        return self._registered

    def export(
        self, pictures: Sequence[str], formats: Sequence[str], path: Path, task: Task
    ) -> None:
        """Write the masks of some images, but for rejected ones, into a zip.

        Raises:
            ApiError: There is no such image.
            InputError: There are no masks, a format cannot hold them, or an image is gone or has
                another content by now.
            OutputError: The disk is full.
        """
        images = [self.gallery.record(name) for name in dict.fromkeys(pictures)]
        if not any(image.masks for image in images):
            raise InputError("expected masks to export, got none; make some, or choose others")

        def found() -> Iterator[Found]:
            taken: set[str] = set()
            for image in images:
                task.check()
                stored = self.store.masks(image)
                kept = np.array([review != "rejected" for review in stored.reviews], bool)
                if not kept.any():
                    continue
                file = self.gallery.file(self.gallery.find(image.sha256), Path(folder))
                name = free_name(file.stem if "://" in image.name else image.name, taken)
                yield Found(name, replace(stored.masks[kept], source=image.name), file)

        with tempfile.TemporaryDirectory() as folder:
            write_zip(found, formats, [one.name for one in self.store.classes()], path)

    async def find(self, name: str) -> Picture:
        """Find an image by its digest.

        Raises:
            ApiError: There is none.
        """
        return await self.server.compute.answer(lambda: self.gallery.find(name))

    async def read(self, picture: Picture, work: Callable[[], Result]) -> Result:
        """Read the file of an image in a thread.

        Raises:
            ApiError: It is gone, was changed, or is damaged.
        """
        try:
            return await self.server.compute.answer(work)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ApiError(
                404,
                f"cannot read {picture.name!r}: {reason}; put the file back where it was",
                "no_picture",
            ) from error
        except AnymaskError as error:
            raise ApiError(422, str(error)) from error
