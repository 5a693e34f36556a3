"""Joining the masks of overlapping tiles to masks of the whole image.

Two masks of neighbouring tiles are parts of one thing if they agree on the strip that both tiles
see. Of each tile at most one mask goes into a thing, the best matches first, so that a whole and
its part, which can look alike in a narrow strip, stay apart. What the edge of a tile cuts off and
no neighbour continues is a piece with a straight edge, not a thing, and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from anymask.everything.grid import Box, Cell, Grid
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.masks.rle import Counts
from anymask.prompt import Prompt

__all__ = ["AGREEMENT", "Part", "join", "meet"]

IntArray = npt.NDArray[np.int64]
Mask = tuple[Cell, int]
"""A tile, and the number of one of its masks."""
Thing = dict[Cell, int]
"""The masks that belong together: of each tile, the number of one."""

AGREEMENT = 0.5  # IoU of two masks in the strip that two tiles share, above which they are one
_OPEN = 0.25  # cut, of the side of a square as large as the thing, above which it is only a piece
_BESIDE = 2  # pixels from the edge of a tile, where masks may fray
_SAME = 0.7  # IoU of two masks of the image, above which they are duplicates


@dataclass(frozen=True)
class Part:
    """What was found in one tile.

    Attributes:
        masks: In pixels of the tile, none of them empty.
        box: Where the tile lies in the image.
        boxes: int64 (n, 4), xyxy in pixels of the image, right and bottom exclusive.
    """

    masks: Masks
    box: Box
    boxes: IntArray

    @classmethod
    def of(cls, masks: Masks, grid: Grid, cell: Cell) -> Part:
        """Find out how the masks of a tile lie."""
        masks = masks.filter(min_area=1)
        box = grid.box(cell)
        x0, y0 = box[:2]
        return cls(masks, box, np.add(masks.boxes.astype(np.int64), (x0, y0, x0 + 1, y0 + 1)))

    def seen(self, box: Box) -> tuple[IntArray, list[Counts]]:
        """Cut what lies in a box of the image out of all masks that reach into it.

        Returns:
            The numbers of those masks, int64, and for each what is in the box.
        """
        low, high = np.maximum(self.boxes[:, :2], box[:2]), np.minimum(self.boxes[:, 2:], box[2:])
        near = np.flatnonzero((low < high).all(axis=1))
        cuts = [(i, self.cut(int(i), box)) for i in near]
        cuts = [(i, cut) for i, cut in cuts if rle.area(cut)]
        return np.array([i for i, _ in cuts], dtype=np.int64), [cut for _, cut in cuts]

    def cut(self, i: int, box: Box) -> Counts:
        """Cut what lies in a box of the image out of mask i."""
        return rle.crop(self.masks.counts[i], self.masks.size_hw, _within(box, self.box))

    def prompt(self, i: int) -> Prompt | None:
        """Give the prompt of mask i in pixels of the image."""
        prompt, (x0, y0) = self.masks.prompts[i], self.box[:2]
        if prompt is None:
            return None
        box = None if prompt.box is None else np.add(prompt.box, (x0, y0, x0, y0))
        return replace(prompt, points_xy=np.add(prompt.points_xy, (x0, y0)), box=box)


def join(grid: Grid, parts: Mapping[Cell, Part], large: Masks) -> Masks:
    """Make the masks of an image out of those of its tiles.

    Args:
        grid: The tiles.
        parts: What was found in each.
        large: What was found in the image as a whole.

    Returns:
        Best first, without duplicates. What is known of a mask of several tiles (scores, prompt,
        crop box, label and so on) is that of its largest part.
    """
    things = [closed for thing in _things(grid, parts) if (closed := _closed(grid, parts, thing))]
    largest = [max(t.items(), key=lambda m: parts[m[0]].masks.areas[m[1]]) for t in things]
    masks = Masks(
        grid.size_hw,
        tuple(_assemble(grid, parts, thing) for thing in things),
        scores=np.array([parts[cell].masks.scores[i] for cell, i in largest]),
        stability=np.array([parts[cell].masks.stability[i] for cell, i in largest]),
        prompts=tuple(parts[cell].prompt(i) for cell, i in largest),
        crop_boxes=np.array([parts[cell].box for cell, _ in largest]).reshape(-1, 4),
        labels=tuple(parts[cell].masks.labels[i] for cell, i in largest),
        ids=tuple(parts[cell].masks.ids[i] for cell, i in largest),
        meta=tuple(parts[cell].masks.meta[i] for cell, i in largest),
    )
    return Masks.concat([masks, large]).filter(min_area=1).nms(_SAME, "mask")


def _things(grid: Grid, parts: Mapping[Cell, Part]) -> list[Thing]:
    """Put together what belongs together; what stays alone is a thing, too."""
    thing_of = {(cell, i): {cell: i} for cell, p in parts.items() for i in range(len(p.masks))}
    matches = sorted(m for a, b in grid.neighbours() for m in _matches(parts, a, b))
    for *_, a, b in matches:
        thing, other = thing_of[a], thing_of[b]
        if thing.keys().isdisjoint(other):
            thing.update(other)
            thing_of.update((mask, thing) for mask in other.items())
    return [thing for mask, thing in thing_of.items() if next(iter(thing.items())) == mask]


def _matches(
    parts: Mapping[Cell, Part], a: Cell, b: Cell
) -> Iterator[tuple[float, int, Mask, Mask]]:
    """Compare two tiles: for each match the IoU, the size (both negative) and the two masks."""
    shared = meet(parts[a].box, parts[b].box)
    numbers_a, cuts_a = parts[a].seen(shared)
    numbers_b, cuts_b = parts[b].seen(shared)
    iou = rle.iou(cuts_a, cuts_b)
    for i, j in np.argwhere(iou > AGREEMENT):
        yield -iou[i, j], -rle.area(cuts_a[i]), (a, int(numbers_a[i])), (b, int(numbers_b[j]))


def _closed(grid: Grid, parts: Mapping[Cell, Part], thing: Thing) -> Thing:
    """Leave masks out, those that are cut off most first, until the rest is a whole; or nothing."""
    while thing:
        cuts = {cell: _cut_length(grid, parts, thing, cell) for cell in thing}
        size = sum(rle.area(parts[cell].cut(i, grid.core(cell))) for cell, i in thing.items())
        if sum(cuts.values()) <= _OPEN * size**0.5:
            break
        worst = max(cuts, key=lambda cell: cuts[cell])
        thing = {cell: i for cell, i in thing.items() if cell != worst}
    return thing


def _cut_length(grid: Grid, parts: Mapping[Cell, Part], thing: Thing, cell: Cell) -> int:
    """Measure in pixels how far a tile cuts a thing off where no neighbour knows how it goes on."""
    part, i = parts[cell], thing[cell]
    return sum(
        rle.area(part.cut(i, meet(line, grid.core(under))))
        for line in _lines(part.box, grid.size_hw)
        for under in grid.under(line)
        if under not in thing
    )


def _lines(box: Box, size_hw: tuple[int, int]) -> Iterator[Box]:
    """Give lines beside those edges of a tile behind which the image goes on."""
    x0, y0, x1, y1 = box
    if x0 > 0:
        yield x0 + _BESIDE, y0, x0 + _BESIDE + 1, y1
    if y0 > 0:
        yield x0, y0 + _BESIDE, x1, y0 + _BESIDE + 1
    if x1 < size_hw[1]:
        yield x1 - _BESIDE - 1, y0, x1 - _BESIDE, y1
    if y1 < size_hw[0]:
        yield x0, y1 - _BESIDE - 1, x1, y1 - _BESIDE


def _assemble(grid: Grid, parts: Mapping[Cell, Part], thing: Thing) -> Counts:
    """Unite the masks of a thing; in the core of each of its tiles, that tile decides."""
    pieces = []
    for cell, i in thing.items():
        x0, y0, x1, y1 = parts[cell].boxes[i].tolist()
        for under in grid.under((x0, y0, x1, y1)):
            if under == cell or under not in thing:
                box = meet(grid.core(under), parts[cell].box)
                size_hw = box[3] - box[1], box[2] - box[0]
                pieces.append(rle.place(parts[cell].cut(i, box), size_hw, box[:2], grid.size_hw))
    return rle.merge(pieces)


def _within(box: Box, frame: Box) -> Box:
    """Count a box from the corner of a frame."""
    x0, y0 = frame[:2]
    return box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0


def meet(a: Box, b: Box) -> Box:
    """Give what two boxes share."""
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
