"""COCO JSON: any number of images in one file, as the COCO tools read them.

Masks are written as compressed run lengths, or as polygons if wanted. The category of a mask has
its label as name; masks without a label have the category "object". Beside COCO's own fields, an
annotation has ``score`` (the predicted IoU) and ``stability_score`` where they are known, its
``track_id`` (from `Masks.ids`), and its prompt as in SA-1B JSON.

What a file says beside that is read into `Masks.meta`, and written again: the ``id`` of the
annotation, ``iscrowd`` where it is 1, its ``category`` as it was recorded, and every field that is
not known here, such as ``keypoints``. `Masks.image_meta` has the same of the image, ``id``
included, and all that the file says beside images and annotations as its ``document``: all
categories, licences, and so on. What a file can't hold comes back changed, not silently lost:

- ``area`` and ``bbox`` are those of the mask's pixels. An annotation without a mask (a box or
  keypoints alone) becomes an empty mask that keeps its ``bbox`` and ``area``, with a warning.
- Polygons come back as what they cover, as run lengths unless polygons are asked for.
- A category that the file does not list has its number as name when it is written.
- Where several files are joined to one, their ids are kept as far as they are free, categories of
  one name become one, and of what is said of the document the first word counts.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anymask.atomic import Target, output
from anymask.errors import InputError
from anymask.folder import ResumableFolder
from anymask.formats import Format, files
from anymask.formats import annotation as fields
from anymask.formats.categories import Categories, Numbers, category_name, is_number
from anymask.formats.files import Content, Source
from anymask.masks import polygon, rle
from anymask.masks.fields import check_meta
from anymask.masks.masks import Masks

__all__ = [
    "FORMAT",
    "collect",
    "read",
    "read_about",
    "read_all",
    "read_image",
    "warn_bare",
    "warn_lost",
    "write",
    "writer",
]

_PLACE = "annotations.json"

_INFO = {"description": "Masks made with anymask"}
_ANNOTATION = {
    "id",
    "image_id",
    "category_id",
    "category",
    "segmentation",
    "area",
    "bbox",
    "iscrowd",
    "score",
    "stability_score",
    "point_coords",
    "point_labels",
    "prompt_box",
    "track_id",
}
_IMAGE = {"id", "width", "height", "file_name", "model", "geo", "document"}

Entry = Mapping[str, Any]

# ----------------------------------------------------------------------------- writing


def write(target: Target, masks: Masks | Iterable[Masks], *, polygons: bool = False) -> None:
    """Write the masks of one image, or of several.

    Args:
        target: A path, or a file opened for writing bytes.
        masks: Of one image, or of each.
        polygons: Write outlines instead of run lengths, but for crowds and empty masks. Filled as
            COCO does it, they give the same masks.

    Raises:
        OutputError: The file cannot be written; what was there before is untouched.

    Examples:
        >>> import io
        >>> import numpy as np
        >>> file = io.BytesIO()
        >>> write(file, Masks.from_dense(np.ones((1, 2, 3), bool), labels=["sky"]), polygons=True)
        >>> json.loads(file.getvalue())["annotations"][0]["segmentation"]
        [[0, 0, 3, 0, 3, 2, 0, 2]]
    """
    with writer(target, polygons=polygons) as add:
        for entry in [masks] if isinstance(masks, Masks) else masks:
            add(entry)


@contextmanager
def writer(
    target: Target, *, polygons: bool = False, categories: Iterable[Entry] = ()
) -> Iterator[Callable[[Masks], None]]:
    """Write image by image, so that a folder of any size needs the memory of one image.

    Args:
        target: A path, or a file opened for writing bytes.
        polygons: See `write`.
        categories: Records of the first categories, each with ``id`` and ``name``.

    Yields:
        A function that adds the masks of one more image. The file appears when the block ends; if
        it ends with an error, nothing does.

    Raises:
        OutputError: The file cannot be written; what was there before is untouched.

    Examples:
        >>> import io
        >>> file = io.BytesIO()
        >>> with writer(file) as add:
        ...     add(Masks.empty((480, 640), source="truck.jpg"))
        >>> read(file.getvalue())
        Masks(no masks of 640 x 480)
    """
    images: list[dict[str, Any]] = []
    document: dict[str, Any] = {}
    known, image_ids, ids = Categories(), Numbers(), Numbers()
    known.add(categories)
    with output(target) as file:
        file.write(b'{"annotations": [')
        separator = "\n"

        def add(masks: Masks) -> None:
            nonlocal separator
            about = _document(masks)
            for key, value in about.items():
                document.setdefault(key, value)
            known.add(about.get("categories", ()))
            images.append({"id": image_ids.take(masks.image_meta.get("id")), **_image(masks)})
            for i in range(len(masks)):
                entry = {
                    "id": ids.take(masks.meta[i].get("id")),
                    "image_id": images[-1]["id"],
                    "category_id": known.of(masks.labels[i], _record(masks.meta[i])),
                    **_annotation(masks, i, polygons),
                }
                file.write((separator + json.dumps(entry, allow_nan=False)).encode())
                separator = ",\n"

        yield add
        rest = {"info": _INFO, **document, "images": images, "categories": known.records()}
        file.write(f"\n], {json.dumps(rest, allow_nan=False)[1:]}".encode())


@contextmanager
def collect(
    folder: ResumableFolder, names: Iterable[str] = ()
) -> Iterator[Callable[[str, Masks, Path | None], None]]:
    """Write the images of a folder of results to its ``annotations.json``; see `Format.collect`.

    Args:
        folder: Where somebody is at work.
        names: The first categories.
    """
    categories = [
        {"id": i, "name": name, "supercategory": "object"} for i, name in enumerate(names, 1)
    ]
    with folder.writing(_PLACE) as draft, writer(draft, categories=categories) as add:
        yield lambda name, masks, image: add(masks)


def _document(masks: Masks) -> Entry:
    """Give what a file said beside images and annotations."""
    about = masks.image_meta.get("document")
    known = about if isinstance(about, Mapping) else {}
    return {key: value for key, value in known.items() if key not in ("images", "annotations")}


def _record(meta: Entry) -> Entry | None:
    """Give the record of a category that a file had."""
    record = meta.get("category")
    return record if isinstance(record, Mapping) and "id" in record else None


def _image(masks: Masks) -> dict[str, Any]:
    h, w = masks.size_hw
    entry = {"width": w, "height": h, "file_name": _file_name(masks.source)}
    entry |= fields.geo_field(masks.geo)
    entry |= {} if masks.model is None else {"model": masks.model}
    meta = dict(masks.image_meta)
    _drop_number(meta)
    if isinstance(meta.get("document"), Mapping):
        del meta["document"]
    return entry | fields.meta_fields(meta, _IMAGE)


def _drop_number(meta: dict[str, Any]) -> None:
    """Drop an id that the file has in a place of its own."""
    if is_number(meta.get("id")):
        del meta["id"]


def _file_name(source: str | None) -> str:
    """Name the image below the folder of all images, which only a relative path can say."""
    path = Path(source or "")
    return path.name if path.is_absolute() or ".." in path.parts or not source else path.as_posix()


def _annotation(masks: Masks, i: int, polygons: bool) -> dict[str, Any]:
    meta = dict(masks.meta[i])
    _drop_number(meta)
    if _record(meta) is not None:
        del meta["category"]
    crowd = fields.read_iscrowd(meta)
    meta.pop("iscrowd", None)
    entry = _place(masks, i, polygons and not crowd)
    if not masks.areas[i] and "bbox" in meta:  # it was read from an annotation without a mask
        entry = {"segmentation": [], "area": 0, "bbox": meta.pop("bbox")}
        entry |= {"area": meta.pop("area")} if "area" in meta else {}
    entry |= {
        "iscrowd": int(crowd),
        "score": fields.known(masks.scores[i]),
        "stability_score": fields.known(masks.stability[i]),
    }
    if masks.prompts[i] is not None:
        entry |= fields.prompt_fields(masks.prompts[i])
    entry |= fields.track_field(masks.ids[i])
    entry = {name: value for name, value in entry.items() if value is not None}
    return entry | fields.meta_fields(meta, fields.names_taken(masks, i, _ANNOTATION))


def _place(masks: Masks, i: int, polygons: bool) -> dict[str, Any]:
    size_hw, counts = masks.size_hw, masks.counts[i]
    segmentation: Any = {"size": list(size_hw), "counts": rle.to_string(counts)}
    if polygons and masks.areas[i]:
        outlines = polygon.trace(counts, size_hw)
        segmentation = [fields.plain(outline.ravel()) for outline in outlines]
    return {
        "segmentation": segmentation,
        "area": int(masks.areas[i]),
        "bbox": fields.plain(rle.coco_box(counts, size_hw)),
    }


# ----------------------------------------------------------------------------- reading


def read(
    source: Source, file_name: str | None = None, *, image_id: Hashable | None = None
) -> Masks:
    """Read the masks of one image.

    Args:
        source: A path, the bytes of a file, or a file opened for reading bytes.
        file_name: Which image, if there are several.
        image_id: The same by its ``id``.

    Raises:
        InputError: The file is missing, damaged, or not in this layout; or has several images and
            none is named.

    Examples:
        >>> masks = read("instances_val2017.json", "000000000139.jpg")  # doctest: +SKIP
        >>> masks.labels[:2], masks.meta[0]["category"]["supercategory"]  # doctest: +SKIP
        (('potted plant', 'potted plant'), 'furniture')
    """
    content = files.load(source)
    document = fields.read_json(content)
    with fields.understanding(f"{content.name} as COCO"):
        images = document["images"]
        chosen = [
            image
            for image in images
            if file_name in (None, str(image.get("file_name")))
            and image_id in (None, image.get("id"))
        ]
        if len(chosen) != 1:
            names = [str(image.get("file_name")) for image in images]
            asked = [f"named {file_name!r}"] if file_name is not None else []
            asked += [f"with id {image_id!r}"] if image_id is not None else []
            raise InputError(
                f"expected one image{' ' * bool(asked)}{' and '.join(asked)}, got {len(chosen)} of "
                f"{len(names)} images; choose with file_name, such as "
                f"{', '.join(map(repr, names[:3]))}, or use coco.read_all"
            )
        return _read_images(content, document, chosen)[0]


def read_all(source: Source) -> list[Masks]:
    """Read the masks of every image, in the order of the file; `Masks.source` names the image.

    Args:
        source: A path, the bytes of a file, or a file opened for reading bytes.

    Raises:
        InputError: The file is missing, damaged, or not in this layout.
    """
    content = files.load(source)
    document = fields.read_json(content)
    with fields.understanding(f"{content.name} as COCO"):
        return _read_images(content, document, document["images"])


def _read_images(content: Content, document: Entry, images: Sequence[Entry]) -> list[Masks]:
    """Read the masks of some of the document's images."""
    of_image = _by_image(content, document)
    categories, about = read_about(document)
    bare: list[Any] = []
    found = [
        read_image(image, of_image[fields.plain_id(image["id"])], categories, about, bare)
        for image in images
    ]
    warn_bare(bare, content.name)
    return found


def read_about(document: Entry) -> tuple[dict[Any, Any], Entry]:
    """Give the categories by their ids, and all that a file says beside images and annotations.

    All is locked once, so that all masks share one record of each.
    """
    rest = {k: v for k, v in document.items() if k not in ("images", "annotations")}
    listed = rest.pop("categories", None) or []
    named = [record for record in listed if not record.get("unlabelled")]
    rest |= {"categories": named} if named else {}
    rest = {k: v for k, v in rest.items() if (k, v) != ("info", _INFO)}
    about = check_meta(fields.finite(rest), "what the file says")
    categories: dict[Any, Any] = {fields.plain_id(record["id"]): None for record in listed}
    categories |= {fields.plain_id(record["id"]): record for record in about.get("categories", ())}
    return categories, about


def warn_bare(bare: Sequence[Any], shown: str) -> None:
    """Warn of annotations without a mask, by their ids."""
    if bare:
        warnings.warn(
            f"{len(bare)} annotations of {shown} cover no pixel ({_few(bare)}): they have a box, "
            "keypoints or nothing instead of a mask, and come as empty masks",
            stacklevel=4,
        )


def warn_lost(number: int, ids: Sequence[Any], shown: str) -> None:
    """Warn of annotations whose images, by these ids, are not listed."""
    warnings.warn(
        f"{number} annotations of {shown} are of images that it does not list (ids {_few(ids)}) "
        "and are left out",
        stacklevel=5,
    )


def _by_image(content: Content, document: Entry) -> dict[Any, list[Entry]]:
    images = document["images"]
    of_image: dict[Any, list[Entry]] = {fields.plain_id(image["id"]): [] for image in images}
    if len(of_image) < len(images):
        raise InputError(
            f"expected {len(images)} images with ids of their own, got {len(of_image)} different "
            "ids; number the images anew"
        )
    lost = []
    for entry in document["annotations"]:
        number = fields.plain_id(entry["image_id"])
        if number in of_image:
            of_image[number].append(entry)
        else:
            lost.append(number)
    if lost:
        warn_lost(len(lost), list(dict.fromkeys(lost)), content.name)
    return of_image


def _few(values: Sequence[Any]) -> str:
    shown = ", ".join(str(value) for value in values[:5])
    return shown + (f" and {len(values) - 5} more" if len(values) > 5 else "")


def read_image(
    image: Entry,
    annotations: Sequence[Entry],
    categories: Mapping[Any, Any],
    about: Entry,
    bare: list[Any],
) -> Masks:
    """Read the masks of one image; ``bare`` gets the ids of annotations that cover nothing."""
    size_hw = (int(image["height"]), int(image["width"]))
    entries = [{"segmentation": None, **entry} for entry in annotations]
    known = fields.read_all(entries, size_hw, score="score")
    labels, metas = [], []
    for place, (entry, counts) in enumerate(zip(entries, known["counts"], strict=True)):
        number = entry.get("id", place + 1)
        with fields.understanding(f"annotation {number}"):
            category = _category(entry, categories)
            labels.append(None if category is None else category_name(category))
            meta = _read_meta(entry, category)
            run_lengths = entry["segmentation"] and isinstance(entry["segmentation"], Mapping)
            if not rle.area(counts) and not run_lengths:
                meta |= {
                    k: fields.finite(entry[k]) for k in ("bbox", "area") if entry.get(k) is not None
                }
                bare.append(number)
            metas.append(meta)
    image_meta = {"id": image["id"], **fields.read_meta(image, _IMAGE)}
    return Masks(
        **known,
        source=image.get("file_name") or None,
        model=image.get("model"),
        geo=fields.read_geo(image),
        labels=tuple(labels),
        meta=tuple(metas),
        image_meta=image_meta | ({"document": about} if about else {}),
    )


def _read_meta(entry: Entry, category: Entry | None) -> dict[str, Any]:
    meta = {"id": entry["id"]} if "id" in entry else {}
    meta |= {"iscrowd": 1} if fields.read_iscrowd(entry) else {}
    meta |= {} if category is None else {"category": category}
    return meta | fields.read_meta(entry, _ANNOTATION)


def _category(entry: Entry, categories: Mapping[Any, Any]) -> Entry | None:
    """Find the record of an annotation's category; of an unknown one, only its id is known."""
    number = entry.get("category_id")
    if number is None:
        return None
    found: Entry | None = categories.get(fields.plain_id(number), {"id": number})
    return found


FORMAT = Format(
    ".json",
    write,
    read,
    keys=frozenset({"images", "annotations"}),
    place=_PLACE,
    collect=collect,
)
