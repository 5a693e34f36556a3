"""Measure the matching of boundaries: anew at each threshold, or kept from one to the next.

    python benchmarks/edges.py ../data/bsds500-val      # 2 minutes

Both ways find the cheapest assignment; their numbers of pairs are compared on the way. The plain
one gives each drawn pixel a place of its own at the price of being left alone, and leaves the rest
to SciPy. Processor time on one thread, for a map of Sobel's filter, one annotator, 99 thresholds.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from measure import alternate, machine, table
from scipy import sparse
from scipy.spatial import cKDTree
from tyro.conf import Positional

from anymask.data.open import open_dataset
from anymask.evaluate.edges.boundaries import THRESHOLDS, boundary_of, thin
from anymask.evaluate.edges.edge_maps import sobel
from anymask.evaluate.edges.matching import MAX_DISTANCE, Matching


@dataclass(frozen=True)
class Options:
    """What to measure on."""

    data: Positional[Path]
    """A data set of images with masks."""
    images: int = 3
    """Take so many of it, evenly spread."""
    repeats: int = 2
    """How often to run each way."""


def plain(cut: np.ndarray, drawn: np.ndarray) -> int:
    """Count the pairs of a map and what was drawn, from nothing."""
    radius = MAX_DISTANCE * float(np.hypot(*drawn.shape))
    found, wanted = np.argwhere(cut), np.argwhere(drawn)
    near: Any = cKDTree(wanted).sparse_distance_matrix(
        cKDTree(found), radius, output_type="ndarray"
    )
    n, m = len(wanted), len(found)
    own = np.arange(n)
    # Whole numbers, and never 0, which SciPy would take for no entry.
    costs = np.concatenate([1 + np.rint(1000 * near["v"]), np.full(n, np.rint(200_000 * radius))])
    rows, columns = np.concatenate([near["i"], own]), np.concatenate([near["j"], m + own])
    graph = sparse.csr_array((costs, (rows, columns)), shape=(n, m + n))
    _, partners = sparse.csgraph.min_weight_full_bipartite_matching(graph)
    return int(np.count_nonzero(partners < m))


def main(options: Options) -> None:
    """Run both ways in turn on each image and compare."""
    data = open_dataset(options.data)
    print(f"{machine()}; one thread; {options.images} images of {options.data.name}")
    ratios = []
    for i in np.linspace(0, len(data) - 1, options.images).astype(int).tolist():
        sample = data[i]
        strength, drawn = sobel(sample.image), boundary_of(sample.layers[0])
        cuts = [thin(strength >= threshold) for threshold in THRESHOLDS[::-1]]

        def anew(cuts: list[np.ndarray] = cuts, drawn: np.ndarray = drawn) -> list[int]:
            return [plain(cut, drawn) for cut in cuts]

        def kept(cuts: list[np.ndarray] = cuts, drawn: np.ndarray = drawn) -> list[int]:
            matching = Matching(drawn)
            return [int(matching.update(cut).sum()) for cut in cuts]

        assert anew() == kept()
        timings = alternate({"anew": anew, "kept": kept}, options.repeats)
        ratios.append(timings["anew"].cpu / timings["kept"].cpu)
        print(f"\n{data.key(i)}: {np.count_nonzero(drawn)} pixels drawn")
        print(table(timings, "anew"))
    print(f"\nmedian: {statistics.median(ratios):.1f} times faster")


if __name__ == "__main__":
    main(tyro.cli(Options))
