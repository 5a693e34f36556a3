"""Masks of a frame as DAVIS has them: a PNG with a palette, each thing its number, 0 background.

A clip is a folder of these, one for each frame, named as the frames are. The palette is DAVIS' and
Pascal VOC's; programs that read these sets show the same colours. As in `formats.png`, names,
confidence and the like are kept in a text of the file (iTXt, keyword ``anymask``): also of things
that a frame does not show, which the numbers alone could not say.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import PIL.Image
import PIL.PngImagePlugin

from anymask.atomic import Target, output
from anymask.errors import InputError
from anymask.formats import annotation, files
from anymask.formats.files import Source
from anymask.formats.png import read_numbers
from anymask.formats.voc_files import palette
from anymask.masks import rle
from anymask.masks.label_map import encode_numbers
from anymask.masks.masks import Masks

__all__ = ["MOST", "read", "write"]

MOST = 254
"""Things in a clip; 255 is void in other sets with this palette."""

_KEYWORD = "anymask"


def write(target: Target, masks: Masks) -> None:
    """Write the masks of one frame.

    Args:
        target: A path, or a file opened for writing bytes.
        masks: With ids from 1 to `MOST`, which become the numbers. Where masks overlap, the
            smaller one is on top.

    Raises:
        InputError: An id is missing, occurs twice or is too large.
        OutputError: The file cannot be written; what was there before is untouched.

    Examples:
        >>> import io
        >>> file = io.BytesIO()
        >>> write(file, Masks.from_dense(np.ones((2, 3), bool), ids=[7], labels=["cup"]))
        >>> read(file.getvalue()).ids
        (7,)
    """
    ids = [number or 0 for number in masks.ids]
    if len(set(ids)) < len(ids) or not all(1 <= number <= MOST for number in ids):
        raise InputError(
            f"expected an id of its own from 1 to {MOST} for each mask, got {list(masks.ids)}; "
            "number the things"
        )
    order = masks.label_map("smallest_on_top")
    numbers = np.array([0, *ids], np.uint8)[order]
    image = PIL.Image.fromarray(numbers)
    image.putpalette(palette().ravel().tolist())
    known = [
        {
            "number": number,
            "label": masks.labels[i],
            "score": annotation.finite(float(masks.scores[i])),
            "meta": masks.meta[i],
        }
        for i, number in enumerate(ids)
    ]
    about = {"masks": known, "image": masks.image_meta, "model": masks.model}
    texts = PIL.PngImagePlugin.PngInfo()
    texts.add_itxt(_KEYWORD, json.dumps(about, ensure_ascii=False))
    with output(target) as file:
        image.save(file, format="PNG", pnginfo=texts)


def read(source: Source) -> Masks:
    """Read the masks of one frame.

    Args:
        source: A path, the bytes of a file, or a file opened for reading bytes; written by `write`
            or by another program. 255 is void and left out.

    Returns:
        One mask for each thing, with its number as id, in rising order; empty for one that is
        known but not seen.

    Raises:
        InputError: The file is missing, damaged, or no such PNG.
    """
    content = files.load(source)
    numbers, text = read_numbers(content, _KEYWORD)
    with annotation.understanding(f"what {content.name} says of its masks"):
        about: dict[str, Any] = {} if text is None else json.loads(text)
        known = {int(entry["number"]): entry for entry in about.get("masks", ())}
        runs = encode_numbers(numbers)
        ids = sorted({number for number in runs if 0 < number <= MOST} | set(known))
        nothing = rle.encode(np.zeros(numbers.shape, np.bool_))
        of_each = [known.get(number, {}) for number in ids]
        scores = [entry.get("score") for entry in of_each]
        return Masks(
            (numbers.shape[0], numbers.shape[1]),
            tuple(runs.get(number, nothing) for number in ids),
            scores=np.array([np.nan if s is None else s for s in scores], np.float32),
            labels=tuple(entry.get("label") for entry in of_each),
            ids=tuple(ids),
            meta=tuple(entry.get("meta", {}) for entry in of_each),
            image_meta=about.get("image", {}),
            model=about.get("model"),
        )
