"""The files of images: in folders, and at addresses that fsspec knows, such as ``s3://``."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from anymask.batch.inputs import find_images, natural_order
from anymask.errors import AnymaskError, InputError
from anymask.image.pixels import read_size
from anymask.optional import optional

__all__ = ["Content", "File", "find_files", "is_address", "look", "open_file", "read_content"]

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic")


@dataclass(frozen=True)
class File:
    """A file of an image.

    Attributes:
        name: What the store calls it: its path below the folder of the project if it lies there,
            else its whole path, or its address.
        place: Where it is: a path or an address.
        stamp: Tells it from another file in its place without reading it: size and time of change,
            or the like; nothing if it is not there.
        error: Why it cannot even be looked at.
    """

    name: str
    place: str
    stamp: str = ""
    error: str | None = None


@dataclass(frozen=True)
class Content:
    """What is in the file of an image."""

    sha256: str
    size_hw: tuple[int, int]


def is_address(place: str | os.PathLike[str]) -> bool:
    """Return whether something is an address and no path."""
    return "://" in os.fspath(place)


def find_files(root: Path, places: Iterable[str | os.PathLike[str]]) -> Iterator[File]:
    """Find the images in files, folders (with all below), patterns, and at addresses.

    Args:
        root: Folder of the project.
        places: What was named.

    Raises:
        InputError: Something is not there, or holds no image.
    """
    for place in places:
        if is_address(place):
            yield from _find_remote(os.fspath(place))
            continue
        for item in find_images(place, root / ".anymask"):
            name, error = _name(item.path, root), item.error
            if not _is_text(name):
                name, error = ascii(name), "its name is no text (UTF-8): rename it"
            yield File(name, str(item.path), _stamp(item.path), error)


def look(root: Path, name: str) -> File:
    """Look at a file again by the name that the store has for it."""
    if is_address(name):
        return File(name, name, _remote_stamp(name))
    path = root / name
    return File(name, str(path), _stamp(path))


def read_content(file: File) -> Content:
    """Read what tells an image from others, and its size with its orientation applied.

    Raises:
        InputError: It cannot be read, or is no image.
        MissingExtraError: The package that reads its format is not installed.
    """
    if is_address(file.place):
        data = _read_remote(file.place)
        return Content(hashlib.sha256(data).hexdigest(), read_size(io.BytesIO(data), upright=True))  # type: ignore[arg-type]
    size_hw = read_size(file.place, upright=True)
    try:
        with open(file.place, "rb") as opened:
            return Content(hashlib.file_digest(opened, "sha256").hexdigest(), size_hw)
    except OSError as error:
        raise InputError(
            f"cannot read {file.place!r}: {error.strerror or error}; check that it is there"
        ) from error


def open_file(root: Path, name: str) -> Path | bytes:
    """Give an image as `Image.open` takes it: a path, or bytes from an address.

    Raises:
        InputError: It is not there.
    """
    if is_address(name):
        return _read_remote(name)
    path = root / name
    if not path.is_file():
        raise InputError(
            f"expected the image {name!r} in {str(root)!r}, but it is gone; put it back, or add it "
            "from where it is now"
        )
    return path


def _name(path: Path, root: Path) -> str:
    whole = Path(os.path.abspath(path))
    inside = Path(os.path.abspath(root))
    return (
        whole.relative_to(inside).as_posix() if whole.is_relative_to(inside) else whole.as_posix()
    )


def _is_text(name: str) -> bool:
    """Return whether a name can be kept in a database."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _stamp(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


# ------------------------------------------------------------------------------ addresses


def _system(address: str) -> tuple[Any, str]:
    fsspec = optional("fsspec", extra="label")
    try:
        system, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"cannot open the address {address!r}: {error}; install what it names, or check it"
        ) from error
    return system, path


def _find_remote(address: str) -> Iterator[File]:
    system, path = _system(address)
    try:
        if any(sign in path for sign in "*?["):
            found = system.glob(path)
        else:
            found = system.find(path) if system.isdir(path) else [path]
            if found == [path] and not system.exists(path):
                raise FileNotFoundError("nothing is there")
    except AnymaskError:
        raise
    except Exception as error:  # each system has errors of its own
        raise _unreachable(address, error) from error
    single = found == [path]
    images = [one for one in found if single or PurePosixPath(one).suffix.lower() in _SUFFIXES]
    if not images:
        raise InputError(f"expected images at {address!r}, got none; check the address")
    for one in sorted(images, key=lambda path: natural_order(str(path))):
        whole = system.unstrip_protocol(one)
        yield File(whole, whole, _remote_stamp(whole))


def _remote_stamp(address: str) -> str:
    system, path = _system(address)
    try:
        said = system.info(path)
    except FileNotFoundError:
        return ""
    except Exception as error:
        raise _unreachable(address, error) from error
    marks = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")
    mark = next((str(said[key]) for key in marks if said.get(key) is not None), "")
    return f"{said.get('size')} {mark}"[:100]


def _read_remote(address: str) -> bytes:
    system, path = _system(address)
    try:
        data: bytes = system.cat_file(path)
    except Exception as error:
        raise _unreachable(address, error) from error
    return data


def _unreachable(address: str, error: Exception) -> InputError:
    reason = str(error).partition("\n")[0] or type(error).__name__
    return InputError(
        f"cannot read {address!r}: {reason}; check the address, and that you may read there"
    )
