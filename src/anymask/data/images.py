"""Images for their own sake, whether or not anybody drew masks on them."""

from __future__ import annotations

import os
from pathlib import Path

import PIL.Image

from anymask.data.dataset import Dataset, Entry, Labels, Listing, key_of
from anymask.data.open import LAYOUTS, open_dataset
from anymask.errors import InputError

__all__ = ["open_images"]


def open_images(path: str | Path) -> Dataset:
    """Open the images of a data set of any layout, or else every image below a folder.

    Args:
        path: A folder, or a file that `open_dataset` takes.

    Raises:
        InputError: There is no such path, no image in it, or a data set is damaged.

    Examples:
        >>> len(open_images("holiday"))  # doctest: +SKIP
        412
    """
    root = Path(path)
    if not root.is_dir():
        return open_dataset(root)
    known = next((layout for layout in LAYOUTS.values() if layout.fits(root)), None)
    return _every_image(root) if known is None else known.open(root)


def _every_image(root: Path) -> Listing:
    """List the images below a folder by their suffix, without hidden ones."""
    suffixes = PIL.Image.registered_extensions()
    found = [
        Path(folder, name)
        for folder, _, names in os.walk(root)
        for name in names
        if suffixes.get(Path(name).suffix.lower()) in PIL.Image.OPEN
    ]
    shown = [
        (path.relative_to(root), path)
        for path in sorted(found)
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    ]
    if not shown:
        raise InputError(
            f"expected images below {str(root)!r}, got none among its files; name another folder"
        )
    return Listing(root.name, [Entry(key_of(str(p)), path, _no_labels) for p, path in shown])


def _no_labels(_: tuple[int, int]) -> Labels:
    return Labels(())
