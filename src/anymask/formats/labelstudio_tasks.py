"""A task of Label Studio, read: which of its annotations count, its image, and its masks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from anymask.data.readers.notes import Notes
from anymask.errors import InputError
from anymask.formats import annotation as fields
from anymask.formats.images import SUFFIXES
from anymask.formats.labelstudio_regions import Region, draw, regions_of, size_of
from anymask.formats.shapes import image_size
from anymask.image.pixels import read_size
from anymask.masks.masks import Masks

__all__ = ["Take", "image_name", "read_task"]

Take = Literal["annotations", "predictions", "all"]

_OPEN = "regions that enclose nothing, or are of a kind that is not known, come as empty masks"
_BOX = "rectangles come as masks that fill them"
_OUTSIDE = "regions that reach beyond the image are cut at its border"
_CANCELLED = "annotations that were cancelled are left out"
_DRAFTS = "drafts, which nobody submitted, are left out"
_UNUSED = "predictions of images that people annotated are left out"
_SEVERAL = "images that several people annotated have the masks of all"
_SIZE = "images without regions, whose size is not known, are left out"
_ELSEWHERE = "regions of further images of a task are left out"
_TURNED = "regions of images that were turned in Label Studio are read as if they were not"
_LISTS = ("annotations", "predictions", "completions", "drafts")
_KEPT = ("from_name", "to_name", "type", "parentID", "readonly", "hidden")


@dataclass
class _Read:
    """What was read of a task."""

    records: list[dict[str, Any]] = field(default_factory=list)
    regions: list[tuple[int, Region]] = field(default_factory=list)
    others: list[dict[str, Any]] = field(default_factory=list)


def read_task(
    task: Any,
    number: int,
    notes: Notes,
    take: Take | None,
    data_key: str | None,
    images: Sequence[Path],
) -> Masks | None:
    """Read a task; None: nobody knows how large its image is, and there is nothing on it.

    Args:
        task: As parsed from JSON.
        number: Which one it is in its file.
        notes: Where it is noted what is left out.
        take: See `labelstudio.read_all`.
        data_key: See there.
        images: See there.

    Raises:
        InputError: It is not what it should be.
    """
    task = _mapping(task, "a task")
    if "data" not in task and "annotation_id" in task:
        raise InputError(
            "expected Label Studio's JSON, got its JSON-MIN, which leaves out what masks need; "
            "export as JSON"
        )
    data = _mapping(task["data"], "data")
    address = _address(data, data_key)
    name = image_name(address, number)
    found = _Read()
    for record, is_prediction in _chosen(task, take, notes, name):
        _take_in(found, record, is_prediction, notes, name)
    size_hw = _size(found.regions, data, images, address, name)
    if size_hw is None:
        if found.regions:
            raise InputError(
                "expected original_width and original_height in a region, got neither, and the "
                f"image {name!r} is not there; put it beside the file"
            )
        notes.add(_SIZE, repr(name))
        return None
    return _masks(task, found, size_hw, notes, name)


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(
            f"expected {what} as an object, got {type(value).__name__}; export as JSON"
        )
    return value


def _list(holder: Mapping[str, Any], name: str) -> list[Any]:
    value = holder.get(name)
    if value is not None and not isinstance(value, list):
        raise InputError(
            f"expected {name} as a list, got {type(value).__name__}; export the task again"
        )
    return value or []


# ------------------------------------------------------------------------- the image


def _address(data: Mapping[str, Any], key: str | None) -> str:
    """Find the address of the image."""
    if key is not None and key not in data:
        raise KeyError(key)
    keys = ["image", *data] if key is None else [key]
    values = [data[name] for name in keys if name in data]
    values = [value[0] if isinstance(value, list) and value else value for value in values]
    texts = [value for value in values if isinstance(value, str)]
    likely = [text for text in texts if Path(image_name(text, 0)).suffix.lower() in SUFFIXES]
    known = isinstance(data.get("image"), str) or key is not None
    if not texts:
        raise InputError(
            f"expected the address of an image in data, got {', '.join(map(repr, data)) or 'none'};"
            " name its field with data_key"
        )
    return texts[0] if known or not likely else likely[0]


def image_name(address: str, number: int) -> str:
    """Name the image at an address: its path in the local storage, or the name of its file.

    Args:
        address: What ``data`` says.
        number: Of the task, for images that lie in the address itself.

    Examples:
        >>> image_name("/data/upload/3/0a1b2c3d-cup.jpg", 1)
        'cup.jpg'
        >>> image_name("/data/local-files/?d=photos/a%20cup.jpg", 1)
        'photos/a cup.jpg'
        >>> image_name("https://example.org/photos/cup.jpg?size=9", 1)
        'cup.jpg'
    """
    try:
        parts = urlsplit(address)
    except ValueError:  # as with brackets
        parts = urlsplit("")
    if parts.scheme == "data":
        return f"task-{number}"
    if parts.path.endswith("/local-files/") and (place := parse_qs(parts.query).get("d")):
        return place[0].replace("\\", "/").lstrip("/")
    if len(parts.scheme) > 1:
        return PurePosixPath(unquote(parts.path)).name or f"task-{number}"
    path = address.replace("\\", "/")
    if path.startswith("/data/upload/"):
        return re.sub("^[0-9a-f]{8}-", "", PurePosixPath(path).name) or f"task-{number}"
    return path or f"task-{number}"


def _size(
    regions: Sequence[tuple[int, Region]],
    data: Mapping[str, Any],
    images: Sequence[Path],
    address: str,
    name: str,
) -> tuple[int, int] | None:
    """Find the size of the image: what regions say, or the task, or what the image has."""
    said = {size for _, region in regions if (size := size_of(region.main)) is not None}
    if len(said) > 1:
        raise InputError(
            f"expected regions of one image, got (h, w) = {sorted(said)[0]} and {sorted(said)[1]}; "
            "correct original_width and original_height"
        )
    if said:
        return said.pop()
    if "width" in data and "height" in data:
        return image_size(data["width"], data["height"])
    names = dict.fromkeys([name, PurePosixPath(name).name, PurePosixPath(address).name])
    for path in (folder / each for folder in images for each in names if each):
        if path.is_file():
            return read_size(path, upright=True)  # as browsers show it
    return None


# ------------------------------------------------------------------------- what counts


def _chosen(
    task: Mapping[str, Any], take: Take | None, notes: Notes, name: str
) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """Go through the annotations and predictions that count."""
    made = _list(task, "annotations") or _list(task, "completions")
    annotations = [_mapping(record, "an annotation") for record in made]
    predictions = [_mapping(record, "a prediction") for record in _list(task, "predictions")]
    cancelled = [record for record in annotations if record.get("was_cancelled")]
    annotations = [record for record in annotations if not record.get("was_cancelled")]
    for record in cancelled:
        if record.get("result") and take != "predictions":
            notes.add(_CANCELLED, f"one of {name!r}")
    for draft in _list(task, "drafts"):
        if isinstance(draft, Mapping) and draft.get("result"):
            notes.add(_DRAFTS, f"one of {name!r}")
    if take == "predictions":
        annotations = []
    elif take == "annotations" or (take is None and annotations):
        for record in predictions:
            if record.get("result"):
                notes.add(_UNUSED, f"one of {name!r}")
        predictions = []
    if len({str(record.get("completed_by")) for record in annotations}) > 1:
        notes.add(_SEVERAL, repr(name))
    skipped = [record for record in cancelled if not record.get("result")]
    yield from ((record, False) for record in [*annotations, *skipped])
    yield from ((record, True) for record in predictions)


def _take_in(
    found: _Read, record: Mapping[str, Any], is_prediction: bool, notes: Notes, name: str
) -> None:
    """Sort the results of an annotation."""
    place = len(found.records)
    rest = {key: value for key, value in record.items() if key != "result"}
    found.records.append(rest | ({"is_prediction": True} if is_prediction else {}))
    regions, others = regions_of(_list(record, "result"))
    first = found.regions[0][1].main if found.regions else None
    for region in regions:
        first = region.main if first is None else first
        if region.main.get("to_name") != first.get("to_name") or region.main.get("item_index"):
            notes.add(_ELSEWHERE, f"one of {name!r}")
            continue
        if region.main.get("image_rotation"):
            notes.add(_TURNED, f"one of {name!r}")
        found.regions.append((place, region))
    found.others += [{**result, "annotation": place} for result in others]


# ------------------------------------------------------------------------- the masks


def _masks(
    task: Mapping[str, Any],
    found: _Read,
    size_hw: tuple[int, int],
    notes: Notes,
    name: str,
) -> Masks:
    counts, annotations, labels, metas = [], [], [], []
    for at, (place, region) in enumerate(found.regions, 1):
        with fields.understanding(f"region {at}, a {region.kind}"):
            example = f"a {region.kind} of {name!r}"
            drawn, is_open, beyond = draw(region, size_hw)
            for kind, holds in ((_OPEN, is_open), (_OUTSIDE, beyond)):
                if holds:
                    notes.add(kind, example)
            if region.kind == "rectangle":
                notes.add(_BOX, example)
            own = _mapping(region.main.get("meta") or {}, "meta")
            counts.append(drawn)
            annotations.append({"segmentation": None, **own, "score": region.main.get("score")})
            labels.append(region.labels[0] if region.labels else None)
            metas.append(fields.read_meta(own, _FIELDS) | {"labelstudio": _about(region, place)})
    known = fields.read_all(annotations, size_hw, score="score")
    about = _mapping(task.get("meta") or {}, "meta")
    said = {
        "task": {key: fields.finite(v) for key, v in task.items() if key not in (*_LISTS, "meta")},
        "annotations": fields.finite(found.records),
        **({"results": fields.finite(found.others)} if found.others else {}),
    }
    seconds = [t for record in found.records if (t := _seconds(record)) is not None]
    return Masks(
        **{**known, "counts": tuple(counts)},
        labels=tuple(labels),
        meta=tuple(metas),
        source=name,
        model=_model(about, found.records),
        geo=fields.read_geo(about),
        image_meta={
            **fields.read_meta(about, {"model", "geo"}),
            **({"seconds": sum(seconds)} if seconds else {}),
            "labelstudio": said,
        },
    )


_FIELDS = {"score", "stability_score", "point_coords", "point_labels", "prompt_box", "track_id"}


def _about(region: Region, place: int) -> dict[str, Any]:
    """Keep what a region says beside its mask."""
    main = region.main
    kept = {key: main[key] for key in _KEPT if main.get(key) is not None}
    if main.get("id") is not None:
        kept["id"] = str(main["id"])
    if main.get("origin") not in (None, "manual"):
        kept["origin"] = main["origin"]
    if main.get("image_rotation"):
        kept["image_rotation"] = main["image_rotation"]
    if len(region.labels) > 1:
        kept["labels"] = region.labels
    if region.also:
        kept["also"] = region.also
    if region.kind not in ("brush", "polygon") or region.pieces[0].get("closed") is False:
        kept["shape"] = {"kind": region.kind, "value": dict(region.pieces[0])}
    found: dict[str, Any] = fields.finite({**kept, "annotation": place})
    return found


def _seconds(record: Mapping[str, Any]) -> float | None:
    """Give how long a person took; None: it is not known, or a model's."""
    time = record.get("lead_time")
    known = isinstance(time, int | float) and not isinstance(time, bool) and time >= 0
    counts = known and not (record.get("is_prediction") or record.get("was_cancelled"))
    return float(time) if counts else None  # type: ignore[arg-type]


def _model(about: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> str | None:
    """Name the model that made the masks, if one did."""
    if isinstance(about.get("model"), str):
        return str(about["model"])
    made = {record.get("model_version") for record in records if record.get("is_prediction")}
    alone = len(made) == 1 and all(record.get("is_prediction") for record in records)
    version = made.pop() if alone else None
    return version if isinstance(version, str) and version != "anymask" else None
