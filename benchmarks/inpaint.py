"""Measure the removal of a 200 x 200 hole from a photo of 12 megapixels, and what it needs.

    python benchmarks/inpaint.py
    python benchmarks/inpaint.py --side 1500 --peer False

Each engine runs in a fresh process of its own; the peak of memory is that of the whole process, the
12 megapixels included. The peer is patchmatch-cython's own pyramid, handed the same surroundings of
the hole, which is what it would need to be handed by hand. The photo is docs/pictures/coffee.jpg,
enlarged, with noise on it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from measure import machine

ROOT = Path(__file__).resolve().parents[1]
SIZE = (4240, 2832)
RUN = """
import json, resource, sys, time
import numpy as np, PIL.Image
job = json.loads(sys.argv[1])
with PIL.Image.open(job["photo"]) as photo:
    image = np.asarray(photo.convert("RGB").resize(job["size"], PIL.Image.Resampling.LANCZOS))
rng, noise = np.random.default_rng(0), np.empty(image.shape, np.int16)
for row in range(0, len(image), 64):
    noise[row : row + 64] = rng.integers(-6, 7, image[row : row + 64].shape)
image = np.clip(image + noise, 0, 255).astype(np.uint8)
del noise
side, x, y = job["side"], 2300, 1000
mask = np.zeros(image.shape[:2], bool)
mask[y : y + side, x : x + side] = True
from anymask.extras import inpaint
from anymask.extras.inpaint.region import surroundings
start, cpu = time.perf_counter(), time.process_time()
if job["engine"] == "peer":
    from patchmatch_cython import inpaint_pyramid
    ((x0, y0, x1, y1),) = surroundings(mask, max(128, side // 2))
    part = slice(y0, y1), slice(x0, x1)
    result = image.copy()
    result[part] = inpaint_pyramid(image[part], mask[part], seed=0)
else:
    result = inpaint(image, mask, engine=job["engine"]).pixels
taken = time.perf_counter() - start, time.process_time() - cpu
assert (result[~mask] == image[~mask]).all()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([*taken, peak]))
"""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    side: int = 200
    """Side of the hole in pixels."""
    repeats: int = 3
    """Runs of each engine; the fastest counts."""
    peer: bool = True
    """Whether to run patchmatch-cython's own pyramid, too."""


def main(options: Options) -> None:
    print(
        f"{machine()}; a hole of {options.side} x {options.side} in {SIZE[0]} x {SIZE[1]} pixels\n"
    )
    print("| engine | wall s | CPU s | peak of memory, MiB |\n| --- | ---: | ---: | ---: |")
    engines = {"patchmatch": "patchmatch", "telea": "telea"}
    if options.peer:
        engines["peer"] = "patchmatch-cython's pyramid, on the surroundings"
    runs: dict[str, list[list[float]]] = {name: [] for name in engines}
    for _ in range(options.repeats):  # in turns, as the machine may be busy
        for name, found in runs.items():
            found.append(run(name, options.side))
    for name, shown in engines.items():
        wall, cpu, peak = (min(column) for column in zip(*runs[name], strict=True))
        print(f"| {shown} | {wall:.1f} | {cpu:.1f} | {peak:,.0f} |")


def run(engine: str, side: int) -> list[float]:
    """Run one engine in a process of its own."""
    photo = str(ROOT / "docs/pictures/coffee.jpg")
    job = {"engine": engine, "side": side, "size": SIZE, "photo": photo}
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(job)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        check=True,
    )
    found: list[float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main(tyro.cli(Options))
