"""Which places of files beside it a graph reads, found out without ONNX's own package.

A graph is a protocol buffer: fields, each a number, a kind, and a value whose length is known. Only
those on the way to the weights' names of files are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Place", "places"]

# Numbers of fields: of a model, of its graph, of a weight, of an entry of its external data.
_GRAPH, _WEIGHT, _EXTERNAL, _KEY, _VALUE = 7, 5, 13, 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Place(NamedTuple):
    """Some bytes of a file."""

    file: str
    """Its name; it lies beside the graph."""
    offset: int
    """First byte."""
    length: int
    """Number of bytes."""


def places(model: bytes) -> list[Place]:
    """List what a graph reads from files beside it, in its order.

    Args:
        model: Content of an ``.onnx`` file.

    Raises:
        ValueError: It is cut off, or no such file.

    Examples:
        >>> places(b"")
        []
    """
    found = []
    for graph in _inside(memoryview(model), _GRAPH):
        for weight in _inside(graph, _WEIGHT):
            entries = {}
            for entry in _inside(weight, _EXTERNAL):
                key, value = (
                    b"".join(bytes(one) for one in _inside(entry, number)).decode()
                    for number in (_KEY, _VALUE)
                )
                entries[key] = value
            if entries:
                place = int(entries.get("offset", "0")), int(entries["length"])
                found.append(Place(entries["location"], *place))
    return found


def _inside(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """Go through the fields of a number that hold bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _BYTES:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("a field is cut off")
            if number == wanted:
                yield message[at : at + length]
            at += length
        elif kind == _VARINT:
            _, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field of the unknown kind {kind}")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("a number is cut off")
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
