"""PLY files: a header in words, then the vertices, each a row of numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from anymask.atomic import Target, output
from anymask.errors import InputError
from anymask.formats import files
from anymask.formats.files import Source

__all__ = ["read", "write"]

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_WORDS = {"i1": "char", "u1": "uchar", "i4": "int", "f4": "float", "f8": "double"}
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}


class _Header(NamedTuple):
    """What the words at the beginning say about the vertices."""

    order: str
    vertices: int
    fields: list[tuple[str, str]]
    size: int


def write(target: Target, rows: npt.NDArray[Any]) -> None:
    """Write vertices as binary little-endian PLY.

    Args:
        target: A path, or a file opened for writing bytes.
        rows: A structured array (n,) of little-endian numbers without gaps between them.

    Raises:
        OutputError: The file cannot be written; what was there before is untouched.

    Examples:
        >>> import io
        >>> file = io.BytesIO()
        >>> write(file, np.array([(1.5, 2)], [("x", "<f4"), ("label", "<i4")]))
        >>> read(file.getvalue())["label"].tolist()
        [2]
    """
    fields = [(name, kind.lstrip("<|")) for name, kind, *_ in rows.dtype.descr]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    lines += [f"property {_WORDS[kind]} {name}" for name, kind in fields]
    with output(target) as file:
        file.write(("\n".join([*lines, "end_header"]) + "\n").encode("ascii"))
        file.write(rows.tobytes())


def read(source: Source) -> npt.NDArray[Any]:
    """Read the vertices of a PLY file, binary or as text; what follows them is left out.

    Args:
        source: A path, the bytes of a file, or a file opened for reading bytes.

    Returns:
        A structured array (n,) with a field for each property.

    Raises:
        InputError: It is missing, damaged or no PLY file, or does not begin with vertices.
    """
    content = files.load(source)
    header = _read_header(content.data, content.name)
    dtype = np.dtype([(name, header.order + kind) for name, kind in header.fields])
    body = memoryview(content.data)[header.size :]
    if header.order == "=":
        return _read_text(bytes(body), header.vertices, dtype, content.name)
    if len(body) < header.vertices * dtype.itemsize:
        raise _damaged(content.name, f"it ends before the last of its {header.vertices:,} vertices")
    return np.frombuffer(body, dtype, header.vertices)


def _read_header(data: bytes, name: str) -> _Header:
    if not data.startswith(b"ply"):
        raise InputError(f"expected a PLY file, got {name}, which is none; check the name")
    end = data.find(b"end_header")
    stop = data.find(b"\n", end)
    if end < 0 or stop < 0:
        raise _damaged(name, "its header has no end")
    order, count, fields, element = "", -1, list[tuple[str, str]](), ""
    for line in data[:end].decode("ascii", "replace").splitlines():
        match line.split():
            case ["format", word, _]:
                order = _ORDERS.get(word, "")
            case ["element", element, number]:
                if count < 0 and element != "vertex":
                    raise _damaged(name, f"it begins with {element!r}, not with vertices")
                if element == "vertex":
                    count = int(number) if number.isdigit() else -1
            case ["property", kind, field] if element == "vertex" and kind in _TYPES:
                fields.append((field, _TYPES[kind]))
            case ["property", *_] if element == "vertex":
                raise _damaged(name, f"its vertices have {line!r}, which is unknown")
    if not order or count < 0 or not fields or len(dict(fields)) < len(fields):
        raise _damaged(name, "its header does not say how vertices are written")
    return _Header(order, count, fields, stop + 1)


def _read_text(body: bytes, count: int, dtype: np.dtype[Any], name: str) -> npt.NDArray[Any]:
    names = dtype.names or ()
    lines = [line for line in body.splitlines() if line.strip()][:count]
    try:
        table = np.array([line.split() for line in lines], np.float64).reshape(count, -1)
        columns = [table[:, i] for i in range(len(names))]
    except (ValueError, IndexError) as error:
        raise _damaged(name, f"it has not {count:,} lines of {len(names)} numbers") from error
    rows = np.empty(count, dtype)
    for field, column in zip(names, columns, strict=True):
        rows[field] = column
    return rows


def _damaged(name: str, why: str) -> InputError:
    return InputError(f"cannot read {name}: {why}; check that it is whole")
