"""Paths that clients name: below folders that the operator allowed, whatever is tried."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from anymask.serve.errors import ApiError

__all__ = ["below", "check_links", "folder_of"]

_LONGEST, _LONGEST_PART = 1000, 255  # bytes: of a path, and of a name, which is what disks take
_STRANGE = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]|%2e|%2f|%5c|%00|%25", re.IGNORECASE)


def below(root: Path, text: str) -> Path:
    """Find what a relative path names below a folder.

    Names are taken as they are: nothing is decoded, no pattern and no ``~`` expanded.

    Args:
        root: The folder.
        text: Parts with slashes between them; nothing is the folder itself.

    Raises:
        ApiError: It would lead out of the folder, or is no usual path.
    """
    parts = text.split("/") if text else []
    hidden = any(not part.strip() or part.startswith(".") for part in parts)
    if hidden or _STRANGE.search(text) or (parts and ":" in parts[0]) or _is_long(text):
        raise ApiError(
            422,
            f"expected a path below the folder, such as 'photos/march', got {text[:80]!r}; give "
            f"names of at most {_LONGEST_PART} bytes with slashes between them, without '..', "
            "hidden names or escapes",
        )
    path = root.joinpath(*parts)
    if not _inside(path, root):
        raise ApiError(
            422,
            f"expected a path below the folder, got {text[:80]!r}, which a link leads out of it; "
            "name another",
        )
    return path


def _is_long(text: str) -> bool:
    """Return whether a path is longer than disks take."""
    path = text.encode()
    return len(path) > _LONGEST or max(map(len, path.split(b"/"))) > _LONGEST_PART


def folder_of(roots: Mapping[str, Path], text: str) -> tuple[Path, Path]:
    """Find the images that a client names: ``name of a root/path below it``.

    Returns:
        The path, which exists, and its root.

    Raises:
        ApiError: It is not below a root, or does not exist.
    """
    name, _, rest = text.partition("/")
    root = roots.get(name)
    if root is None:
        known = ", ".join(sorted(roots)) or "none: see --images of the server"
        raise ApiError(
            404,
            f"expected a path that begins with an allowed folder ({known}), got {text[:80]!r}; "
            "name one of them",
            "no_folder",
        )
    path = below(root, rest)
    if not path.exists():
        raise ApiError(
            404,
            f"expected a folder of images, but {text[:80]!r} does not exist; check the path",
            "no_folder",
        )
    return path, root


def check_links(folder: Path, root: Path) -> None:
    """Check that no link below a folder leads out of its root.

    Raises:
        ApiError: One does.
    """
    waiting, seen = [str(folder)], set()
    while waiting:
        here = os.path.realpath(waiting.pop())
        if here in seen:
            continue
        seen.add(here)
        with suppress(OSError), os.scandir(here) as entries:  # what cannot be read says so later
            for entry in entries:
                if entry.is_symlink() and not _inside(Path(entry.path), root):
                    raise ApiError(
                        422,
                        f"expected a folder whose links stay in it, got the link {entry.name!r}, "
                        "which leads out of it; take it away",
                    )
                if entry.is_dir():
                    waiting.append(entry.path)


def _inside(path: Path, root: Path) -> bool:
    """Return whether a path leads to something below a folder, whatever links there are."""
    real, top = os.path.realpath(path), os.path.realpath(root)
    return real == top or real.startswith(os.path.join(top, ""))
