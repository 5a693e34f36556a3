"""Measure everything mode on a TIFF file of 300 megapixels: time, and memory from the system.

    python benchmarks/tiles.py --points-per-side 4

Makes the file in a temporary folder (the image of the README's demo, mirrored side by side), runs
the bundled model over it in tiles in a fresh process, and says how long that took, what the process
needed at its peak in all, and what it found.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import PIL.Image
import tifffile
import torch
import tyro
from measure import machine

import anymask
from anymask.everything.tiled import generate_tiled

IMAGE = Path(__file__).parents[1] / "docs" / "pictures" / "coffee.jpg"
BLOCK = 512


@dataclass(frozen=True)
class Options:
    """What to run."""

    size: tuple[int, int] = (20_000, 15_000)
    """Width and height of the file."""
    layout: Literal["tiles", "strips", "plain"] = "tiles"
    """How its pixels lie: deflated tiles, deflated strips, or one strip as it is."""
    tile: int = 1024
    """Side of the tiles that the model sees."""
    halo: int = 128
    """How far a tile reaches beyond its share."""
    points_per_side: int = 4
    """Points along each side of the grid in each tile; few, so that it ends in minutes."""
    threads: int = 2
    """Threads to use."""


def main(options: Options) -> None:
    """Make the file and measure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.tif"
        write(path, options)
        print(f"{machine()}; {options}; a file of {path.stat().st_size / 2**20:.0f} MiB")
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, peak, found = pool.apply(run, (path, options))
        print(f"{seconds:.0f} s, peak of the process {peak / 2**30:.2f} GiB; {found}")


def write(path: Path, options: Options) -> None:
    """Write the image, mirrored side by side, block by block."""
    pixels = np.asarray(PIL.Image.open(IMAGE).convert("RGB"))
    w, h = options.size
    columns, rows = (
        mirrored(length, side) for length, side in ((w, pixels.shape[1]), (h, pixels.shape[0]))
    )
    common = {"shape": (h, w, 3), "dtype": np.uint8, "photometric": "rgb"}
    if options.layout == "tiles":
        blocks = (
            pixels[np.ix_(rows[y : y + BLOCK], columns[x : x + BLOCK])]
            for y in range(0, h, BLOCK)
            for x in range(0, w, BLOCK)
        )
        tifffile.imwrite(path, padded(blocks), tile=(BLOCK, BLOCK), compression="zlib", **common)
        return
    step = 16 if options.layout == "strips" else h
    if options.layout == "strips":
        strips = (pixels[np.ix_(rows[y : y + step], columns)] for y in range(0, h, step))
        tifffile.imwrite(path, strips, rowsperstrip=step, compression="zlib", **common)
        return
    stored = tifffile.memmap(path, **common)
    for y in range(0, h, BLOCK):
        stored[y : y + BLOCK] = pixels[np.ix_(rows[y : y + BLOCK], columns)]


def mirrored(length: int, side: int) -> np.ndarray:
    """Number the pixels of a line that runs through an image to and fro."""
    place = np.arange(length) % (2 * side)
    return np.minimum(place, 2 * side - 1 - place)


def padded(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Fill up the blocks at the edges."""
    for block in blocks:
        h, w, _ = block.shape
        yield np.pad(block, ((0, BLOCK - h), (0, BLOCK - w), (0, 0)))


def run(path: Path, options: Options) -> tuple[float, int, str]:
    """Find everything; gives seconds, the peak of this process in bytes, and what was found."""
    torch.set_num_threads(options.threads)
    model = anymask.load()
    start = time.perf_counter()
    masks = generate_tiled(
        model,
        path,
        tile=options.tile,
        halo=options.halo,
        points_per_side=options.points_per_side,
    )
    seconds = time.perf_counter() - start
    across = (masks.boxes[:, 2:] - masks.boxes[:, :2]).max(axis=1, initial=0) > options.tile
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return seconds, peak, f"{masks!r}, {across.sum()} of them larger than a tile"


if __name__ == "__main__":
    main(tyro.cli(Options))
