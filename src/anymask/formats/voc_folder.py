"""Data sets of Pascal VOC: maps of objects and classes, annotations, and lists of images.

Annotations/x.xml  JPEGImages/x.jpg  SegmentationClass/x.png  SegmentationObject/x.png
ImageSets/Segmentation/train.txt  labelmap.txt
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from anymask.atomic import make_folder
from anymask.data.readers.notes import Notes
from anymask.errors import InputError
from anymask.folder import ResumableFolder
from anymask.formats import files
from anymask.formats.annotation import read_iscrowd
from anymask.formats.classes import Classes, Names
from anymask.formats.files import Content
from anymask.formats.images import free_name, named
from anymask.formats.losses import Losses
from anymask.formats.voc_files import (
    FLAGS,
    MOST,
    VOID,
    Annotation,
    IntMap,
    Thing,
    class_names,
    parse_annotation,
    read_png,
    shared_classes,
    write_annotation,
    write_png,
)
from anymask.masks import rle
from anymask.masks.label_map import encode_numbers
from anymask.masks.masks import Masks

__all__ = ["collect", "draw", "put", "read_all", "read_image", "writer"]

_BOXES = "annotations of boxes without a map of objects come as empty masks"
_SPLITS = ("train", "val", "test")

# ----------------------------------------------------------------------------- writing


def draw(masks: Masks, losses: Losses) -> tuple[IntMap, list[int]]:
    """Lay the masks of an image into one map of numbers.

    Args:
        masks: Any number.
        losses: Told of what has no place in it.

    Returns:
        int32 (h, w), and which masks have the numbers from 1 on.
    """
    losses.add_fields(masks, held=("meta",))
    beside = [set(meta) - {*FLAGS, "pose", "iscrowd"} for meta in masks.meta]
    losses.add("entry of meta", sum(map(len, beside)))
    crowds = [i for i in range(len(masks)) if read_iscrowd(masks.meta[i])]
    losses.change("crowd", "became void", len(crowds))
    losses.add("empty mask", int((masks.areas == 0).sum()))
    single = [i for i in range(len(masks)) if masks.areas[i] and i not in set(crowds)]
    painted = masks[single].label_map("smallest_on_top")
    seen = np.bincount(painted.ravel(), minlength=len(single) + 1)[1:]
    losses.add("mask that smaller ones cover", int((seen == 0).sum()))
    cut = (seen > 0) & (seen < masks.areas[single])
    losses.change("mask", "lost the pixels that smaller ones cover", int(cut.sum()))
    kept = np.flatnonzero(seen)
    if len(kept) > MOST:
        losses.add(f"mask beyond the {MOST} largest", len(kept) - MOST)
        kept = np.sort(kept[np.argsort(-seen[kept], kind="stable")[:MOST]])
    numbers = np.zeros(len(single) + 1, np.int32)
    numbers[kept + 1] = np.arange(1, len(kept) + 1)
    objects: IntMap = numbers[painted]
    objects[_void(masks, crowds) & (objects == 0)] = VOID
    return objects, [single[i] for i in kept]


def _void(masks: Masks, crowds: Sequence[int]) -> np.ndarray:
    """Find the pixels that nobody annotated."""
    parts = [masks.counts[i] for i in crowds]
    said = masks.image_meta.get("void")
    if isinstance(said, Mapping) and said.get("size") == list(masks.size_hw):
        parts.append(rle.from_string(said["counts"]))
    if not parts:
        return np.zeros(masks.size_hw, dtype=np.bool_)
    return rle.decode(rle.merge(parts), masks.size_hw)


def put(
    folder: ResumableFolder, annotation: str, masks: Masks, classes: Classes, losses: Losses
) -> None:
    """Write the three files of an image, the annotation last.

    Args:
        folder: Of the data set, where somebody is at work.
        annotation: Path of the XML below it.
        masks: Of the image.
        classes: Of the data set; 0 is the background.
        losses: Told of what has no place.
    """
    name = Path(annotation).with_suffix("").as_posix().removeprefix("Annotations/")
    objects, kept = draw(masks, losses)
    classes.add(masks.labels[i] for i in kept)
    numbers = [0, *(classes.number(masks.labels[i]) for i in kept)]
    of_each = np.zeros(VOID + 1, np.int32)
    of_each[: len(numbers)] = numbers
    of_each[VOID] = VOID
    maps = {"SegmentationObject": objects, "SegmentationClass": of_each[objects]}
    for place, drawn in maps.items():
        with folder.writing(f"{place}/{name}.png") as draft, draft.open("wb") as file:
            write_png(file, drawn)
    things = [_thing(masks, i, objects == k) for k, i in enumerate(kept, 1)]
    source = Path(masks.source).name if masks.source else f"{Path(name).name}.jpg"
    said = Annotation(source, masks.size_hw, things)
    with folder.writing(annotation) as draft, draft.open("wb") as file:
        write_annotation(file, said, folder.path.name or "VOC")


def _thing(masks: Masks, i: int, seen: np.ndarray) -> Thing:
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    about = {key: masks.meta[i][key] for key in ("pose", *FLAGS) if key in masks.meta[i]}
    x0, y0, x1, y1 = (float(side) for side in box)
    return Thing(masks.labels[i], (x0, y0, x1, y1), about)


@contextmanager
def writer(
    path: str | os.PathLike[str], names: Iterable[str] = ()
) -> Iterator[Callable[..., None]]:
    """Write a data set image by image.

    Args:
        path: Its folder; made when missing. What is there already stays, and so do the numbers of
            its classes.
        names: Classes beyond VOC's own that get the first numbers that are free.

    Yields:
        A function that adds the `Masks` of one more image, and takes the image's path: where it is
        not given, only the labels are written. Its name is that of `Masks.source`.

    Raises:
        OutputError: The folder cannot be written to.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with writer(folder) as add:
        ...     add(Masks.from_dense(np.eye(2, dtype=bool), source="a.jpg", labels=["dog"]))
        >>> sorted(path.name for path in folder.iterdir())[:3]
        ['Annotations', 'ImageSets', 'SegmentationClass']
        >>> read_all(folder).__next__()[0].labels
        ('dog',)
    """
    folder, taken = ResumableFolder(Path(path)), set[str]()
    with folder.at_work(alone=False), collect(folder, names) as add_named:

        def add(masks: Masks, image: str | os.PathLike[str] | None = None) -> None:
            name = free_name(masks.source, taken)
            add_named(name, masks, None if image is None else Path(image))

        yield add


@contextmanager
def collect(
    folder: ResumableFolder, names: Iterable[str] = ()
) -> Iterator[Callable[[str, Masks, Path | None], None]]:
    """Write the images of a folder of results; see `Format.collect`."""
    make_folder(folder.path)
    classes, losses = shared_classes(folder, names), Losses("VOC")
    listed: dict[str, list[str]] = {}

    def add(name: str, masks: Masks, image: Path | None) -> None:
        split = str(masks.image_meta.get("split", ""))
        listed.setdefault(split if split in _SPLITS else "train", []).append(name)
        put(folder, f"Annotations/{name}.xml", masks, classes, losses)
        if image is not None:
            _copy(folder, image, name)

    yield add
    for split, some in listed.items():
        _list(folder, split, some)
    losses.warn(repr(str(folder.path)))


def _list(folder: ResumableFolder, split: str, names: Sequence[str]) -> None:
    """Add images to a list, and take them from the others."""
    lock = folder.lock("ImageSets")
    lock.acquire(float("inf"))
    try:
        for other in {*_SPLITS, split}:
            place = f"ImageSets/Segmentation/{other}.txt"
            before = _lines(folder.path / place)
            now = sorted({*before, *names} if other == split else {*before} - {*names})
            if now != before:
                with folder.writing(place) as draft:
                    draft.write_bytes("".join(f"{name}\n" for name in now).encode())
    finally:
        lock.release()


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _copy(folder: ResumableFolder, image: Path, name: str) -> None:
    """Put an image into JPEGImages/: a JPEG as it is, another as the JPEG that VOC wants."""
    target = folder.path / f"JPEGImages/{name}.jpg"
    as_it_is = image.suffix.lower() in (".jpg", ".jpeg")
    if target.is_file() and os.path.samefile(image, target):
        return
    with folder.writing(target.relative_to(folder.path).as_posix()) as draft:
        if as_it_is:
            shutil.copyfile(image, draft)
        else:
            from anymask.image.image import Image

            Image.open(image).save(draft)


# ----------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class Found:
    """What there is of one image: the content of its files, or nothing."""

    objects: Content | None = None
    classes: Content | None = None
    annotation: Content | None = None
    names: Names = ()
    """Of the classes, by their number."""


def find(root: Path, name: str) -> Found:
    """Read the files of an image that are there."""

    def content(place: str) -> Content | None:
        return files.load(root / place) if (root / place).is_file() else None

    return Found(
        content(f"SegmentationObject/{name}.png"),
        content(f"SegmentationClass/{name}.png"),
        content(f"Annotations/{name}.xml"),
        class_names(root),
    )


def read_image(found: Found, notes: Notes) -> Masks:
    """Read the masks of one image.

    Args:
        found: Its files; one at least.
        notes: Told of what is read in a way of its own.

    Raises:
        InputError: A file is damaged, or they are of different sizes.
    """
    said = None if found.annotation is None else parse_annotation(found.annotation)
    content = found.objects or found.classes
    if content is None:
        assert said is not None and found.annotation is not None
        return _boxes(said, found.annotation, notes)
    numbers, _ = read_png(content)
    size_hw = (numbers.shape[0], numbers.shape[1])
    if said is not None and said.size_hw not in (None, size_hw):
        raise InputError(
            f"expected an annotation of (h, w) = {size_hw}, as {content.name} is, got "
            f"{said.size_hw}; find the image that it belongs to"
        )
    runs = encode_numbers(numbers)
    kinds = [number for number in runs if number not in (0, VOID)]
    things = labels_of(found, numbers, kinds, said)
    void = runs.get(VOID)
    return Masks(
        size_hw,
        tuple(runs[number] for number in kinds),
        labels=tuple(label for label, _ in things),
        meta=tuple(about for _, about in things),
        source=None if said is None else said.file_name or None,
        image_meta={}
        if void is None
        else {"void": {"size": list(size_hw), "counts": rle.to_string(void)}},
    )


def labels_of(
    found: Found, numbers: IntMap, kinds: Sequence[int], said: Annotation | None
) -> list[tuple[str | None, dict[str, Any]]]:
    """Say what the objects are: by the annotation, which lists them in the order of their numbers.

    Where it lists fewer, or there is none, an object is of the class of most of its pixels.
    """
    if found.objects is None:
        return [(_named(found.names, number), {}) for number in kinds]
    if said is not None and kinds and len(said.things) >= max(kinds):
        return [(said.things[k - 1].label, said.things[k - 1].about) for k in kinds]
    if found.classes is None:
        return [(None, {}) for _ in kinds]
    classes, _ = read_png(found.classes)
    if classes.shape != numbers.shape:
        raise InputError(
            f"expected {found.classes.name} of shape {numbers.shape}, as {found.objects.name}, got "
            f"{classes.shape}; find the files that belong together"
        )
    labels = []
    for kind in kinds:
        counts = np.bincount(classes[numbers == kind], minlength=VOID + 1)[1:VOID]
        labels.append(_named(found.names, int(counts.argmax()) + 1) if counts.any() else None)
    return [(label, {}) for label in labels]


def _named(names: Names, number: int) -> str | None:
    return names[number] if number < len(names) else str(number)


def _boxes(said: Annotation, content: Content, notes: Notes) -> Masks:
    """Read an annotation without maps."""
    if said.size_hw is None:
        raise InputError(
            f"expected a size in {content.name}, got none; add it, or the PNG of the objects"
        )
    if said.things:
        notes.add(_BOXES, repr(said.things[0].label))
    metas = []
    for thing in said.things:
        x0, y0, x1, y1 = thing.box
        metas.append({"bbox": [x0, y0, x1 - x0, y1 - y0], **thing.about})
    empty = np.array([said.size_hw[0] * said.size_hw[1]], dtype=np.uint32)
    return Masks(
        said.size_hw,
        tuple(empty for _ in said.things),
        labels=tuple(thing.label for thing in said.things),
        meta=tuple(metas),
        source=said.file_name or None,
    )


def read_all(path: str | os.PathLike[str]) -> Iterator[tuple[Masks, Path | None]]:
    """Read the masks of every image of a data set, one by one.

    Args:
        path: Its folder.

    Yields:
        The masks of an image, whose ``image_meta`` has its ``split`` if a list names it, and the
        image's path, if it is there.

    Raises:
        InputError: There is none, or a file is damaged.
    """
    root, notes = Path(path), Notes(Path(path))
    names = names_in(root)
    if not names:
        raise InputError(
            f"expected SegmentationObject/, SegmentationClass/ or Annotations/ in {str(root)!r}, "
            "got none; give the folder of one year, such as VOC2012"
        )
    known = set(names)
    splits = {
        _listed(line, known): split
        for split in _SPLITS
        for line in _lines(root / f"ImageSets/Segmentation/{split}.txt")
    }
    for name in names:
        masks = read_image(find(root, name), notes)
        image = next(iter(named(root / "JPEGImages" / name)), None)
        suffix = image.suffix if image is not None else Path(masks.source or ".jpg").suffix
        split = {"split": splits[name]} if name in splits else {}
        yield replace(masks, source=name + suffix, image_meta={**masks.image_meta, **split}), image
    notes.warn()


def _listed(line: str, known: set[str]) -> str:
    """Give the name in a line of a list: the whole line, or what stands before a class's flag."""
    name = line.strip()
    return name if name in known else name.split()[0]


def names_in(root: Path) -> list[str]:
    """List the images that anything is known of: with maps, or else with annotations."""
    for place in ("SegmentationObject", "SegmentationClass", "Annotations"):
        suffix = ".xml" if place == "Annotations" else ".png"
        found = sorted((root / place).rglob(f"*{suffix}"))
        if found:
            return [path.relative_to(root / place).with_suffix("").as_posix() for path in found]
    return []
