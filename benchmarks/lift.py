"""Measure the merge of many frames with depth to one scene.

    python recipes/lift_room.py room/ --views 50
    python benchmarks/lift.py room/

The masks of the folder are read, so that no model is measured. Prints Markdown: processor and wall
time of reading and lifting, of the merge, and of all of it as `anymask lift` does it, one thread;
the peak of memory; and how many of the things were found as one object.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import json
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tyro
from measure import machine
from tyro.conf import Positional

import anymask
from anymask.extras import lift
from anymask.extras.lift import merge
from anymask.extras.lift.scan import open_scan


@dataclass(frozen=True)
class Options:
    """What to measure."""

    folder: Positional[Path]
    """Frames in ScanNet's layout, and masks/ beside them."""


class Clock:
    """Processor and wall time since it was made."""

    def __init__(self) -> None:
        self.began = time.process_time(), time.perf_counter()

    def __str__(self) -> str:
        cpu, wall = time.process_time() - self.began[0], time.perf_counter() - self.began[1]
        return f"{cpu:.1f} | {wall:.1f}"


def main(options: Options) -> None:
    """Measure and print."""
    frames = open_scan(options.folder).frames
    print(f"{machine()}; {len(frames)} frames\n\n| | CPU s | wall s |\n| --- | ---: | ---: |")
    clock, clouds = Clock(), []
    for frame in frames:
        opened, masks = frame.open(), anymask.read(options.folder / "masks" / f"{frame.name}.json")
        cloud = type(opened)(opened.image, opened.depth, opened.intrinsics, opened.pose, masks)
        clouds.append(cloud.lift("first_on_top").voxelize(0.05))
    print(f"| read, lift and voxelize | {clock} |")
    clock = Clock()
    merge(clouds)
    print(f"| merge | {clock} |")
    clock = Clock()
    scene = lift(options.folder, masks=options.folder / "masks")
    print(f"| `lift` | {clock} |")
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    print(f"\nPeak of memory {peak:,.0f} MiB. {scene.cloud}")
    names = {thing["name"] for thing in json.loads((options.folder / "truth.json").read_text())}
    objects = [one.name for one in scene.objects]
    print(
        f"{sum(objects.count(name) == 1 for name in names)} of {len(names)} things are one object"
    )


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
