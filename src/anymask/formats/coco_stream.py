"""COCO files that are too large to be read whole: image by image, in the memory of one.

The file is gone through once, to note where each annotation stands; then the images come in their
order, and only their own annotations are read again. What comes is what `coco.read_all` gives.
"""

from __future__ import annotations

import io
import json
import os
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.formats import annotation as fields
from anymask.formats import coco
from anymask.masks.masks import Masks

__all__ = ["LARGE", "is_large_coco", "read_each"]

LARGE = 1 << 26
"""Bytes of a file from which on it is read in this way."""

_CHUNK = 1 << 16  # bytes that are looked at together; more where one value is longer
_HELD = 1 << 18  # bytes of the file that are in memory
_SPACE = " \t\r\n"
_IMAGES, _ANNOTATIONS = "images", "annotations"


def is_large_coco(path: Path) -> bool:
    """Return whether a file is COCO JSON, and larger than what is well read at once."""
    try:
        if path.stat().st_size < LARGE or path.suffix.lower() != ".json":
            return False
        with _opened(path) as text:
            found: set[str] = set()
            for key in text.keys():  # noqa: SIM118  # it goes through the file, and is no dict
                found.add(key)
                if found >= {_IMAGES, _ANNOTATIONS}:
                    return True
                text.skip()
    except (OSError, InputError):
        pass  # whoever reads it says what is wrong
    return False


def read_each(path: Path) -> Iterator[Masks]:
    """Read the masks of every image, in the order of the file; `Masks.source` names the image.

    Args:
        path: The file.

    Raises:
        InputError: It is missing, damaged, or not in this layout.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.json"
        >>> coco.write(path, [Masks.empty((4, 6), source="a.jpg")])
        >>> list(read_each(path))
        [Masks(no masks of 6 x 4)]
    """
    shown = repr(str(path))
    try:
        with _opened(path) as text, fields.understanding(f"{shown} as COCO"):
            yield from _read(text, shown)
    except OSError as error:
        raise InputError(f"cannot read {shown}: {error.strerror}; check the name") from error


@contextmanager
def _opened(path: Path) -> Iterator[_Text]:
    with path.open("rb", buffering=0) as file:
        yield _Text(_Bytes(file), repr(str(path)))


class _Bytes:
    """The bytes of a file, of which a piece is in memory; a mapped file would be there whole."""

    def __init__(self, file: io.FileIO) -> None:
        self._file, self._size = file, file.seek(0, os.SEEK_END)
        self._start, self._piece = 0, b""

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._size)
        if start < self._start or stop > self._start + len(self._piece):
            self._start = start
            self._piece = self.read(start, max(stop - start, _HELD))
        return self._piece[start - self._start : max(stop - self._start, 0)]

    def read(self, start: int, size: int) -> bytes:
        """Read so many bytes, or all that are left, without keeping them."""
        self._file.seek(start)
        parts = []
        while size > 0 and (found := self._file.read(size)):
            parts.append(found)
            size -= len(found)
        return b"".join(parts)


def _read(text: _Text, shown: str) -> Iterator[Masks]:
    document: dict[str, Any] = {}
    owners, starts, ends = array("q"), array("q"), array("q")
    numbers: dict[Any, int] = {}  # of owners, by what the file calls them
    for key in text.keys():  # noqa: SIM118
        if key != _ANNOTATIONS:
            document[key] = text.value()
            continue
        for start, end, entry in text.items():
            owner = numbers.setdefault(fields.plain_id(entry["image_id"]), len(numbers))
            owners.append(owner)
            starts.append(start)
            ends.append(end)
        document[key] = None
    images, _ = document[_IMAGES], document.pop(_ANNOTATIONS)
    order, first = _by_owner(np.frombuffer(owners, np.int64), len(numbers))
    known = {fields.plain_id(image["id"]) for image in images}
    _check(known, images, numbers, first, shown)
    categories, about = coco.read_about(document)
    bare: list[Any] = []
    for image in images:
        owner = numbers.get(fields.plain_id(image["id"]), -1)
        places = order[first[owner] : first[owner + 1]] if owner >= 0 else order[:0]
        entries = [json.loads(text.data.read(starts[at], ends[at] - starts[at])) for at in places]
        yield coco.read_image(image, entries, categories, about, bare)
    coco.warn_bare(bare, shown)


def _by_owner(
    owners: npt.NDArray[np.int64], number: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sort annotations by image, in their order: their places, and where each image begins."""
    order = np.argsort(owners, kind="stable")
    return order, np.searchsorted(owners[order], np.arange(number + 1))


def _check(
    known: set[Any],
    images: list[Any],
    numbers: dict[Any, int],
    first: npt.NDArray[np.int64],
    shown: str,
) -> None:
    if len(known) < len(images):
        raise InputError(
            f"expected {len(images)} images with ids of their own, got {len(known)} different ids; "
            "number the images anew"
        )
    lost = [number for number in numbers if number not in known]
    if lost:
        count = sum(int(first[numbers[one] + 1] - first[numbers[one]]) for one in lost)
        coco.warn_lost(count, lost, shown)


class _Text:
    """A JSON document in a file, which is gone through from its begin to its end."""

    def __init__(self, data: _Bytes, shown: str) -> None:
        self.data, self._shown = data, shown
        self._at = 3 if data[:3] == b"\xef\xbb\xbf" else 0
        self._decoder = json.JSONDecoder()

    def keys(self) -> Iterator[str]:
        """Go through the keys of the object; read or skip the value before you go on."""
        self._expect("{")
        if self._next() == "}":
            return
        while True:
            key = self.value()
            self._expect(":")
            yield key
            if self._expect(",}") == "}":
                return

    def items(self) -> Iterator[tuple[int, int, Any]]:
        """Go through the entries of a list: where each begins and ends, and what it is."""
        self._expect("[")
        if self._next() == "]":
            self._at += 1
            return
        while True:
            self._next()
            start = self._at
            entry = self.value()
            yield start, self._at, entry
            if self._expect(",]") == "]":
                return

    def skip(self) -> None:
        """Go over a value."""
        if self._next() == "[":
            for _ in self.items():
                pass
        else:
            self.value()

    def value(self) -> Any:
        """Read a value."""
        if self._next() == "[":  # piece by piece, for it may be long
            return [entry for _, _, entry in self.items()] if self._is_objects() else self._decode()
        return self._decode()

    def _is_objects(self) -> bool:
        after = self.data[self._at + 1 : self._at + 100].lstrip()
        return after[:1] == b"{"

    def _decode(self) -> Any:
        size = _CHUNK
        while True:
            # Latin-1, so that places in the text are those in the file.
            text = self.data[self._at : self._at + size].decode("latin-1")
            is_all = self._at + size >= len(self.data)
            try:
                found, end = self._decoder.raw_decode(text)
            except (ValueError, RecursionError) as error:
                if is_all:
                    raise self._damaged(str(error)) from error
            else:
                if end < len(text) or is_all:
                    break
            size *= 4
        if not text[:end].isascii():
            found = json.loads(self.data[self._at : self._at + end])
        self._at += end
        return found

    def _next(self) -> str:
        """Go over white space, and give the character after it."""
        while True:
            found = self.data[self._at : self._at + 1].decode("latin-1")
            if not found or found not in _SPACE:
                return found
            self._at += 1

    def _expect(self, characters: str) -> str:
        found = self._next()
        if not found or found not in characters:
            raise self._damaged(f"no {' or '.join(characters)} at byte {self._at}")
        self._at += 1
        return found

    def _damaged(self, why: str) -> InputError:
        return InputError(
            f"expected a JSON file, got {self._shown}, which is none ({why}); check that it is "
            "whole"
        )
