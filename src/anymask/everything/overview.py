"""The image as a whole, made small: what knows the things that are larger than a tile.

Tiles see parts of such things, and what a model makes of parts need not fit together. So the model
also looks at the whole image, shrunk to the size of a tile. Of what it finds there, the things
that no tile sees as a whole are kept, and drawn as finely as the tiles can where they agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import PIL.Image

from anymask.everything.grid import Cell, Grid
from anymask.everything.stitch import AGREEMENT, Part
from anymask.image.bands import Bands
from anymask.image.colour import Pixels
from anymask.masks import rle
from anymask.masks.masks import Masks
from anymask.masks.rle import Counts
from anymask.prompt import Prompt

__all__ = ["Overview"]

_VALUES_AT_ONCE = 2**24  # shrunk at a time, of one row of pixels at least


@dataclass(frozen=True)
class Overview:
    """An image made small.

    Attributes:
        pixels: uint8 (h', w', 3); each is the mean of a square of the image's.
        factor: Side of those squares.
    """

    pixels: Pixels
    factor: int

    @classmethod
    def of(cls, bands: Bands, side: int) -> Overview:
        """Shrink an image by a whole number until it is no larger than a tile."""
        h, w = bands.size_hw
        factor = -(-max(h, w) // side)
        step = factor * max(1, _VALUES_AT_ONCE // (3 * w * factor))
        rows = [
            PIL.Image.fromarray(bands.read(top, min(top + step, h))).reduce(factor)
            for top in range(0, h, step)
        ]
        return cls(np.concatenate([np.asarray(row) for row in rows]), factor)

    def large(self, masks: Masks, grid: Grid, parts: Mapping[Cell, Part]) -> Masks:
        """Give what no tile sees as a whole, in pixels of the image.

        Args:
            masks: What was found in the small image.
            grid: The tiles.
            parts: What was found in each.
        """
        h, w = grid.size_hw
        # With a pixel around, so that no edge of a tile runs along them.
        boxes = np.add(masks.boxes, (-1, -1, 2, 2)).astype(np.int64) * self.factor
        boxes = boxes.clip(0, (w, h, w, h))
        hidden = [not grid.sees((x0, y0, x1, y1)) for x0, y0, x1, y1 in boxes.tolist()]
        masks = masks[np.array(hidden, dtype=np.bool_) & (masks.areas > 0)]
        return Masks(
            grid.size_hw,
            tuple(self._drawn(counts, grid, parts) for counts in masks.counts),
            scores=masks.scores,
            stability=masks.stability,
            prompts=tuple(self._moved(prompt) for prompt in masks.prompts),
            crop_boxes=np.tile((0, 0, w, h), (len(masks), 1)),
            labels=masks.labels,
            ids=masks.ids,
            meta=masks.meta,
        )

    def _drawn(self, counts: Counts, grid: Grid, parts: Mapping[Cell, Part]) -> Counts:
        """Enlarge a mask, and take from each tile the mask that means the same, if there is one."""
        coarse = rle.enlarge(counts, self._size_hw, self.factor, grid.size_hw)
        x0, y0, x1, y1 = rle.bounding_box(coarse, grid.size_hw).astype(int).tolist()
        pieces = []
        for cell in grid.under((x0, y0, x1 + 1, y1 + 1)):
            part, core = parts[cell], grid.core(cell)
            in_tile = rle.crop(coarse, grid.size_hw, part.box)
            overlap = rle.iou([in_tile], part.masks.counts)[0]
            if overlap.max(initial=0) > AGREEMENT:
                piece = part.cut(int(overlap.argmax()), core)
            else:
                piece = rle.crop(coarse, grid.size_hw, core)
            size_hw = core[3] - core[1], core[2] - core[0]
            pieces.append(rle.place(piece, size_hw, core[:2], grid.size_hw))
        return rle.merge(pieces)

    @property
    def _size_hw(self) -> tuple[int, int]:
        return self.pixels.shape[0], self.pixels.shape[1]

    def _moved(self, prompt: Prompt | None) -> Prompt | None:
        if prompt is None:
            return None
        box = None if prompt.box is None else np.multiply(prompt.box, self.factor)
        return replace(prompt, points_xy=np.multiply(prompt.points_xy, self.factor), box=box)
