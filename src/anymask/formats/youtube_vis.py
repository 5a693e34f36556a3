"""Masks of a clip as one JSON file: COCO's layout for video, which YouTube-VIS made.

Each thing is one annotation with a list over all frames: ``segmentations`` (COCO's compressed run
lengths), ``bboxes`` (x, y, width, height) and ``areas``, null where it is not seen. Beside these
stand what YouTube-VIS does not have: ``scores`` and ``status`` for each frame, ``name``, and in the
entry of the video ``times``, in seconds, null where unknown.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import IO, Any

import numpy as np

from anymask.atomic import Target, output
from anymask.errors import InputError
from anymask.formats.annotation import finite
from anymask.masks import rle
from anymask.masks.masks import Masks

__all__ = ["write"]

_LISTS = ("segmentations", "bboxes", "areas", "scores", "status")
_IN_MEMORY = 1 << 20  # bytes of each list that are kept in memory, not on disk


def write(
    target: Target,
    frames: Iterable[Masks],
    *,
    name: str,
    size_hw: tuple[int, int],
    things: Sequence[tuple[int, str]],
    file_names: Sequence[str],
    times: Sequence[float | None] | None = None,
) -> None:
    """Write the masks of one clip.

    Frames are gone through once and are not kept, so that a clip may have any length.

    Args:
        target: A path, or a file opened for writing bytes.
        frames: The masks of each frame, with ids.
        name: Of the clip.
        size_hw: Height and width of its frames.
        things: Id and name of all things in the clip. Things of one name are of one category.
        file_names: Of the frames, as many as there are frames.
        times: When each frame is shown, in seconds.

    Raises:
        InputError: There are more frames than names, or fewer.
        OutputError: The file cannot be written; what was there before is untouched.
    """
    categories = {label: i for i, label in enumerate(dict.fromkeys(n for _, n in things), start=1)}
    with ExitStack() as stack:
        lists = {number: [_List(stack) for _ in _LISTS] for number, _ in things}
        count = 0
        for masks in frames:
            count += 1
            places = {number: i for i, number in enumerate(masks.ids)}
            for number, _ in things:
                for one, value in zip(
                    lists[number], _entry(masks, places.get(number)), strict=True
                ):
                    one.add(value)
        if count != len(file_names):
            raise InputError(
                f"expected a name for each frame, got {len(file_names)} for {count}; name them all"
            )
        h, w = size_hw
        video: dict[str, Any] = {"id": 1, "name": name, "width": w, "height": h, "length": count}
        video |= {"file_names": list(file_names)}
        video |= {} if times is None else {"times": [finite(t) for t in times]}
        head = {
            "info": {"description": f"{name}, tracked by anymask"},
            "videos": [video],
            "categories": [{"id": i, "name": label} for label, i in categories.items()],
        }
        with output(target) as file:
            file.write(json.dumps(head, ensure_ascii=False)[:-1].encode() + b', "annotations": [')
            for place, (number, label) in enumerate(things):
                known: dict[str, Any] = {
                    "id": number,
                    "video_id": 1,
                    "category_id": categories[label],
                }
                known |= {"name": label, "width": w, "height": h, "iscrowd": 0}
                text = json.dumps(known, ensure_ascii=False)[:-1]
                file.write((",\n" if place else "\n").encode() + text.encode())
                for key, one in zip(_LISTS, lists[number], strict=True):
                    file.write(f', "{key}": ['.encode())
                    one.copy(file)
                    file.write(b"]")
                file.write(b"}")
            file.write(b"\n]}\n")


def _entry(masks: Masks, place: int | None) -> list[Any]:
    """Give what the lists hold of one thing in one frame."""
    if place is None:
        return [None, None, None, None, None]
    status, score = masks.meta[place].get("status"), finite(float(masks.scores[place]))
    if not masks.areas[place]:
        return [None, None, None, score, status]
    counts = masks.counts[place]
    mask = {"size": list(masks.size_hw), "counts": rle.to_string(counts)}
    box = np.asarray(rle.coco_box(counts, masks.size_hw)).tolist()
    return [mask, box, int(masks.areas[place]), score, status]


class _List:
    """A list in a file to come, which grows on disk."""

    def __init__(self, stack: ExitStack) -> None:
        spool = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # the stack closes it
        self._file: IO[bytes] = stack.enter_context(spool)
        self._empty = True

    def add(self, value: Any) -> None:
        if not self._empty:
            self._file.write(b", ")
        self._empty = False
        self._file.write(json.dumps(value).encode())

    def copy(self, file: IO[bytes]) -> None:
        import shutil

        self._file.seek(0)
        shutil.copyfileobj(self._file, file)
