"""What a mask alone says: a box around it, places that are surely inside, and the mask itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anymask.arrays import Array, is_tensor, placed
from anymask.image.resampling import window_means
from anymask.image.transform import Transform
from anymask.prompt import Prompt

__all__ = ["complete", "deepest_points", "is_alone", "weighed"]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

_POINTS = 3  # on the object, at most
_BACKGROUND_POINTS = 2  # at most
_THINNEST = 1.5  # cells of its logits that the thinnest thing measures which a model draws
_TRUST = 4.0  # logits that a mask alone is worth, deep inside and far outside of it
_BORDER = 0.06  # of the square root of its area: so near to its edge it is worth less
_SUREST = 6.0  # logits that an answer to it is worth at most
_SIDE = 128  # depths are measured on a grid of at most so many cells per side


def is_alone(prompt: Prompt) -> bool:
    """Return whether a mask is all that says where the object is."""
    _, box, mask = prompt.form
    return mask and not box and not prompt.labels.any()


def complete(prompt: Prompt, transform: Transform, mask_hw: tuple[int, int]) -> Prompt:
    """Add to a mask the box and the points that it implies.

    For models that understand a mask only beside something else (`Variant.never_alone`). Background
    points of the prompt stay. A mask without a pixel implies nothing. One that is thinner than what
    the model draws is a scribble: only points on it say anything, for its box and its shape would
    ask for something as thin, which is nothing.

    Args:
        prompt: With a mask of either kind, and neither a box nor a point on the object.
        transform: Of the image that it is about.
        mask_hw: Height and width of the model's logits, which cover its frame.

    Returns:
        The prompt with a box; and for a mask in pixels of the image, which may be rough, with up to
        three points deep inside it, and up to two deep in what the box holds beside it. An answer's
        logits need none: points would only move what is right already (`benchmarks/masks_in.py`).
    """
    mask = _in_image(prompt, transform)
    if not mask.any():
        return prompt
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    x0, x1, y0, y1 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    points, labels = prompt.points_xy, prompt.labels
    if prompt.mask is not None:
        corner, inside = (x0, y0), mask[y0:y1, x0:x1]
        on = deepest_points(inside, _POINTS) + corner
        if _is_scribble(inside, transform, mask_hw):
            labels = np.repeat([1, 0], [len(on), len(points)])
            return Prompt(np.concatenate([on, points]), labels)
        beside = deepest_points(~inside, _BACKGROUND_POINTS) + corner
        points = np.concatenate([on, beside, points])
        labels = np.repeat([1, 0], [len(on), len(points) - len(on)])
    return Prompt(points, labels, (x0, y0, x1, y1), prompt.mask, prompt.mask_logits)


def weighed(logits: Array, mask: npt.NDArray[np.float32]) -> Array:
    """Weigh answers to a rough mask alone against this mask, for about that one is wanted.

    Away from its edge a mask is hardly ever wrong, however roughly it was drawn, and near it the
    model knows better (`benchmarks/masks_in.py`).

    Args:
        logits: Answers, float32 (k, h, w), an array or a tensor.
        mask: What was given, float (h, w), above 0 on the object.

    Returns:
        float32 (k, h, w), of the same kind.
    """
    given = (mask > 0).astype(np.float32)
    reach = max(1, round(_BORDER * float(given.sum()) ** 0.5))
    trust = np.float32(_TRUST) * (2 * _blurred(given, reach) - 1)
    device = logits.device if is_tensor(logits) else "cpu"
    return logits.clip(-_SUREST, _SUREST) + placed(trust, device)


def _blurred(values: npt.NDArray[np.float32], reach: int) -> npt.NDArray[np.float32]:
    """Take the mean of all cells at most ``reach`` away along both axes, as far as there are."""
    for axis in (0, 1):
        length = values.shape[axis]
        cells = np.arange(length)
        begin, end = np.maximum(cells - reach, 0), np.minimum(cells + reach + 1, length)
        values = window_means(values, axis, begin, end)
    return values


def _is_scribble(mask: BoolArray, transform: Transform, mask_hw: tuple[int, int]) -> bool:
    """Return whether a mask (h, w), cut to its box, is nowhere as thick as a model can draw."""
    sizes = zip(
        transform.original_hw, transform.resized_hw, transform.frame_hw, mask_hw, strict=True
    )
    rows, columns = (
        max(1, round(_THINNEST * original * frame / (resized * cells)))
        for original, resized, frame, cells in sizes
    )
    if rows > mask.shape[0] or columns > mask.shape[1]:
        return True
    before = np.pad(mask.cumsum(axis=0, dtype=np.int32).cumsum(axis=1), ((1, 0), (1, 0)))
    down = before[rows:] - before[:-rows]  # pixels in each block of so many rows and columns
    return bool((down[:, columns:] - down[:, :-columns]).max() < rows * columns)


def deepest_points(mask: BoolArray, count: int) -> FloatArray:
    """Find pixels far from the edge of a mask, in several parts of it.

    Args:
        mask: (h, w); what lies beyond its borders does not count as inside.
        count: Most of them.

    Returns:
        (n, 2), x before y, the deepest first; none where nothing is inside.

    Examples:
        >>> deepest_points(np.ones((5, 21), bool), 2).tolist()
        [[2.0, 2.0], [7.0, 2.0]]
    """
    step = -(-max(mask.shape) // _SIDE)
    cells = mask[step // 2 :: step, step // 2 :: step]
    if not cells.any():  # thinner than a cell
        cells, step = mask, 1
    depth = _depth(cells)
    y, x = np.mgrid[: depth.shape[0], : depth.shape[1]]
    points: list[tuple[int, int]] = []
    while len(points) < count and depth.any():
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        points.append((int(column) * step + step // 2, int(row) * step + step // 2))
        # The next one is in another part.
        depth[np.hypot(x - column, y - row) < 1.5 * depth[row, column]] = 0
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def _depth(mask: BoolArray) -> npt.NDArray[np.int64]:
    """Count how often each cell survives that a mask loses its edge: int (h, w)."""
    inside = np.pad(mask, 1)
    depth = np.zeros(inside.shape, np.int64)
    across = False
    while inside.any():
        depth += inside
        # In turns without and with the diagonals, so that what remains of a disc stays round.
        inside = _eroded(inside, across)
        across = not across
    return depth[1:-1, 1:-1]


def _eroded(mask: BoolArray, across: bool) -> BoolArray:
    """Take away what touches the outside, which lies all round; diagonally too if ``across``."""
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    rows = inner.copy() if across else mask
    inner[:, 1:] &= rows[:, :-1]
    inner[:, :-1] &= rows[:, 1:]
    return inner


def _in_image(prompt: Prompt, transform: Transform) -> BoolArray:
    """Give the mask of a prompt in pixels of the image."""
    if prompt.mask is not None:
        return prompt.mask
    assert prompt.mask_logits is not None
    mask: BoolArray = transform.masks_to_image(prompt.mask_logits) > 0
    return mask
