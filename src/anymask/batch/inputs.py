"""Finding the images that a user names, and a name for the results of each."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

from anymask.errors import InputError

if TYPE_CHECKING:
    from anymask.image.image import ImageLike

__all__ = ["Images", "Item", "find_images", "is_image_name", "natural_order", "walk_images"]

# What a folder is searched for; a file that is named outright may have any suffix.
_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".jp2", ".j2k", ".avif", ".heic", ".heif", ".ppm", ".pgm", ".pbm", ".pnm", ".tga"),
)
_MAGIC = re.compile(r"[*?\[]")
_EVERYTHING = ("**", "*")
_WHOLE = 2  # level of a key that is all of a path below the common folder

Images: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | Mapping[str, Any]"
"""A file, a folder or a pattern; any number of them; or images by the names of their results."""


@dataclass(frozen=True)
class Item:
    """One image to work on."""

    path: Path
    """Where it is, as the user wrote it; of an image in memory, its name."""
    key: str
    """What its results are called: a relative path without suffix, unlike that of any other."""
    data: Any = field(default=None, repr=False)
    """The image, if it is in memory: bytes, an array, an open file, ...; see `Image.open`."""
    error: str | None = None
    """Why it cannot even be looked at, such as a folder that may not be read."""

    @property
    def source(self) -> ImageLike:
        """The image, for `Image.open`."""
        source: ImageLike = self.path if self.data is None else self.data
        return source

    @property
    def origin(self) -> str:
        """Where it is, however it was named: an absolute path; nothing for one in memory."""
        return os.path.abspath(self.path) if self.data is None else ""

    def stamp(self) -> list[int | str]:
        """Tell it from another image in its place: by size and time of change, or by content."""
        if self.data is not None:
            return [_digest(self.data)]
        try:
            status = self.path.stat()
        except OSError:
            return []  # gone: opening it will say so
        return [status.st_size, status.st_mtime_ns]


@dataclass(frozen=True)
class _Found:
    path: Path
    root: Path  # the results mirror the folders from here on
    error: str | None = None


def find_images(images: Images, output: Path, known: Mapping[str, str] | None = None) -> list[Item]:
    """Turn files, folders and patterns into items.

    Folders are searched with all that is in them and in folders that are linked there, in natural
    order (``2.jpg`` before ``10.jpg``), without what is hidden and without the folder of the
    results. An image that is named twice counts once. What cannot be read (a folder without
    permission, a link to nothing or back to itself) becomes an item with an ``error``.

    Args:
        images: What the user named. A mapping from names to images in memory (whatever
            `Image.open` takes) is taken as it is.
        output: The folder of the results.
        known: Keys that images got in earlier runs, by `Item.origin`; they stay.

    Raises:
        InputError: Nothing was named, or something that does not exist or holds no image.
    """
    if isinstance(images, Mapping):
        return [_in_memory(name, data) for name, data in images.items()]
    given = [images] if isinstance(images, str | os.PathLike) else list(images)
    if not given:
        raise InputError("expected at least one image or folder, got none; name one")
    unique: dict[str, _Found] = {}
    for argument in given:
        if not isinstance(argument, str | os.PathLike):
            raise InputError(
                f"expected paths of images, got {type(argument).__name__}; give images in memory a "
                "name each, as in {'name': image}"
            )
        for found in _expand(os.fsdecode(argument), output):
            unique.setdefault(os.path.abspath(found.path), found)
    return _name(unique, known or {})


def _in_memory(name: str, data: Any) -> Item:
    parts = PurePath(str(name)).parts
    if not parts or ".." in parts or PurePath(str(name)).is_absolute():
        raise InputError(
            f"expected a name for the results of each image, such as 'photo-1', got {name!r}; "
            "choose another"
        )
    if isinstance(data, str | os.PathLike):
        path = Path(data)
        return Item(path, PurePath(name).as_posix())
    if hasattr(data, "read"):
        data = data.read()  # now, as it can be read only once
    return Item(Path(name), PurePath(name).as_posix(), data)


def _digest(data: Any) -> str:
    """Tell an image in memory by its content."""
    if isinstance(data, bytes | bytearray | memoryview):
        return hashlib.sha256(data).hexdigest()
    from anymask.image.image import Image

    pixels = Image.open(data).pixels
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.data).hexdigest()


# ------------------------------------------------------------------------- looking


def _expand(argument: str, output: Path) -> list[_Found]:
    path = Path(argument).expanduser()
    try:
        return _look(argument, path, output)
    except OSError as error:
        return [_Search(path.parent, output).unreadable(path, error)]


def _look(argument: str, path: Path, output: Path) -> list[_Found]:
    if path.is_dir():
        if _same(path, output):
            raise InputError(
                f"expected results and images in different folders, got {argument!r} for both; "
                "choose another folder (-o)"
            )
        found = list(_Search(path, output).walk(path, _EVERYTHING))
    elif path.exists() or path.is_symlink():
        return [_Found(path, path.parent)]
    elif "://" in argument:
        raise InputError(f"expected an image or folder, got the address {argument!r}; download it")
    elif _MAGIC.search(argument):
        root, pattern = _split(path)
        found = list(_Search(root, output).walk(root, pattern)) if root.is_dir() else []
    else:
        raise InputError(
            f"expected an image or folder, but {argument!r} does not exist; check the path"
        )
    if not found:
        raise InputError(
            f"expected images, but {argument!r} leads to none; "
            "JPEG, PNG, WebP, TIFF and the like are looked for by their suffix"
        )
    return sorted(found, key=lambda entry: natural_order(str(entry.path)))


@dataclass(frozen=True)
class _Search:
    """Looks for images below a folder."""

    root: Path
    output: Path  # is left out, unless it is the root

    def walk(
        self, folder: Path, pattern: tuple[str, ...], above: tuple[tuple[int, int], ...] = ()
    ) -> Iterator[_Found]:
        """Find what fits a pattern, part by part; ``above`` tells the folders on the way here."""
        try:
            status = folder.stat()
            here = (status.st_dev, status.st_ino)
            entries = os.scandir(folder)
        except OSError as error:
            yield self.unreadable(folder, error)
            return
        if here in above:
            entries.close()
            yield self._failed(folder, "it is a link back to a folder above it")
            return
        deep = pattern[0] == "**"
        wanted, *rest = pattern[deep:]
        for entry in _each(entries):
            if isinstance(entry, OSError):
                yield self.unreadable(folder, entry)
                return
            path = folder / entry.name
            if entry.name.startswith("."):
                continue
            fits = fnmatch.fnmatch(entry.name, wanted)
            try:
                if _is_folder(entry):
                    if (deep or (rest and fits)) and not _same(path, self.output):
                        if deep:
                            yield from self.walk(path, pattern, (*above, here))
                        if rest and fits:
                            yield from self.walk(path, tuple(rest), (*above, here))
                elif fits and not rest:
                    yield from self._file(entry, path)
            except OSError as error:
                yield self.unreadable(path, error)

    def _file(self, entry: os.DirEntry[str], path: Path) -> Iterator[_Found]:
        if path.suffix.lower() in _SUFFIXES:
            if entry.is_file() or not path.exists():  # a link to nothing says so when it is opened
                yield _Found(path, self.root)
            else:  # to open a pipe that nobody writes to would take for ever
                yield self._failed(path, "it is no file but a pipe or a device")
        elif not path.suffix and entry.is_symlink():
            path.stat()  # what it leads to nowhere may have been a folder of images

    def unreadable(self, path: Path, error: OSError) -> _Found:
        """Say that something cannot be looked at."""
        return self._failed(path, error.strerror or str(error))

    def _failed(self, path: Path, reason: str) -> _Found:
        sentence = f"cannot read {_shown(path)}: {reason}; mend it, or leave it out"
        return _Found(path, self.root, sentence)


def walk_images(folder: Path, output: Path) -> Iterator[tuple[Path, str | None]]:
    """Find the images below a folder one by one, in no order, however many there are.

    Args:
        folder: Searched as `find_images` does it.
        output: The folder of the results, which is left out.

    Returns:
        The path of each, and why it cannot be read, or None.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "a.jpg").touch()
        >>> [(path.name, error) for path, error in walk_images(folder, folder / "out")]
        [('a.jpg', None)]
    """
    for found in _Search(folder, output).walk(folder, _EVERYTHING):
        yield found.path, found.error


def is_image_name(name: str) -> bool:
    """Return whether a file is taken for an image when a folder is searched.

    Examples:
        >>> is_image_name("a/b.JPG"), is_image_name("a/.b.jpg"), is_image_name("a.json")
        (True, False, False)
    """
    path = PurePosixPath(name)
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")


def _each(
    entries: AbstractContextManager[Iterator[os.DirEntry[str]]],
) -> Iterator[os.DirEntry[str] | OSError]:
    """Give what is in a folder as it is read, and the error that ends it, such as its deletion."""
    with entries as reading:
        try:
            yield from reading
        except OSError as error:
            yield error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or leads to one; an error if nobody can tell."""
    try:
        return entry.is_dir()
    except OSError:
        if Path(entry.name).suffix:
            return False  # by its name a file: opening it will say what is wrong
        raise


def _same(a: Path, b: Path) -> bool:
    return os.path.realpath(a) == os.path.realpath(b)


def _shown(path: Path, length: int = 300) -> str:
    """Quote a path; of a very long one the beginning and the end."""
    text = repr(str(path))
    return text if len(text) <= length else f"{text[: length // 2]}...{text[-length // 2 :]}"


def _split(pattern: Path) -> tuple[Path, tuple[str, ...]]:
    """Split off the folder in front of the first part with a wildcard."""
    parts = pattern.parts
    first = next(i for i, part in enumerate(parts) if _MAGIC.search(part))
    wild = [
        part
        for before, part in zip(["", *parts[first:]], parts[first:], strict=False)
        if not part == before == "**"
    ]
    return Path(*parts[:first]), (*wild, "*") if wild[-1] == "**" else tuple(wild)


def natural_order(text: str) -> list[str | int]:
    """Give a sort key by which 2 comes before 10.

    Examples:
        >>> sorted(["10.jpg", "2.jpg"], key=natural_order)
        ['2.jpg', '10.jpg']
    """
    pieces = re.split(r"(\d+)", text.casefold())
    # Text and numbers take turns, starting with text, so that like is compared with like.
    return [int(piece) if i % 2 else piece for i, piece in enumerate(pieces)]


# -------------------------------------------------------------------------- naming


def _name(found: Mapping[str, _Found], known: Mapping[str, str]) -> list[Item]:
    """Give each image a key of its own, longer only where a short one is taken.

    What is beside an image when it gets its key must not matter later, or its results would be
    looked for elsewhere; so a key that it has is its key.
    """
    named = [path for path, one in found.items() if one.error is None]
    common = Path(os.path.commonpath([os.path.dirname(path) for path in named] or ["."]))
    kept = _without_clashes({path: known[path] for path in named if path in known})
    levels = {path: 0 for path in named if path not in kept}
    while True:
        keys = kept | {p: _key(found[p], p, level, common) for p, level in levels.items()}
        holders: dict[str, list[str]] = {}
        for path, key in keys.items():
            holders.setdefault(key.casefold(), []).append(path)  # some file systems ignore case
        longer = [path for paths in holders.values() for path in _losers(paths, kept, levels)]
        if not longer:
            return [
                Item(one.path, keys.get(path, ""), None, one.error) for path, one in found.items()
            ]
        for path in longer:
            levels[path] += 1


def _losers(paths: list[str], kept: Mapping[str, str], levels: Mapping[str, int]) -> list[str]:
    """List which of the images with one key need a longer one."""
    if len(paths) == 1:
        return []
    new = [path for path in paths if path not in kept]
    if len(new) < len(paths) or any(levels[path] < _WHOLE for path in new):
        return new
    return new[1:]  # names that differ only in case: numbers tell them apart


def _without_clashes(keys: dict[str, str]) -> dict[str, str]:
    taken = Counter(key.casefold() for key in keys.values())
    return {path: key for path, key in keys.items() if taken[key.casefold()] == 1}


def _key(entry: _Found, absolute: str, level: int, common: Path) -> str:
    """Name an image from its own root, from the folder common to all, or with its suffix, too."""
    if level == 0:
        return entry.path.relative_to(entry.root).with_suffix("").as_posix()
    path = Path(absolute).relative_to(common)
    if level == 1:
        return path.with_suffix("").as_posix()
    return path.as_posix() + (f"~{level - 1}" if level > _WHOLE else "")
