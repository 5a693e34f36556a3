"""The safetensors layout, to and from numpy arrays, for where its library is not installed.

Eight bytes say how long the header is: JSON with dtype, shape and place of each tensor, and what
the file says of itself. The rest is their values, one after the other, little-endian.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["pack", "unpack"]

_METADATA = "__metadata__"
_ALIGN = 8  # the values begin at a multiple of so many bytes
_DTYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "U16": "<u2",
    "I16": "<i2",
    "U32": "<u4",
    "I32": "<i4",
    "U64": "<u8",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
}
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items()}

Tensors = dict[str, npt.NDArray[Any]]


def pack(tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """Write tensors, and what a file says of itself, as the content of a file.

    Examples:
        >>> tensors, metadata = unpack(pack({"a": np.ones(2, np.float16)}, {"from": "here"}))
        >>> tensors["a"].tolist(), metadata
        ([1.0, 1.0], {'from': 'here'})
    """
    header: dict[str, Any] = {_METADATA: dict(metadata)}
    contents, end = [], 0
    # The widest first, so that each begins at a multiple of its width.
    for name in sorted(tensors, key=lambda name: (-tensors[name].itemsize, name)):
        values = tensors[name]
        dtype = values.dtype.newbyteorder("<")
        contents.append(values.astype(dtype, copy=False).tobytes())
        place = [end, end := end + len(contents[-1])]
        header[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(values.shape),
            "data_offsets": place,
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGN)
    return b"".join([len(text).to_bytes(8, "little"), text, *contents])


def unpack(content: bytes) -> tuple[Tensors, dict[str, str]]:
    """Read the tensors of a file, and what it says of itself.

    Raises:
        ValueError: It is damaged, or no such file; or a dtype is none that numpy has.
    """
    length = int.from_bytes(content[:8], "little")
    if not 0 < length <= len(content) - 8:
        raise ValueError("its header is cut off")
    header = json.loads(content[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("its header is no list of tensors")
    metadata = header.pop(_METADATA, None) or {}
    values = memoryview(content)[8 + length :]
    tensors, end = {}, 0
    for name, about in sorted(header.items(), key=lambda entry: _place(entry[1])):
        begin, stop = _place(about)
        dtype = np.dtype(_DTYPES.get(about.get("dtype"), "V0"))
        shape = [int(side) for side in about["shape"]]
        if not dtype.itemsize:
            raise ValueError(f"a tensor of the unknown dtype {about.get('dtype')!r}")
        fits = min(shape, default=0) >= 0 and stop - begin == math.prod(shape) * dtype.itemsize
        if begin != end or not fits or stop > len(values):
            raise ValueError("its tensors are cut off, or overlap")
        tensors[name] = np.frombuffer(values[begin:stop], dtype).reshape(shape)
        end = stop
    if end != len(values):
        raise ValueError("there is more than its tensors in it")
    return tensors, metadata


def _place(about: Any) -> tuple[int, int]:
    """Return where the values of a tensor begin and end."""
    if not isinstance(about, dict) or not isinstance(places := about.get("data_offsets"), list):
        raise ValueError("its header is no list of tensors")
    begin, end = (int(place) for place in places)
    return begin, end
