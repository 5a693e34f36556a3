"""The rows of a file of YOLO's labels, to and from masks; see `yolo`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from anymask.data.readers.notes import Notes
from anymask.errors import InputError
from anymask.formats.annotation import read_iscrowd, understanding
from anymask.formats.classes import Classes
from anymask.formats.files import Content
from anymask.formats.losses import Losses
from anymask.formats.yolo_names import SetFile, decode
from anymask.masks import polygon
from anymask.masks.masks import Masks

__all__ = ["Row", "labels_written", "parse", "recognises", "rows_of", "to_masks"]

_DIGITS = 6  # after the point: a fortieth of a pixel in an image of 50,000
_OUTSIDE = 1.0  # widths that a corner may be away from the image, as a mistake of little weight

OUTSIDE = "corners outside the image are cut at its border"
BOXES = "rows of five numbers are boxes without a mask, which come as empty masks"
CONFIDENCES = "rows with one number more than their corners need have a confidence as the last"
UNLISTED = "classes that have no name are called by their number"
NOTHING = "rows whose outline covers no pixel come as empty masks"


class Row(NamedTuple):
    """What a row says."""

    line: int
    """Number of the line, from 1 on."""
    number: int
    """Of the class."""
    outline: npt.NDArray[np.float64] | None
    """(k, 2), x before y, shares of the image; None: it is a box."""
    box: tuple[float, float, float, float] | None = None
    """Centre, width and height, as shares."""
    score: float = math.nan


# ----------------------------------------------------------------------------- writing


def labels_written(masks: Masks) -> list[str | None]:
    """List the labels of masks that get a row."""
    return [masks.labels[i] for i in range(len(masks)) if _fault(masks, i) is None]


def _fault(masks: Masks, i: int) -> str | None:
    """Say why a mask cannot be a row."""
    if read_iscrowd(masks.meta[i]):
        return "crowd"
    return None if masks.areas[i] else "empty mask"


def rows_of(masks: Masks, classes: Classes, losses: Losses, tolerance: float = 0) -> bytes:
    """Write the rows of an image's masks.

    Args:
        masks: Of the image.
        classes: Gives the number of each label.
        losses: Told of what the rows cannot hold.
        tolerance: See `write`.
    """
    h, w = masks.size_hw
    losses.add_fields(masks)
    rows = []
    classes.add(labels_written(masks))
    for i, (label, counts) in enumerate(zip(masks.labels, masks.counts, strict=True)):
        if (fault := _fault(masks, i)) is not None:
            losses.add(fault)
            continue
        outline = polygon.join(polygon.trace(counts, masks.size_hw, tolerance)) / (w, h)
        shares = " ".join(map(_share, outline.ravel().tolist()))
        rows.append(f"{classes.number(label)} {shares}\n")
    return "".join(rows).encode()


def _share(value: float) -> str:
    text = f"{value:.{_DIGITS}f}"
    return text.rstrip("0").rstrip(".")


# ----------------------------------------------------------------------------- reading


def parse(content: Content) -> Iterator[Row | InputError]:
    """Read rows one by one; of those that cannot be read, give the error.

    Raises:
        InputError: It is no text at all.
    """
    for line, text in enumerate(decode(content).split("\n"), 1):
        if not text.strip():
            continue
        try:
            with understanding(f"line {line} of {content.name}"):
                yield _row(line, text)
        except InputError as error:
            yield error


def _row(line: int, text: str) -> Row:
    words = text.split()
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise InputError(
            f"expected numbers with spaces between them, got {_brief(text)}; correct the row"
        ) from error
    if not all(map(math.isfinite, values)):
        raise InputError(f"expected finite numbers, got {_brief(text)}; correct the row")
    number, *shares = values
    if number < 0 or not number.is_integer():
        raise InputError(f"expected the number of a class first, got {words[0]!r}; correct the row")
    if shares and not -_OUTSIDE <= min(shares) <= max(shares) <= 1 + _OUTSIDE:
        far = max(shares, key=lambda share: abs(share - 0.5))
        raise InputError(
            f"expected shares of the image's width and height from 0 to 1, got {far:g}; divide "
            "pixels by the width and height"
        )
    if len(shares) in (4, 5):
        x, y, w, h = shares[:4]
        score = shares[4] if len(shares) == 5 else math.nan
        return Row(line, int(number), None, (x, y, w, h), score)
    if len(shares) < 4:
        raise InputError(
            f"expected a class and at least three corners, got {len(words)} numbers; correct the "
            "row"
        )
    score = math.nan
    if len(shares) % 2:
        score = shares.pop()
        if not 0 <= score <= 1:
            raise InputError(
                f"expected x and y of each corner, got the odd number of {len(shares) + 1}; "
                "correct the row"
            )
    return Row(line, int(number), np.reshape(shares, (-1, 2)), None, score)


def _brief(text: str, length: int = 40) -> str:
    return repr(text if len(text) <= length else f"{text[:length]}...")


def to_masks(
    rows: Sequence[Row],
    size_hw: tuple[int, int],
    known: SetFile,
    notes: Notes,
    source: str | None = None,
) -> Masks:
    """Draw the rows of an image.

    Args:
        rows: What its file says.
        size_hw: Height and width of the image.
        known: Names of the classes.
        notes: Told of what is read in a way of its own.
        source: Name of the image.
    """
    h, w = size_hw
    empty = np.array([h * w], dtype=np.uint32)
    counts, metas = [], []
    for row in rows:
        example = f"line {row.line}"
        meta: dict[str, Any] = {}
        drawn = empty
        if row.number >= len(known.names):
            notes.add(UNLISTED, f"{row.number} in {example}")
        if row.box is not None:
            x, y, wide, high = row.box
            box = [(x - wide / 2) * w, (y - high / 2) * h, wide * w, high * h]
            meta = {"bbox": [round(side, 3) for side in box]}
            notes.add(BOXES, example)
        elif row.outline is not None:
            if row.outline.min() < 0 or row.outline.max() > 1:
                notes.add(OUTSIDE, example)
            if not math.isnan(row.score):
                notes.add(CONFIDENCES, example)
            drawn = polygon.fill([row.outline * (w, h)], size_hw)
            if len(drawn) < 2:
                notes.add(NOTHING, example)
        counts.append(drawn)
        metas.append(meta)
    return Masks(
        size_hw,
        tuple(counts),
        scores=np.array([row.score for row in rows], dtype=np.float32),
        labels=tuple(known.name(row.number) for row in rows),
        meta=tuple(metas),
        source=source,
    )


_ROW = re.compile(rb"\d+(?:\.0*)?(?:[ \t]+-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?){4,}[ \t]*[\r\n]?")


_CUT = 3  # characters of a number that is cut off


def recognises(head: bytes) -> bool:
    """Return whether text begins with a row; of a long one the end is not there to be seen."""
    found = _ROW.match(head)
    return found is not None and (
        found[0].endswith((b"\r", b"\n")) or len(head) - found.end() <= _CUT * (len(head) > 999)
    )
