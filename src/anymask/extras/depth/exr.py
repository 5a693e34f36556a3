"""OpenEXR files of one part, as far as depth comes in them: scan lines, plain or by zlib or RLE.

The layout is that of the public specification (openexr.com, "OpenEXR File Layout"): a magic number,
a list of attributes, offsets of blocks of lines, and in each block the channels line by line.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError

__all__ = ["MAGIC", "read_exr"]

MAGIC = b"\x76\x2f\x31\x01"
"""How such files begin."""

_TILED, _MANY_PARTS, _DEEP = 0x200, 0x1000, 0x800
_LINES = {0: 1, 1: 1, 2: 1, 3: 16}  # in a block, by compression: none, RLE, ZIPS, ZIP
_OTHERS = {4: "PIZ", 5: "PXR24", 6: "B44", 7: "B44A", 8: "DWAA", 9: "DWAB"}
_DTYPES: dict[int, str] = {0: "<u4", 1: "<f2", 2: "<f4"}
_WANTED = ("z", "depth", "v", "y", "r")  # channels that hold depth, the more explicit first
_MOST = 200_000_000


@dataclass(frozen=True)
class _Channel:
    name: str
    dtype: str


def read_exr(content: bytes, name: str) -> npt.NDArray[np.float32]:
    """Read the depth of an EXR file.

    Args:
        content: Of the file.
        name: What to call it in errors.

    Returns:
        float32 (h, w): the channel called Z, depth, V, Y or R (also of a layer, as in
        ``ViewLayer.Depth.Z``), or the only one.

    Raises:
        InputError: It is damaged, of a kind that is not read here, or without such a channel.
    """
    try:
        return _read(content, name)
    except (struct.error, IndexError, KeyError, ValueError, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"cannot decode {name}, damaged or cut off ({error or 'no data'}); get it again"
        ) from error


def _read(content: bytes, name: str) -> npt.NDArray[np.float32]:
    (flags,) = struct.unpack_from("<I", content, 4)
    if flags & (_TILED | _MANY_PARTS | _DEEP):
        raise _unknown(name, "has tiles, several parts or deep data")
    attributes, at = _attributes(content)
    compression = attributes["compression"][0]
    if compression not in _LINES:
        raise _unknown(name, f"is compressed by {_OTHERS.get(compression, compression)}")
    x0, y0, x1, y1 = struct.unpack("<4i", attributes["dataWindow"])
    w, h = x1 - x0 + 1, y1 - y0 + 1
    if w < 1 or h < 1 or w * h > _MOST:
        raise InputError(f"expected 1 to {_MOST} pixels, but {name} has {w} x {h}; use another")
    channels = _channels(attributes["channels"], name)
    wanted = _choose(channels, name)
    lines = _LINES[compression]
    values = np.full((h, w), np.nan, np.float32)
    for offset in struct.unpack_from(f"<{-(-h // lines)}Q", content, at):
        y, size = struct.unpack_from("<ii", content, offset)
        rows = min(lines, y1 - y + 1)
        length = rows * w * sum(np.dtype(c.dtype).itemsize for c in channels)
        block = content[offset + 8 : offset + 8 + size]
        if len(block) != size:
            raise ValueError("its end is missing")
        block = _unpack(block, compression, length)
        if y < y0 or rows < 1 or len(block) != length:
            raise ValueError("a block of lines is not what it should be")
        stored = np.dtype([(c.name, c.dtype, (w,)) for c in channels])
        values[y - y0 : y - y0 + rows] = np.frombuffer(block, stored)[wanted]
    return values


def _attributes(content: bytes) -> tuple[dict[str, bytes], int]:
    """Read the header: its attributes, and where it ends."""
    found, at = {}, 8
    while content[at]:
        name, at = _text(content, at)
        _, at = _text(content, at)  # its type, which follows from the name
        (size,) = struct.unpack_from("<i", content, at)
        if size < 0:
            raise ValueError("an attribute is shorter than nothing")
        found[name] = content[at + 4 : at + 4 + size]
        at += 4 + size
    return found, at + 1


def _text(content: bytes, at: int) -> tuple[str, int]:
    end = content.index(b"\0", at)
    return content[at:end].decode("utf-8", "replace"), end + 1


def _channels(content: bytes, name: str) -> list[_Channel]:
    found, at = [], 0
    while content[at]:
        channel, at = _text(content, at)
        kind, _, every_x, every_y = struct.unpack_from("<iIii", content, at)
        if (every_x, every_y) != (1, 1):
            raise _unknown(name, "has channels of other sizes")
        found.append(_Channel(channel, _DTYPES[kind]))
        at += 16
    return found


def _choose(channels: list[_Channel], name: str) -> str:
    if len(channels) == 1:
        return channels[0].name
    last = {c.name.rpartition(".")[2].lower(): c.name for c in reversed(channels)}
    for wanted in _WANTED:
        if wanted in last:
            return last[wanted]
    known = ", ".join(c.name for c in channels[:8])
    raise InputError(f"expected a channel Z in {name}, got {known}; write depth as Z")


def _unpack(block: bytes, compression: int, length: int) -> bytes:
    if compression == 0 or len(block) == length:  # what does not shrink is stored as it is
        return block
    if compression == 1:
        packed: Any = _unrle(block, length)
    else:
        packed = zlib.decompressobj().decompress(block, length)
    # First all even bytes, then all odd ones, each as the difference from the one before.
    deltas = np.frombuffer(packed, np.uint8).astype(np.int64)
    deltas[1:] -= 128
    plain = np.cumsum(deltas).astype(np.uint8)
    whole = np.empty_like(plain)
    half = (len(plain) + 1) // 2
    whole[0::2], whole[1::2] = plain[:half], plain[half:]
    return whole.tobytes()


def _unrle(block: bytes, length: int) -> bytes:
    out, at = bytearray(), 0
    while at < len(block) and len(out) <= length:
        (count,) = struct.unpack_from("<b", block, at)
        if count < 0:  # that many bytes as they are
            out += block[at + 1 : at + 1 - count]
            at += 1 - count
        else:
            out += block[at + 1 : at + 2] * (count + 1)
            at += 2
    return bytes(out)


def _unknown(name: str, why: str) -> InputError:
    return InputError(
        f"expected an EXR file of scan lines, plain or compressed by ZIP, but {name} {why}; save "
        "it as such, or as NPY"
    )
