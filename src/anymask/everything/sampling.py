"""Where everything mode asks: everywhere, where nothing is known yet, or where things seem to be.

``grid`` asks all points, as the original does. The others ask less, and miss some of what it finds
(see docs/everything.md). ``hierarchical`` goes from coarse to fine and leaves out what a good mask
covers already, as TinySAM does (Shu et al., 2023). ``boxes`` asks where a map of boundaries has
something enclosed; it stands in for the detector of MobileSAMv2 (Zhang et al., 2023).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anymask.arrays import floats, sigmoid, to_numpy
from anymask.embedding import Embedding
from anymask.everything.neighbours import around
from anymask.everything.search import Search
from anymask.prompt import Prompt

__all__ = ["add_all", "add_coarse_to_fine", "add_objects"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_COARSER = (4, 2)  # rounds before the last: one point for so many by so many
_LEVELS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)  # probabilities above which a boundary is one
_APART = 5  # cells of the map of boundaries; two middles are no nearer than half of this


def add_all(search: Search, points_xy: FloatArray) -> None:
    """Ask all points (n, 2), in pixels of the crop."""
    search.add([Prompt(xy) for xy in points_xy])


def add_coarse_to_fine(search: Search, points_xy: FloatArray) -> None:
    """Ask a few points (n, 2) first, then those between them that no good mask covers.

    The last round keeps to the neighbours of points that got an answer which the model trusts:
    where it trusts none, it would be asked most and would say least.
    """
    per_side = len(points_xy) ** 0.5
    waiting = points_xy
    for coarser in _COARSER:
        chosen = _one_per_cell(waiting, search.crop_hw, per_side / coarser)
        add_all(search, waiting[chosen])
        waiting = np.delete(waiting, chosen, axis=0)
        waiting = waiting[~search.covers(waiting)]
    step = np.array(search.crop_hw[::-1]) / per_side
    away = np.abs(waiting[:, None] - search.trusted_xy()) / step
    add_all(search, waiting[(away.max(axis=2) < 1.5).any(axis=1)])


def _one_per_cell(points_xy: FloatArray, size_hw: tuple[int, int], per_side: float) -> IntArray:
    """Choose the points that lie nearest to the middles of the cells of a grid."""
    cells = max(1, round(per_side))  # along each side
    place = points_xy / size_hw[::-1] * cells
    cell = np.clip(place.astype(np.int64), 0, cells - 1)
    distance = ((place - cell - 0.5) ** 2).sum(axis=1)
    order = np.lexsort((distance, cell[:, 0], cell[:, 1]))
    _, first = np.unique((cell @ [1, cells])[order], return_index=True)
    return np.sort(order[first])


def add_objects(search: Search, seen: Embedding) -> None:
    """Ask once for each thing that boundaries enclose, in its middle.

    Clicks, because they find more than twice as much of what a grid finds as boxes do that are
    drawn round the same things.

    Args:
        search: In a crop.
        seen: The same crop, with a feature ``boundary``: logits of "a mask ends here".
    """
    add_all(search, _middles(seen))


def _middles(seen: Embedding) -> FloatArray:
    """Find places that lie deeper inside of boundaries than what is around them: (n, 2) pixels."""
    transform = seen.transform
    boundary = sigmoid(floats(to_numpy(seen.features["boundary"])[0, 0]))
    stride = transform.frame_hw[0] / boundary.shape[0]
    h, w = (max(1, int(side / stride)) for side in transform.resized_hw)
    top, left = (int(side / stride) for side in transform.offset_hw)
    depth = _depth(boundary[top : top + h, left : left + w])
    # Plateaus have many highest places: the blur and the slope leave one.
    blurred = around(depth, 1, np.add) / np.float32(9)
    blurred += np.linspace(0, 0.01, h * w, dtype=np.float32).reshape(h, w)
    highest = around(blurred, _APART // 2, np.maximum)
    y, x = ((blurred == highest) & (depth > 0)).nonzero()
    middles = np.stack([x + left, y + top], axis=1) + np.float32(0.5)
    height, width = transform.original_hw
    pixels: FloatArray = transform.points_to_image(middles * stride) - 0.5
    return np.clip(pixels, 0, (width - 1, height - 1))


def _depth(boundary: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Add up how far each place is from boundaries, be they sure or only suspected: (h, w)."""
    depth = np.zeros_like(boundary)
    for level in _LEVELS:
        inside = boundary < level
        while inside.any():
            depth += inside
            inside = ~around(np.pad(~inside, 1, constant_values=True), 1, np.logical_or)[1:-1, 1:-1]
    return depth
