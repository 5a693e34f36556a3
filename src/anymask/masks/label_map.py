"""Label maps: one number for each pixel, the number of its mask, or 0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from anymask.masks.rle import Counts, from_changes
from anymask.optional import optional

__all__ = ["encode_numbers", "fill_gaps", "levels", "paint"]

LabelMap = npt.NDArray[np.int32]

_CLEARLY_WORSE = 0.85  # of another's ranking
_LEAST, _ROUNDING = 1e-6, 1e-9


def levels(rankings: Sequence[object]) -> npt.NDArray[np.int64]:
    """Group masks by how they rank, so that those of one group are about as good.

    Args:
        rankings: Of each mask, see `GenerateConfig.ranking`; anything else where it has none.

    Returns:
        (n,), 0 for the best ones, and one more for each factor of 0.85; all 0 if any has none.

    Examples:
        >>> levels([1.0, 0.9, 0.5]).tolist(), levels([1.0, None]).tolist()
        ([0, 0, 4], [0, 0])
    """
    if not rankings or not all(isinstance(one, int | float) for one in rankings):
        return np.zeros(len(rankings), np.int64)
    shares = np.array(rankings, np.float64).clip(_LEAST)
    worse = np.log(shares / shares.max()) / np.log(_CLEARLY_WORSE)
    return np.asarray(np.floor(worse + _ROUNDING), np.int64)


def paint(counts: Iterable[tuple[int, Counts]], size_hw: tuple[int, int]) -> LabelMap:
    """Paint masks over each other.

    Args:
        counts: The number and the run lengths of each mask; later ones cover earlier ones.
        size_hw: Height and width of the image.

    Returns:
        int32 (h, w), column-major in memory as run lengths are; 0 where no mask is.

    Examples:
        >>> paint([(7, np.array([1, 2, 1], dtype=np.uint32))], (2, 2)).tolist()
        [[0, 7], [7, 0]]
    """
    h, w = size_hw
    label_map = np.zeros(h * w, dtype=np.int32)
    for number, runs in counts:
        # Only from the first run of ones to the last, so that small masks cost little.
        lengths = runs[1 : len(runs) // 2 * 2]
        inside = np.repeat(np.arange(len(lengths)) % 2 == 0, lengths)
        label_map[int(runs[0]) :][: len(inside)][inside] = number
    return label_map.reshape(w, h).T


def encode_numbers(label_map: npt.NDArray[np.integer]) -> dict[int, Counts]:
    """Encode the pixels of each number, in one pass however many there are.

    Args:
        label_map: Whole numbers, (h, w).

    Returns:
        Run lengths by number, in rising order; 0 is a number like any other.

    Examples:
        >>> {n: runs.tolist() for n, runs in encode_numbers(np.array([[0, 7], [7, 7]])).items()}
        {0: [0, 1, 3], 7: [1, 3]}
    """
    flat = np.asarray(label_map).T.ravel()  # column by column, as run lengths are
    if not flat.size:
        return {}
    begins = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    ends = np.concatenate([begins[1:], [flat.size]])
    of_run = flat[begins]
    order = np.argsort(of_run, kind="stable")  # those of one number stay in their order
    numbers, firsts = np.unique(of_run[order], return_index=True)
    changes = np.stack([begins[order], ends[order]], axis=1)
    found = {}
    for number, runs in zip(numbers, np.split(changes, firsts[1:]), strict=True):
        places = runs.ravel()
        found[int(number)] = from_changes(places[places < flat.size], flat.size)
    return found


def fill_gaps(label_map: LabelMap) -> LabelMap:
    """Give every pixel without a number that of the nearest pixel with one.

    Args:
        label_map: int32 (h, w); if there is no number at all, it stays as it is.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    gaps = label_map == 0
    if gaps.all() or not gaps.any():
        return label_map
    cv2 = optional("cv2", extra="image")
    _, nearest = cv2.distanceTransformWithLabels(
        gaps.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    number_of = np.zeros(int(nearest.max()) + 1, dtype=np.int32)
    number_of[nearest[~gaps]] = label_map[~gaps]
    filled: LabelMap = number_of[nearest]
    return filled
