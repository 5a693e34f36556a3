"""Measure how long the first mask takes from nothing, and what loading SAM-B needs.

    python benchmarks/startup.py

Everything runs in fresh processes, the things to compare in turns. Time is processor time (user and
system) with one thread, memory the peak of the whole process; both as the operating system counts
them. The weights of SAM-B are random, written to a temporary folder in the published layout.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from measure import machine

SOURCE = Path(__file__).resolve().parents[1] / "src"

TORCH = "import torch"
FIRST_CLICK = """
import anymask, sys
anymask.load("bundled", "cpu").predict(sys.argv[1], points=[(365, 270)])
"""

WRITE_WEIGHTS = """
import sys, torch
from anymask.models.build import build
from anymask.models.variants import find
torch.save(build(find("sam-vit-b")).state_dict(), sys.argv[1])
"""

# What scripts do that know nothing better: weights at random, all of the file in memory, a copy.
PLAIN_LOAD = """
import sys, torch
from anymask.models.build import build
from anymask.models.variants import find
network = build(find("sam-vit-b"))
network.load_state_dict(torch.load(sys.argv[1], weights_only=True))
"""
OUR_LOAD = """
import sys, anymask
anymask.load(sys.argv[1], "cpu")
"""


@dataclass(frozen=True)
class Options:
    """What to run."""

    photo: Path = SOURCE.parent / "docs/pictures/coffee.jpg"
    """The picture that is clicked on."""
    repeats: int = 9
    """How often to start each process; SAM-B is loaded a third as often."""


@dataclass(frozen=True)
class Run:
    """One process."""

    cpu: float
    """Processor time, seconds."""
    peak: int
    """Most memory it had, bytes."""


def main(options: Options) -> None:
    """Measure both, and print two tables."""
    print(f"{machine()}; 1 thread; medians of {options.repeats} fresh processes\n")
    photo = str(options.photo)
    bare, click = compare([[TORCH], [FIRST_CLICK, photo]], options.repeats)
    print_table({"import torch": bare, "import anymask, load, first click": click})
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/sam_vit_b.pth"
        # Elsewhere, for the system counts a process's memory from that of its parent on.
        start([WRITE_WEIGHTS, path])
        os.environ["ANYMASK_CACHE"] = folder  # where the file's digest is remembered
        plain, ours = compare([[PLAIN_LOAD, path], [OUR_LOAD, path]], max(3, options.repeats // 3))
    print_table({"plain load of SAM-B": plain, "anymask.load of SAM-B": ours})


def compare(programs: Sequence[Sequence[str]], repeats: int) -> list[Run]:
    """Run programs in turn, each once more than counts, and give the medians."""
    taken: list[list[Run]] = [[] for _ in programs]
    for turn in range(repeats + 1):
        for words, runs in zip(programs, taken, strict=True):
            run = start(words)
            if turn:
                runs.append(run)
    return [
        Run(statistics.median(r.cpu for r in runs), int(statistics.median(r.peak for r in runs)))
        for runs in taken
    ]


def start(words: Sequence[str]) -> Run:
    """Run a program, with arguments, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", *words], env=environment)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"expected a program that ends well, got status {status}")
    return Run(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def print_table(runs: dict[str, Run]) -> None:
    """Print what each took, and as a share of the first."""
    first = next(iter(runs.values()))
    print("| | CPU s | peak MiB | of the first's CPU | of the first's peak |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, run in runs.items():
        print(
            f"| {name} | {run.cpu:.2f} | {run.peak / 2**20:.0f} | {run.cpu / first.cpu:.2f} "
            f"| {run.peak / first.peak:.2f} |"
        )
    print()


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
