"""CVAT for images 1.1: one XML for any number of images, as CVAT exports and imports it.

A mask is written as CVAT's shape of pixels (``<mask>``), which holds holes and pieces; or, if
wanted, as polygons, one for each piece, which a ``group_id`` joins. Read are masks, polygons,
boxes (turned ones, too) and ellipses; shapes of one label and ``group_id`` are one mask. What
encloses nothing (points and lines) and cuboids and skeletons become empty masks that keep their
shape, with a warning, and are written again. A box becomes the mask that fills it, with a warning,
for it may be meant as a box; while the mask stays so, it is written as a box again.

``attributes``, ``occluded``, ``z_order``, ``group_id`` and ``source`` (who drew it, unless by hand)
of a shape are in `Masks.meta`, by these names. `Masks.image_meta` has what is said of the image
(``id``, ``subset``, ``task_id``), its ``tags``, and as ``cvat`` the labels with their colours and
attributes and what is said of the task. Scores, prompts and ids have no place: a `DataWarning` says
so. A mask without a label is called "object", and comes back so.

The images are read one by one; no more than the shapes of one lie in memory. ``.zip`` is CVAT's
export with images: ``annotations.xml`` and ``images/``.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from anymask.atomic import Target, output
from anymask.data.readers.notes import Notes
from anymask.errors import InputError
from anymask.folder import ResumableFolder
from anymask.formats import Format, files
from anymask.formats import annotation as fields
from anymask.formats import cvat_shapes as shapes
from anymask.formats import cvat_zip as zipped
from anymask.formats.classes import UNLABELLED
from anymask.formats.cvat_meta import Meta, read_meta
from anymask.formats.files import Content, Source
from anymask.formats.groups import Groups, is_group
from anymask.formats.losses import Losses
from anymask.formats.shapes import has_holes, image_size
from anymask.formats.xml_stream import children_of_root, writable
from anymask.masks import polygon, rle
from anymask.masks.fields import check_meta
from anymask.masks.masks import Masks
from anymask.masks.rle import Counts

__all__ = ["FORMAT", "collect", "read", "read_all", "write", "writer"]

_PLACE = "annotations.xml"
_OPEN = "shapes that enclose nothing (points, lines), cuboids and skeletons come as empty masks"
_BOX = "boxes come as masks that fill them"
_OUTSIDE = "shapes that reach beyond the image are cut at its border"
_MIXED = "of shapes that are one object, only the attributes of the first are kept"
_TRACKS = "tracks, which only CVAT for video has, are left out"
_OURS = ("attributes", "occluded", "z_order", "group_id", "source", "shape")
_COMMON = {"label", "source", "occluded", "z_order", "group_id"}
_IMAGE = {"name", "width", "height"}

# ----------------------------------------------------------------------------- writing


def write(
    target: Target,
    masks: Masks | Iterable[Masks],
    *,
    shapes: Literal["mask", "polygon"] = "mask",
) -> None:
    """Write the masks of one image, or of several.

    Args:
        target: A path, or a file opened for writing bytes; a path that ends in ``.zip`` gets what
            CVAT imports as a zip.
        masks: Of one image, or of each.
        shapes: See `writer`.

    Raises:
        OutputError: The file cannot be written; what was there before is untouched.

    Examples:
        >>> import io
        >>> import numpy as np
        >>> file = io.BytesIO()
        >>> masks = Masks.from_dense(np.ones((1, 2, 3), bool), labels=["sky"], source="a.jpg")
        >>> write(file, masks)
        >>> b'rle="0, 6" left="0" top="0" width="3" height="2"' in file.getvalue()
        True
        >>> read(file.getvalue()).labels
        ('sky',)
    """
    with writer(target, shapes=shapes) as add:
        for entry in [masks] if isinstance(masks, Masks) else masks:
            add(entry)


@contextmanager
def writer(
    target: Target, *, names: Iterable[str] = (), shapes: Literal["mask", "polygon"] = "mask"
) -> Iterator[Callable[..., None]]:
    """Write image by image, so that a folder of any size needs the memory of one image.

    Args:
        target: A path, or a file opened for writing bytes. In a path that ends in ``.zip`` lie the
            images, too.
        names: The first labels.
        shapes: "mask": pixels; "polygon": outlines, for masks without holes, whose corners can be
            moved in CVAT.

    Yields:
        A function that adds the masks of one more image and, for a zip, the path of the image. The
        file appears when the block ends; if it ends with an error, nothing does.

    Raises:
        OutputError: The file cannot be written; what was there before is untouched.
    """
    if shapes not in ("mask", "polygon"):
        raise InputError(f"expected shapes of mask or polygon, got {shapes!r}; name one")
    path = files.path_of(target)
    meta, losses, number = Meta(names), Losses("CVAT"), 0
    with output(target) as file, tempfile.TemporaryFile() as body:
        is_zip = path is not None and path.suffix.lower() == ".zip"
        archive = zipped.Writer(file) if is_zip else None

        def add(masks: Masks, image: Path | None = None) -> None:
            nonlocal number
            element = _image(masks, number, meta, losses, shapes)
            if archive is not None and image is not None:
                archive.add(image, element.attrib["name"])
            _dump(body, element)
            number += 1

        yield add
        body.seek(0)
        if archive is None:
            _finish(file, body, meta.element(number))
        else:
            with archive.annotations() as annotations:
                _finish(annotations, body, meta.element(number))
            archive.close()
    losses.warn("the file" if path is None else repr(str(path)))


@contextmanager
def collect(
    folder: ResumableFolder, names: Iterable[str] = ()
) -> Iterator[Callable[[str, Masks, Path | None], None]]:
    """Write the images of a folder of results to its ``annotations.xml``; see `Format.collect`.

    Args:
        folder: Where somebody is at work.
        names: The first labels.
    """
    with folder.writing(_PLACE) as draft, writer(draft, names=names) as add:
        yield lambda name, masks, image: add(masks)


def _finish(file: IO[bytes], body: IO[bytes], meta: Element) -> None:
    file.write(b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
    _dump(file, meta)
    shutil.copyfileobj(body, file)
    file.write(b"</annotations>\n")


def _dump(file: IO[bytes], element: Element) -> None:
    ElementTree.indent(element, level=1)
    file.write(b"  " + ElementTree.tostring(element, encoding="utf-8") + b"\n")


def _image(masks: Masks, number: int, meta: Meta, losses: Losses, kind: str) -> Element:
    h, w = masks.size_hw
    about = dict(masks.image_meta)
    meta.add(about.pop("cvat", None))
    wanted = about.pop("id", None)
    said = {
        key: str(about.pop(key))
        for key in ("subset", "task_id")
        if isinstance(about.get(key), str | int)
    }
    tags = about.pop("tags", ())
    element = Element(
        "image",
        {
            "id": str(wanted if is_group(wanted) else number),
            "name": writable(PurePosixPath(masks.source or f"image-{number}").as_posix()),
            **said,
            "width": str(w),
            "height": str(h),
        },
    )
    losses.add_fields(masks, held=("meta",))
    losses.add("entry of image_meta", len(about))
    losses.change("mask without a label", f"became {UNLABELLED!r}", masks.labels.count(None))
    groups = Groups()
    for i in range(len(masks)):
        _put(element, masks, i, meta, groups, losses, kind)
    for tag in tags if isinstance(tags, list | tuple) else ():
        if isinstance(tag, Mapping) and isinstance(tag.get("label"), str):
            attributes = _attributes(tag.get("attributes"))
            label, source = meta.label(tag["label"], attributes), str(tag.get("source", "manual"))
            child = _child(element, "tag", {"label": label, "source": source})
            _put_attributes(child, attributes)
    return element


def _put(
    element: Element, masks: Masks, i: int, meta: Meta, groups: Groups, losses: Losses, kind: str
) -> None:
    """Write a mask as one or more shapes."""
    drawn = list(_drawn(masks, i, kind))
    if not drawn:
        losses.add("empty mask")
        return
    about = masks.meta[i]
    attributes = _attributes(about.get("attributes"))
    label = meta.label(masks.labels[i], attributes)
    wanted = about.get("group_id") if is_group(about.get("group_id")) else None
    group = groups.number(label, wanted if (wanted or 0) > 0 else None, len(drawn) > 1)
    order = about.get("z_order")
    common = {
        "label": label,
        "source": about["source"] if isinstance(about.get("source"), str) else "manual",
        "occluded": str(int(about.get("occluded") in (True, 1, "1"))),
    }
    last = {"z_order": str(order if is_group(order) else 0)}
    last |= {} if group is None else {"group_id": str(group)}
    for place, (tag, attrib, parts) in enumerate(drawn):
        child = _child(element, tag, {**common, **attrib, **last})
        child.extend(parts)
        if place == 0:
            _put_attributes(child, attributes)
    held = {name for name in _OURS if name in about}
    losses.add("entry of meta", len(about.keys() - held))


def _child(element: Element, tag: str, attrib: Mapping[str, str]) -> Element:
    return ElementTree.SubElement(
        element, tag, {name: writable(value) for name, value in attrib.items()}
    )


def _attributes(said: object) -> dict[str, str]:
    """Give the attributes of a shape as text."""
    items = said.items() if isinstance(said, Mapping) else ()
    return {str(key): _text(value) for key, value in items}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _put_attributes(element: Element, attributes: Mapping[str, str]) -> None:
    for name, value in attributes.items():
        child = _child(element, "attribute", {"name": name})
        child.text = writable(value)


def _drawn(masks: Masks, i: int, kind: str) -> Iterator[tuple[str, dict[str, str], list[Element]]]:
    """Draw a mask: kinds of shapes, what says where they are, and what is in them."""
    counts, size_hw = masks.counts[i], masks.size_hw
    kept = masks.meta[i].get("shape")
    if isinstance(kept, Mapping) and _is_still(kept, counts, size_hw):
        where = {k: str(v) for k, v in kept.items() if k not in ("type", "parts")}
        parts = kept.get("parts")
        yield str(kept["type"]), where, [_part(p) for p in parts or () if isinstance(p, Mapping)]
    elif not masks.areas[i]:
        return
    elif kind == "mask" or has_holes(counts, size_hw):
        yield "mask", shapes.mask_attributes(counts, masks.boxes[i], size_hw[0]), []
    else:
        for outline in polygon.trace(counts, size_hw):
            yield "polygon", {"points": shapes.points_text(outline)}, []


def _is_still(kept: Mapping[str, Any], counts: Counts, size_hw: tuple[int, int]) -> bool:
    """Return whether a mask still is what the shape that it was read from encloses."""
    kind = kept.get("type")
    if kind not in shapes.KEPT:
        return isinstance(kind, str) and kind.isidentifier() and not rle.area(counts)
    try:
        drawn, _ = shapes.draw(Element(kind, {k: str(v) for k, v in kept.items()}), size_hw)
    except (InputError, KeyError, ValueError):
        return False
    return bool(drawn.tolist() == counts.tolist())


def _part(record: Mapping[str, Any]) -> Element:
    """Write a part of a skeleton."""
    where = {str(k): writable(str(v)) for k, v in record.items() if k != "attributes"}
    part = Element("points", where)
    _put_attributes(part, _attributes(record.get("attributes")))
    return part


# ----------------------------------------------------------------------------- reading


def read(source: Source, file_name: str | None = None) -> Masks:
    """Read the masks of one image.

    Args:
        source: A path, the bytes of a file, or a file opened for reading bytes; an XML or a zip.
        file_name: Which image, if there are several.

    Raises:
        InputError: The file is missing, damaged, or not in this layout; or has several images and
            none is named.
    """
    found, names = None, []
    for masks in read_all(source):
        if file_name in (None, masks.source):
            found = masks
            names.append(masks.source)
    if found is None or len(names) > 1:
        asked = "" if file_name is None else f" named {file_name!r}"
        raise InputError(
            f"expected one image{asked} in {files.load(source).name}, got {len(names)}; choose "
            "with file_name, or use cvat.read_all"
        )
    return found


def read_all(source: Source) -> Iterator[Masks]:
    """Read the masks of every image, one image after the other; `Masks.source` names it.

    Args:
        source: See `read`.

    Raises:
        InputError: The file is missing, damaged, or not in this layout; what comes before the
            damage is read.
    """
    content = files.load(source)
    with zipped.open_annotations(content, _PLACE) as (file, shown):
        yield from _read(file, shown, content)


def _read(file: IO[bytes], shown: str, content: Content) -> Iterator[Masks]:
    notes = Notes(content.path or Path(content.name))
    about: Mapping[str, Any] = {}
    images = tracks = 0
    for element in children_of_root(file, shown, root="annotations"):
        if element.tag == "meta":
            said = read_meta(element)
            # Locked once, so that all images share one record.
            about = check_meta({"cvat": said} if said else {}, "what the file says")
        elif element.tag == "image":
            with fields.understanding(f"image {element.get('name', images + 1)!r} of {shown}"):
                masks = _read_image(element, about, notes)
            images += 1
            yield masks
        elif element.tag == "track":
            tracks += 1
            notes.add(_TRACKS, f"track {element.get('id', tracks)}")
    if tracks and not images:
        raise InputError(
            f"expected CVAT for images 1.1 in {shown}, got CVAT for video, which has tracks; "
            "export the task as CVAT for images"
        )
    notes.warn()


def _read_image(element: Element, about: Mapping[str, Any], notes: Notes) -> Masks:
    size_hw = image_size(element.get("width"), element.get("height"))
    name = element.attrib["name"].replace("\\", "/")
    objects: dict[Any, list[Element]] = {}
    tags = []
    for number, child in enumerate(element):
        if child.tag == "tag":
            tags.append(_read_tag(child))
            continue
        group = _number(child.get("group_id"), "group_id")
        alone = group is None or group < 1 or child.tag not in shapes.GEOMETRY
        key = number if alone else (child.attrib["label"], group)
        objects.setdefault(key, []).append(child)
    drawn = []
    for place, some in enumerate(objects.values(), 1):
        with fields.understanding(f"shape {place}, a {some[0].tag}"):
            drawn.append(_read_object(some, size_hw, notes, name))
    said: dict[str, Any] = {k: v for k, v in element.attrib.items() if k not in _IMAGE}
    if said.get("id", "").isdecimal():
        said |= {"id": int(said["id"])}
    return Masks(
        size_hw,
        tuple(counts for counts, _, _ in drawn),
        labels=tuple(label for _, label, _ in drawn),
        meta=tuple(meta for _, _, meta in drawn),
        source=name,
        image_meta={**said, **({"tags": tags} if tags else {}), **about},
    )


def _read_object(
    some: list[Element], size_hw: tuple[int, int], notes: Notes, image: str
) -> tuple[Counts, str, dict[str, Any]]:
    """Read the shapes of one object: its mask, its label, and what else is known."""
    first = some[0]
    label = first.attrib["label"]
    example = f"a {first.tag} called {label!r} of {image!r}"
    kept: dict[str, Any] = {}
    masks = []
    for shape in some:
        if shape.tag not in shapes.GEOMETRY:
            notes.add(_OPEN, example)
            masks.append(np.array([size_hw[0] * size_hw[1]], dtype=np.uint32))
            kept = _kept(shape)
            continue
        counts, beyond = shapes.draw(shape, size_hw)
        masks.append(counts)
        if beyond:
            notes.add(_OUTSIDE, example)
        if shape.tag == "box":
            notes.add(_BOX, example)
        if len(some) == 1 and (shape.tag in shapes.KEPT or not rle.area(counts)):
            kept = _kept(shape)
    if any(_read_attributes(shape) not in ({}, _read_attributes(first)) for shape in some):
        notes.add(_MIXED, example)
    meta = _read_about(first) | ({"shape": kept} if kept else {})
    return (rle.merge(masks) if len(masks) > 1 else masks[0]), label, meta


def _kept(shape: Element) -> dict[str, Any]:
    """Keep a shape as it is, without what is kept of every mask."""
    where = {key: value for key, value in shape.attrib.items() if key not in _COMMON}
    parts = [
        {**part.attrib, **({"attributes": a} if (a := _read_attributes(part)) else {})}
        for part in shape.iter("points")
        if part is not shape
    ]
    return {"type": shape.tag, **where, **({"parts": parts} if parts else {})}


def _read_about(shape: Element) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    if attributes := _read_attributes(shape):
        meta["attributes"] = attributes
    if shape.get("occluded", "0").strip().lower() in ("1", "true"):
        meta["occluded"] = 1
    for name in ("z_order", "group_id"):
        if number := _number(shape.get(name), name):
            meta[name] = number
    if shape.get("source", "manual") != "manual":
        meta["source"] = shape.attrib["source"]
    return meta


def _read_attributes(shape: Element) -> dict[str, str]:
    return {child.attrib["name"]: child.text or "" for child in shape.findall("attribute")}


def _read_tag(tag: Element) -> dict[str, Any]:
    attributes = _read_attributes(tag)
    source = tag.get("source", "manual")
    return {
        "label": tag.attrib["label"],
        **({"source": source} if source != "manual" else {}),
        **({"attributes": attributes} if attributes else {}),
    }


def _number(text: str | None, name: str) -> int | None:
    if text is None or not text.strip():
        return None
    try:
        return int(text)
    except ValueError:
        raise InputError(
            f"expected a whole number as {name}, got {text[:40]!r}; correct the file"
        ) from None


def _recognises(head: bytes) -> bool:
    text = head.replace(b"\0", b"") if head.startswith((b"\xff\xfe", b"\xfe\xff")) else head
    is_xml = text.startswith((b"<", b"\xff\xfe<", b"\xfe\xff<")) and b"<annotations" in text
    return is_xml or zipped.is_zip(head)


FORMAT = Format(
    ".xml",
    write,
    read,
    recognises=_recognises,
    place=_PLACE,
    collect=collect,
)
