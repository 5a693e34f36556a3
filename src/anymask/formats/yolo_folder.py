"""Data sets of YOLO's labels: ``data.yaml``, ``images/<split>/x.jpg``, ``labels/<split>/x.txt``.

An image without a mask has an empty file of labels. The numbers of classes stay what they are once
``data.yaml`` lists them, whoever adds images: names that are new come after the others. So a folder
can be written in several runs, and by several processes at a time.

Images are copied, not linked, for programs that train on such a folder mend damaged images in
place. ``path`` in ``data.yaml`` is absolute, because a relative one is looked for elsewhere; a
folder that was moved is read here all the same. Until images are held back, ``val`` is ``train``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anymask.atomic import make_folder
from anymask.data.readers.notes import Notes
from anymask.errors import InputError
from anymask.folder import ResumableFolder
from anymask.formats import files
from anymask.formats.classes import SharedClasses
from anymask.formats.images import SUFFIXES, free_name, is_held_back, named
from anymask.formats.losses import Losses
from anymask.formats.yolo_names import (
    SET_FILE,
    SPLITS,
    SetFile,
    decode,
    find_set_file,
    read_names,
    read_set_file,
    write_names,
    write_set_file,
)
from anymask.formats.yolo_rows import parse, rows_of, to_masks
from anymask.image.pixels import read_size
from anymask.masks.masks import Masks

__all__ = ["Listed", "collect", "list_images", "read_all", "writer"]

Add = Callable[[str, Masks, Path | None], None]
"""Takes the name of an image (a path without suffix), its masks, and its file if there is one."""

# ----------------------------------------------------------------------------- writing


@contextmanager
def writer(
    path: str | os.PathLike[str],
    names: Iterable[str] = (),
    *,
    val_fraction: float = 0,
    tolerance: float = 0,
) -> Iterator[Callable[..., None]]:
    r"""Write a data set image by image.

    Args:
        path: Its folder; made when missing. What is there already stays, and so do the numbers of
            its classes.
        names: The classes that get the first numbers that are free.
        val_fraction: Share of the images that is held back for validation; which, their names say,
            so that it is the same every time.
        tolerance: How far, in pixels, outlines may be from the true ones to have fewer corners.

    Yields:
        A function that adds the `Masks` of one more image, and takes the image's path: where it is
        not given, only the labels are written. Its name is that of `Masks.source`.

    Raises:
        OutputError: The folder cannot be written to.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> folder = Path(tempfile.mkdtemp())
        >>> with writer(folder, names=["cat", "dog"]) as add:
        ...     add(Masks.from_dense(np.eye(2, dtype=bool)[:1], source="a.jpg", labels=["dog"]))
        >>> (folder / "labels/train/a.txt").read_text()
        '1 0 0 0.5 0 0.5 1 0 1\n'
    """
    folder = ResumableFolder(Path(path))
    taken: set[str] = set()
    options: dict[str, Any] = {"val_fraction": val_fraction, "tolerance": tolerance}
    with folder.at_work(alone=False), collect(folder, names, **options) as add_named:

        def add(masks: Masks, image: str | os.PathLike[str] | None = None) -> None:
            add_named(free_name(masks.source, taken), masks, None if image is None else Path(image))

        yield add


@contextmanager
def collect(
    folder: ResumableFolder,
    names: Iterable[str] = (),
    *,
    val_fraction: float = 0,
    tolerance: float = 0,
    moves: bool = False,
) -> Iterator[Add]:
    """Write the images of a folder of results; see `writer`.

    Args:
        folder: Where somebody is at work.
        names: See `writer`.
        val_fraction: See `writer`.
        tolerance: See `writer`.
        moves: Whether the folder will be somewhere else: then it does not say where it is, and is
            looked for where its ``data.yaml`` is.
    """
    if not 0 <= val_fraction < 1:
        raise InputError(
            f"expected a share of images to hold back from 0 to less than 1, got {val_fraction}; "
            "0.1 is usual"
        )
    make_folder(folder.path)
    classes = SharedClasses(folder, SET_FILE, read_names, write_names, names)
    losses = Losses("YOLO")

    def add(name: str, masks: Masks, image: Path | None) -> None:
        split = masks.image_meta.get("split")
        if split not in SPLITS:
            split = "val" if is_held_back(name, val_fraction) else "train"
        masks = _without_split(masks)
        _put(folder, f"labels/{split}/{name}.txt", rows_of(masks, classes, losses, tolerance))
        if image is not None:
            _copy(folder, image, f"images/{split}/{name}")
        for other in SPLITS:  # where an earlier run put it
            if other != split:
                _remove(folder.path, other, name)

    yield add
    lock = folder.lock(SET_FILE)
    lock.acquire(float("inf"))
    try:
        with folder.writing(SET_FILE) as draft:
            said = _places(folder.path)
            if moves:
                del said["path"]
            write_set_file(draft, folder.path / SET_FILE, said)
    finally:
        lock.release()
    losses.warn(repr(str(folder.path)))


def _without_split(masks: Masks) -> Masks:
    rest = {key: value for key, value in masks.image_meta.items() if key != "split"}
    return replace(masks, image_meta=rest)


def _put(folder: ResumableFolder, name: str, content: bytes) -> None:
    """Write a file unless it is there already."""
    path = folder.path / name
    if path.is_file() and path.read_bytes() == content:
        return
    with folder.writing(name) as draft:
        draft.write_bytes(content)


def _copy(folder: ResumableFolder, image: Path, name: str) -> None:
    """Put an image beside its labels, as a file that programs for YOLO read."""
    suffix = image.suffix.lower()
    readable = suffix in _READABLE
    target = folder.path / (name + (suffix if readable else ".png"))
    for other in named(folder.path / name):
        if other != target:
            other.unlink()
    if target.is_file():
        if os.path.samefile(image, target):
            return
        if readable and _stamp(image) == _stamp(target):
            return
    with folder.writing(target.relative_to(folder.path).as_posix()) as draft:
        if readable:
            shutil.copyfile(image, draft)
            shutil.copystat(image, draft)
        else:
            from anymask.image.image import Image

            Image.open(image).save(draft)


_READABLE = (".bmp", ".dng", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp")


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _remove(root: Path, split: str, name: str) -> None:
    (root / "labels" / split / f"{name}.txt").unlink(missing_ok=True)
    for image in named(root / "images" / split / name):
        image.unlink()


def _places(root: Path) -> dict[str, Any]:
    """Say where the images are; training wants images for validation, too, so all if need be."""
    held = [split for split in SPLITS if _has_files(root / "labels" / split)]
    places = {split: f"images/{split}" for split in held}
    first = places.get("train", next(iter(places.values()), "images/train"))
    said = {"path": os.path.abspath(root), "train": first, "val": places.get("val", first)}
    return said | places


def _has_files(folder: Path) -> bool:
    return any(files for _, _, files in os.walk(folder))


# ----------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class Listed:
    """One image of a data set."""

    name: str
    """Below the folder of its split, without suffix."""
    image: Path
    """Its file."""
    labels: Path
    """The file of its labels, which need not be there."""
    split: str
    """``train``, ``val`` or ``test``; nothing if the data set does not say."""


def find_root_file(root: Path) -> SetFile:
    """Read what a folder says of itself; nothing if it has no file that names classes."""
    found = find_set_file(root / "x")
    if found is None or found.parent != Path(os.path.abspath(root)):
        return SetFile(root, root=root)
    return read_set_file(found)


def list_images(path: str | os.PathLike[str]) -> tuple[SetFile, list[Listed]]:
    """List the images of a data set.

    Args:
        path: Its folder, or its ``data.yaml``.

    Returns:
        What its file says, and its images, in the order of their names within each split.

    Raises:
        InputError: There is none, or a place that it names is not there.
    """
    path = Path(path)
    about = read_set_file(path) if path.is_file() else find_root_file(path)
    if not about.names and not path.is_file() and (above := find_set_file(path / "x")) is not None:
        about = replace(about, names=read_set_file(above).names)  # of the folder of one split
    found: dict[str, Listed] = {}
    for split, places in about.splits.items():
        for place in places:
            for image, base in _images_at(_resolved(place, about)):
                found.setdefault(os.path.abspath(image), _listed(image, base, split))
    if not about.splits:
        folders = [about.root / "images", *sorted(about.root.glob("*/images")), about.root]
        for folder in folders:
            for image, base in _images_at(folder):
                if _labels_of(image).is_file():
                    found.setdefault(os.path.abspath(image), _listed(image, base, ""))
    if not found:
        raise InputError(
            f"expected images with files of labels in {str(path)!r}, got none; give the folder "
            "with data.yaml, images/ and labels/"
        )
    return about, list(found.values())


def _resolved(place: str, about: SetFile) -> Path:
    """Find a place of images; some programs write it as from a folder beside ``data.yaml``."""
    tried = [Path(place), Path(*[part for part in Path(place).parts if part != ".."])]
    for relative in tried:
        for root in (about.root, about.path.parent):
            if (root / relative).exists():
                return root / relative
    raise InputError(
        f"expected images at {str(about.root / place)!r}, as {str(about.path)!r} says, got "
        "nothing there; correct the place, or its path"
    )


def _images_at(place: Path) -> Iterator[tuple[Path, Path]]:
    """List the images in a folder or in a list of paths, each with the folder to name it from."""
    if place.is_dir():
        for folder, below, names in os.walk(place, followlinks=True):
            below[:] = sorted(name for name in below if not name.startswith("."))
            for name in sorted(names):
                if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                    yield Path(folder, name), place
    elif place.suffix == ".txt" and place.is_file():
        lines = [line.strip() for line in decode(files.load(place)).split("\n")]
        images = [place.parent / line for line in lines if line]
        for image in images:
            yield image, _base(image)
    elif place.is_file():
        yield place, place.parent


def _base(image: Path) -> Path:
    """Choose the folder that the name of a listed image begins at: below ``images/<split>``."""
    parts = image.parts
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            deeper = i + 2 if parts[i + 1] in SPLITS and len(parts) > i + 2 else i + 1
            return Path(*parts[:deeper])
    return image.parent


def _listed(image: Path, base: Path, split: str) -> Listed:
    name = image.relative_to(base).with_suffix("").as_posix()
    return Listed(name, image, _labels_of(image), split)


def _labels_of(image: Path) -> Path:
    """Name the file of labels of an image: the last ``images`` on its way becomes ``labels``."""
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def read_all(path: str | os.PathLike[str]) -> Iterator[tuple[Masks, Path]]:
    """Read the masks of every image of a data set, one by one.

    Args:
        path: Its folder, or its ``data.yaml``.

    Yields:
        The masks of an image, whose ``image_meta`` has its ``split``, and the image's path.

    Raises:
        InputError: There is none, or a file is damaged.
    """
    about, listed = list_images(path)
    notes = Notes(Path(path))
    for one in listed:
        masks = read_rows(one.labels, read_size(one.image, upright=True), about, notes)
        split = {"split": one.split} if one.split else {}
        yield replace(masks, source=one.name + one.image.suffix, image_meta=split), one.image
    notes.warn()


def read_rows(
    labels: Path, size_hw: tuple[int, int], about: SetFile, notes: Notes, strict: bool = True
) -> Masks:
    """Read the labels of an image; none if there is no file.

    Args:
        labels: Their file.
        size_hw: Height and width of the image.
        about: Names of the classes.
        notes: Told of what is read in a way of its own.
        strict: Refuse rows that cannot be read; else they are left out and noted.
    """
    found = []
    for row in parse(files.load(labels)) if labels.is_file() else ():
        if not isinstance(row, InputError):
            found.append(row)
        elif strict:
            raise row
        else:
            notes.add(UNREADABLE, str(row))
    return to_masks(found, size_hw, about, notes)


UNREADABLE = "rows that cannot be read are left out"
