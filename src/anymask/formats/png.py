"""PNG label map: one number per pixel, 0 where there is no mask, k for mask number k.

8 bits for up to 255 masks, else 16. A pixel has one number, so overlaps cannot be said: the smaller
mask is on top, a larger one comes back without the pixels that smaller ones cover, and a mask that
smaller ones cover entirely does not come back. Nor do scores, prompts, and what is known of the
image as a whole; JSON keeps everything.

Labels, ids and meta are kept in a text chunk of the file (iTXt, keyword ``anymask``), which
programs that edit images may drop: a JSON object with ``masks``, a list of objects with the
``number`` of a mask and its ``label``, ``track_id`` and ``meta``.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.PngImagePlugin

from anymask.atomic import Target, output
from anymask.errors import InputError
from anymask.formats import Format, files
from anymask.formats import annotation as fields
from anymask.formats.files import Content, Source
from anymask.masks.label_map import encode_numbers
from anymask.masks.masks import Masks

__all__ = ["FORMAT", "read", "read_numbers", "write", "write_numbers"]

_MODES = ("1", "L", "P", "I", "I;16", "I;16B")  # one whole number per pixel
_KEYWORD = "anymask"
VOC_PALETTE = b"PLTE\x00\x00\x00\x80\x00\x00\x00\x80\x00\x80\x80\x00"
"""In the head of a PNG: how the palette of Pascal VOC begins, whose 255 is void."""


def write(target: Target, masks: Masks) -> None:
    """Write the masks of one image.

    Args:
        target: A path, or a file opened for writing bytes.
        masks: At most 65535 masks.

    Raises:
        InputError: There are more masks than 16 bits can count.
        OutputError: The file cannot be written; what was there before is untouched.

    Examples:
        >>> file = io.BytesIO()
        >>> write(file, Masks.from_dense(np.ones((2, 3), bool), labels=["sky"]))
        >>> read(file.getvalue())
        Masks(1 mask of 3 x 2: sky)
    """
    known = _known(masks)
    write_numbers(
        target,
        masks,
        {_KEYWORD: json.dumps({"masks": known}, ensure_ascii=False)} if known else {},
    )


def write_numbers(target: Target, masks: Masks, texts: Mapping[str, str]) -> None:
    """Write the numbers of masks, with texts in the file.

    Args:
        target: A path, or a file opened for writing bytes.
        masks: At most 65535 masks.
        texts: By keyword.

    Raises:
        InputError: There are more masks than 16 bits can count.
        OutputError: The file cannot be written; what was there before is untouched.
    """
    if len(masks) > np.iinfo(np.uint16).max:
        raise InputError(
            f"expected at most 65535 masks for a PNG label map, got {len(masks)}; save as JSON"
        )
    depth = np.uint8 if len(masks) <= np.iinfo(np.uint8).max else np.uint16
    label_map = PIL.Image.fromarray(masks.label_map("smallest_on_top").astype(depth))
    chunks = PIL.PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        chunks.add_itxt(keyword, text)
    with output(target) as file:
        label_map.save(file, format="PNG", pnginfo=chunks)


def read(source: Source) -> Masks:
    """Read a label map from any PNG with one whole number per pixel, palettes included.

    Args:
        source: A path, the bytes of a file, or a file opened for reading bytes.

    Returns:
        One mask for each number that occurs, in rising order, 0 left out.

    Raises:
        InputError: The file is missing, damaged, or not a label map.
    """
    content = files.load(source)
    label_map, text = read_numbers(content, _KEYWORD)
    runs = {number: counts for number, counts in encode_numbers(label_map).items() if number > 0}
    with fields.understanding(f"what {content.name} says of its masks"):
        known = {} if text is None else {int(e["number"]): e for e in json.loads(text)["masks"]}
        of_each = [known.get(number, {}) for number in runs]
        return Masks(
            (label_map.shape[0], label_map.shape[1]),
            tuple(runs.values()),
            labels=tuple(entry.get("label") for entry in of_each),
            ids=tuple(entry.get("track_id") for entry in of_each),
            meta=tuple(entry.get("meta", {}) for entry in of_each),
        )


def _known(masks: Masks) -> list[Mapping[str, Any]]:
    """Say by number what each mask is, where that is known."""
    known: list[Mapping[str, Any]] = []
    for i, (label, number, meta) in enumerate(
        zip(masks.labels, masks.ids, masks.meta, strict=True)
    ):
        entry: dict[str, Any] = {} if label is None else {"label": label}
        entry |= fields.track_field(number) | ({"meta": meta} if meta else {})
        if entry:
            known.append({"number": i + 1, **entry})
    return known


def read_numbers(content: Content, keyword: str) -> tuple[npt.NDArray[np.int32], str | None]:
    """Read the numbers of a label map, (h, w), and the text with a keyword, if there is one.

    Raises:
        InputError: The file is damaged, or not a label map.
    """
    try:
        with PIL.Image.open(io.BytesIO(content.data), formats=["PNG"]) as image:
            if image.mode in _MODES:
                return np.asarray(image).astype(np.int32), image.info.get(keyword)
            mode = image.mode
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise InputError(
            f"cannot read {content.name} as a PNG label map: {error}; check that the file is whole"
        ) from error
    raise InputError(
        f"expected a label map with one number per pixel, got {content.name} with {mode} colours; "
        "give the label map, not an image of it"
    )


def _recognises(head: bytes) -> bool:
    others = (VOC_PALETTE, b"anymask-classes", b"grounded-sam")  # which say more
    return head.startswith(b"\x89PNG") and not any(mark in head for mark in others)


FORMAT = Format(".png", write, read, recognises=_recognises)
