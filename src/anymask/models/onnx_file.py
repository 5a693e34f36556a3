"""What stands in an ONNX file, found out without ONNX's own package.

It is a protocol buffer: fields, each a number, a kind, and a value whose length is known. Only
those on the way to what is wanted are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

__all__ = ["Place", "opset", "places"]

# Numbers of fields: of a model, of its graph, of a weight, of an entry of its external data.
_GRAPH, _WEIGHT, _EXTERNAL, _KEY, _VALUE = 7, 5, 13, 1, 2
_OPERATORS, _DOMAIN, _VERSION = 8, 1, 2  # of a model, and of these
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
    for graph in _bytes_of(memoryview(model), _GRAPH):
        for weight in _bytes_of(graph, _WEIGHT):
            entries = {}
            for entry in _bytes_of(weight, _EXTERNAL):
                key, value = (
                    b"".join(bytes(one) for one in _bytes_of(entry, number)).decode()
                    for number in (_KEY, _VALUE)
                )
                entries[key] = value
            if entries:
                place = int(entries.get("offset", "0")), int(entries["length"])
                found.append(Place(entries["location"], *place))
    return found


def opset(model: bytes | mmap) -> int:
    """Give the version of ONNX's own operators that a graph is written in; 0 if it says none.

    Args:
        model: Content of an ``.onnx`` file.

    Raises:
        ValueError: It is cut off, or no such file.

    Examples:
        >>> opset(b"")
        0
    """
    version = 0
    for operators in _bytes_of(memoryview(model), _OPERATORS):
        fields = dict(_fields(operators))
        domain, said = fields.get(_DOMAIN, b""), fields.get(_VERSION)
        if domain in (b"", b"ai.onnx") and isinstance(said, int):  # those of others have names
            version = max(version, said)
    return version


def _bytes_of(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """Go through the fields of a number that hold bytes."""
    for number, value in _fields(message):
        if number == wanted and isinstance(value, memoryview):
            yield value


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Go through the fields that hold bytes or whole numbers."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _BYTES:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("a field is cut off")
            yield number, message[at : at + length]
            at += length
        elif kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
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
