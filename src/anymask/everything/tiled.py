"""Everything mode on images of any size: tile by tile, with what crosses tiles joined.

Tiles overlap by twice the halo. What two neighbours say about the strip that both see tells which
of their masks mean the same thing; those are joined, and where they differ, the tile decides whose
middle is nearer. What is larger than a tile is found in the whole image, made small. Only one
band of the image is in memory at a time, and masks are run lengths from the beginning to the end.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

import torch

from anymask.config import GenerateConfig, InstanceConfig, changed
from anymask.everything import stitch
from anymask.everything.generate import least_memory, refine
from anymask.everything.grid import Cell, Grid
from anymask.everything.overview import Overview
from anymask.image.bands import Bands, open_bands
from anymask.image.colour import Pixels
from anymask.image.geo import read_geo
from anymask.image.image import Image, ImageLike
from anymask.masks.masks import Masks
from anymask.models.variants import Variant
from anymask.parallel import in_order

__all__ = ["Generator", "generate_tiled"]


class Generator(Protocol):
    """What finds everything in one tile, such as a `Segmenter`."""

    @property
    def variant(self) -> Variant:
        """Which model it is."""
        ...

    def generate(self, image: Image, config: Any) -> Masks:
        """Find everything."""
        ...


def generate_tiled(
    model: Generator,
    source: ImageLike,
    config: GenerateConfig | InstanceConfig | None = None,
    *,
    tile: int = 1024,
    halo: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options: Any,
) -> Masks:
    """Find everything in an image that is too large, or too rich, for one look.

    Args:
        model: Finds everything in each tile; several threads call it at once.
        source: Path of an image of up to 4 thousand million pixels, best a TIFF file (see
            `bands`), or anything else that is an image.
        config: What to look for in each tile and what to drop; None: what suits the model. Limits
            of areas are meant for the whole image.
        tile: Height and width of a tile in pixels; the model shrinks tiles larger than its frame.
        halo: How far a tile reaches beyond its share of the image; None: an eighth of the tile.
            What is smaller than twice this is seen as a whole by some tile.
        progress: Is told how many tiles are done, and of how many.
        **options: Single settings that should differ from those of ``config``.

    Returns:
        The masks of the whole image, best first. A mask joined from several tiles has the scores,
        the prompt and the crop box of its largest part.

    Raises:
        InputError: The tile is too small, the halo does not fit, the memory does not suffice for
            one tile, or the image cannot be read.
    """
    default: Any = model.variant.generate
    settings = changed(default, config, options)
    searches = model.variant.kind == "promptable"
    workers = torch.get_num_threads()
    per_tile = settings
    if searches:
        workers = _at_once(settings.memory, tile)
        per_tile = _for_one_tile(settings, workers)
    with open_bands(source) as bands:
        grid = Grid.lay(bands.size_hw, tile, tile // 8 if halo is None else halo)
        parts: dict[Cell, stitch.Part] = {}
        dropped: list[Counter[str]] = []

        def search(tile: tuple[Cell, Pixels]) -> tuple[Cell, stitch.Part]:
            cell, pixels = tile
            found = model.generate(Image(pixels), per_tile)
            dropped.append(found.dropped)
            return cell, stitch.Part.of(found, grid, cell)

        for cell, part in in_order(search, _cut(bands, grid), workers):
            parts[cell] = part
            progress(len(parts), len(grid))
        masks = stitch.join(grid, parts, _large(model, bands, grid, parts, per_tile))
        masks = replace(masks, dropped=sum(dropped, Counter()))
        if searches:
            masks = refine(masks, settings)
        geo = read_geo(source) if isinstance(source, str | os.PathLike) else None
        return replace(masks, source=bands.source, model=model.variant.name, geo=geo)


def _large(
    model: Generator, bands: Bands, grid: Grid, parts: Mapping[Cell, stitch.Part], config: Any
) -> Masks:
    """Find what no tile sees as a whole."""
    if len(grid) == 1:
        return Masks.empty(grid.size_hw)
    overview = Overview.of(bands, grid.side)
    return overview.large(model.generate(Image(overview.pixels), config), grid, parts)


def _at_once(memory: int, tile: int) -> int:
    """Return how many tiles to search at a time, as far as the memory, in MiB, allows.

    That is as many as PyTorch has threads, each with one of them, because it is faster than all
    threads on one tile.
    """
    return max(1, min(torch.get_num_threads(), memory // least_memory((tile, tile))))


def _for_one_tile(settings: GenerateConfig, workers: int) -> GenerateConfig:
    """Leave out what is about the whole image, and share the memory among workers."""
    share = max(1, settings.memory // workers)
    return replace(settings, min_area=0, max_area=None, memory=share)


def _cut(bands: Bands, grid: Grid) -> Iterator[tuple[Cell, Pixels]]:
    """Cut an image into tiles, with one row of them in memory."""
    for row in range(len(grid.tops)):
        _, top, _, bottom = grid.box((row, 0))
        band = bands.read(top, bottom)
        for column in range(len(grid.lefts)):
            left, _, right, _ = grid.box((row, column))
            yield (row, column), band[:, left:right]
