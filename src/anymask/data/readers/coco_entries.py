"""Checking the images and annotations that a COCO file lists, before any mask is drawn."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PureWindowsPath
from typing import Any

from anymask.data.readers.notes import Notes
from anymask.errors import InputError
from anymask.formats.annotation import plain_id, read_iscrowd
from anymask.formats.segmentation import split_segmentation

__all__ = ["OUTSIDE", "UNREADABLE", "check_all", "image_label", "image_names", "image_size"]

UNREADABLE = "annotations that cannot be read are left out"
OUTSIDE = "annotations that cover no pixel of their image are left out"
_TWICE = "images that are listed twice are taken together"
_NAMELESS = "images without an id or a file name are left out"
_UNLISTED = "annotations of images that are not listed are left out"
_NO_MASK = "annotations without a mask are left out"
_FEW_CORNERS = "annotations whose outline has fewer than three corners are left out"
_OTHER_SIZE = "annotations that were made for an image of another size are left out"
_FEW = 3  # reasons in a message

Fields = Mapping[str, Any]


def check_all(
    images: Sequence[Any], annotations: Sequence[Any], notes: Notes
) -> tuple[dict[Any, Fields], dict[Any, list[Fields]]]:
    """Sort out what a file lists, and note what cannot be used.

    Args:
        images: The file's ``images``.
        annotations: Its ``annotations``.
        notes: Told of what is left out.

    Returns:
        The images by their ids, and the annotations by those of their images. Ids are in the form
        of `plain_id`, and ``iscrowd`` is 0 or 1.

    Raises:
        InputError: Two images have one id, or there are annotations and none can be used.
    """
    listed, ids = _images(images, notes)
    found: dict[Any, list[Fields]] = {}
    reasons: dict[str, None] = {}
    for place, entry in enumerate(annotations, 1):
        try:
            number = ids.get(plain_id(entry.get("image_id")))
            wrong = reason = (
                _UNLISTED if number is None else _fault(entry, image_size(listed[number]))
            )
            usable = {} if wrong else _usual(entry, number)
        except (InputError, TypeError, ValueError, AttributeError, OverflowError) as error:
            wrong, reason = UNREADABLE, str(error)
        if wrong:
            name = entry.get("id", place) if isinstance(entry, Mapping) else place
            notes.add(wrong, f"annotation {name}")
            reasons[reason.removesuffix(" are left out")] = None
        else:
            found.setdefault(number, []).append(usable)
    if annotations and not found:
        raise InputError(
            f"expected annotations that can be used, got {len(annotations)} others "
            f"({', '.join(list(reasons)[:_FEW])}); check which format the file has"
        )
    return listed, found


def image_names(image: Fields) -> list[str]:
    """List the names under which an image may lie below the folder of the images."""
    if image.get("file_name"):
        name = str(image["file_name"])
        # LVIS v0.5 has the file names of 2014, whose images were renamed in 2017.
        return list(dict.fromkeys([name, re.sub(r"^COCO_\w+?2014_", "", name), image_label(image)]))
    if image.get("coco_url"):  # LVIS v1
        split, name = str(image["coco_url"]).split("/")[-2:]
        return [f"{split}/{name}", name]
    return []


def image_label(image: Fields) -> str:
    """Return the name of an image without what holds for another machine only.

    Examples:
        >>> image_label({"file_name": "/home/me/a.jpg"}), image_label({"file_name": "val/a.jpg"})
        ('a.jpg', 'val/a.jpg')
    """
    if not image.get("file_name"):
        return image_names(image)[0]
    path = PureWindowsPath(str(image["file_name"]))  # it knows both kinds of slashes
    return path.name if path.drive or path.root else path.as_posix()


def image_size(image: Fields) -> tuple[int, int] | None:
    """Return the height and width that a file states of an image; None where it does not."""
    if image.get("height") is None or image.get("width") is None:
        return None
    return int(image["height"]), int(image["width"])


def _images(images: Sequence[Any], notes: Notes) -> tuple[dict[Any, Fields], dict[Any, Any]]:
    """List each image once, by its id, and for every id in the file the one of its image."""
    listed: dict[Any, Fields] = {}
    ids: dict[Any, Any] = {}
    by_name: dict[str, Any] = {}
    for place, entry in enumerate(images, 1):
        names = image_names(entry) if isinstance(entry, Mapping) else []
        number = plain_id(entry.get("id")) if names else None
        if number is None:
            notes.add(_NAMELESS, f"number {place}")
            continue
        first = by_name.get(names[0])
        if number in ids and ids[number] != first:
            raise InputError(
                f"expected images with ids of their own, got {names[0]!r} and another one with "
                f"the id {number!r}; find out which annotations belong to which"
            )
        if first is None:
            listed[number] = {**entry, "id": number}
        else:
            notes.add(_TWICE, repr(names[0]))
        ids[number] = by_name.setdefault(names[0], number)
    return listed, ids


def _fault(entry: Fields, size_hw: tuple[int, int] | None) -> str:
    """Find what is wrong with an annotation, as far as that shows without drawing its mask."""
    if not entry.get("segmentation"):
        return _NO_MASK
    said = entry["segmentation"]
    polygons, runs = (said, []) if _is_usual(said) else split_segmentation(said)
    if not polygons and not runs:
        return _FEW_CORNERS
    if size_hw is None:
        return ""
    if any(run.get("size", list(size_hw)) != list(size_hw) for run in runs):
        return _OTHER_SIZE
    return "" if runs or any(_touches(each, size_hw) for each in polygons) else OUTSIDE


def _is_usual(segmentation: Any) -> bool:
    """Return whether this is a list of polygons as COCO has it, as far as a short look says.

    Nearly all are, and a large file has a million.
    """
    return isinstance(segmentation, list) and all(
        isinstance(piece, list)
        and len(piece) >= 6
        and len(piece) % 2 == 0
        and isinstance(piece[0], int | float)
        for piece in segmentation
    )


def _touches(corners: Sequence[float], size_hw: tuple[int, int]) -> bool:
    """Return whether the box of a flat polygon holds anything of the image."""
    h, w = size_hw
    if 0 < corners[0] < w and 0 < corners[1] < h:
        return True
    xs, ys = corners[0::2], corners[1::2]
    return min(xs) < w and min(ys) < h and max(xs) > 0 and max(ys) > 0


def _usual(entry: Fields, number: Any) -> Fields:
    """Give the ids and ``iscrowd`` of an annotation their usual form."""
    usual = {
        "image_id": number,
        "category_id": plain_id(entry.get("category_id")),
        "iscrowd": int(read_iscrowd(entry)),
    }
    as_is = all(entry.get(k, k) == v and type(entry[k]) is type(v) for k, v in usual.items())
    return entry if as_is else {**entry, **usual}
