"""COCO JSON, with the fields that LVIS adds to it, and its form for videos.

Crowds (``iscrowd``) become void. LVIS (v0.5 and v1) annotates an image for some categories only:
`Sample.meta` holds their names, ``negative`` for those that are not in the image, ``incomplete``
for those of which not every object is annotated, and ``frequency`` with r, c or f (rare, common,
frequent) for those that are annotated. ``coco`` holds what the file itself says: the entries of
``image`` and its ``annotations`` (those that have a mask), all ``categories`` by their id, and the
``ids`` of all images.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from os.path import splitext
from pathlib import Path
from typing import Any

from anymask.data.dataset import Entry, Labels, Listing, key_of
from anymask.data.readers.documents import outline
from anymask.data.readers.image_files import find_images
from anymask.data.readers.label_image import check_size
from anymask.data.readers.overlaps import layered
from anymask.errors import InputError
from anymask.formats.annotation import read_json, understanding

__all__ = ["list_images", "read"]

Fields = Mapping[str, Any]


def read(path: str | Path, images: str | Path | None = None) -> Listing:
    """List the images of an annotation file.

    Args:
        path: A JSON file in COCO's layout, of images or (OVIS, YouTube-VIS) of videos, whose frames
            count as images.
        images: Folder of the images; None: looked for in and beside the file's folder.

    Raises:
        InputError: The file is missing, damaged or not in this layout, images are not there, or
            annotations are of images that are not listed.

    Example:
        >>> data = read("coco/annotations/instances_val2017.json")  # doctest: +SKIP
        >>> len(data), data[0].names[:2]  # doctest: +SKIP
        (5000, ('potted plant', 'potted plant'))
    """
    return list_images(read_json(path), Path(path), images)


def list_images(document: Fields, path: Path, images: str | Path | None = None) -> Listing:
    """List the images of an annotation file whose content was read before; see `read`."""
    with understanding(f"{str(path)!r} as COCO"):
        document = _frames(document) if "videos" in document else document
        listed = document["images"]
        categories = {category["id"]: category for category in document.get("categories", ())}
        annotations = _by_image(listed, document["annotations"])
        files = find_images(path, [_names(image) for image in listed], images)
        ids = list(annotations)
        return Listing(
            path.stem,
            [
                Entry(
                    key_of(splitext(_names(image)[0])[0]),
                    file,
                    partial(_labels, path, image, annotations[image["id"]], categories, ids),
                )
                for image, file in zip(listed, files, strict=True)
            ],
        )


def _by_image(
    images: Sequence[Fields], annotations: Iterable[Fields]
) -> Mapping[Any, Sequence[Fields]]:
    of_image: dict[Any, list[Fields]] = {image["id"]: [] for image in images}
    if len(of_image) < len(images):
        raise InputError(
            f"expected {len(images)} images with ids of their own, got {len(of_image)} different "
            "ids; check that the file is whole"
        )
    for entry in annotations:
        if entry["image_id"] not in of_image:
            raise InputError(
                f"expected annotations of the images listed, got one of image {entry['image_id']}; "
                "check that the file is whole"
            )
        of_image[entry["image_id"]].append(entry)
    return of_image


def _labels(
    path: Path,
    image: Fields,
    annotations: Sequence[Fields],
    categories: Mapping[Any, Fields],
    ids: Sequence[Any],
    size_hw: tuple[int, int],
) -> Labels:
    with understanding(f"image {image['id']} of {str(path)!r}"):
        check_size((int(image["height"]), int(image["width"])), size_hw, path)
        drawn = [entry for entry in annotations if entry.get("segmentation")]
        single = [entry for entry in drawn if not entry.get("iscrowd", 0)]
        crowds = [entry["segmentation"] for entry in drawn if entry.get("iscrowd", 0)]
        found = layered(
            [outline(entry["segmentation"], size_hw) for entry in single],
            size_hw,
            [categories[entry["category_id"]]["name"] for entry in single] if categories else (),
            [outline(segmentation, size_hw) for segmentation in crowds],
        )
        own = {"image": image, "annotations": drawn, "categories": categories, "ids": ids}
        return replace(found, meta={"coco": own, **_federated(image, single, categories)})


def _federated(
    image: Fields, annotations: Sequence[Fields], categories: Mapping[Any, Fields]
) -> dict[str, Any]:
    """Say what LVIS knows beyond COCO."""
    if "neg_category_ids" not in image:
        return {}
    used = [categories[number] for number in dict.fromkeys(e["category_id"] for e in annotations)]
    return {
        "negative": [categories[number]["name"] for number in image["neg_category_ids"]],
        "incomplete": [
            categories[number]["name"] for number in image["not_exhaustive_category_ids"]
        ],
        "frequency": {category["name"]: category["frequency"] for category in used},
    }


def _names(image: Fields) -> list[str]:
    """List the names under which an image may lie below the folder of the images."""
    if "file_name" in image:
        name = str(image["file_name"])
        # LVIS v0.5 has the file names of 2014, whose images were renamed in 2017.
        return list(dict.fromkeys([name, re.sub(r"^COCO_\w+?2014_", "", name)]))
    split, name = str(image["coco_url"]).split("/")[-2:]  # LVIS v1
    return [f"{split}/{name}", name]


def _frames(document: Fields) -> Fields:
    """Turn videos into images: every frame that has a mask becomes one."""
    images: dict[tuple[Any, int], dict[str, Any]] = {}
    annotations = []
    videos = {video["id"]: video for video in document["videos"]}
    for track in document["annotations"] or ():
        video = videos[track["video_id"]]
        for i, segmentation in enumerate(track["segmentations"]):
            if segmentation is None:
                continue
            number = images.setdefault(
                (track["video_id"], i),
                {
                    "id": len(images) + 1,
                    "file_name": video["file_names"][i],
                    "height": video["height"],
                    "width": video["width"],
                },
            )["id"]
            annotations.append({**track, "image_id": number, "segmentation": segmentation})
    return {**document, "images": list(images.values()), "annotations": annotations}
