"""Finding the pictures that an annotation file names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from anymask.errors import InputError

__all__ = ["find_images"]


def find_images(
    path: Path, names: Sequence[Sequence[str]], images: str | Path | None = None
) -> list[Path]:
    """Find the file of every picture.

    Args:
        path: The annotation file.
        names: For each picture the names that it may have, the likeliest first.
        images: Folder of the pictures; None: the folder of the annotation file, the one above, or
            one inside these two.

    Raises:
        InputError: A picture is in none of them.
    """
    path = path.resolve()
    folders = [Path(images)] if images else [*_around(path.parent), *_around(path.parent.parent)]
    if names:  # the folder that holds one of them is likely to hold the others
        folders.sort(key=lambda folder: _file(folder, names[0]) is None)
    files: list[Path] = []
    lost: list[str] = []
    for some in names:
        file = next((found for folder in folders if (found := _file(folder, some))), None)
        if file is None:
            lost.append(some[0])
        else:
            files.append(file)
    if lost:
        where = "that folder" if images else "a folder inside or beside that of the file"
        raise InputError(
            f"expected the {len(names)} images of {str(path)!r} in {str(folders[0])!r}, got none "
            f"for {len(lost)} of them, such as {lost[0]!r}; put them in {where}, or name another"
        )
    return files


def _around(folder: Path) -> list[Path]:
    """List a folder and those inside."""
    try:
        return [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    except OSError:  # closed to us, which matters only if the pictures are there
        return [folder]


def _file(folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if os.path.isfile(folder / name)), None)
