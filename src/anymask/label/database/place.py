"""Where a store is: a file in the folder of the images, or a database that the folder names."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from anymask.atomic import atomic_write, make_folder
from anymask.errors import InputError
from anymask.label.files import is_address

__all__ = ["DATABASE", "Place", "find_place", "is_project", "point_to"]

DATABASE = "anymask-label.db"
"""File of the database, in the folder of the images."""

_POINTER = "anymask-label.json"


@dataclass(frozen=True)
class Place:
    """The folder of a project, the address of its database, and its name in there."""

    root: Path
    url: str
    project: str


def find_place(
    folder: str | os.PathLike[str], database: str | None = None, project: str | None = None
) -> Place:
    """Find out where the store of a folder is.

    Args:
        folder: The folder of the images.
        database: Address of the database; None: the one that the folder names, else its own file.
        project: Name in the database; None: as above, else that of the folder.

    Raises:
        InputError: The folder is an address or a file, or what it says cannot be read.
    """
    if is_address(folder):
        raise InputError(
            f"expected the folder of a project, got the address {os.fspath(folder)!r}; name a "
            "folder here, and add images from there with `anymask label add`"
        )
    root = Path(folder)
    if root.is_file():
        raise InputError(
            f"expected the folder of a project, got the file {str(root)!r}; name its folder"
        )
    said = _read(root / _POINTER)
    url = database or said.get("database") or f"sqlite:///{_slashed(root / DATABASE)}"
    name = project or said.get("project") or root.resolve().name or "project"
    return Place(root, url, name)


def is_project(folder: str | os.PathLike[str]) -> bool:
    """Return whether a folder has a store, or names one."""
    return any((Path(folder) / name).is_file() for name in (DATABASE, _POINTER))


def point_to(place: Place) -> None:
    """Note in the folder which database it belongs to; a password is not noted.

    Raises:
        OutputError: The folder cannot be written to.
    """
    from anymask.optional import optional

    url = optional("sqlalchemy.engine", extra="label").make_url(place.url)
    without = url._replace(password=None).render_as_string(hide_password=False)
    make_folder(place.root)
    with atomic_write(place.root / _POINTER) as draft:
        document = {"database": without, "project": place.project}
        draft.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, str]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(
            f"expected the address of a database in {str(path)!r}, got something else ({error}); "
            "correct it, or move it away"
        ) from error
    if not isinstance(document, dict) or not all(isinstance(v, str) for v in document.values()):
        raise InputError(
            f"expected the address of a database in {str(path)!r}, got something else; correct it, "
            "or move it away"
        )
    return document


def _slashed(path: Path) -> str:
    return Path(os.path.abspath(path)).as_posix()
