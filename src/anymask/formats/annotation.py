"""What the JSON formats share: reading a document safely, and the fields of an annotation."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.formats import files
from anymask.formats.files import Source
from anymask.formats.segmentation import read_segmentation
from anymask.masks.fields import Meta

if TYPE_CHECKING:
    from anymask.image.geo import Geo
    from anymask.masks.masks import Masks
    from anymask.prompt import Prompt

__all__ = [
    "file_name",
    "finite",
    "geo_field",
    "image_number",
    "known",
    "meta_fields",
    "names_taken",
    "parse_json",
    "plain",
    "plain_id",
    "prompt_fields",
    "read_all",
    "read_geo",
    "read_iscrowd",
    "read_json",
    "read_meta",
    "read_number",
    "read_prompt",
    "track_field",
    "understanding",
]


def geo_field(geo: Geo | None) -> dict[str, Any]:
    """Describe where on the earth an image lies; nothing if that is unknown."""
    return {} if geo is None else {"geo": asdict(geo)}


def read_geo(image: Mapping[str, Any]) -> Geo | None:
    """Read what `geo_field` wrote."""
    if "geo" not in image:
        return None
    from anymask.image.geo import Geo  # here, because hardly any file has it

    geo = image["geo"]
    a, b, c, d, e, f = map(float, geo["transform"])
    return Geo(
        (a, b, c, d, e, f), geo.get("epsg"), geo.get("citation"), bool(geo.get("geographic"))
    )


def read_json(source: Source) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        InputError: It is missing, cannot be read, or is no JSON object.
    """
    content = files.load(source)
    if not isinstance(content.document, dict):
        raise InputError(
            f"expected a JSON object, got a {type(content.document).__name__} in {content.name}; "
            "give a file in SA-1B's or COCO's layout"
        )
    return content.document


def parse_json(source: Source) -> Any:
    """Read a JSON file, whatever it holds.

    Raises:
        InputError: It is missing, or cannot be read.
    """
    return files.load(source).document


@contextmanager
def understanding(what: str) -> Iterator[None]:
    """Turn whatever goes wrong while a foreign document is taken apart into one sentence.

    Args:
        what: The part at hand, such as ``"annotation 3 of 'truck.json'"``.

    Raises:
        InputError: A field is missing, or holds something that cannot be meant.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"cannot read {what}: {error}") from error
    except KeyError as error:
        raise InputError(
            f"cannot read {what}: expected a field {error}, got none; check which format it has"
        ) from error
    except (TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise InputError(
            f"cannot read {what}: expected the values of its format, got others ({error}); "
            "check which format it has"
        ) from error


def read_all(
    annotations: Iterable[Mapping[str, Any]], size_hw: tuple[int, int], score: str
) -> dict[str, Any]:
    """Read what the formats say alike of each mask of an image, as the fields of `Masks`.

    Args:
        annotations: Those of the image.
        size_hw: Height and width of the image.
        score: What the format calls the predicted IoU.

    Raises:
        InputError: One of them is not what it should be.
    """
    counts, prompts, scores, stability, ids = [], [], [], [], []
    for i, entry in enumerate(annotations):
        with understanding(f"annotation {_number(entry, i + 1)}"):
            counts.append(read_segmentation(entry["segmentation"], size_hw))
            prompts.append(read_prompt(entry))
            scores.append(read_number(entry, score))
            stability.append(read_number(entry, "stability_score"))
            ids.append(_track(entry))
    return {
        "size_hw": size_hw,
        "counts": tuple(counts),
        "prompts": tuple(prompts),
        "scores": np.array(scores),
        "stability": np.array(stability),
        "ids": tuple(ids),
    }


def _number(entry: object, place: int) -> object:
    return entry.get("id", place) if isinstance(entry, Mapping) else place


# ------------------------------------------------------------------ what masks are


_SET_ASIDE = "anymask_meta"


def track_field(number: int | None) -> dict[str, Any]:
    """Say which thing a mask is, by the name that data sets of videos use."""
    return {} if number is None else {"track_id": number}


def _track(entry: Mapping[str, Any]) -> int | None:
    number = entry.get("track_id")
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def names_taken(masks: Masks, i: int, names: Set[str]) -> Set[str]:
    """Say which of a format's names mask i uses: a track's name takes its place if it has no id."""
    return names if masks.ids[i] is not None else names - {"track_id"}


def meta_fields(meta: Meta, taken: Collection[str]) -> dict[str, Any]:
    """Write what else is known beside the fields of a format.

    Args:
        meta: Of a mask or an image.
        taken: Names that mean something to the format; what has one of these, which the reader
            would take for something else, is set aside in a field of our own, ``anymask_meta``.
    """
    beside = {key: value for key, value in meta.items() if key not in taken and key != _SET_ASIDE}
    aside = {key: value for key, value in meta.items() if key not in beside}
    return beside | ({_SET_ASIDE: aside} if aside else {})


def read_meta(entry: Mapping[str, Any], taken: Collection[str]) -> dict[str, Any]:
    """Read what `meta_fields` wrote, and whatever a foreign file says beside the usual fields."""
    aside = entry.get(_SET_ASIDE, {})
    if not isinstance(aside, Mapping):
        raise InputError(
            f"expected {_SET_ASIDE!r} as an object, got {type(aside).__name__}; leave it out"
        )
    meta = {key: value for key, value in entry.items() if key not in taken and key != _SET_ASIDE}
    if "track_id" in entry and _track(entry) is None:
        meta["track_id"] = entry["track_id"]  # a name, perhaps, which is no number but not nothing
    return {key: finite(value) for key, value in (meta | dict(aside)).items()}


def finite(value: Any) -> Any:
    """Put None, as JSON has it, for NaN and infinities, which some programs write into JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [finite(entry) for entry in value]
    return {k: finite(v) for k, v in value.items()} if isinstance(value, dict) else value


def read_iscrowd(entry: Mapping[str, Any]) -> bool:
    """Return whether an annotation is of a crowd, however its ``iscrowd`` is written.

    Raises:
        InputError: It is neither yes nor no.

    Examples:
        >>> read_iscrowd({"iscrowd": "0"}), read_iscrowd({"iscrowd": 1}), read_iscrowd({})
        (False, True, False)
    """
    value = entry.get("iscrowd")
    if value is None or (isinstance(value, str) and value.strip().lower() in _NO):
        return False
    if isinstance(value, str) and value.strip().lower() in _YES:
        return True
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    raise InputError(f"expected iscrowd of 0 or 1, got {value!r}; correct the annotation")


_NO, _YES = {"", "0", "0.0", "false", "no"}, {"1", "1.0", "true", "yes"}

# ------------------------------------------------------------------ names and numbers


def plain_id(value: Any) -> Any:
    """Return the one form of an id in which 1, 1.0 and "1" are the same.

    Examples:
        >>> plain_id("12"), plain_id(12.0), plain_id("a12"), plain_id("012")
        (12, 12, 'a12', '012')
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isdecimal() and str(int(value)) == value:
        return int(value)
    return value


def file_name(source: str | None) -> str:
    """Name the image as annotation files do: without its folder; empty when it has no name."""
    return Path(source).name if source else ""


def image_number(name: str) -> int:
    """Number an image by the digits its file name ends in, as SA-1B and COCO do; else 1."""
    digits = re.search(r"(\d+)$", Path(name).stem)
    return int(digits[1]) if digits else 1


def plain(values: npt.ArrayLike) -> list[Any]:
    """Turn numbers into lists that JSON can hold, whole ones without a decimal point."""
    nested = np.asarray(values, dtype=np.float64)
    if nested.ndim > 1:
        return [plain(row) for row in nested]
    return [int(value) if value.is_integer() else float(value) for value in nested]


def known(value: float) -> float | None:
    """Give None, which JSON can hold, for NaN, which it cannot."""
    return None if math.isnan(value) else float(value)


def read_number(annotation: Mapping[str, Any], name: str) -> float:
    """Give a field's number, NaN when there is none."""
    value = annotation.get(name)
    return math.nan if value is None else float(value)


def prompt_fields(prompt: Prompt | None) -> dict[str, Any]:
    """Write the points and the box of a prompt; masks and text are left out.

    ``point_coords`` is SA-1B's own field. The others are ours, and only there when they say
    something: ``point_labels`` when there is a background point, ``prompt_box`` when a box was
    given.
    """
    if prompt is None:
        return {"point_coords": []}
    fields: dict[str, Any] = {"point_coords": plain(prompt.points_xy)}
    if not prompt.labels.all():
        fields["point_labels"] = prompt.labels.tolist()
    if prompt.box is not None:
        fields["prompt_box"] = plain(prompt.box)
    return fields


def read_prompt(annotation: Mapping[str, Any]) -> Prompt | None:
    """Read what `prompt_fields` wrote; None if there is no prompt."""
    points, box = annotation.get("point_coords"), annotation.get("prompt_box")
    if not points and box is None:
        return None
    from anymask.prompt import Prompt  # here, because few files have any

    return Prompt(points or None, annotation.get("point_labels"), box)
