"""Grounded-SAM: a PNG label map, and a JSON file that says what each of its numbers is.

Value 0 is the background; the mask of value k has a ``label``, a ``logit`` (its score, where that
is known) and a ``box`` (xyxy: its prompt's, or else round its pixels), as Grounded-SAM writes them
(Ren et al., 2024). Its own label map is a coloured drawing; this one has the numbers themselves, 8
bits for up to 255 masks, else 16. A pixel has one number, so overlaps cannot be said: the smaller
mask is on top, and one that smaller ones cover entirely comes back empty.

The PNG holds the JSON, too, in a text chunk (iTXt, keyword ``grounded-sam``), so that it is enough
by itself; the JSON file beside it, of the same name but for its end, is for other programs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anymask.atomic import Target, output
from anymask.errors import InputError
from anymask.formats import Format, files, png
from anymask.formats import annotation as fields
from anymask.formats.files import Source
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.prompt import Prompt

__all__ = ["FORMAT", "read", "write", "write_json"]

_KEYWORD = "grounded-sam"
_NAMELESS = {"label": "object", "unlabelled": True}  # which is told from a real name when read


def write(target: Target, masks: Masks) -> None:
    """Write the label map of one image; `formats.write` puts the JSON file beside it.

    Args:
        target: A path, or a file opened for writing bytes.
        masks: At most 65535 masks.

    Raises:
        InputError: There are more masks than 16 bits can count.
        OutputError: The file cannot be written; what was there before is untouched.

    Examples:
        >>> import io
        >>> file = io.BytesIO()
        >>> write(file, Masks.from_dense(np.ones((2, 3), bool), scores=[0.5], labels=["sky"]))
        >>> read(file.getvalue())
        Masks(1 mask of 3 x 2: sky; best score 0.50)
    """
    png.write_numbers(target, masks, {_KEYWORD: json.dumps(_entries(masks), ensure_ascii=False)})


def write_json(target: Target, masks: Masks) -> None:
    """Write the JSON file of one image.

    Args:
        target: A path, or a file opened for writing bytes.
        masks: Any number of masks.

    Raises:
        OutputError: The file cannot be written; what was there before is untouched.

    Examples:
        >>> import io
        >>> file = io.BytesIO()
        >>> write_json(file, Masks.from_dense(np.ones((2, 3), bool), labels=["sky"]))
        >>> json.loads(file.getvalue())[1]
        {'value': 1, 'label': 'sky', 'box': [0.0, 0.0, 3.0, 2.0]}
    """
    with output(target) as file:
        file.write(json.dumps(_entries(masks), ensure_ascii=False).encode())


def read(source: Source) -> Masks:
    """Read the masks of one image.

    Args:
        source: The label map: a path, the bytes of a file, or a file opened for reading bytes. If
            it does not say itself what its numbers are, the JSON file beside it does.

    Raises:
        InputError: A file is missing, damaged, or not of this format.
    """
    content = files.load(source)
    numbers, text = png.read_numbers(content, _KEYWORD)
    if text is None:
        document, name = fields.parse_json(_beside(source, content.name)), "the JSON file beside it"
    else:
        document, name = json.loads(text), "its text"
    with fields.understanding(f"{name} ({content.name}) as Grounded-SAM's"):
        entries = [entry for entry in document if entry["value"]]
        return Masks(
            (numbers.shape[0], numbers.shape[1]),
            tuple(rle.encode(numbers == entry["value"]) for entry in entries),
            scores=np.array([fields.read_number(entry, "logit") for entry in entries]),
            labels=tuple(_label(entry) for entry in entries),
            prompts=tuple(_prompt(entry) for entry in entries),
        )


def _entries(masks: Masks) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = [{"value": 0, "label": "background"}]
    for i, label in enumerate(masks.labels):
        entry = {"value": i + 1, **(_NAMELESS if label is None else {"label": label})}
        if not np.isnan(masks.scores[i]):
            entry["logit"] = _short(masks.scores[i])
        prompt = masks.prompts[i]
        box = None if prompt is None else prompt.box
        if box is None:
            box = masks.boxes[i] + np.array([0, 0, 1, 1], np.float32)  # theirs name the last pixel
        entries.append(entry | {"box": [_short(edge) for edge in box]})
    return entries


def _short(value: np.floating[Any]) -> float:
    """Give a number with the digits that it has: 0.9 for the float32 next to it."""
    return float(str(value))


def _label(entry: Mapping[str, Any]) -> str | None:
    return None if entry.get("unlabelled") is True else str(entry["label"])


def _prompt(entry: Mapping[str, Any]) -> Prompt | None:
    box: Sequence[float] | None = entry.get("box")
    return None if box is None else Prompt(box=box)


def _beside(source: Source, name: str) -> Path:
    path = files.path_of(source) if isinstance(source, str | os.PathLike) else None
    if path is None or not path.with_suffix(".json").is_file():
        raise InputError(
            f"expected a label map of Grounded-SAM with a JSON file beside it, got {name} without; "
            "keep both in one folder, or read it as png"
        )
    return path.with_suffix(".json")


FORMAT = Format(
    ".png",
    write,
    read,
    recognises=lambda head: head.startswith(b"\x89PNG") and _KEYWORD.encode() in head,
    beside=((".json", write_json),),
)
