"""Measure what values, the first mask from nothing, and the loading of SAM-B need.

    python benchmarks/startup.py

The first click is also answered by ONNX Runtime, in a process that never loads torch (docs/lite).

Everything runs in fresh processes, the things to compare in turns, with one thread, and with
compiled bytecode, as an installation has it. Processor time
(user and system) and the peak of memory are of the whole process, as the operating system counts
them; wall time goes from its start to its end. What is done with images, masks and detections does
not load torch, and should take less than half a second. The weights of SAM-B are random, written to
a temporary folder in the published layout.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import tyro
from measure import machine

SOURCE = Path(__file__).resolve().parents[1] / "src"

# What is done to values, each in a process of its own that is given a folder and an image.
PREPARE = """
import os, sys
import numpy as np
import anymask
os.chdir(sys.argv[1])
image = anymask.Image.open(sys.argv[2])
dense = np.zeros((3, *image.size_hw), bool)
dense[0, 50:300, 150:420] = dense[1, 60:120, 200:260] = dense[2, 52:300, 150:420] = True
prompts = anymask.Prompt([(200, 100)]), anymask.Prompt(box=(200, 60, 260, 120)), None
masks = anymask.Masks.from_dense(dense, scores=np.array([0.9, 0.5, 0.7]), prompts=prompts)
masks.save("masks.json")
masks.save("masks.png")
"""
MASKS = "import anymask, os, sys; os.chdir(sys.argv[1]); masks = anymask.read('masks.json'); "
VALUES = {
    "import anymask": "import anymask",
    "import numpy": "import numpy",
    "open an image": "import anymask, sys; anymask.Image.open(sys.argv[2])",
    "crop and save it": "import anymask, os, sys; os.chdir(sys.argv[1]); "
    "anymask.Image.open(sys.argv[2]).crop((9, 9, 300, 200)).save('a.jpg')",
    "read masks with points": MASKS,
    "convert them to COCO": MASKS + "masks.save('coco.json', format='coco')",
    "convert them to a label map": MASKS + "masks.save('a.png')",
    "filter, sort, three kinds of NMS": MASKS + "masks.filter(min_score=0.1).sort('area'); "
    "[masks.nms(0.5, kind) for kind in ('box', 'mask', 'containment')]",
    "tree, label map, outlines": MASKS + "masks.tree(); masks.label_map(); masks.polygons()",
    "draw them": MASKS + "masks.draw(sys.argv[2])",
    "cut out": MASKS + "masks.cutout(sys.argv[2], crop=True)",
    "Detections: NMS, prompts, save": "import anymask, os, sys; os.chdir(sys.argv[1]); "
    "found = anymask.Detections((9, 9), [(1, 2, 5, 6), (1, 2, 5, 7)], [0.5, 0.6], ['a', 'a']); "
    "found.nms().prompts(); found.save('found.json')",
}

TORCH = "import torch"
FIRST_CLICK = """
import anymask, sys
anymask.load("bundled", "cpu").predict(sys.argv[1], points=[(365, 270)])
"""
LITE_CLICK = """
import anymask, sys
anymask.load("bundled", "cpu", runtime="onnx").predict(sys.argv[1], points=[(365, 270)])
assert "torch" not in sys.modules
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
    """The image that is clicked on."""
    repeats: int = 9
    """How often to start each process; SAM-B is loaded a third as often."""
    values_only: bool = False
    """Leave out what loads torch."""


@dataclass(frozen=True)
class Run:
    """One process."""

    wall: float
    """From start to end, seconds."""
    cpu: float
    """Processor time, seconds."""
    peak: float
    """Most memory it had, bytes."""


def main(options: Options) -> None:
    """Measure all, and print three tables."""
    print(f"{machine()}; 1 thread; medians of {options.repeats} fresh processes\n")
    photo = str(options.photo)
    with tempfile.TemporaryDirectory() as bytecode:
        os.environ["PYTHONPYCACHEPREFIX"] = bytecode  # where the processes keep it
        measure(options, photo)


def measure(options: Options, photo: str) -> None:
    """Start everything in turns."""
    with tempfile.TemporaryDirectory() as folder:
        start([PREPARE, folder, photo])
        programs = [[program, folder, photo] for program in VALUES.values()]
        runs = compare(programs, options.repeats)
        print_times(dict(zip(VALUES, runs, strict=True)))
    if options.values_only:
        return
    clicks = [[TORCH], [FIRST_CLICK, photo], [LITE_CLICK, photo]]
    bare, click, lite = compare(clicks, options.repeats)
    print_table(
        {
            "import torch": bare,
            "import anymask, load, first click": click,
            "the same by ONNX Runtime, without torch": lite,
        }
    )
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
        Run(*(statistics.median(values) for values in zip(*map(astuple, runs), strict=True)))
        for runs in taken
    ]


def start(words: Sequence[str]) -> Run:
    """Run a program, with arguments, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", *words], env=environment)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    if status:
        raise RuntimeError(f"expected a program that ends well, got status {status}")
    return Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def print_times(runs: dict[str, Run]) -> None:
    """Print how long each took; a small process's memory begins with that of this one."""
    print("| | wall s | CPU s |")
    print("| --- | ---: | ---: |")
    for name, run in runs.items():
        print(f"| {name} | {run.wall:.2f} | {run.cpu:.2f} |")
    print()


def print_table(runs: dict[str, Run]) -> None:
    """Print what each took, and as a share of the first."""
    first = next(iter(runs.values()))
    print("| | wall s | CPU s | peak MiB | of the first's CPU | of the first's peak |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, run in runs.items():
        print(
            f"| {name} | {run.wall:.2f} | {run.cpu:.2f} | {run.peak / 2**20:.0f} "
            f"| {run.cpu / first.cpu:.2f} | {run.peak / first.peak:.2f} |"
        )
    print()


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
