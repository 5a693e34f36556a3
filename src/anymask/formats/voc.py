"""Pascal VOC: for each image two PNGs with numbers as colours of a palette, and an XML of boxes.

    Annotations/x.xml           the objects, with their class and box
    SegmentationObject/x.png    the number of the object, in the order of the XML; 255 is void
    SegmentationClass/x.png     the number of its class; 255 is void
    labelmap.txt                the names of the classes: VOC's own twenty, and others

``write`` with a path that ends in .xml writes all four; else a PNG of the objects alone, whose
labels are in a text chunk, as in `png`. `voc_folder` has whole data sets.

A pixel has one number. Of masks that overlap the smaller one is on top; masks that smaller ones
cover entirely, empty ones, and the smallest of more than 254 are left out, and so are scores,
prompts, ids and meta but for ``pose``, ``truncated``, ``difficult`` and ``occluded``; a
`DataWarning` says what. Crowds (``iscrowd``) become void. What is void is no mask: it is kept as
run lengths in `Masks.image_meta`, by the name ``void``, and written again.

In an XML without PNGs are boxes alone. As in COCO they become empty masks that keep their ``bbox``,
with a warning.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import PIL.PngImagePlugin

from anymask.atomic import Target, make_folder, output
from anymask.data.readers.notes import Notes
from anymask.folder import ResumableFolder
from anymask.formats import Format, files
from anymask.formats.annotation import understanding
from anymask.formats.files import Content, Source
from anymask.formats.losses import Losses
from anymask.formats.png import VOC_PALETTE
from anymask.formats.voc_files import LABEL_MAP, read_png, shared_classes, write_png
from anymask.formats.voc_folder import (
    Found,
    collect,
    draw,
    find,
    put,
    read_all,
    read_image,
    writer,
)
from anymask.masks.masks import Masks

__all__ = ["FORMAT", "read", "read_all", "write", "writer"]

_KEYWORD = "anymask"
_PLACES = ("Annotations", "SegmentationObject", "SegmentationClass")


def write(target: Target, masks: Masks) -> None:
    """Write the masks of one image.

    Args:
        target: A path that ends in .xml, beside which or, if it is in ``Annotations/``, beside
            whose folder the PNGs go; another path, or a file opened for writing bytes, for the PNG
            of the objects alone.
        masks: Of which 254 have a place.

    Raises:
        InputError: There are more classes than 254.
        OutputError: A file cannot be written.

    Examples:
        >>> import io
        >>> import numpy as np
        >>> file = io.BytesIO()
        >>> write(file, Masks.from_dense(np.ones((1, 2, 3), bool), labels=["sky"]))
        >>> read(file.getvalue()).labels
        ('sky',)
    """
    losses = Losses("VOC")
    path = Path(target) if isinstance(target, str | os.PathLike) else None
    if path is not None and path.suffix.lower() == ".xml":
        root, _ = _root_and_name(path)
        make_folder(root)
        folder = ResumableFolder(root)
        with folder.at_work(alone=False):
            put(folder, path.relative_to(root).as_posix(), masks, shared_classes(folder), losses)
        losses.warn(repr(str(path)))
        return
    objects, kept = draw(masks, losses)
    labels = [masks.labels[i] for i in kept]
    known = [{"number": k, "label": x} for k, x in enumerate(labels, 1) if x is not None]
    text = PIL.PngImagePlugin.PngInfo()
    if known:
        text.add_itxt(_KEYWORD, json.dumps({"masks": known}, ensure_ascii=False))
    with output(target) as file:
        write_png(file, objects, text)
    losses.warn("the file" if path is None else repr(str(path)))


def read(source: Source) -> Masks:
    """Read the masks of one image.

    Args:
        source: A path of any of the files of an image, which are read together; or the bytes of one
            file, or a file opened for reading bytes.

    Raises:
        InputError: A file is missing or damaged, or they are of different sizes.
    """
    content = files.load(source)
    notes = Notes(content.path or Path(content.name))
    found = _beside(content)
    masks = read_image(found, notes)
    if found.objects is not None and found.annotation is None and found.classes is None:
        masks = _with_labels(masks, found.objects)
    notes.warn()
    return masks


def _beside(content: Content) -> Found:
    """Find the files that belong to one of them."""
    is_png = content.data.startswith(b"\x89PNG")
    alone = Found(content) if is_png else Found(annotation=content)
    if content.path is None:
        return alone
    root, name = _root_and_name(content.path)
    found = find(root, name)
    if (is_png and found.objects is None and found.classes is None) or (
        not is_png and found.annotation is None
    ):  # a name that lies elsewhere
        return replace(found, objects=content) if is_png else replace(found, annotation=content)
    in_place = any(part in _PLACES for part in content.path.parent.parts[-4:])
    return found if in_place or not is_png else alone


def _root_and_name(path: Path) -> tuple[Path, str]:
    """Find the folder of a data set, and the name of an image in it, by one of its files."""
    for folder in list(path.parents)[:4]:
        if folder.name in _PLACES:
            return folder.parent, path.relative_to(folder).with_suffix("").as_posix()
    return path.parent, path.stem


def _with_labels(masks: Masks, content: Content) -> Masks:
    """Name the objects as the text chunk of their PNG does."""
    numbers, info = read_png(content)
    text = info.get(_KEYWORD)
    if text is None:
        return masks
    with understanding(f"what {content.name} says of its masks"):
        known = {int(entry["number"]): entry.get("label") for entry in json.loads(text)["masks"]}
    kinds = sorted(set(numbers.ravel().tolist()) - {0, 255})
    return replace(masks, labels=tuple(known.get(kind) for kind in kinds))


def _recognises(head: bytes) -> bool:
    is_xml = head.startswith(b"<") and re.search(rb"<annotation[\s>/]", head[:400])
    return bool(is_xml) or (head.startswith(b"\x89PNG") and VOC_PALETTE in head)


FORMAT = Format(
    ".xml",
    write,
    read,
    recognises=_recognises,
    place=LABEL_MAP,
    copies_images=True,
    collect=collect,
)
