"""Follow two things through a long stream by a memory: it stays as small as after a few frames.

    python benchmarks/stream.py                 # 1,000 frames, some minutes
    python benchmarks/stream.py --frames 5000

SAM 2.1's network with few channels and random weights, which says that things are there, looks at
frames of 96 x 128 pixels one by one; one of the things is corrected again and again. Prints what
the `Track` holds, and what the process does.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from measure import machine

from anymask import Prompt, Track
from anymask.models.build import build
from anymask.models.config import DecoderConfig
from anymask.models.variants import find
from anymask.predict.segmenter import Segmenter

SIDE = 128
SIZE_HW = (96, 128)


@dataclass(frozen=True)
class Options:
    """What to run."""

    frames: int = 1000
    """How many."""
    every: int = 100
    """Frames after which to print."""


def main(options: Options) -> None:
    """Follow and print."""
    torch.set_num_threads(1)
    model, track = small_model(), Track()
    whole = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
    print(f"On {machine()}.\n\n| frame | track, kB | process, MiB | CPU ms a frame |")
    print("| ---: | ---: | ---: | ---: |")
    before = time.process_time()
    for index in range(options.frames):
        said = {"leaf": Prompt(box=(60, 20, 100, 80))} if index == 1 else {}
        if index % 10 == 0:
            said = {"cup": Prompt([(40, 40)])}
        track, _ = model.follow(track, np.roll(whole, 2 * index, axis=1), said)
        if (index + 1) % options.every == 0:
            spent = 1e3 * (time.process_time() - before) / options.every
            line = f"| {index + 1} | {held(track) / 1e3:.0f} | {resident() >> 20} | {spent:.0f} |"
            print(line, flush=True)
            before = time.process_time()


def small_model() -> Segmenter:
    """Make a model of the smallest Hiera with a fraction of its channels."""
    torch.manual_seed(0)
    variant = find("sam2.1-tiny")
    network: Any = variant.network
    encoder = replace(network.encoder, width=16, heads=1, depths=(1, 1, 3, 1), side=SIDE)
    decoder = DecoderConfig(width=64, heads=4, mlp=128)
    variant = replace(
        variant,
        network=replace(network, encoder=encoder, decoder=decoder),
        preprocessing=replace(variant.preprocessing, side=SIDE),
    )
    built: Any = build(variant).eval()
    with torch.no_grad():
        built.mask_decoder.pred_obj_score_head.layers[2].bias.fill_(20)
    return Segmenter(variant, built, "random")


def held(track: Track) -> int:
    """Bytes of what is remembered."""
    moments = [m for one in track.remembered for m in (*one.prompted, *one.recent)]
    return sum(m.pointer.nbytes + (0 if m.map is None else m.map.nbytes) for m in moments)


def resident() -> int:
    """Bytes of the process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
