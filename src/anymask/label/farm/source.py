"""Where the images of a farm are: a folder, or a prefix of an object store.

A source is listed one entry at a time, for there may be millions. Its names are relative, with
slashes. What reads an image by its name is a picklable value, which workers take with them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from anymask.batch.inputs import is_image_name, walk_images
from anymask.errors import InputError, MissingExtraError
from anymask.optional import optional

__all__ = ["Entry", "Folder", "ObjectStore", "Reader", "Source", "find_source"]

# What tells a file of an object store from another one of the same name, in stores of all makers.
_STAMPS = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "mtime", "LastModified", "created")


@dataclass(frozen=True)
class Entry:
    """A file that may be an image.

    Attributes:
        name: Relative path with slashes; bytes that are no UTF-8 are escaped as Python does it.
        stamp: Differs when the content changes.
        error: Why it cannot even be looked at, one sentence; else nothing.
    """

    name: str
    stamp: str
    error: str = ""


class Reader(Protocol):
    """Reads the content of an image by its name; a picklable value."""

    def __call__(self, name: str, /) -> bytes:
        """Read it; whatever goes wrong is raised."""
        ...


class Source(Protocol):
    """Where the images are."""

    @property
    def place(self) -> str:
        """Tells the source from others, such as by an absolute path."""
        ...

    @property
    def here_only(self) -> bool:
        """Whether no other process can read it."""
        ...

    @property
    def reader(self) -> Reader:
        """Reads its images."""
        ...

    def entries(self) -> Iterator[Entry]:
        """List it, in any order.

        Raises:
            InputError: It cannot be listed.
        """
        ...


def find_source(source: str | os.PathLike[str] | Source, output: Path) -> Source:
    """Turn what a user names into a source.

    Args:
        source: A folder; an address that fsspec knows, such as ``s3://bucket/prefix``; or a source.
        output: Folder of the results, which is left out.

    Raises:
        InputError: It does not exist, or is no folder, or the same as that of the results.
        MissingExtraError: What reads the address is not installed.
    """
    if not isinstance(source, str | os.PathLike):
        return source
    text = os.fsdecode(source)
    if "://" in text:
        found = ObjectStore(text)
        found.check()
        return found
    folder = Path(text).expanduser()
    if not folder.is_dir():
        what = "does not exist" if not folder.exists() else "is no folder"
        raise InputError(f"expected a folder of images, but {text!r} {what}; check the path")
    if os.path.realpath(folder) == os.path.realpath(output):
        raise InputError(
            f"expected results and images in different folders, got {text!r} for both; "
            "choose another folder (-o)"
        )
    return Folder(folder, output)


# ---------------------------------------------------------------------------- folders


@dataclass(frozen=True)
class Folder:
    """The images of a folder and of those below it, as `find_images` finds them.

    Attributes:
        path: The folder.
        output: Another one, which is left out.
    """

    path: Path
    output: Path

    here_only = False

    @property
    def place(self) -> str:
        """The absolute path."""
        return os.path.abspath(self.path)

    @property
    def reader(self) -> Reader:
        """Reads files."""
        return _FileReader(self.place)

    def entries(self) -> Iterator[Entry]:
        """List the images, in the order of the file system."""
        for path, error in walk_images(self.path, self.output):
            name = path.relative_to(self.path).as_posix()
            if error is None:
                try:
                    status = path.stat()
                except OSError:
                    yield Entry(name, "")  # gone by now: reading it will say so
                    continue
                yield Entry(name, f"{status.st_size} {status.st_mtime_ns}")
            else:
                yield Entry(name, "", error)


@dataclass(frozen=True)
class _FileReader:
    root: str

    def __call__(self, name: str, /) -> bytes:
        with open(os.path.join(self.root, name), "rb") as file:
            return file.read()


# ---------------------------------------------------------------------- object stores


@dataclass(frozen=True)
class ObjectStore:
    """The images below an address, in whatever store fsspec knows.

    Attributes:
        url: The address, such as ``s3://bucket/prefix``.
        options: For fsspec, such as ``{"anon": True}``.
    """

    url: str
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def place(self) -> str:
        """The address."""
        return self.url.rstrip("/")

    @property
    def here_only(self) -> bool:
        """Whether it lies in the memory of this process."""
        return self.url.startswith("memory://")

    @property
    def reader(self) -> Reader:
        """Reads objects."""
        return _ObjectReader(self.url, self.options)

    def check(self) -> None:
        """Look whether anything is there.

        Raises:
            InputError: Nothing is, or the store does not answer.
            MissingExtraError: What reads the address is not installed.
        """
        files, root = _file_system(self.url, self.options)
        try:
            there = files.isdir(root)
        except Exception as error:
            raise self._unreadable(error) from error
        if not there:
            raise InputError(
                f"expected images below {self.url!r}, got nothing there; check the address and "
                "whether you may list it"
            )

    def entries(self) -> Iterator[Entry]:
        """List the images, one prefix between two slashes after the other."""
        files, root = _file_system(self.url, self.options)
        try:
            for folder, _, found in files.walk(root, detail=True, on_error="raise"):
                for name, detail in found.items():
                    if name and is_image_name(name):
                        whole = PurePosixPath(folder) / name
                        yield Entry(str(whole.relative_to(root)), _stamp(detail))
        except Exception as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> InputError:
        reason = " ".join(str(error).split()) or type(error).__name__
        return InputError(
            f"expected {self.url!r} to be listed, got {type(error).__name__}: {reason}; check the "
            "address and your access to it"
        )


@dataclass(frozen=True)
class _ObjectReader:
    url: str
    options: tuple[tuple[str, Any], ...]

    def __call__(self, name: str, /) -> bytes:
        files, root = _file_system(self.url, self.options)  # fsspec keeps and shares it
        content: bytes = files.cat_file(f"{root}/{name}")
        return content


def _stamp(detail: Mapping[str, Any]) -> str:
    known = [str(detail[name]) for name in _STAMPS if detail.get(name) is not None]
    return " ".join([str(detail.get("size")), *known[:1]])


def _file_system(url: str, options: tuple[tuple[str, Any], ...]) -> tuple[Any, str]:
    """Find what reads an address, and the path there.

    Raises:
        InputError: Nothing knows such addresses.
        MissingExtraError: What does is not installed.
    """
    fsspec = optional("fsspec", extra="farm")
    protocol = url.partition("://")[0]
    try:
        # What was listed is listed once, and would be kept for ever.
        files = fsspec.filesystem(protocol, use_listings_cache=False, **dict(options))
    except ImportError as error:
        registry = optional("fsspec.registry", extra="farm")
        known = registry.known_implementations.get(protocol, {})
        package = known.get("class", protocol).partition(".")[0]
        raise MissingExtraError(
            f"this needs the package {package!r} for {url!r}, which is not installed; run: "
            f"pip install {package}"
        ) from error
    except ValueError as error:
        raise InputError(
            f"expected a folder or an address such as s3://bucket/prefix, got {url!r} ({error}); "
            "check how it begins"
        ) from error
    except Exception as error:  # such as access that is not configured
        raise InputError(
            f"expected access to {url!r}, got {type(error).__name__}: {error}; check it"
        ) from error
    return files, str(files._strip_protocol(url)).rstrip("/")
