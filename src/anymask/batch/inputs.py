"""Finding the pictures that a command line names, and a name for the results of each."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from anymask.errors import InputError

__all__ = ["Item", "find_images", "natural_order"]

# What a folder is searched for; a file that is named outright may have any suffix.
_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".jp2", ".j2k", ".avif", ".heic", ".heif", ".ppm", ".pgm", ".pbm", ".pnm", ".tga"),
)
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Item:
    """One picture to work on."""

    path: Path
    """Where it is, as the user wrote it."""
    key: str
    """What its results are called: a relative path without suffix, unlike that of any other."""


@dataclass(frozen=True)
class _Found:
    path: Path
    root: Path  # the results mirror the folders from here on


def find_images(arguments: Sequence[str], output: Path) -> list[Item]:
    """Turn files, folders and patterns into pictures.

    Folders are searched with all that is in them, in natural order (``2.jpg`` before ``10.jpg``),
    without hidden folders and without the folder of the results. A picture that is named twice
    counts once.

    Args:
        arguments: What the user gave.
        output: The folder of the results.

    Raises:
        InputError: Nothing was given, or one of the arguments leads to no picture.
    """
    if not arguments:
        raise InputError("expected at least one picture or folder, got none; name one")
    unique: dict[str, _Found] = {}
    for argument in arguments:
        for found in _expand(argument, output):
            unique.setdefault(os.path.abspath(found.path), found)
    return _name(list(unique.values()))


def _expand(argument: str, output: Path) -> list[_Found]:
    path = Path(argument).expanduser()
    if path.is_dir():
        if _same(path, output):
            raise InputError(
                f"expected results and pictures in different folders, got {argument!r} for both; "
                "choose another folder with -o"
            )
        found = list(_walk(path, output))
    elif path.exists() or path.is_symlink():
        return [_Found(path, path.parent)]
    elif "://" in argument:
        raise InputError(f"expected a picture or folder, got the address {argument!r}; download it")
    elif _MAGIC.search(argument):
        root = _fixed_part(path)
        matches = (Path(name) for name in glob.iglob(str(path), recursive=True))
        found = [_Found(p, root) for p in matches if _is_picture(p) and output not in p.parents]
    else:
        raise InputError(
            f"expected a picture or folder, but {argument!r} does not exist; check the path"
        )
    if not found:
        raise InputError(
            f"expected pictures, but {argument!r} leads to none; "
            "JPEG, PNG, WebP, TIFF and the like are looked for by their suffix"
        )
    return sorted(found, key=lambda entry: natural_order(str(entry.path)))


def _walk(root: Path, output: Path) -> Iterator[_Found]:
    for folder, subfolders, files in os.walk(root):
        here = Path(folder)
        subfolders[:] = [
            name for name in subfolders if name[0] != "." and not _same(here / name, output)
        ]
        yield from (_Found(here / name, root) for name in files if _is_picture(here / name))


def _is_picture(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.suffix.lower() in _SUFFIXES and not hidden and not path.is_dir()


def _same(a: Path, b: Path) -> bool:
    return os.path.realpath(a) == os.path.realpath(b)


def _fixed_part(pattern: Path) -> Path:
    """Give the folder in front of the first part with a wildcard."""
    parts = pattern.parts
    first = next(i for i, part in enumerate(parts) if _MAGIC.search(part))
    return Path(*parts[:first])


def natural_order(text: str) -> list[str | int]:
    """Give a sort key by which 2 comes before 10."""
    pieces = re.split(r"(\d+)", text.casefold())
    # Text and numbers take turns, starting with text, so that like is compared with like.
    return [int(piece) if i % 2 else piece for i, piece in enumerate(pieces)]


def _name(found: list[_Found]) -> list[Item]:
    """Give each picture a key of its own, longer only where a short one is taken."""
    if not found:
        return []
    common = Path(os.path.commonpath([os.path.abspath(entry.path.parent) for entry in found]))
    levels = [0] * len(found)
    while True:
        keys = [_key(entry, level, common) for entry, level in zip(found, levels, strict=True)]
        taken = Counter(key.casefold() for key in keys)  # some file systems ignore case
        clashes = [i for i, key in enumerate(keys) if taken[key.casefold()] > 1 and levels[i] < 2]
        if not clashes:
            return [Item(entry.path, key) for entry, key in zip(found, keys, strict=True)]
        for i in clashes:
            levels[i] += 1


def _key(entry: _Found, level: int, common: Path) -> str:
    """Name a picture from its own root, from the folder common to all, or with its suffix, too."""
    if level == 0:
        path = entry.path.relative_to(entry.root).with_suffix("")
    else:
        path = Path(os.path.abspath(entry.path)).relative_to(common)
        path = path if level == 2 else path.with_suffix("")
    return path.as_posix()
