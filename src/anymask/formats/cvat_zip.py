"""CVAT's zip: ``annotations.xml``, and the images in ``images/``."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from anymask.errors import InputError
from anymask.formats.files import Content

__all__ = ["Images", "Writer", "is_zip", "open_annotations"]

_LARGEST = 1 << 31  # bytes of an image that is taken out
_DATE = (1980, 1, 1, 0, 0, 0)  # of all files, so that the same masks give the same zip


def is_zip(head: bytes) -> bool:
    """Return whether a file begins as a zip does."""
    return head.startswith(b"PK\x03\x04")


@contextmanager
def open_annotations(content: Content, name: str) -> Iterator[tuple[IO[bytes], str]]:
    """Open the annotations: the file itself, or what has this name in a zip.

    Yields:
        An open file, and what to call it in an error.

    Raises:
        InputError: The zip is damaged, or has no such file.
    """
    if not is_zip(content.head(4)):
        with content.open() as file:
            yield file, content.name
        return
    with _opened(content) as archive:
        found = [entry for entry in archive.namelist() if PurePosixPath(entry).name == name]
        if len(found) != 1:
            raise InputError(
                f"expected one {name} in the zip {content.name}, got {len(found)}; export the task "
                "as CVAT for images 1.1"
            )
        with archive.open(found[0]) as file:
            yield file, f"{found[0]} of {content.name}"


@contextmanager
def _opened(content: Content) -> Iterator[zipfile.ZipFile]:
    try:
        with content.open() as file, zipfile.ZipFile(file) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"cannot read the zip {content.name}: {error}; check that it is whole and has no "
            "password"
        ) from error


class Images:
    """Takes images out of a zip, each when it is asked for.

    Args:
        content: The zip.
        folder: Where they go; only file names of our own are made there.
    """

    def __init__(self, content: Content, folder: Path) -> None:
        self._content, self._folder = content, folder
        with _opened(content) as archive:
            self._entries = {self._key(info.filename): info for info in archive.infolist()}
        self._number = 0

    @staticmethod
    def _key(name: str) -> str:
        return PurePosixPath(name.replace("\\", "/")).as_posix().removeprefix("images/")

    def take(self, name: str) -> Path | None:
        """Give the file of an image; None: it is not in the zip.

        Raises:
            InputError: It is damaged, or too large to be an image.
        """
        info = self._entries.get(self._key(name))
        suffix = PurePosixPath(name).suffix
        if info is None or not suffix[1:].isalnum():
            return None
        if info.file_size > _LARGEST:
            raise InputError(
                f"expected images of at most {_LARGEST:,} bytes in {self._content.name}, got "
                f"{info.file_size:,} for {name!r}; take it out"
            )
        self._number += 1
        path = self._folder / f"{self._number}{suffix}"
        with _opened(self._content) as archive, archive.open(info) as file, path.open("wb") as to:
            shutil.copyfileobj(file, to)
        return path


class Writer:
    """Writes a zip as CVAT exports it.

    Args:
        file: What it is written to.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._archive = zipfile.ZipFile(file, "w", allowZip64=True)

    def add(self, image: Path, name: str) -> None:
        """Put an image into ``images/``; it is compressed already."""
        info = zipfile.ZipInfo(f"images/{name}", _DATE)
        with image.open("rb") as file, self._archive.open(info, "w", force_zip64=True) as to:
            shutil.copyfileobj(file, to)

    def annotations(self) -> IO[bytes]:
        """Open ``annotations.xml`` for writing."""
        info = zipfile.ZipInfo("annotations.xml", _DATE)
        info.compress_type = zipfile.ZIP_DEFLATED
        return self._archive.open(info, "w", force_zip64=True)

    def close(self) -> None:
        """Finish the zip."""
        self._archive.close()
