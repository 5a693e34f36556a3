"""Id maps: an image that says by colour which mask each pixel belongs to.

Two bytes make a number: red is its low byte, green its high one, blue is 0; 0 is no mask. So are
the masks of ImageNet-S published, and the ControlNets of EditAnything see them like this.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import PIL.Image

from anymask.atomic import Target, output
from anymask.errors import InputError
from anymask.image.image import Image, ImageLike
from anymask.image.png import encode_png
from anymask.masks.masks import Masks

__all__ = ["LARGEST", "id_map", "read_id_map", "write_id_map"]

LARGEST = 65_535
"""The highest number that two bytes can say, and so how many masks there can be."""


def id_map(masks: Masks) -> npt.NDArray[np.uint8]:
    """Give masks as an id map, in which the first mask has the number 1.

    A pixel has one number; where masks overlap, it is that of the smallest.

    Returns:
        uint8 (h, w, 3), RGB.

    Raises:
        InputError: There are more masks than two bytes can count.

    Examples:
        >>> id_map(Masks.from_dense(np.eye(2, dtype=bool)[:, None])).tolist()
        [[[1, 0, 0], [2, 0, 0]]]
    """
    if len(masks) > LARGEST:
        raise InputError(
            f"expected at most {LARGEST} masks for an id map, got {len(masks)}; keep the largest"
        )
    numbers = masks.label_map()
    return np.stack([numbers % 256, numbers // 256, np.zeros_like(numbers)], 2).astype(np.uint8)


def write_id_map(target: Target, masks: Masks) -> None:
    """Write masks as an id map, PNG.

    Args:
        target: A path, or a file opened for writing bytes.
        masks: At most 65,535.

    Raises:
        InputError: There are more.
        OutputError: The file cannot be written; what was there before is untouched.
    """
    content = encode_png(PIL.Image.fromarray(id_map(masks)))
    with output(target) as file:
        file.write(content)


def read_id_map(image: ImageLike) -> Masks:
    """Read an id map.

    Args:
        image: What `Image.open` takes, from a format that loses nothing; such as uint8 (h, w, 3).

    Returns:
        One mask for each number that occurs, in rising order, 0 left out; `Masks.ids` has the
        numbers.

    Raises:
        InputError: It has blue in it, so it is another image, or came through JPEG.

    Examples:
        >>> masks = read_id_map(np.array([[[2, 1, 0], [0, 0, 0], [2, 1, 0]]], np.uint8))
        >>> masks.ids, masks.areas.tolist()
        ((258,), [2])
    """
    opened = Image.open(image)
    pixels = opened.pixels
    if pixels[..., 2].any():
        raise InputError(
            "expected an id map, whose pixels have no blue, got an image with some; give the PNG "
            "as it was written, for JPEG changes numbers"
        )
    numbers = pixels[..., 0].astype(np.int64) + 256 * pixels[..., 1].astype(np.int64)
    counts, ids = _runs(numbers.T.ravel())
    return Masks(opened.size_hw, counts, ids=ids, source=opened.source)


def _runs(
    numbers: npt.NDArray[np.int64],
) -> tuple[tuple[npt.NDArray[np.uint32], ...], tuple[int, ...]]:
    """Give the run lengths of each number but 0, zeros first, in one pass over all pixels."""
    total = len(numbers)
    edges = np.flatnonzero(np.diff(numbers)) + 1
    starts, ends = np.concatenate([[0], edges]), np.concatenate([edges, [total]])
    found = numbers[starts]
    order = np.argsort(found, kind="stable")
    order = order[found[order] > 0]
    ids, first = np.unique(found[order], return_index=True)
    counts = []
    for runs in np.split(order, first[1:]) if len(ids) else []:
        places = np.stack([starts[runs], ends[runs]], 1).ravel()
        lengths = np.diff(np.concatenate([[0], places, [total]]))
        counts.append((lengths if lengths[-1] else lengths[:-1]).astype(np.uint32))
    return tuple(counts), tuple(int(number) for number in ids)
