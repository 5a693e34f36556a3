"""LabelMe JSON: one file for each image, as the labelling tool LabelMe reads and writes it.

A mask is written as polygons along the edges of its pixels, one for each of its pieces, which a
``group_id`` joins; a mask with holes, which polygons there cannot have, as LabelMe's shape of kind
"mask": a box and a PNG in base64. Shapes of one label and ``group_id`` are one mask, as they are
one instance in LabelMe. What encloses nothing (points and lines) and kinds of shapes that are not
known here become empty masks that keep their shape, with a warning, and are written again.

Beside LabelMe's own fields a shape has those of `Masks`, by the names that they have in COCO files
here, and all that is in `Masks.meta`, ``flags`` and ``description`` included; LabelMe keeps them.
Only empty masks have no shape: they are left out, and a `DataWarning` says so. A mask without a
label is called "object", and ``unlabelled`` says that it has none.
"""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.atomic import Target, output
from anymask.data.readers.notes import Notes
from anymask.errors import InputError
from anymask.formats import Format, files
from anymask.formats import annotation as fields
from anymask.formats.classes import UNLABELLED
from anymask.formats.files import Content, Source
from anymask.formats.groups import Groups, is_group
from anymask.formats.images import SUFFIXES
from anymask.formats.losses import Losses
from anymask.formats.shapes import ellipse, has_holes, rectangle
from anymask.image.pixels import read_size
from anymask.masks import polygon, rle
from anymask.masks.masks import Masks
from anymask.masks.rle import Counts

__all__ = ["FORMAT", "find_image", "read", "write"]

_VERSION = "5.5.0"  # of LabelMe, whose fields these are
_SHAPE = {
    *("label", "points", "group_id", "shape_type", "mask", "unlabelled", "track_id"),
    *("score", "stability_score", "point_coords", "point_labels", "prompt_box"),
}
_DOCUMENT = {
    *("version", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth", "model", "geo"),
}
_FOUR = ("oriented_rectangle", "rotation", "quadrilateral")
_OPEN = "shapes that enclose nothing, or are of a kind that is not known, come as empty masks"
_OUTSIDE = "shapes that reach beyond the image are cut at its border"

# ----------------------------------------------------------------------------- writing


def write(
    target: Target,
    masks: Masks,
    *,
    image_path: str | None = None,
    image: str | os.PathLike[str] | None = None,
    shapes: Literal["polygon", "mask"] = "polygon",
    tolerance: float = 0,
) -> None:
    """Write the masks of one image.

    Args:
        target: A path, or a file opened for writing bytes.
        masks: Any number of masks.
        image_path: Where LabelMe finds the image, from the folder of the file; None: where
            `Masks.source` is, if it is a file, or what it says.
        image: The image's file, to be put into ``imageData``; None: LabelMe opens it by its path.
        shapes: "polygon": outlines, whose corners can be moved in LabelMe, for masks without holes;
            "mask": pixels for all. LabelMe paints polygons with their border, a pixel wider.
        tolerance: How far, in pixels, polygons may be from the true outlines to have fewer corners.

    Raises:
        OutputError: The file cannot be written; what was there before is untouched.

    Examples:
        >>> file = io.BytesIO()
        >>> write(file, Masks.from_dense(np.ones((1, 2, 3), bool), labels=["sky"]))
        >>> json.loads(file.getvalue())["shapes"][0]["points"]
        [[0, 0], [3, 0], [3, 2], [0, 2]]
    """
    if shapes not in ("polygon", "mask"):
        raise InputError(f"expected shapes of polygon or mask, got {shapes!r}; name one")
    losses = Losses("LabelMe")
    path = Path(target) if isinstance(target, str | os.PathLike) else None
    h, w = masks.size_hw
    meta = dict(masks.image_meta)
    flags = meta.pop("flags") if isinstance(meta.get("flags"), Mapping) else {}
    document = {
        "version": meta.pop("version") if isinstance(meta.get("version"), str) else _VERSION,
        "flags": flags,
        "shapes": _shapes(masks, losses, shapes, tolerance),
        "imagePath": _image_path(masks.source, path) if image_path is None else image_path,
        "imageData": None if image is None else _embedded(image),
        "imageHeight": h,
        "imageWidth": w,
        **fields.geo_field(masks.geo),
        **({} if masks.model is None else {"model": masks.model}),
        **fields.meta_fields(meta, _DOCUMENT | {"flags"}),
    }
    with output(target) as file:
        file.write(json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False).encode())
    losses.warn("the file" if path is None else repr(str(path)))


def _image_path(source: str | None, target: Path | None) -> str:
    """Say where the image is, from the folder of the file that is written."""
    if source and target is not None and os.path.isfile(source):
        try:
            source = os.path.relpath(source, os.path.dirname(os.path.abspath(target)))
        except ValueError:  # on another drive of Windows
            source = os.path.abspath(source)
    return Path(source or "").as_posix() if source else ""


def _embedded(image: str | os.PathLike[str]) -> str:
    return base64.b64encode(files.load(image).data).decode()


def _shapes(masks: Masks, losses: Losses, kind: str, tolerance: float) -> list[dict[str, Any]]:
    shapes: list[dict[str, Any]] = []
    groups = Groups()
    for i in range(len(masks)):
        drawn = list(_drawn(masks, i, kind, tolerance))
        if not drawn:
            losses.add("empty mask")
            continue
        meta = dict(masks.meta[i])
        label = masks.labels[i]
        wanted = meta.pop("group_id") if is_group(meta.get("group_id")) else None
        said = meta.pop("description") if isinstance(meta.get("description"), str) else ""
        common = {
            "label": UNLABELLED if label is None else label,
            "group_id": groups.number(
                UNLABELLED if label is None else label, wanted, len(drawn) > 1
            ),
            "description": said,
            "flags": _flags(meta),
        }
        for kept in ("shape_type", "points") if not masks.areas[i] else ():
            meta.pop(kept, None)
        known = {
            **({"unlabelled": True} if label is None else {}),
            "score": fields.known(masks.scores[i]),
            "stability_score": fields.known(masks.stability[i]),
            **({} if masks.prompts[i] is None else fields.prompt_fields(masks.prompts[i])),
            **fields.track_field(masks.ids[i]),
        }
        own = {name: value for name, value in known.items() if value is not None}
        taken = fields.names_taken(masks, i, _SHAPE) | {"flags", "description"}
        own |= fields.meta_fields(meta, taken)
        # What is known of an object stands in its first shape.
        shapes += [{**common, **shape, **(own if k == 0 else {})} for k, shape in enumerate(drawn)]
    return shapes


def _flags(meta: dict[str, Any]) -> dict[str, bool]:
    """Take the flags of a shape out of what is known of it; LabelMe refuses any but yes and no."""
    flags = meta.get("flags")
    if isinstance(flags, Mapping) and all(isinstance(flag, bool) for flag in flags.values()):
        del meta["flags"]
        return dict(flags)
    return {}


def _drawn(masks: Masks, i: int, kind: str, tolerance: float) -> Iterator[dict[str, Any]]:
    """Draw a mask as shapes."""
    meta, counts, size_hw = masks.meta[i], masks.counts[i], masks.size_hw
    if not masks.areas[i]:
        if "shape_type" in meta and "points" in meta:  # it was read from a point or a line
            yield {"points": meta["points"], "shape_type": meta["shape_type"], "mask": None}
        return
    if kind == "mask" or has_holes(counts, size_hw):
        yield _png(masks, i)
        return
    for outline in polygon.trace(counts, size_hw, tolerance):
        yield {"points": fields.plain(outline), "shape_type": "polygon", "mask": None}


def _png(masks: Masks, i: int) -> dict[str, Any]:
    x0, y0, x1, y1 = (int(side) for side in masks.boxes[i])
    part = rle.crop(masks.counts[i], masks.size_hw, (x0, y0, x1 + 1, y1 + 1))
    file = io.BytesIO()
    PIL.Image.fromarray(rle.decode(part, (y1 + 1 - y0, x1 + 1 - x0))).save(file, format="PNG")
    return {
        "points": [[x0, y0], [x1, y1]],
        "shape_type": "mask",
        "mask": base64.b64encode(file.getvalue()).decode(),
    }


# ----------------------------------------------------------------------------- reading


def read(source: Source) -> Masks:
    """Read the masks of one image.

    Args:
        source: A path, the bytes of a file, or a file opened for reading bytes.

    Raises:
        InputError: The file is missing, damaged, or not in this layout, or its image is not there
            although it alone tells the size.
    """
    content = files.load(source)
    document = fields.read_json(content)
    notes = Notes(content.path or Path(content.name))
    with fields.understanding(f"{content.name} as LabelMe"):
        size_hw = _size(document, content)
        masks = _read(document, size_hw, notes)
    notes.warn()
    return masks


def _size(document: Mapping[str, Any], content: Content) -> tuple[int, int]:
    """Find height and width of the image: what the file says, or what the image has."""
    sides = document.get("imageHeight"), document.get("imageWidth")
    said = None if None in sides else (int(sides[0]), int(sides[1]))  # type: ignore[arg-type]
    stored = document.get("imageData")
    if stored:
        inside = _size_inside(_decoded(stored))
        if said is None or sorted(inside) != sorted(said):  # it may lie on its side
            if said is not None:
                raise InputError(
                    f"expected an image of (h, w) = {said} in it, got {inside}; save it again with "
                    "the image that it belongs to"
                )
            return inside
    if said is not None:
        return said
    image_path = find_image(document, content.path)
    if image_path is None:
        raise InputError(
            f"expected imageHeight and imageWidth, or the image {document.get('imagePath')!r}, got "
            "neither; put the image beside the file"
        )
    return read_size(image_path, upright=True)


def _size_inside(data: bytes) -> tuple[int, int]:
    try:
        with PIL.Image.open(io.BytesIO(data)) as image:
            return image.height, image.width
    except (OSError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise InputError(
            f"expected an image in imageData, got none ({error}); save the file again"
        ) from error


def find_image(document: Mapping[str, Any], path: Path | None) -> Path | None:
    """Find the image of a file, by what it says or by its own name.

    Args:
        document: What is in the file.
        path: Where it is.
    """
    if path is None:
        return None
    said = _posix(document.get("imagePath"))
    candidates = [path.parent / said, path.parent / Path(said).name] if said else []
    candidates += [path.with_suffix(suffix) for suffix in SUFFIXES]
    return next((found for found in candidates if found.is_file()), None)


def _posix(path: Any) -> str:
    """Write a path with slashes; LabelMe on Windows writes the others."""
    return PureWindowsPath(str(path)).as_posix() if path else ""


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=False)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"expected an image in base64, got something else ({error}); save the file again"
        ) from error


def _read(document: Mapping[str, Any], size_hw: tuple[int, int], notes: Notes) -> Masks:
    objects: dict[Any, list[Mapping[str, Any]]] = {}
    for number, shape in enumerate(document["shapes"], 1):
        with fields.understanding(f"shape {number}"):
            group = shape.get("group_id")
            key = (None, number) if group is None else (str(shape["label"]), group)
            objects.setdefault(key, []).append({**shape, _NUMBER: number})
    counts = [_join([_draw(s, size_hw, notes) for s in some]) for some in objects.values()]
    first = [{k: v for k, v in some[0].items() if k != _NUMBER} for some in objects.values()]
    known = fields.read_all(
        [{**shape, "segmentation": None} for shape in first], size_hw, score="score"
    )
    meta = fields.read_meta(document, _DOCUMENT)
    if not meta.get("flags"):
        meta.pop("flags", None)
    version = document.get("version")
    return Masks(
        **{**known, "counts": tuple(counts)},
        labels=tuple(None if s.get("unlabelled") else str(s["label"]) for s in first),
        meta=tuple(_meta(s, c) for s, c in zip(first, counts, strict=True)),
        source=_posix(document.get("imagePath")) or None,
        model=document.get("model"),
        geo=fields.read_geo(document),
        image_meta=meta | ({} if version in (None, _VERSION) else {"version": version}),
    )


_NUMBER = "\0number"  # of a shape, for messages


def _join(parts: Sequence[Counts]) -> Counts:
    return rle.merge(parts) if len(parts) > 1 else parts[0]


def _meta(shape: Mapping[str, Any], counts: Counts) -> dict[str, Any]:
    meta = fields.read_meta(shape, _SHAPE)
    for name in ("flags", "description"):
        if not meta.get(name):
            meta.pop(name, None)
    if shape.get("group_id") is not None:
        meta["group_id"] = shape["group_id"]
    if not rle.area(counts):
        meta |= {"shape_type": shape.get("shape_type"), "points": fields.finite(shape["points"])}
    return meta


def _draw(shape: Mapping[str, Any], size_hw: tuple[int, int], notes: Notes) -> Counts:
    """Draw one shape."""
    example = f"shape {shape[_NUMBER]}, a {shape.get('shape_type')} called {shape['label']!r}"
    with fields.understanding(example):
        kind = shape.get("shape_type") or "polygon"
        points = np.asarray(shape["points"], dtype=np.float64).reshape(-1, 2)
        if not np.isfinite(points).all():
            raise InputError("expected finite coordinates, got others; draw the shape anew")
        if kind == "mask":
            return _read_png(shape["mask"], points, size_hw, notes, example)
        outline = _outline(kind, points)
        if outline is None:
            notes.add(_OPEN, example)
            return np.array([size_hw[0] * size_hw[1]], dtype=np.uint32)
        if outline.min() < 0 or (outline > (size_hw[1], size_hw[0])).any():
            notes.add(_OUTSIDE, example)
        return polygon.fill([outline], size_hw)


def _outline(kind: str, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """Walk round a shape; None: it encloses nothing, or is of no known kind."""
    expected = {"rectangle": 2, "circle": 2, **dict.fromkeys(_FOUR, 4)}.get(kind)
    if expected is not None and len(points) != expected:
        raise InputError(f"expected {expected} points, got {len(points)}; draw the shape anew")
    if kind == "rectangle":
        (x0, y0), (x1, y1) = points
        return rectangle(x0, y0, x1, y1)
    if kind == "circle":
        return _circle(points)
    if kind == "polygon" or kind in _FOUR:
        return points if len(points) >= 3 else None
    return None


def _circle(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Walk round a circle, given its centre and a point on it."""
    radius = float(np.hypot(*(points[1] - points[0])))
    return ellipse(float(points[0, 0]), float(points[0, 1]), radius, radius)


def _read_png(
    text: Any, points: npt.NDArray[np.float64], size_hw: tuple[int, int], notes: Notes, example: str
) -> Counts:
    """Read the mask of a box, whose corners are the first and the last pixel."""
    if len(points) != 2 or not isinstance(text, str):
        raise InputError(
            f"expected two points and a mask in base64, got {len(points)} points and "
            f"{type(text).__name__}; draw the shape anew"
        )
    (x0, y0), (x1, y1) = np.trunc(points).astype(int).tolist()
    try:
        with PIL.Image.open(io.BytesIO(_decoded(text))) as image:
            drawn = np.asarray(image)
    except (OSError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise InputError(f"cannot read the PNG of the mask: {error}; draw it anew") from error
    part = (drawn if drawn.ndim == 2 else drawn[..., :3].max(axis=2)) != 0
    if part.shape != (y1 + 1 - y0, x1 + 1 - x0):
        raise InputError(
            f"expected a mask of (h, w) = {(y1 + 1 - y0, x1 + 1 - x0)}, as its box is, got "
            f"{part.shape}; draw it anew"
        )
    h, w = size_hw
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1 + 1, w), min(y1 + 1, h)
    if (left, top, right, bottom) != (x0, y0, x1 + 1, y1 + 1):
        notes.add(_OUTSIDE, example)
    whole = np.zeros(size_hw, dtype=np.bool_)
    if left < right and top < bottom:
        whole[top:bottom, left:right] = part[top - y0 : bottom - y0, left - x0 : right - x0]
    return rle.encode(whole)


FORMAT = Format(".json", write, read, keys=frozenset({"shapes", "imagePath"}), names_image=True)
