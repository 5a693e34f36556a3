"""Everything mode on images of any size: tile by tile, with what crosses tiles joined.

Tiles overlap by twice the halo. What two neighbours say about the strip that both see tells which
of their masks mean the same thing; those are joined, and where they differ, the tile decides whose
middle is nearer. What is larger than a tile is found in the whole image, made small. Only one
band of the image is in memory at a time, and masks are run lengths from the beginning to the end.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import PIL.Image

from anymask.config import GenerateConfig, InstanceConfig, changed
from anymask.everything import stitch
from anymask.everything.generate import least_memory, refine
from anymask.everything.grid import Cell, Grid, check_tiles
from anymask.everything.overview import Overview
from anymask.everything.search import Progress
from anymask.image import pixels
from anymask.image.bands import Bands, open_bands
from anymask.image.colour import Pixels
from anymask.image.geo import read_geo
from anymask.image.image import Image, ImageLike
from anymask.masks.masks import Masks
from anymask.models.variants import Variant
from anymask.parallel import in_order, thread_count

__all__ = ["TILE", "Generator", "generate_tiled", "is_large", "size_of"]

TILE = 1024
"""Height and width of a tile in pixels, unless said otherwise."""


def size_of(image: ImageLike) -> tuple[int, int] | None:
    """Tell height and width of an image without decoding it; None: only decoding would tell.

    Raises:
        InputError: It is the path of a file that is missing, damaged or not an image.
    """
    if isinstance(image, str | os.PathLike):
        return pixels.read_size(image)
    if isinstance(image, Image):
        return image.size_hw
    if isinstance(image, PIL.Image.Image):
        return image.height, image.width
    if isinstance(image, np.ndarray) and image.ndim >= 2:
        return image.shape[0], image.shape[1]
    return None


def is_large(image: ImageLike) -> bool:
    """Return whether an image has too many pixels to be searched at once."""
    h, w = size_of(image) or (0, 0)
    return h * w > pixels.MAX_PIXELS


class Generator(Protocol):
    """What finds everything in one tile, such as a `Segmenter`."""

    @property
    def variant(self) -> Variant:
        """Which model it is."""
        ...

    def generate(self, image: Image, config: Any, *, progress: Progress | None = None) -> Masks:
        """Find everything."""
        ...


def generate_tiled(
    model: Generator,
    source: ImageLike,
    config: GenerateConfig | InstanceConfig | None = None,
    *,
    tile: int = TILE,
    halo: int | None = None,
    progress: Progress | None = None,
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
        progress: Is told how many tiles are done, and of how many, also from other threads and
            while none becomes ready; what it raises ends the search.
        **options: Single settings that should differ from those of ``config``.

    Returns:
        The masks of the whole image, best first. A mask joined from several tiles has the scores,
        the prompt and the crop box of its largest part.

    Raises:
        InputError: The tile is too small, the halo does not fit, the memory does not suffice for
            one tile, or the image cannot be read.
    """
    halo = check_tiles(tile, halo)
    default: Any = model.variant.generate
    settings = changed(default, config, options)
    searches = model.variant.kind == "promptable"
    workers = thread_count()
    per_tile = settings
    if searches:
        workers = _at_once(settings.memory, tile)
        per_tile = _for_one_tile(settings, workers)
    with open_bands(source) as bands:
        grid = Grid.lay(bands.size_hw, tile, halo)
        parts: dict[Cell, stitch.Part] = {}
        dropped: list[Counter[str]] = []
        ended = threading.Event()

        def tell(*_: int) -> None:
            if ended.is_set():
                raise _Ended
            if progress is not None:
                progress(len(parts), len(grid))

        def search(tile: tuple[Cell, Pixels]) -> tuple[Cell, stitch.Part]:
            cell, part = tile
            masks = model.generate(Image(part), per_tile, progress=tell)
            dropped.append(masks.dropped)
            return cell, stitch.Part.of(masks, grid, cell)

        for cell, part in in_order(search, _cut(bands, grid), workers, ended.set):
            parts[cell] = part
            tell()
        masks = stitch.join(grid, parts, _large(model, bands, grid, parts, per_tile, tell))
        masks = replace(masks, dropped=sum(dropped, Counter()))
        if searches:
            masks = refine(masks, settings)
        geo = read_geo(source) if isinstance(source, str | os.PathLike) else None
        return replace(masks, source=bands.source, model=model.variant.name, geo=geo)


class _Ended(Exception):
    """Another tile failed, so this one need not go on."""


def _large(
    model: Generator,
    bands: Bands,
    grid: Grid,
    parts: Mapping[Cell, stitch.Part],
    config: Any,
    tell: Progress,
) -> Masks:
    """Find what no tile sees as a whole."""
    if len(grid) == 1:
        return Masks.empty(grid.size_hw)
    overview = Overview.of(bands, grid.side)
    masks = model.generate(Image(overview.pixels), config, progress=tell)
    return overview.large(masks, grid, parts)


def _at_once(memory: int, tile: int) -> int:
    """Return how many tiles to search at a time, as far as the memory, in MiB, allows.

    That is as many as PyTorch has threads, each with one of them, because it is faster than all
    threads on one tile.
    """
    return max(1, min(thread_count(), memory // least_memory((tile, tile))))


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
