"""Tracking beside simple peers, on clips with a known answer; speed; and memory over a long clip.

    python -m benchmarks.track ../shared/data              # J and F, speed
    python -m benchmarks.track ../shared/data --frames 1000  # memory
    python -m benchmarks.track ../shared/data --speed  # frames a second

The clips are those of `benchmarks/track_clips.py` with odd numbers; settings were chosen on even
ones. Everybody is given the true mask of the first frame, and embeddings are shared. Peers:

    stays   the mask stays where it was
    box     the box of the last mask is asked for in the next frame
    mil     OpenCV's MIL tracker (the one it has without weights) moves the box, which is asked for

J and F are DAVIS' (`evaluate.video_metrics`), without the first and the last frame. In frames that
do not show the thing an empty mask counts 1. Times are of the processor, and of the clock beside
the load of the machine at that time.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import cv2
import numpy as np
from benchmarks.track_clips import KINDS, Clip, make_clip, make_clips

import anymask
from anymask import Prompt, Track
from anymask.data.truths import iou
from anymask.evaluate.video_metrics import contour_accuracy
from anymask.image.image import Image
from anymask.predict.track.frame import Frame
from anymask.predict.track.step import step


def ours(model: Any, clip: Clip, embeddings: list[Any]) -> Iterator[Any]:
    track = Track()
    for i, (image, embedding) in enumerate(zip(clip.frames, embeddings, strict=True)):
        said = {str(k): Prompt(mask=clip.truth[0] == k) for k in things(clip)} if i == 0 else {}
        frame = Frame.of(model, Image.open(image), embedding)
        track, masks = step(frame, track, said, i)
        yield masks.dense()


def stays(model: Any, clip: Clip, embeddings: list[Any]) -> Iterator[Any]:
    for _ in clip.frames:
        yield np.stack([clip.truth[0] == k for k in things(clip)])


def box(model: Any, clip: Clip, embeddings: list[Any]) -> Iterator[Any]:
    masks = next(stays(model, clip, embeddings))
    yield masks
    for embedding in embeddings[1:]:
        masks = np.stack([asked(model, embedding, box_of(mask)) for mask in masks])
        yield masks


def mil(model: Any, clip: Clip, embeddings: list[Any]) -> Iterator[Any]:
    trackers = []
    for k in things(clip):
        x0, y0, x1, y1 = box_of(clip.truth[0] == k)
        trackers.append(cv2.TrackerMIL.create())
        trackers[-1].init(
            np.ascontiguousarray(clip.frames[0][..., ::-1]), (x0, y0, x1 - x0, y1 - y0)
        )
    yield next(stays(model, clip, embeddings))
    for image, embedding in zip(clip.frames[1:], embeddings[1:], strict=True):
        masks = []
        for tracker in trackers:
            seen, (x, y, w, h) = tracker.update(np.ascontiguousarray(image[..., ::-1]))
            masks.append(asked(model, embedding, (x, y, x + w, y + h) if seen else None))
        yield np.stack(masks)


def things(clip: Clip) -> range:
    return range(1, clip.count + 1)


def box_of(mask: Any) -> tuple[int, ...] | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def asked(model: Any, embedding: Any, where: tuple[float, ...] | None) -> Any:
    h, w = embedding.size_hw
    if where is None or where[0] >= w or where[1] >= h or where[2] <= 0 or where[3] <= 0:
        return np.zeros((h, w), bool)
    return model.predict(embedding, box=where).best().dense()[0]


PEERS: dict[str, Callable[..., Iterator[Any]]] = {
    "stays": stays, "box": box, "mil": mil, "anymask": ours,
}  # fmt: skip


def quality(data: Path, numbers: range, kinds: tuple[str, ...]) -> None:
    model = anymask.load()
    j: dict[Any, list[float]] = defaultdict(list)
    f: dict[Any, list[float]] = defaultdict(list)
    spent: dict[str, float] = defaultdict(float)
    frames = 0
    for clip in make_clips(data, numbers, kinds):
        begin, clock = time.process_time(), time.perf_counter()
        embeddings = [model.embed(image) for image in clip.frames]
        spent["embed"] += time.process_time() - begin
        spent["embed, clock"] += time.perf_counter() - clock
        frames += len(clip.frames)
        kind = clip.name.split("-")[0]
        for name, peer in PEERS.items():
            begin = time.process_time()
            found = list(peer(model, clip, embeddings))
            spent[name] += time.process_time() - begin
            for masks, truth in list(zip(found, clip.truth, strict=True))[1:-1]:
                for k, mask in enumerate(masks, start=1):
                    for key in ((name, kind), (name, "all")):
                        j[key].append(iou(mask, truth == k))
                        f[key].append(contour_accuracy(mask, truth == k))
        line = ", ".join(f"{name} {fmean(j[name, kind]):.3f}" for name in PEERS)
        print(f"{clip.name}: J so far of its kind {line}", flush=True)
    print(f"\n| J / F | {' | '.join([*kinds, 'all'])} |\n|{' --- |' * (len(kinds) + 2)}")
    for name in PEERS:
        row = [f"{fmean(j[name, k]):.2f} / {fmean(f[name, k]):.2f}" for k in (*kinds, "all")]
        print(f"| {name} | {' | '.join(row)} |")
    print(f"\nmilliseconds of the processor per frame, {frames} frames of 854 x 480:")
    for name, seconds in spent.items():
        print(f"  {name}: {1000 * seconds / frames:.1f}")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


def memory(data: Path, frames: int) -> None:
    """Follow a thing through a clip that is played to and fro, and say what memory is taken."""
    clip, model = make_clip(data, "move", 1, 24), anymask.load()
    order = [*range(24), *range(22, 0, -1)]
    track, size = Track(), 0
    begin, clock = time.process_time(), time.perf_counter()
    for i in range(frames):
        said = {"thing": Prompt(mask=clip.truth[0] == 1)} if i == 0 else {}
        track, _ = model.follow(track, clip.frames[order[i % len(order)]], said)
        if i in (10, 50) or (i + 1) % 100 == 0:
            size = int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20
            print(f"frame {i}: {size} MiB, {track}", flush=True)
    cpu, wall = time.process_time() - begin, time.perf_counter() - clock
    print(
        f"{frames} frames: {1000 * cpu / frames:.0f} ms of the processor and "
        f"{1000 * wall / frames:.0f} ms of the clock each, "
        f"at a load of {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    )


def speed(data: Path) -> None:
    """Follow a thing as `Segmenter.track` does, which embeds two frames at a time."""
    clip, model = make_clip(data, "fast", 1), anymask.load()
    prompts = {0: {"thing": Prompt(mask=clip.truth[0] == 1)}}
    list(model.track(clip.frames[:4], prompts))
    load, clock = os.getloadavg()[0], time.perf_counter()
    frames = len(list(model.track(clip.frames, prompts)))
    wall = time.perf_counter() - clock
    print(f"{frames / wall:.1f} frames a second, at a load of {load:.1f} before")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--numbers", type=int, default=3, help="clips of each kind")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--frames", type=int, default=0, help="measure memory over so many instead")
    parser.add_argument("--speed", action="store_true", help="measure frames a second instead")
    chosen = parser.parse_args()
    if chosen.speed:
        speed(chosen.data)
    elif chosen.frames:
        memory(chosen.data, chosen.frames)
    else:
        quality(chosen.data, range(1, 2 * chosen.numbers, 2), tuple(chosen.kinds))
