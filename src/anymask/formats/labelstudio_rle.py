"""Label Studio's run lengths of brushes: a stream of bits, most significant first.

It packs the bytes of an RGBA image, row by row, of which only alpha says anything. A header of 57
bits has the number of bytes (32 bits), the bits of a word less one (5), and four sizes of a length,
each less one (4 bits each). Then come blocks: a bit that says whether one word is repeated, two
bits that choose a size, a length less one in so many bits, and the word, or so many words. This is
the layout of the package rle-pack of thi.ng's umbrella, which Label Studio uses.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError

__all__ = ["decode", "encode"]

BoolMask = npt.NDArray[np.bool_]

_SIZES = (3, 4, 8, 16)  # bits of a length that is written
_LARGEST = 1 << 29  # pixels that are laid out in memory


def encode(mask: BoolMask) -> list[int]:
    """Write a mask, bool (h, w), as bytes from 0 to 255.

    Examples:
        >>> encode(np.array([[True, False]]))
        [0, 0, 0, 8, 57, 27, 252, 127, 241, 128, 0]
        >>> decode(_, (1, 2)).tolist()
        [[True, False]]
    """
    flat = np.asarray(mask, dtype=np.bool_).ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=~flat[:1]))
    runs = np.diff(starts, append=len(flat)) * 4
    most = 1 << _SIZES[-1]
    pieces = -(-runs // most)
    lengths = np.full(pieces.sum(), most)
    lengths[np.cumsum(pieces) - 1] = runs - (pieces - 1) * most
    words = np.repeat(np.where(flat[starts], 255, 0), pieces)
    size = np.searchsorted(1 << np.array(_SIZES), lengths)
    bits = np.array(_SIZES)[size]
    codes = (((4 | size) << bits | (lengths - 1)) << 8) | words
    header = [(len(flat) * 4, 32), (7, 5), *((bits - 1, 4) for bits in _SIZES)]
    values = np.concatenate([[value for value, _ in header], codes]).astype(np.int64)
    widths = np.concatenate([[width for _, width in header], 3 + bits + 8]).astype(np.int64)
    ends = np.cumsum(widths)
    shift = np.repeat(ends, widths) - 1 - np.arange(ends[-1])
    packed: list[int] = np.packbits((np.repeat(values, widths) >> shift & 1).astype(bool)).tolist()
    return packed


def decode(stream: Iterable[int], size_hw: tuple[int, int]) -> BoolMask:
    """Read a mask.

    Args:
        stream: Bytes, as numbers from 0 to 255.
        size_hw: Height and width of the image.

    Returns:
        bool (h, w): where alpha is more than 0.

    Raises:
        InputError: These are no bytes, they end too early, or they are of an image of another size.
    """
    h, w = size_hw
    try:
        data = bytes(stream)
    except (ValueError, TypeError):
        raise InputError(
            "expected run lengths of a brush as a list of numbers from 0 to 255, got others; "
            "export the task again"
        ) from None
    bits = _Bits(data)
    total, word, sizes = bits.take(32), bits.take(5) + 1, [bits.take(4) + 1 for _ in range(4)]
    if total != 4 * h * w or word != 8:
        raise InputError(
            f"expected a brush of 4 * {h} * {w} bytes of 8 bits, got one of {total:,} words of "
            f"{word} bits; check original_width and original_height"
        )
    if h * w > _LARGEST:
        raise InputError(
            f"expected a brush on at most {_LARGEST:,} pixels, got {w} x {h}; use polygons"
        )
    alpha = np.zeros(h * w, dtype=np.bool_)
    done = 0
    while done < total:
        head = bits.take(3)
        length = min(bits.take(sizes[head & 3]) + 1, total - done)
        stop = done + length
        if head & 4:
            if bits.take(8):
                alpha[done // 4 : stop // 4] = True  # pixels whose fourth byte is in the run
        else:
            words = bits.bytes(length)
            first = 3 - done % 4
            some = words[first::4] > 0
            alpha[done // 4 : done // 4 + len(some)] = some
        done = stop
    return alpha.reshape(h, w)


class _Bits:
    """Reads bits, most significant first."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self._end = 8 * len(data)

    def take(self, number: int) -> int:
        """Read a number of up to 32 bits."""
        self._check(number)
        first, off = divmod(self._at, 8)
        piece = int.from_bytes(self._data[first : first + 5].ljust(5, b"\0"), "big")
        self._at += number
        return piece >> 40 - off - number & (1 << number) - 1

    def bytes(self, number: int) -> npt.NDArray[np.uint8]:
        """Read words of 8 bits."""
        self._check(8 * number)
        first, off = divmod(self._at, 8)
        piece = np.frombuffer(self._data, np.uint8, offset=first)[: number + 1].astype(np.uint16)
        piece = np.append(piece, np.uint16(0))[: number + 1]
        self._at += 8 * number
        words: npt.NDArray[np.uint8] = (piece[:-1] << off | piece[1:] >> 8 - off).astype(np.uint8)
        return words

    def _check(self, number: int) -> None:
        if self._at + number > self._end:
            raise InputError(
                f"expected more run lengths of a brush after {len(self._data):,} bytes, got none; "
                "export the task again"
            )
