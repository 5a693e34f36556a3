"""COCO JSON, with the fields that LVIS adds to it, and its form for videos.

Crowds (``iscrowd``) become void. LVIS (v0.5 and v1) annotates an image for some categories only:
`Sample.meta` holds their names, ``negative`` for those that are not in the image, ``incomplete``
for those of which not every object is annotated, and ``frequency`` with r, c or f (rare, common,
frequent) for those that are annotated. ``coco`` holds what the file itself says: the entries of
``image`` and its ``annotations`` (those that have a mask), all ``categories`` by their id, and the
``ids`` of all images. Ids are in the form of `plain_id`, ``iscrowd`` is 0 or 1, and outlines are
as COCO has them, whatever the file's own way to write them.

What cannot be used is left out, and a `DataWarning` names it once for each kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from os.path import splitext
from pathlib import Path
from typing import Any

from anymask.data.dataset import Entry, Labels, Listing, key_of
from anymask.data.readers.coco_entries import (
    OUTSIDE,
    UNREADABLE,
    check_all,
    image_label,
    image_names,
    image_size,
)
from anymask.data.readers.image_files import find_images
from anymask.data.readers.label_image import check_size
from anymask.data.readers.notes import Notes
from anymask.data.readers.overlaps import layered
from anymask.formats.annotation import plain_id, read_json, understanding
from anymask.formats.segmentation import read_segmentation, split_segmentation
from anymask.masks import rle
from anymask.masks.rle import Counts

__all__ = ["list_images", "read"]

Fields = Mapping[str, Any]


def read(path: str | Path, images: str | Path | None = None) -> Listing:
    """List the images of an annotation file.

    Args:
        path: A JSON file in COCO's layout, of images or (OVIS, YouTube-VIS) of videos, whose frames
            count as images.
        images: Folder of the images; None: looked for in and beside the file's folder.

    Raises:
        InputError: The file is missing, damaged or not in this layout; none of its images is
            there, or none of its annotations can be used.

    Examples:
        >>> data = read("coco/annotations/instances_val2017.json")  # doctest: +SKIP
        >>> len(data), data[0].names[:2]  # doctest: +SKIP
        (5000, ('potted plant', 'potted plant'))
    """
    return list_images(read_json(path), Path(path), images)


def list_images(document: Fields, path: Path, images: str | Path | None = None) -> Listing:
    """List the images of an annotation file whose content was read before; see `read`."""
    notes = Notes(path)
    with understanding(f"{str(path)!r} as COCO"):
        document = _frames(document, notes) if "videos" in document else document
        listed, annotations = check_all(document["images"], document["annotations"] or (), notes)
        categories = {
            plain_id(category["id"]): category for category in document.get("categories") or ()
        }
        _note_unknown(annotations, categories, notes)
        files = find_images(path, [image_names(image) for image in listed.values()], notes, images)
        labels = [image_label(image) for image in listed.values()]
        stems = Counter(splitext(label)[0] for label in labels)
        ids, entries = tuple(listed), []
        for (number, image), label, file in zip(listed.items(), labels, files, strict=True):
            if file is not None:
                stem = splitext(label)[0]
                key = key_of(label if stems[stem] > 1 else stem)  # a.jpg beside a.png
                own = annotations.get(number, ())
                entries.append(
                    Entry(key, file, partial(_labels, notes, image, own, categories, ids))
                )
    notes.warn()
    return Listing(path.stem, entries)


def _note_unknown(
    annotations: Mapping[Any, Sequence[Fields]], categories: Mapping[Any, Fields], notes: Notes
) -> None:
    """Name annotations of unknown categories, if any categories are known."""
    for some in annotations.values() if categories else ():
        for entry in some:
            if entry["category_id"] not in categories:
                notes.add(
                    "annotations of categories that are not listed are taken without a name",
                    f"annotation {entry.get('id')} of category {entry['category_id']!r}",
                )


def _labels(
    notes: Notes,
    image: Fields,
    annotations: Sequence[Fields],
    categories: Mapping[Any, Fields],
    ids: Sequence[Any],
    size_hw: tuple[int, int],
) -> Labels:
    with understanding(f"image {image['id']} of {str(notes.path)!r}"):
        if (stated := image_size(image)) is not None:
            check_size(stated, size_hw, notes.path)
        drawn = _draw(annotations, size_hw, notes)
        single = [(entry, counts) for entry, counts in drawn if not entry["iscrowd"]]
        found = layered(
            [counts for _, counts in single],
            size_hw,
            [_name(categories, entry["category_id"]) for entry, _ in single] if categories else (),
            [counts for entry, counts in drawn if entry["iscrowd"]],
        )
        # What the file says of its own, as far as it can be measured by category.
        own = {
            "image": image,
            "annotations": [entry for entry, _ in drawn if entry["category_id"] is not None],
            "categories": categories,
            "ids": ids,
        }
        used = [entry["category_id"] for entry, _ in single]
        return replace(found, meta={"coco": own, **_federated(image, used, categories)})


def _draw(
    annotations: Sequence[Fields], size_hw: tuple[int, int], notes: Notes
) -> list[tuple[Fields, Counts]]:
    """Draw the masks that cover anything, each beside its annotation with COCO's own outline."""
    drawn: list[tuple[Fields, Counts]] = []
    for entry in annotations:
        name = f"annotation {entry.get('id')}"
        try:
            counts = read_segmentation(entry["segmentation"], size_hw)
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            notes.once(UNREADABLE, f"{name} ({error})")
            continue
        if not rle.area(counts):
            notes.once(OUTSIDE, name)
            continue
        polygons, runs = split_segmentation(entry["segmentation"])
        usual: Any = polygons if not runs else runs[0]
        if len(runs) > 1 or (runs and polygons):
            usual = {"size": list(size_hw), "counts": rle.to_string(counts)}
        drawn.append(({**entry, "segmentation": usual}, counts))
    return drawn


def _name(categories: Mapping[Any, Fields], number: Any) -> str:
    return str(categories.get(number, {}).get("name", ""))


def _federated(
    image: Fields, used: Sequence[Any], categories: Mapping[Any, Fields]
) -> dict[str, Any]:
    """Say what LVIS knows beyond COCO."""
    if "neg_category_ids" not in image:
        return {}

    def names(field: str) -> list[str]:
        return [_name(categories, plain_id(number)) for number in image[field]]

    known = [categories[number] for number in dict.fromkeys(used) if number in categories]
    return {
        "negative": names("neg_category_ids"),
        "incomplete": names("not_exhaustive_category_ids"),
        "frequency": {_name({0: each}, 0): each["frequency"] for each in known},
    }


def _frames(document: Fields, notes: Notes) -> Fields:
    """Turn videos into images: every frame that has a mask becomes one."""
    images: dict[tuple[Any, int], dict[str, Any]] = {}
    annotations = []
    videos = {plain_id(video["id"]): video for video in document["videos"]}
    for track in document["annotations"] or ():
        of, video = plain_id(track["video_id"]), videos.get(plain_id(track["video_id"]))
        if video is None:
            notes.add("tracks of videos that are not listed are left out", track.get("id"))
            continue
        for i, segmentation in enumerate(track["segmentations"]):
            if segmentation is None:
                continue
            number = images.setdefault(
                (of, i),
                {
                    "id": len(images) + 1,
                    "file_name": video["file_names"][i],
                    "height": video["height"],
                    "width": video["width"],
                },
            )["id"]
            annotations.append({**track, "image_id": number, "segmentation": segmentation})
    return {**document, "images": list(images.values()), "annotations": annotations}
