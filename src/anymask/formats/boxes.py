"""Boxes of many images in one file of COCO's layout; `Detections` themselves write that of one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from anymask.atomic import Target, output

if TYPE_CHECKING:
    from anymask.detections import Detections

__all__ = ["writer"]


@contextmanager
def writer(target: Target) -> Iterator[Callable[[Detections, str], None]]:
    """Write image by image; categories are numbered from 1 on as their names come.

    Args:
        target: A path, or a file opened for writing bytes.

    Yields:
        A function that adds the boxes of one more image, and the name that the file gives it. The
        file appears when the block ends; if it ends with an error, nothing does.

    Raises:
        OutputError: The file cannot be written; what was there before is untouched.

    Examples:
        >>> import io
        >>> from anymask import Detections
        >>> file = io.BytesIO()
        >>> with writer(file) as add:
        ...     add(Detections((48, 64), [(10, 20, 15, 40)], [0.5], ["cup"]), "in/a.jpg")
        ...     add(Detections((48, 64), [(1, 2, 3, 4)], [0.5], ["cup"]), "in/b.jpg")
        >>> Detections.load(file.getvalue(), "in/b.jpg").labels
        ('cup',)
    """
    images: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    categories: dict[str, dict[str, Any]] = {}

    def add(found: Detections, name: str) -> None:
        document = found.to_coco(len(images) + 1)
        images.append(document["images"][0] | {"file_name": name})
        numbers = {}
        for category in document["categories"]:
            number = category.pop("id")
            key = json.dumps(category)  # a thing called "object" is none without a name
            numbers[number] = categories.setdefault(key, {"id": len(categories) + 1, **category})
        for entry in document["annotations"]:
            number = numbers[entry["category_id"]]["id"]
            entries.append(entry | {"id": len(entries) + 1, "category_id": number})

    with output(target) as file:
        yield add
        whole = {"images": images, "annotations": entries, "categories": [*categories.values()]}
        file.write(json.dumps(whole, ensure_ascii=False).encode())
