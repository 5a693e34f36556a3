"""COCO JSON: any number of images in one file, as the COCO tools read them.

Masks are written as compressed run lengths, with ``iscrowd`` 0 and one category, "object". Reading
takes polygons and both kinds of run lengths, crowds included. Beside COCO's own fields, an
annotation has ``score`` (the predicted IoU) and ``stability_score`` where they are known, and its
prompt as in SA-1B JSON.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from anymask.atomic import atomic_write
from anymask.errors import InputError
from anymask.formats import annotation as fields
from anymask.masks import rle
from anymask.masks.masks import Masks

__all__ = ["read", "read_all", "write", "writer"]

_CATEGORY = {"id": 1, "name": "object", "supercategory": "object"}


def write(path: str | os.PathLike[str], masks: Masks | Iterable[Masks]) -> None:
    """Write the masks of one image, or of several.

    Raises:
        OutputError: The file cannot be written; what was there before is untouched.
    """
    with writer(path) as add:
        for entry in [masks] if isinstance(masks, Masks) else masks:
            add(entry)


@contextmanager
def writer(path: str | os.PathLike[str]) -> Iterator[Callable[[Masks], None]]:
    """Write image by image, so that a folder of any size needs the memory of one image.

    Yields:
        A function that adds the masks of one more image. The file appears when the block ends; if
        it ends with an error, nothing does.

    Raises:
        OutputError: The file cannot be written; what was there before is untouched.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/all.json"
        >>> with writer(path) as add:
        ...     add(Masks.empty((480, 640), source="truck.jpg"))
        >>> read(path)
        Masks(no masks of 640 x 480)
    """
    images: list[dict[str, Any]] = []
    numbers = count(1)
    with atomic_write(path) as draft, draft.open("w", encoding="utf-8") as file:
        file.write('{"info": {"description": "Masks made with anymask"}, "annotations": [')

        def add(masks: Masks) -> None:
            images.append(_image(masks, len(images) + 1))
            for i in range(len(masks)):
                number = next(numbers)
                entry = {"id": number, "image_id": len(images), **_annotation(masks, i)}
                file.write(",\n" if number > 1 else "\n")
                file.write(json.dumps(entry, allow_nan=False))

        yield add
        file.write(
            f'\n], "images": {json.dumps(images)}, "categories": [{json.dumps(_CATEGORY)}]}}'
        )


def read(path: str | os.PathLike[str], file_name: str | None = None) -> Masks:
    """Read the masks of one image.

    Args:
        path: The file.
        file_name: Which image, if there are several.

    Raises:
        InputError: The file is missing, damaged, or not in this layout; or has several images and
            none is named.
    """
    document = fields.read_json(path)
    with fields.understanding(f"{str(path)!r} as COCO"):
        names = [str(image.get("file_name")) for image in document["images"]]
        chosen = range(len(names)) if file_name is None else _places(names, file_name)
        if len(chosen) != 1:
            wanted = "one image" if file_name is None else f"one image named {file_name!r}"
            raise InputError(
                f"expected {wanted}, got {len(chosen)} of {len(names)} images; choose with "
                f"file_name, such as {', '.join(map(repr, names[:3]))}, or use coco.read_all"
            )
        return _read_images(document, [document["images"][chosen[0]]])[0]


def read_all(path: str | os.PathLike[str]) -> list[Masks]:
    """Read the masks of every image, in the order of the file; `Masks.source` names the image.

    Raises:
        InputError: The file is missing, damaged, or not in this layout.
    """
    document = fields.read_json(path)
    with fields.understanding(f"{str(path)!r} as COCO"):
        return _read_images(document, document["images"])


def _image(masks: Masks, number: int) -> dict[str, Any]:
    h, w = masks.size_hw
    entry = {"id": number, "width": w, "height": h, "file_name": _file_name(masks.source)}
    entry |= fields.geo_field(masks.geo)
    return entry if masks.model is None else entry | {"model": masks.model}


def _file_name(source: str | None) -> str:
    """Name the image below the folder of all images, which only a relative path can say."""
    path = Path(source or "")
    return path.name if path.is_absolute() or ".." in path.parts or not source else path.as_posix()


def _annotation(masks: Masks, i: int) -> dict[str, Any]:
    h, w = masks.size_hw
    counts = masks.counts[i]
    entry = {
        "category_id": _CATEGORY["id"],
        "segmentation": {"size": [h, w], "counts": rle.to_string(counts)},
        "area": int(masks.areas[i]),
        "bbox": fields.plain(rle.coco_box(counts, (h, w))),
        "iscrowd": 0,
        "score": fields.known(masks.scores[i]),
        "stability_score": fields.known(masks.stability[i]),
    }
    if masks.prompts[i] is not None:
        entry |= fields.prompt_fields(masks.prompts[i])
    return {name: value for name, value in entry.items() if value is not None}


def _places(names: list[str], wanted: str) -> list[int]:
    return [i for i, name in enumerate(names) if name == wanted]


def _read_images(document: dict[str, Any], images: list[dict[str, Any]]) -> list[Masks]:
    """Read the masks of some of the document's images."""
    of_image: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in document["images"]}
    for entry in document["annotations"]:
        if entry["image_id"] not in of_image:
            raise InputError(
                f"expected annotations of the images listed, got one of image {entry['image_id']}; "
                "check that the file is whole"
            )
        of_image[entry["image_id"]].append(entry)
    return [_read_image(image, of_image[image["id"]]) for image in images]


def _read_image(image: dict[str, Any], annotations: list[dict[str, Any]]) -> Masks:
    size_hw = (int(image["height"]), int(image["width"]))
    return Masks(
        **fields.read_all(annotations, size_hw, score="score"),
        source=image.get("file_name") or None,
        model=image.get("model"),
        geo=fields.read_geo(image),
    )
