"""Finding the images that an annotation file names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from anymask.data.readers.notes import Notes
from anymask.errors import InputError

__all__ = ["find_images"]


def find_images(
    path: Path, names: Sequence[Sequence[str]], notes: Notes, images: str | Path | None = None
) -> list[Path | None]:
    """Find the file of every image.

    Args:
        path: The annotation file.
        names: For each image the names that it may have, the likeliest first.
        notes: Told of images that are in none of the folders.
        images: Folder of the images; None: the folder of the annotation file, the one above, or
            one inside these two.

    Returns:
        For each image its file; None for one that is in none of the folders.

    Raises:
        InputError: None of them is there.
    """
    path = path.resolve()
    folders = [Path(images)] if images else [*_around(path.parent), *_around(path.parent.parent)]
    if names:  # the folder that holds one of them is likely to hold the others
        folders.sort(key=lambda folder: _file(folder, names[0]) is None)
    files: list[Path | None] = []
    lost: list[str] = []
    for some in names:
        file = next((found for folder in folders if (found := _file(folder, some))), None)
        files.append(file)
        if file is None:
            lost.append(some[0])
    if len(lost) == len(names) and names:
        where = "that folder" if images else "a folder inside or beside that of the file"
        raise InputError(
            f"expected the {len(names)} images of {str(path)!r} in {str(folders[0])!r}, got none "
            f"of them, such as {lost[0]!r}; put them in {where}, or name another"
        )
    for name in lost:
        notes.add("images whose file is not there are left out", repr(name))
    return files


def _around(folder: Path) -> list[Path]:
    """List a folder and those inside."""
    try:
        return [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    except OSError:  # closed to us, which matters only if the images are there
        return [folder]


def _file(folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if os.path.isfile(folder / name)), None)
