"""Masks out of a store and into it, in every format that `anymask.formats` knows."""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import posixpath
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anymask import formats
from anymask.atomic import atomic_write, make_folder
from anymask.data.readers.notes import DataWarning
from anymask.errors import AnymaskError, InputError
from anymask.formats import conversion
from anymask.formats.images import free_name, is_held_back
from anymask.label.database.rows import to_rows
from anymask.label.files import File, find_files, is_address, open_file, read_content
from anymask.label.records import REVIEWS, ImageRecord, Provenance, Review, StoredMasks
from anymask.masks.masks import Masks

if TYPE_CHECKING:
    from anymask.label.store import Store

__all__ = ["Exported", "Imported", "export_masks", "image_of", "import_masks"]

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        images: Number of images.
        masks: Number of masks.
        unnamed: Number of these without a class.
    """

    images: int
    masks: int
    unnamed: int


@dataclass(frozen=True)
class Imported:
    """What was read.

    Attributes:
        images: Number of images that got masks.
        masks: Number of masks.
        known: Number of images that had these very masks from an import before.
        unmatched: Names of images that the store does not have.
        failed: Images whose masks do not fit, with the reason.
    """

    images: int
    masks: int
    known: int
    unmatched: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]


# ------------------------------------------------------------------------------------ out


def export_masks(
    store: Store,
    output: str | os.PathLike[str],
    format: str = "coco",
    *,
    reviews: Sequence[Review] = ("pending", "accepted"),
    provenance: bool = False,
    val_fraction: float = 0.0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write the masks of all images of a store that have masks or are done, in any format.

    The files are the same bytes whatever the database.

    Args:
        store: The store.
        output: A folder, made when missing; or a file, for COCO and for one image.
        format: Name of the format, see `anymask.formats.names`.
        reviews: Masks of which verdicts.
        provenance: Say of each mask who made it, which model version, how, and what reviewers
            said, in formats that can hold it.
        val_fraction: Share of the images for validation, in formats of data sets.
        overwrite: Replace files that are there.
        progress: Called with the number of images so far.

    Raises:
        InputError: There is no such format, or it cannot hold the masks, or results are there.
        OutputError: The results cannot be written.
    """
    formats.find(format)
    wrong = [one for one in reviews if one not in REVIEWS]
    if wrong or not reviews:
        raise InputError(
            f"expected reviews out of {', '.join(REVIEWS)}, got {', '.join(wrong) or 'none'}; name "
            "at least one"
        )
    if not 0 <= val_fraction < 1:
        raise InputError(
            f"expected a share of images for validation from 0 to less than 1, got {val_fraction}; "
            "0.1 is usual"
        )
    # A zip is CVAT's, and has the images as well as the masks.
    place, known = Path(output), formats.find(format)
    with_images = known.copies_images or place.suffix.lower() == ".zip"
    beside = None
    if known.names_image and place.suffix.lower() != known.suffix:
        with_images, beside = True, _Beside(store, place, overwrite)
    work = _Export(store, with_images, reviews, provenance, val_fraction, progress, beside)
    names = [one.name for one in store.classes()]
    with tempfile.TemporaryDirectory() as folder:
        found = work.found(Path(folder))
        conversion.write_place(found, Path(output), format, names=names, overwrite=overwrite)
    if work.unnamed:
        warnings.warn(
            f"{work.unnamed} of {work.masks} masks have no class: formats that need one call them "
            "'object', or say what becomes of them; give them one in the studio if they should "
            "have one",
            DataWarning,
            stacklevel=3,
        )
    if work.gone:
        warnings.warn(
            f"{len(work.gone)} of {work.images} images are gone, such as {work.gone[0]!r}: their "
            "masks are written without them; put the files back and export again",
            DataWarning,
            stacklevel=3,
        )
    return Exported(work.images, work.masks, work.unnamed)


@dataclass
class _Export:
    store: Store
    with_images: bool
    reviews: Sequence[Review]
    provenance: bool
    val_fraction: float
    progress: Progress | None
    beside: _Beside | None = None
    images: int = 0
    masks: int = 0
    unnamed: int = 0
    gone: list[str] = field(default_factory=list)

    def found(self, folder: Path) -> Iterator[conversion.Found]:
        """Give the images in the order of their names, which no database decides."""
        taken: set[str] = set()
        for _, number in self._order():
            stored, meta = self.store.masks(number), self.store.image_meta(number)
            image = stored.image
            name = free_name(_below(image), taken)
            masks = self._chosen(stored, {**meta, **self._split(name, meta)})
            self.images += 1
            self.masks += len(masks)
            self.unnamed += sum(label is None for label in masks.labels)
            file = self._file(image, folder) if self.with_images else None
            if self.with_images and file is None:
                self.gone.append(image.name)
            if self.beside is not None and file is not None:
                file = self.beside.put(file, name)
            yield conversion.Found(name, masks, file)
            if self.progress is not None:
                self.progress(self.images)

    def _order(self) -> list[tuple[str, int]]:
        return sorted(
            (image.name, image.id)
            for image in self.store.images()
            if image.masks or image.state != "open"
        )

    def _chosen(self, stored: StoredMasks, meta: dict[str, Any]) -> Masks:
        places = [i for i, review in enumerate(stored.reviews) if review in self.reviews]
        masks = stored.masks[places]
        if self.provenance:
            metas = [self._described(stored, i) for i in places]
            masks = replace(masks, meta=tuple(metas))
        suffix = Path(stored.image.name).suffix
        return replace(masks, source=_below(stored.image) or f"image{suffix}", image_meta=meta)

    def _described(self, stored: StoredMasks, i: int) -> dict[str, Any]:
        said = {
            "review": stored.reviews[i],
            "stage": stored.stages[i],
            "annotator": stored.people[i],
            "model_version": stored.versions[i],
            "origin_version": stored.origins[i],
            "seconds": stored.seconds[i],
        }
        return {**stored.masks.meta[i], **{k: v for k, v in said.items() if v is not None}}

    def _split(self, name: str, meta: dict[str, Any]) -> dict[str, Any]:
        if not self.val_fraction or "split" in meta:
            return {}
        return {"split": "val" if is_held_back(name, self.val_fraction) else "train"}

    def _file(self, image: ImageRecord, folder: Path) -> Path | None:
        """Give the file of an image, which is fetched first if it is elsewhere."""
        for name in image.names:
            try:
                opened = open_file(self.store.root, name)
            except InputError:
                continue  # under another name, perhaps; what is missing is said by the format
            if isinstance(opened, Path):
                return opened
            path = folder / f"image{Path(name).suffix}"
            path.write_bytes(opened)
            return path
        return None


@dataclass(frozen=True)
class _Beside:
    """Puts images beside the files of their masks, where programs look that name them in these."""

    store: Store
    folder: Path
    overwrite: bool

    def put(self, file: Path, name: str) -> Path:
        """Copy an image unless it is there, and say where it is.

        Raises:
            InputError: Another file is there, and not to be replaced, or an image of the project.
            OutputError: It cannot be written.
        """
        there = self.folder / f"{name}{file.suffix}"
        if there.exists() and (there.samefile(file) or filecmp.cmp(there, file, shallow=False)):
            return there
        if there.exists() and self._is_original(there):
            raise InputError(
                f"expected a new file, but {str(there)!r} is another image of the project; choose "
                "another place (-o)"
            )
        if there.exists() and not self.overwrite:
            raise InputError(
                f"expected a new file, but {str(there)!r} is another image; replace it "
                "(--overwrite), or choose another place (-o)"
            )
        make_folder(there.parent)
        with atomic_write(there) as draft:
            shutil.copyfile(file, draft)
        return there

    def _is_original(self, there: Path) -> bool:
        """Return whether a file is an image of the project, which no export may replace."""
        names = [file.name for file in find_files(self.store.root, [there])]
        return any(self.store.find_image(name) is not None for name in names)


def _below(image: ImageRecord) -> str:
    """Give the name of an image as a path below some folder."""
    name = image.name
    if is_address(name):
        name = name.partition("://")[2].lstrip("/")
    return Path(name).name if os.path.isabs(name) or ".." in Path(name).parts else name


# ------------------------------------------------------------------------------------- in


def import_masks(
    store: Store,
    source: str | os.PathLike[str],
    *,
    format: str | None = None,
    images: str | os.PathLike[str] | None = None,
    person: str | None = None,
    review: Review = "pending",
    progress: Progress | None = None,
) -> Imported:
    """Read masks from files of any format; the same masks again are not added twice.

    They belong to the image of their file, which is added if it is new; without a file, to the
    image of that name, or of the only one with that name in any folder.

    Args:
        store: The store.
        source: A file of masks, or a folder of such files or of a data set.
        format: Name of the format; None: what is in the files tells.
        images: Folder of the images; None: they are looked for beside the masks.
        person: Who made them, if that is known.
        review: Whether they count as reviewed.
        progress: Called with the number of images so far.

    Raises:
        InputError: There are no masks, or a file is damaged; images before it are imported.
    """
    work = _Import(store, person, review)
    place = None if images is None else Path(images)
    for found in conversion.read_place(Path(source), format, place):
        work.take(found)
        if progress is not None:
            progress(work.looked_at)
    if not work.looked_at:
        raise InputError(
            f"expected masks in {os.fspath(source)!r}, got none; give a file or a folder of masks"
        )
    return Imported(
        *(work.images, work.masks, work.known), tuple(work.unmatched), tuple(work.failed)
    )


def image_of(store: Store, found: conversion.Found) -> ImageRecord | None:
    """Find the image of masks: by its file, which is added if it is new; or by its name.

    A copy of an image that is where it was gives it no further name.

    Raises:
        InputError: The file is another one than when its image was labelled.
    """
    if found.image is not None:
        (file,) = find_files(store.root, [found.image])
        known = None if file.error or not file.stamp else _by_content(store, file)
        if known is not None and not known.gone:
            return known
        added = store.add([found.image])
        names = added.added + added.known + added.again + added.replaced
        if names:
            return store.image(names[0])
        if added.changed:
            raise InputError(
                "expected the image as it was when it was labelled, got a changed file; take it in "
                "with anymask label add --accept-changes first"
            )
    said = found.masks.source
    called = [said, found.name]
    if said and said != found.name:  # a file of one image says where it is from its own folder
        called.insert(0, posixpath.normpath(posixpath.join(posixpath.dirname(found.name), said)))
    for name in dict.fromkeys(called):
        if name and (image := store.find_image(name)) is not None:
            return image
    return None


def _by_content(store: Store, file: File) -> ImageRecord | None:
    try:
        return store.image(read_content(file).sha256)
    except AnymaskError:  # no image, which to add it tells; or one that is not there
        return None


class _Import:
    def __init__(self, store: Store, person: str | None, review: Review) -> None:
        self._store, self._person, self._review = store, person, review
        self._stems: dict[str, int | None] | None = None
        self.looked_at = self.images = self.masks = self.known = 0
        self.unmatched: list[str] = []
        self.failed: list[tuple[str, str]] = []

    def take(self, found: conversion.Found) -> None:
        """Add the masks of one image, unless the very same were imported before."""
        self.looked_at += 1
        try:
            image = self._match(found)
        except InputError as error:
            self.failed.append((found.masks.source or found.name, str(error)))
            return
        if image is None:
            self.unmatched.append(found.masks.source or found.name)
            return
        masks = _without_records(found.masks)
        said = json.dumps([masks.size_hw, to_rows(masks)], sort_keys=True).encode()
        token = f"import {image.id} {hashlib.sha256(said).hexdigest()}"
        provenance = Provenance(self._person, masks.model, "imported", token=token)
        before = image.revision
        try:
            self._store.add_masks(image, masks, provenance, review=self._review)
        except InputError as error:
            self.failed.append((image.name, str(error)))
            return
        meta = {k: v for k, v in masks.image_meta.items() if k != "document"}
        if meta:
            self._store.set_image_meta(image.id, meta)
        if len(masks) and self._store.image(image.id).revision == before:
            self.known += 1
            return
        self.images += 1
        self.masks += len(masks)

    def _match(self, found: conversion.Found) -> ImageRecord | None:
        if (image := image_of(self._store, found)) is not None:
            return image
        number = self._by_stem().get(Path(found.masks.source or found.name).stem)
        return None if number is None else self._store.image(number)

    def _by_stem(self) -> dict[str, int | None]:
        """Give the images by their names without folder and suffix; None where several have one."""
        if self._stems is None:
            self._stems = {}
            for image in self._store.images():
                for stem in {Path(name).stem for name in image.names}:
                    self._stems[stem] = None if stem in self._stems else image.id
        return self._stems


def _without_records(masks: Masks) -> Masks:
    """Leave out the record of its category that a COCO file has for each mask: classes say it."""
    metas = ({k: v for k, v in meta.items() if k != "category"} for meta in masks.meta)
    return replace(masks, meta=tuple(metas))
