"""Label Studio JSON: a list of tasks, as Label Studio exports and imports it.

A mask is written as a brush, in Label Studio's own run lengths, which hold holes and pieces; or, if
wanted and possible, as a polygon. Read are brushes, polygons, rectangles (turned ones, too) and
ellipses; results of one id are one mask. What encloses nothing (key points, open polygons) and
kinds that are not known become empty masks that keep their shape, with a warning, and are written
again. A rectangle becomes the mask that fills it, with a warning, for it may be meant as a box;
while the mask stays so, it is written as a rectangle again.

A task has any number of annotations (of people) and predictions (of models). The masks of all
annotations are read, and those of predictions only where nobody annotated the image: a warning
says how many were left out, and ``take`` chooses otherwise. Annotations that were cancelled, and
drafts, are left out with a warning.

`Masks.image_meta` has, as ``labelstudio``, the rest of the ``task``, the records of its
``annotations`` and ``predictions``, and ``results`` about the image as a whole; and as ``seconds``
how long people took (``lead_time``). `Masks.meta` has of a region what its ``meta`` says, and as
``labelstudio`` its id, further labels and results, and the number of its annotation. All of that
is written again. Our own fields (stability, prompts, ids, meta) lie in ``meta`` of a region, which
Label Studio keeps. Only empty masks without a shape have no place.

Tasks are read one by one; no more than one lies in memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from anymask.atomic import Target, output
from anymask.data.readers.notes import Notes
from anymask.draw.palette import colours_of_labels
from anymask.errors import InputError
from anymask.folder import ResumableFolder
from anymask.formats import Format, files
from anymask.formats import annotation as fields
from anymask.formats.files import Content, Source
from anymask.formats.json_stream import entries
from anymask.formats.labelstudio_regions import CONTROLS, value_of
from anymask.formats.labelstudio_tasks import Take, read_task
from anymask.formats.losses import Losses
from anymask.formats.xml_stream import writable
from anymask.masks.masks import Masks

__all__ = ["FORMAT", "collect", "label_config", "read", "read_all", "write", "writer"]

_PLACE = "tasks.json"
_CONFIG = "label_config.xml"
_REGION = {"score", "stability_score", "point_coords", "point_labels", "prompt_box", "track_id"}
_TASK = {"model", "geo"}
_HEAD = ('"annotations"', '"predictions"', '"completions"', '"data"')

Results = Literal["annotations", "predictions"]
Shapes = Literal["mask", "polygon"]

# ----------------------------------------------------------------------------- writing


def write(
    target: Target,
    masks: Masks | Iterable[Masks],
    *,
    results: Results | None = None,
    shapes: Shapes = "mask",
    image_prefix: str = "",
    data_key: str = "image",
) -> None:
    """Write the masks of one image, or of several, as tasks that Label Studio imports.

    Args:
        target: A path, or a file opened for writing bytes.
        masks: Of one image, or of each.
        results: See `writer`.
        shapes: See `writer`.
        image_prefix: See `writer`.
        data_key: See `writer`.

    Raises:
        OutputError: The file cannot be written; what was there before is untouched.

    Examples:
        >>> import io
        >>> import numpy as np
        >>> file = io.BytesIO()
        >>> masks = Masks.from_dense(np.ones((1, 2, 3), bool), labels=["sky"], source="a.jpg")
        >>> write(file, masks, image_prefix="/data/local-files/?d=photos/")
        >>> json.loads(file.getvalue())[0]["data"]
        {'image': '/data/local-files/?d=photos/a.jpg'}
        >>> read(file.getvalue()).labels
        ('sky',)
    """
    options = {"results": results, "shapes": shapes}
    with writer(target, **options, image_prefix=image_prefix, data_key=data_key) as add:  # type: ignore[arg-type]
        for entry in [masks] if isinstance(masks, Masks) else masks:
            add(entry)


@contextmanager
def writer(
    target: Target,
    *,
    results: Results | None = None,
    shapes: Shapes = "mask",
    image_prefix: str = "",
    data_key: str = "image",
) -> Iterator[Callable[[Masks], None]]:
    """Write task by task, so that a folder of any size needs the memory of one image.

    Args:
        target: A path, or a file opened for writing bytes.
        results: Whether masks are annotations or predictions, which a person accepts or corrects;
            None: what they were read as, else predictions if a model made them.
        shapes: "mask": brushes; "polygon": outlines, for masks of one piece without holes, whose
            corners can be moved.
        image_prefix: What stands before the name of an image, so that Label Studio finds it: such
            as ``"https://example.org/photos/"``, or ``"/data/local-files/?d=photos/"`` for local
            storage.
        data_key: The name in the labelling interface for the address of the image, without ``$``.

    Yields:
        A function that adds the masks of one more image. The file appears when the block ends; if
        it ends with an error, nothing does.

    Raises:
        OutputError: The file cannot be written; what was there before is untouched.
    """
    if shapes not in ("mask", "polygon"):
        raise InputError(f"expected shapes of mask or polygon, got {shapes!r}; name one")
    if results not in (None, "annotations", "predictions"):
        raise InputError(
            f"expected results as annotations or predictions, got {results!r}; name one"
        )
    losses, number = Losses("Label Studio"), 0
    with output(target) as file:

        def add(masks: Masks) -> None:
            nonlocal number
            address = image_prefix + _image_of(masks, number, quoted=bool(image_prefix))
            task = _task(masks, number, {data_key: address}, results, shapes, losses)
            text = json.dumps(task, ensure_ascii=False, allow_nan=False)
            file.write(("[\n" if number == 0 else ",\n").encode() + text.encode("utf-8", "replace"))
            number += 1

        yield add
        file.write(b"\n]\n" if number else b"[]\n")
    path = files.path_of(target)
    losses.warn("the file" if path is None else repr(str(path)))


@contextmanager
def collect(
    folder: ResumableFolder, names: Iterable[str] = (), image_prefix: str = ""
) -> Iterator[Callable[[str, Masks, Path | None], None]]:
    """Write the images of a folder of results to its ``tasks.json``; see `Format.collect`.

    Beside it lies ``label_config.xml``, the labelling interface that these tasks need.

    Args:
        folder: Where somebody is at work.
        names: The first labels.
        image_prefix: See `writer`.
    """
    labels = dict.fromkeys(names)
    with folder.writing(_PLACE) as draft, writer(draft, image_prefix=image_prefix) as add:

        def put(name: str, masks: Masks, image: Path | None) -> None:
            labels.update(dict.fromkeys(label for label in masks.labels if label is not None))
            add(masks)

        yield put
    with folder.writing(_CONFIG) as draft:
        draft.write_text(label_config(labels), encoding="utf-8")


def label_config(labels: Iterable[str], data_key: str = "image") -> str:
    """Write the labelling interface of a project whose tasks `write` made.

    Args:
        labels: What can be labelled.
        data_key: See `writer`.

    Examples:
        >>> print(label_config(["cup"])[:92])
        <View>
          <Image name="image" value="$image" zoom="true" zoomControl="true" />
          <BrushLabels
    """
    view = ElementTree.Element("View")
    about = {"name": "image", "value": f"${data_key}", "zoom": "true", "zoomControl": "true"}
    ElementTree.SubElement(view, "Image", about)
    names = list(labels)
    colours = colours_of_labels(names)
    for control in CONTROLS:
        tag = f"{control.capitalize()}Labels"
        labels_of = ElementTree.SubElement(view, tag, {"name": control, "toName": "image"})
        for name in names:
            red, green, blue = colours[name]
            colour = f"#{red:02x}{green:02x}{blue:02x}"
            about = {"value": writable(name), "background": colour}
            ElementTree.SubElement(labels_of, "Label", about)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _image_of(masks: Masks, number: int, quoted: bool) -> str:
    """Name the image of a task."""
    from urllib.parse import quote

    name = Path(masks.source or f"image-{number}").as_posix()
    return quote(name) if quoted else name


def _task(
    masks: Masks,
    number: int,
    data: dict[str, Any],
    results: Results | None,
    shapes: Shapes,
    losses: Losses,
) -> dict[str, Any]:
    meta = dict(masks.image_meta)
    known = _mapping(meta.pop("labelstudio", None))
    seconds = meta.pop("seconds", None)
    said = _mapping(known.get("task"))
    records = _records(known, results)
    # The results of each record, and last those of none.
    drawn: list[list[dict[str, Any]]] = [[] for _ in range(len(records) + 1)]
    taken: set[tuple[int, str]] = set()
    for i in range(len(masks)):
        region = _mapping(masks.meta[i].get("labelstudio"))
        place = _place(region, len(records))
        some = _results(masks, i, f"{number}/{i}", region, taken, place, shapes)
        losses.add("empty mask", int(not some))
        drawn[place] += some
    size = {} if any(drawn) else dict(zip(("height", "width"), masks.size_hw, strict=True))
    whole = known.get("results")
    for result in map(_mapping, whole if isinstance(whole, list | tuple) else ()):
        plain = {key: value for key, value in result.items() if key != "annotation"}
        drawn[_place(result, len(records))].append(plain)
    about = fields.geo_field(masks.geo) | ({} if masks.model is None else {"model": masks.model})
    about |= fields.meta_fields(meta, _TASK)
    return {
        **{key: value for key, value in said.items() if key != "data"},
        "data": {**data, **_mapping(said.get("data")), **size},
        **_sorted(masks, records, drawn, results, seconds),
        **({"meta": about} if about else {}),
    }


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _place(said: Mapping[str, Any], number: int) -> int:
    """Give the number of the annotation that something was read from; that after all: of none."""
    place = said.get("annotation")
    return place if isinstance(place, int) and 0 <= place < number else number


def _sorted(
    masks: Masks,
    records: Sequence[Mapping[str, Any]],
    drawn: Sequence[list[dict[str, Any]]],
    results: Results | None,
    seconds: Any,
) -> dict[str, list[dict[str, Any]]]:
    """Make annotations and predictions of results."""
    found: dict[str, list[dict[str, Any]]] = {"annotations": [], "predictions": []}
    for record, some in zip(records, drawn, strict=False):
        kept = {key: value for key, value in record.items() if key != "is_prediction"}
        kind = "predictions" if record.get("is_prediction") else "annotations"
        found[kind].append({**kept, "result": some})
    if drawn[-1] or not records:
        kind = results or ("annotations" if masks.model is None else "predictions")
        time = {"lead_time": seconds} if isinstance(seconds, int | float) else {}
        is_model = kind == "predictions"
        about = _prediction(masks, drawn[-1]) if is_model else {**time, "result": drawn[-1]}
        found[kind].append(about)
    return found


def _records(known: Mapping[str, Any], results: Results | None) -> Sequence[Mapping[str, Any]]:
    """List the annotations and predictions that masks were read from, unless others are wanted."""
    records = known.get("annotations", ()) if results is None else ()
    fits = isinstance(records, list | tuple) and all(isinstance(r, Mapping) for r in records)
    return records if fits else ()


def _prediction(masks: Masks, results: list[dict[str, Any]]) -> dict[str, Any]:
    scores = [result["score"] for result in results if "score" in result]
    mean = {"score": sum(scores) / len(scores)} if scores else {}
    return {"model_version": masks.model or "anymask", **mean, "result": results}


def _results(
    masks: Masks,
    i: int,
    name: str,
    known: Mapping[str, Any],
    taken: set[tuple[int, str]],
    place: int,
    shapes: Shapes,
) -> list[dict[str, Any]]:
    """Write a mask as a region: a result, and what further results say of it."""
    found = value_of(masks.counts[i], masks.size_hw, known.get("shape"), shapes)
    if found is None:
        return []
    kind, value = found
    h, w = masks.size_hw
    label, wanted = masks.labels[i], known.get("id")
    labels = known.get("labels")
    fits = isinstance(labels, list | tuple) and [*labels][:1] == [label]
    meta = {key: value for key, value in masks.meta[i].items() if key != "labelstudio"}
    own = {
        "stability_score": fields.known(masks.stability[i]),
        **({} if masks.prompts[i] is None else fields.prompt_fields(masks.prompts[i])),
        **fields.track_field(masks.ids[i]),
    }
    own = {key: entry for key, entry in own.items() if entry is not None}
    own |= fields.meta_fields(meta, fields.names_taken(masks, i, _REGION))
    if not isinstance(wanted, str) or (place, wanted) in taken:
        wanted = hashlib.sha256(name.encode()).hexdigest()[:10]
    taken.add((place, wanted))
    same = known.get("type") == f"{kind}labels" and isinstance(known.get("from_name"), str)
    common = {
        "original_width": w,
        "original_height": h,
        "image_rotation": known.get("image_rotation", 0),
        "id": wanted,
        "to_name": known.get("to_name", "image"),
        "origin": known.get("origin", "manual" if masks.model is None else "prediction"),
    }
    score = fields.known(masks.scores[i])
    shown = [*labels] if fits else [] if label is None else [label]  # type: ignore[misc]
    main = {
        **common,
        "from_name": known["from_name"] if same else kind,
        "type": f"{kind}labels",
        "value": {**value, f"{kind}labels": shown},
        **({} if score is None else {"score": score}),
        **{key: known[key] for key in ("parentID", "readonly", "hidden") if key in known},
        **({"meta": own} if own else {}),
    }
    also = known.get("also")
    further = [
        {**common, **result, "value": {**value, **(result.get("value") or {})}}
        for result in (also if isinstance(also, list | tuple) else ())
        if isinstance(result, Mapping)
    ]
    return [main, *further]


# ----------------------------------------------------------------------------- reading


def read(
    source: Source,
    file_name: str | None = None,
    *,
    take: Take | None = None,
    data_key: str | None = None,
) -> Masks:
    """Read the masks of one image.

    Args:
        source: A path, the bytes of a file, or a file opened for reading bytes.
        file_name: Which image, if there are several.
        take: See `read_all`.
        data_key: See `read_all`.

    Raises:
        InputError: The file is missing, damaged, or not in this layout; or has several images and
            none is named.
    """
    found, number = None, 0
    for masks in read_all(source, take=take, data_key=data_key):
        if file_name in (None, masks.source):
            found, number = masks, number + 1
    if found is None or number > 1:
        asked = "" if file_name is None else f" named {file_name!r}"
        raise InputError(
            f"expected one image{asked} in {files.load(source).name}, got {number}; choose with "
            "file_name, or use labelstudio.read_all"
        )
    return found


def read_all(
    source: Source,
    *,
    take: Take | None = None,
    data_key: str | None = None,
    images: Sequence[Path] = (),
) -> Iterator[Masks]:
    """Read the masks of every image, one task after the other; `Masks.source` names the image.

    Args:
        source: A path, the bytes of a file, or a file opened for reading bytes: a list of tasks, or
            one task.
        take: "annotations", "predictions" or "all"; None: annotations, and predictions of images
            that have none.
        data_key: Name of the field of ``data`` that has the image; None: ``image``, or what looks
            like the address of one.
        images: Folders in which the image is looked for when a task does not say how large it is.

    Raises:
        InputError: The file is missing, damaged, or not in this layout; what comes before the
            damage is read.
    """
    if take not in (None, "annotations", "predictions", "all"):
        raise InputError(
            f"expected to take annotations, predictions or all, got {take!r}; name one"
        )
    content = files.load(source)
    notes = Notes(content.path or Path(content.name))
    for number, task in enumerate(_tasks(content), 1):
        with fields.understanding(f"task {number} of {content.name}"):
            masks = read_task(task, number, notes, take, data_key, images)
        if masks is not None:
            yield masks
    notes.warn()


def _tasks(content: Content) -> Iterator[Any]:
    if content.head(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        yield content.document
        return
    with content.open() as file:
        yield from entries(file, content.name)


def _recognises(head: bytes) -> bool:
    start = head[:1] == b"[" and head[1:].lstrip().startswith(b"{")
    return start and any(key.encode() in head for key in _HEAD)


FORMAT = Format(
    ".json",
    write,
    read,
    recognises=_recognises,
    keys=frozenset({"annotations", "data"}),
    place=_PLACE,
    collect=collect,
)
