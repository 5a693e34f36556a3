"""Run lengths: masks written as the lengths of their runs of equal pixels.

A mask is read column by column, from top to bottom, and its runs alternate: zeros, ones, zeros, and
so on. The first run is of zeros, of length 0 if the first pixel is set. This is COCO's convention,
and everything here equals pycocotools byte for byte.

Run lengths are called ``counts``: uint32 (k,). They know how many pixels the mask has but not its
shape, so ``size_hw`` is kept beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError

__all__ = [
    "Counts",
    "area",
    "bounding_box",
    "coco_box",
    "columns",
    "crop",
    "decode",
    "decode_columns",
    "encode",
    "encode_many",
    "encode_window",
    "enlarge",
    "from_changes",
    "from_string",
    "intersection",
    "intersections",
    "iou",
    "merge",
    "place",
    "to_string",
]

Counts = npt.NDArray[np.uint32]
IntArray = npt.NDArray[np.int64]

_LONGEST = np.iinfo(np.uint32).max

# ------------------------------------------------------------------------- pixels


def encode(mask: npt.NDArray[np.bool_]) -> Counts:
    """Encode a mask.

    Args:
        mask: bool (h, w).

    Examples:
        >>> encode(np.array([[False, True], [True, True]])).tolist()
        [1, 3]
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise InputError(
            f"expected a bool mask of shape (h, w), got {mask.dtype} of shape {mask.shape}; "
            "compare with a threshold first, as in mask > 0"
        )
    return _encode(mask)


def encode_many(masks: npt.NDArray[np.bool_]) -> list[Counts]:
    """Encode masks of one size, given as bool (n, h, w)."""
    masks = np.asarray(masks)
    if masks.ndim != 3 or masks.dtype != np.bool_:
        raise InputError(
            f"expected bool masks of shape (n, h, w), got {masks.dtype} of shape {masks.shape}; "
            "compare with a threshold first, as in masks > 0"
        )
    return [_encode(mask) for mask in masks]


def decode(counts: Counts, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Decode run lengths into a mask.

    Returns:
        bool (h, w), column-major in memory, because that takes a twentieth of the time.
    """
    h, w = size_hw
    total = int(np.sum(counts, dtype=np.int64))
    if total != h * w:
        raise InputError(
            f"expected run lengths that add up to {h} * {w} = {h * w} pixels, got {total}; "
            "give the size of the image that they were made for"
        )
    set_pixels = np.arange(len(counts)) % 2 == 1
    return np.repeat(set_pixels, counts).reshape(w, h).T


def _encode(mask: npt.NDArray[np.bool_]) -> Counts:
    # Looking for changes row by row and sorting the few that there are is four times as fast as
    # turning the whole mask round.
    h, w = mask.shape
    if mask.size == 0:
        return np.zeros(1, dtype=np.uint32)
    row, column = np.divmod(np.flatnonzero(mask[1:] != mask[:-1]), w)
    inside_columns = column * h + row + 1
    between_columns = (np.flatnonzero(mask[0, 1:] != mask[-1, :-1]) + 1) * h
    start = np.zeros(int(mask[0, 0]), dtype=np.int64)
    changes = np.concatenate([start, inside_columns, between_columns])
    changes.sort()
    return from_changes(changes, h * w)


def encode_window(
    window: npt.NDArray[np.bool_], corner_xy: tuple[int, int], size_hw: tuple[int, int]
) -> Counts:
    """Encode a mask that is empty outside of a window.

    Args:
        window: bool (w, h), at least one pixel, column by column.
        corner_xy: Where it begins in the mask.
        size_hw: Size of the mask.

    Examples:
        >>> encode_window(np.array([[True]]), corner_xy=(1, 0), size_hw=(2, 3)).tolist()
        [2, 1, 3]
    """
    (n, h), (x, y), (height, width) = window.shape, corner_xy, size_hw
    padded = np.zeros(n * (h + 1) + 1, dtype=np.bool_)  # a pixel before each column, and one after
    padded[:-1].reshape(n, h + 1)[:, 1:] = window
    column, row = np.divmod(np.flatnonzero(padded[1:] != padded[:-1]), h + 1)
    changes = (x + column) * height + y + row
    if h == height:  # a run that reaches the bottom may go on in the next column
        alone = (np.diff(changes, prepend=-1) != 0) & (np.diff(changes, append=-1) != 0)
        changes = changes[alone]
    return from_changes(changes[changes < height * width], height * width)


def decode_columns(counts: Counts, height: int, first: int, stop: int) -> npt.NDArray[np.bool_]:
    """Decode some columns of a mask: bool (stop - first, height), column by column.

    Args:
        counts: Run lengths of the whole mask.
        height: Of the mask.
        first: Number of the first column.
        stop: Number of the first column that is left out.
    """
    edges = np.clip(np.cumsum(counts, dtype=np.int64), first * height, stop * height)
    lengths = np.diff(edges, prepend=first * height)
    set_pixels = np.arange(len(counts)) % 2 == 1
    return np.repeat(set_pixels, lengths).reshape(stop - first, height)


def from_changes(changes: npt.NDArray[np.int64], total: int) -> Counts:
    """Encode a mask of so many pixels by the places where it changes.

    Args:
        changes: int64 (k,), rising: numbers of the pixels that differ from the one before them, the
            first pixel from zero; column by column.
        total: Number of pixels.
    """
    return np.diff(changes, prepend=0, append=total).astype(np.uint32)


# ------------------------------------------------------------------------ strings

# A character holds six bits, counted from "0": five of the number, lowest first, and one that says
# that more follow. The number is signed.
_ZERO = 48
_MORE = 0x20
_SIGN = 0x10
_BITS = 0x1F


def to_string(counts: Counts) -> str:
    """Write run lengths as COCO's compressed string.

    From the fourth on, each is written as the difference to the one before the last, which is small
    because neighbouring columns look alike.

    Examples:
        >>> to_string(np.array([6, 1, 40, 4, 5, 4, 5, 4, 21], dtype=np.uint32))
        '61X13mN000`0'
    """
    values = np.asarray(counts).astype(np.int64)
    values[3:] -= values[1:-2].copy()
    limits = 1 << (5 * np.arange(1, 7) - 1)  # n characters hold -limits[n - 1] .. limits[n - 1] - 1
    magnitudes = np.where(values < 0, ~values, values)
    lengths = np.searchsorted(limits, magnitudes, side="right") + 1
    ends = np.cumsum(lengths)
    place = np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths)
    characters = (np.repeat(values, lengths) >> (5 * place)) & _BITS
    characters |= _MORE
    characters[ends - 1] &= _BITS
    return bytes((characters + _ZERO).astype(np.uint8)).decode("ascii")


def from_string(string: str | bytes) -> Counts:
    """Read run lengths from COCO's compressed string.

    Raises:
        InputError: The string holds a foreign character, ends too early, or means negative lengths.
    """
    raw = string.encode() if isinstance(string, str) else string
    characters = np.frombuffer(raw, dtype=np.uint8).astype(np.int64) - _ZERO
    if len(characters) == 0 or characters.min() < 0 or characters.max() >= 64:
        raise _damaged(raw, "characters between '0' and 'o'")
    ends = np.flatnonzero(characters < _MORE) + 1
    if len(ends) == 0 or ends[-1] != len(characters):
        raise _damaged(raw, "a last number that is whole")
    lengths = np.diff(ends, prepend=0)
    if lengths.max() > 7:
        raise _damaged(raw, "numbers of 32 bits")
    starts = ends - lengths
    place = np.arange(len(characters)) - np.repeat(starts, lengths)
    values = np.add.reduceat((characters & _BITS) << (5 * place), starts)
    negative = (characters[ends - 1] & _SIGN) != 0
    values -= negative.astype(np.int64) << (5 * lengths)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    if values.min() < 0 or values.max() > _LONGEST:
        raise _damaged(raw, "lengths of 0 or more")
    return values.astype(np.uint32)


def _damaged(raw: bytes, expected: str) -> InputError:
    shown = raw[:20].decode("ascii", "replace") + ("..." if len(raw) > 20 else "")
    return InputError(
        f"expected COCO's compressed run lengths with {expected}, got {shown!r}; "
        "check that the file is whole"
    )


# ---------------------------------------------------------------------- measuring


def area(counts: Counts) -> int:
    """Count the pixels of a mask."""
    return int(np.sum(counts[1::2], dtype=np.int64))


def bounding_box(counts: Counts, size_hw: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Find the box of a mask: float32 (4,) xyxy, first and last pixel inclusive; empty: zeros.

    Examples:
        >>> bounding_box(np.array([1, 3], dtype=np.uint32), (2, 2)).tolist()
        [0.0, 0.0, 1.0, 1.0]
    """
    h = size_hw[0]
    starts, stops = _runs(counts)
    if len(starts) == 0:
        return np.zeros(4, dtype=np.float32)
    last = stops - 1
    (left, top), (right, bottom) = np.divmod(starts, h), np.divmod(last, h)
    if np.any(left != right):  # a run that goes on in the next column touches bottom and top
        return np.array([left[0], 0, right[-1], h - 1], dtype=np.float32)
    return np.array([left[0], top.min(), right[-1], bottom.max()], dtype=np.float32)


def coco_box(counts: Counts, size_hw: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Find the box of a mask as COCO has it: float64 (4,) xywh in whole pixels; empty: zeros."""
    if area(counts) == 0:
        return np.zeros(4)
    x0, y0, x1, y1 = bounding_box(counts, size_hw).astype(np.float64)
    return np.array([x0, y0, x1 - x0 + 1, y1 - y0 + 1])


def _runs(counts: Counts) -> tuple[IntArray, IntArray]:
    """Find where each run of ones starts and stops (exclusive), int64; empty runs are left out."""
    edges = np.cumsum(counts, dtype=np.int64)
    starts, stops = edges[: len(edges) // 2 * 2].reshape(-1, 2).T
    filled = stops > starts
    return starts[filled], stops[filled]


# ----------------------------------------------------------------- set operations


def intersection(a: Counts, b: Counts) -> int:
    """Count the pixels that two masks of the same image share."""
    return int(intersections(a, [b])[0])


def intersections(mask: Counts, others: Sequence[Counts]) -> IntArray:
    """Count the pixels that a mask shares with each of n others of the same image: int64 (n,)."""
    _check_same_pixels([mask, *others])
    return _shared(_ones_before(mask), [_runs(other) for other in others])


def iou(
    a: Sequence[Counts], b: Sequence[Counts], iscrowd: Sequence[bool] | None = None
) -> npt.NDArray[np.float64]:
    """Measure intersection over union of every mask of one list with every mask of another.

    Args:
        a: n masks, all of one image size.
        b: m masks, of the same image size.
        iscrowd: For each of ``b``, whether it is a crowd: then the area of the mask of ``a`` takes
            the place of the union, as in COCO's evaluation.

    Returns:
        float64 (n, m). Two empty masks have 0.
    """
    if iscrowd is not None and len(iscrowd) != len(b):
        raise InputError(
            f"expected {len(b)} crowd flags, one for each mask of b, got {len(iscrowd)}; add or "
            "drop some"
        )
    _check_same_pixels([*a, *b])
    runs = [_runs(counts) for counts in b]
    shared = np.array([_shared(_ones_before(counts), runs) for counts in a], dtype=np.float64)
    shared = shared.reshape(len(a), len(b))
    areas_a = np.array([area(counts) for counts in a], dtype=np.float64)[:, None]
    areas_b = np.array([area(counts) for counts in b], dtype=np.float64)[None, :]
    union = areas_a + areas_b - shared
    if iscrowd is not None:
        union = np.where(np.asarray(iscrowd, dtype=np.bool_)[None, :], areas_a, union)
    return shared / np.where(shared > 0, union, 1)


def merge(masks: Iterable[Counts], intersect: bool = False) -> Counts:
    """Unite masks of the same image, or intersect them.

    Args:
        masks: At least one mask.
        intersect: Keep what all have in common instead of what any has.

    Examples:
        >>> left, middle = np.uint32([0, 4, 4]), np.uint32([2, 4, 2])
        >>> merge([left, middle]).tolist(), merge([left, middle], intersect=True).tolist()
        ([0, 6, 2], [2, 2, 4])
    """
    masks = list(masks)
    if not masks:
        raise InputError("expected at least one mask to merge, got none; give one or more")
    total = _check_same_pixels(masks)
    starts, stops = (np.concatenate(side) for side in zip(*map(_runs, masks), strict=True))
    places = np.concatenate([starts, stops])
    order = np.argsort(places, kind="stable")
    places = places[order]
    depth = np.cumsum(np.where(order < len(starts), 1, -1))  # how many masks hold the pixels here
    settled = np.diff(places, append=-1) != 0  # the last of all the changes in one place
    places, depth = places[settled], depth[settled]
    inside = depth == len(masks) if intersect else depth > 0
    changed = np.diff(inside, prepend=False)
    return from_changes(places[changed & (places < total)], total)


def _ones_before(counts: Counts) -> tuple[IntArray, IntArray]:
    """Give the corners of the broken line that counts, for each pixel, the set pixels before it."""
    lengths = np.concatenate([[0], np.asarray(counts, dtype=np.int64)])
    ones = lengths.copy()
    ones[1::2] = 0
    return np.cumsum(lengths), np.cumsum(ones)


def _shared(
    curve: tuple[IntArray, IntArray], masks: Sequence[tuple[IntArray, IntArray]]
) -> IntArray:
    """Count what the mask of a curve shares with each of n masks of runs: int64 (n,)."""
    if not masks:
        return np.zeros(0, dtype=np.int64)
    # All runs at once: a call for each mask would cost more than the arithmetic.
    starts, stops = (np.interp(np.concatenate(edges), *curve) for edges in zip(*masks, strict=True))
    before = np.concatenate([[0], np.cumsum(stops - starts)])
    ends = np.cumsum([len(starts) for starts, _ in masks])
    shared: IntArray = np.diff(before[ends], prepend=0).astype(np.int64)
    return shared


def _check_same_pixels(masks: Sequence[Counts]) -> int:
    totals = {int(np.sum(counts, dtype=np.int64)) for counts in masks}
    if len(totals) > 1:
        raise InputError(
            f"expected masks of the same image, got some of {min(totals)} and some of "
            f"{max(totals)} pixels; resize them to one size first"
        )
    return totals.pop() if totals else 0


# --------------------------------------------------------------- parts of an image


def crop(counts: Counts, size_hw: tuple[int, int], box: tuple[int, int, int, int]) -> Counts:
    """Cut a part out of a mask.

    Args:
        counts: The mask.
        size_hw: Height and width of its image.
        box: The part: xyxy, right and bottom exclusive, inside the image.

    Examples:
        >>> crop(np.uint32([1, 3]), (2, 2), (0, 1, 2, 2)).tolist()
        [0, 2]
    """
    x0, y0, x1, y1 = box
    x, top, bottom = columns(counts, size_hw[0])
    top, bottom = np.maximum(top, y0), np.minimum(bottom, y1)
    seen = (x >= x0) & (x < x1) & (top < bottom)
    return _from_columns(x[seen] - x0, top[seen] - y0, bottom[seen] - y0, (y1 - y0, x1 - x0))


def place(
    counts: Counts, size_hw: tuple[int, int], corner_xy: tuple[int, int], whole_hw: tuple[int, int]
) -> Counts:
    """Put the mask of a part of an image where it belongs in the whole.

    Args:
        counts: The mask.
        size_hw: Height and width of the part.
        corner_xy: Where its first pixel lies in the whole.
        whole_hw: Height and width of the whole.

    Examples:
        >>> place(np.uint32([0, 1]), (1, 1), (1, 1), (2, 3)).tolist()
        [3, 1, 2]
    """
    x, top, bottom = columns(counts, size_hw[0])
    return _from_columns(x + corner_xy[0], top + corner_xy[1], bottom + corner_xy[1], whole_hw)


def enlarge(
    counts: Counts, size_hw: tuple[int, int], factor: int, whole_hw: tuple[int, int]
) -> Counts:
    """Make a square of each pixel of a mask.

    Args:
        counts: The mask.
        size_hw: Height and width of its image.
        factor: Side of the squares.
        whole_hw: Height and width of the larger image; what goes beyond is cut off.

    Examples:
        >>> enlarge(np.uint32([1, 1]), (2, 1), 2, (3, 2)).tolist()
        [2, 1, 2, 1]
    """
    h, w = whole_hw
    x, top, bottom = columns(counts, size_hw[0])
    widths = np.bincount(x, minlength=size_hw[1])  # pieces in each column
    first = np.repeat(np.cumsum(widths) - widths, factor)  # each column several times over
    pieces = np.repeat(widths, factor)
    inner = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    chosen = np.repeat(first, pieces) + inner
    x = np.repeat(np.arange(len(pieces)), pieces)
    top, bottom = top[chosen] * factor, np.minimum(bottom[chosen] * factor, h)
    seen = (x < w) & (top < bottom)
    return _from_columns(x[seen], top[seen], bottom[seen], whole_hw)


def columns(counts: Counts, h: int) -> tuple[IntArray, IntArray, IntArray]:
    """Cut the runs of ones where columns end: x, first row and last row (exclusive) of each, int64.

    Args:
        counts: The mask.
        h: Height of its image.

    Examples:
        >>> [part.tolist() for part in columns(np.uint32([1, 2, 1]), 2)]
        [[0, 1], [1, 0], [2, 1]]
    """
    starts, stops = _runs(counts)
    first = starts // h
    pieces = (stops - 1) // h - first + 1
    number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    x = np.repeat(first, pieces) + number
    top = np.maximum(np.repeat(starts, pieces) - x * h, 0)
    bottom = np.minimum(np.repeat(stops, pieces) - x * h, h)
    return x, top, bottom


def _from_columns(x: IntArray, top: IntArray, bottom: IntArray, size_hw: tuple[int, int]) -> Counts:
    """Encode what `columns` gives, joining pieces that follow on each other."""
    h, w = size_hw
    edges = np.stack([x * h + top, x * h + bottom], axis=1).ravel()
    # Where a piece ends as the next one begins, nothing changes.
    changed = (np.diff(edges, prepend=-1) != 0) & (np.diff(edges, append=-1) != 0)
    return from_changes(edges[changed & (edges < h * w)], h * w)
