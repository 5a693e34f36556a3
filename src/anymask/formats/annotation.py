"""What the JSON formats share: reading a document safely, and the fields of an annotation."""

from __future__ import annotations

import json
import math
import os
import re
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.masks import polygon, rle
from anymask.masks.rle import Counts

if TYPE_CHECKING:
    from anymask.image.geo import Geo
    from anymask.prompt import Prompt

__all__ = [
    "file_name",
    "geo_field",
    "image_number",
    "known",
    "parse_json",
    "plain",
    "prompt_fields",
    "read_all",
    "read_geo",
    "read_json",
    "read_number",
    "read_prompt",
    "read_segmentation",
    "understanding",
]

_LONGEST_RUN = np.iinfo(np.uint32).max


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


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        InputError: It is missing, cannot be read, or is no JSON object.
    """
    document = parse_json(path)
    if not isinstance(document, dict):
        raise InputError(
            f"expected a JSON object, got a {type(document).__name__} in {str(path)!r}; "
            "give a file in SA-1B's or COCO's layout"
        )
    return document


def parse_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file, whatever it holds.

    Raises:
        InputError: It is missing, or cannot be read.
    """
    shown = repr(str(path))
    try:
        return json.loads(Path(path).read_bytes())
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot read {shown}: {reason}; check the name") from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"expected a JSON file, got {shown}, which is none ({error}); check that it is whole"
        ) from error


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
    annotations: list[dict[str, Any]], size_hw: tuple[int, int], score: str
) -> dict[str, Any]:
    """Read what the formats say alike of each mask of an image, as the fields of `Masks`.

    Args:
        annotations: Those of the image.
        size_hw: Height and width of the image.
        score: What the format calls the predicted IoU.

    Raises:
        InputError: One of them is not what it should be.
    """
    counts, prompts, scores, stability = [], [], [], []
    for i, entry in enumerate(annotations):
        with understanding(f"annotation {_number(entry, i + 1)}"):
            counts.append(read_segmentation(entry["segmentation"], size_hw))
            prompts.append(read_prompt(entry))
            scores.append(read_number(entry, score))
            stability.append(read_number(entry, "stability_score"))
    return {
        "size_hw": size_hw,
        "counts": tuple(counts),
        "prompts": tuple(prompts),
        "scores": np.array(scores),
        "stability": np.array(stability),
    }


def _number(entry: object, place: int) -> object:
    return entry.get("id", place) if isinstance(entry, Mapping) else place


def read_segmentation(segmentation: object, size_hw: tuple[int, int]) -> Counts:
    """Read the ``segmentation`` of an annotation to run lengths, whichever kind it is.

    Args:
        segmentation: A list of polygons ``[x0, y0, x1, y1, ...]``, or ``{"size": [h, w],
            "counts": c}`` where c is a list of run lengths or a compressed string.
        size_hw: Height and width of the image.

    Raises:
        InputError: It is none of these, or was made for an image of another size.
    """
    if isinstance(segmentation, list):
        return polygon.fill([_corners(outline) for outline in segmentation], size_hw)
    if not isinstance(segmentation, Mapping) or "counts" not in segmentation:
        raise InputError(
            "expected a segmentation as polygons or as run lengths with 'size' and 'counts', got "
            f"{type(segmentation).__name__}; check that the file is a COCO or SA-1B file"
        )
    given = segmentation["counts"]
    counts = rle.from_string(given) if isinstance(given, (str, bytes)) else _uncompressed(given)
    size = segmentation.get("size", size_hw)
    total = int(counts.sum(dtype=np.int64))
    if size not in (list(size_hw), tuple(size_hw)) or total != size_hw[0] * size_hw[1]:
        raise InputError(
            f"expected run lengths of an image of (h, w) = {tuple(size_hw)}, got size {size} and "
            f"{total} pixels; find the image that the annotation belongs to"
        )
    return counts


def _uncompressed(given: object) -> Counts:
    whole = isinstance(given, (list, tuple, np.ndarray)) and all(
        isinstance(length, (int, np.integer)) and 0 <= length <= _LONGEST_RUN for length in given
    )
    if not whole:
        raise InputError(
            "expected run lengths as whole numbers of 0 or more, got "
            f"{reprlib.repr(given)}; check that the file is whole"
        )
    return np.array(given, dtype=np.uint32)


def _corners(outline: object) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(outline, dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise InputError(
            f"expected a polygon as numbers x0, y0, x1, y1, ..., got {reprlib.repr(outline)}; "
            "check that the file is whole"
        ) from None


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
    something: ``point_labels`` when a point lies beside the object, ``prompt_box`` when a box was
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
    from anymask.prompt import Prompt  # here, because hardly any file has it

    return Prompt(points or None, annotation.get("point_labels"), box)
