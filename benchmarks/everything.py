"""Measure everything mode against the original's order of work.

    python benchmarks/everything.py              # 11 minutes
    python benchmarks/everything.py --quick      # 3
    python benchmarks/everything.py --rows post bundled

The ways take turns in one process on one thread, where processor time counts, and their results are
compared. ``post`` sorts out made-up answers to the prompts, over a picture of 1800 x 1200: small
objects, large ones, and noise all over, of which nothing stays. ``clean`` fills holes and removes
islands. ``mobile`` runs a MobileSAM of random weights from picture to masks, with the made-up
answers swapped in. ``memory`` is what that adds to a fresh process. ``bundled`` is the time of the
bundled model for a photo, on two threads; with ``--beside PATH``, the sources of another version,
both take turns in fresh processes, on one thread and on two. ``quiet`` and ``busy`` are the same
for threads of OpenMP that spin while they wait, as they do by themselves, and for such that sleep,
as the commands have it; in turns, each in fresh processes, alone and beside a process that computes
without end. Prints Markdown.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import copy
import functools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import PIL.Image
import torch
import tyro
from measure import alternate, machine, memory, table
from torch import Tensor
from torch.nn import functional

import anymask
from anymask.config import GenerateConfig
from anymask.embedding import Embedding
from anymask.evaluate.published import everything as plain_everything
from anymask.evaluate.published.decoder import PlainDecoder
from anymask.evaluate.published.encoder import plain
from anymask.everything.generate import clean_regions, generate
from anymask.image.image import Image
from anymask.image.transform import Transform
from anymask.masks.masks import Masks
from anymask.models.build import build
from anymask.models.network import Network
from anymask.models.prompt_batch import PromptBatch
from anymask.models.variants import find
from anymask.predict.segmenter import Segmenter
from anymask.prompt import Prompt

Row = Literal["post", "clean", "mobile", "memory", "bundled", "quiet", "busy"]
PLAIN, OURS, HALF = "plain", "anymask", "anymask, bfloat16"
SIZE_HW = (1200, 1800)
LOW = 256
PHOTO = Path(__file__).parents[1] / "docs" / "pictures" / "coffee.jpg"


@dataclass(frozen=True)
class Options:
    """What to run."""

    rows: tuple[Row, ...] = ("post", "clean", "mobile", "memory", "bundled", "quiet", "busy")
    """Which parts."""
    quick: bool = False
    """Once each, with fewer points."""
    beside: Path | None = None
    """The folder ``src`` of another version, for the row ``bundled``."""


def main(options: Options) -> None:
    """Measure and print."""
    print(f"On {machine()}.")
    turns = functools.partial(versions, options.beside) if options.beside else bundled
    rows = {"post": post, "clean": clean, "mobile": mobile, "memory": added, "bundled": turns}
    rows |= {"quiet": quiet, "busy": busy}
    for row in options.rows:
        rows[row](options.quick)


# ----------------------------------------------------------------- made-up answers


class MadeUp:
    """A model that gives made-up answers, by the number of the prompt.

    Args:
        maps: Logits (n, 3, LOW, LOW), for at most n different prompts.
        model: Has to embed and decode all the same; None: nobody has.
    """

    def __init__(self, maps: Tensor, model: Any = None) -> None:
        self.maps, self.model = maps, model
        random = torch.Generator().manual_seed(1)
        self.iou = torch.empty(len(maps), 3).uniform_(0.8, 1, generator=random)
        self.places: dict[bytes, int] = {}

    def embed(self, image: Image) -> Embedding:
        """Encode the image, if there is somebody to do it."""
        if self.model is not None:
            return self.model.embed(image)
        transform = Transform.fit(image.size_hw, side=4 * LOW)
        return Embedding({"nothing": torch.zeros(1, 1, 1, 1)}, transform, "")

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Let the model answer, and answer something else."""
        if self.model is not None:
            self.model.decode(embedding, prompts, multimask)
        keys = [prompt.points_xy.tobytes() for prompt in prompts]
        places = [self.places.setdefault(key, len(self.places)) for key in keys]
        if places == list(range(places[0], places[0] + len(places))):
            few = slice(places[0], places[-1] + 1)  # a view: copying would count as work
            return self.maps[few], self.iou[few]
        return self.maps[places], self.iou[places]


def objects(n: int, smallest: float, largest: float) -> Tensor:
    """Draw logits of warped ellipses, three sizes for each of n prompts, some of them soft."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:LOW, 0:LOW].astype(np.float32)
    waves = functional.interpolate(
        torch.from_numpy(random.normal(size=(1, 8, 12, 12)).astype(np.float32)),
        (LOW, LOW),
        mode="bicubic",
    )[0].numpy()
    things = [(*random.uniform((10, 10), (246, 160)), *random.uniform(smallest, largest, 2))
              for _ in range(40)]  # fmt: skip
    maps = np.empty((n, 3, LOW, LOW), dtype=np.float32)
    for i in range(n):
        cx, cy, a, b = things[random.integers(40)]
        slope = random.choice([0.5, 3, 6])
        for slot, share in enumerate((0.7, 0.85, 1)):
            shift = random.normal(size=2) * 0.4
            away = np.hypot((x - cx - shift[0]) / (a * share), (y - cy - shift[1]) / (b * share))
            maps[i, slot] = (1 - away) * slope * min(a, b) * share + waves[random.integers(8)] * 0.7
    return torch.from_numpy(maps.clip(-20, 20))


def noise(n: int) -> Tensor:
    """Draw logits of blobs that cover half of everything."""
    random = torch.Generator().manual_seed(0)
    coarse = torch.randn(n * 3, 1, 40, 40, generator=random) * 3
    return functional.interpolate(coarse, (LOW, LOW), mode="bicubic").view(n, 3, LOW, LOW)


KINDS: dict[str, Callable[[int], Tensor]] = {
    "small objects": lambda n: objects(n, 12, 22),
    "large objects": lambda n: objects(n, 30, 52),
    "noise all over": noise,
}


# -------------------------------------------------------------------------- rows


def post(quick: bool) -> None:
    """Compare sorting out answers; the plain way needs minutes for 1024 of them, so fewer."""
    side = 8 if quick else 16
    for name, draw in KINDS.items():
        maps = draw(side * side)
        coverage = float((maps > 0).float().mean())
        print(f"\n## Sorting out {side * side} answers: {name}, {coverage:.1%} covered\n")
        both({PLAIN: MadeUp(maps), OURS: MadeUp(maps)}, side, repeats=1 if quick else 2)


def both(models: dict[str, MadeUp], side: int, repeats: int) -> None:
    """Print how long each way takes, and whether they find the same."""
    image = Image(np.zeros((*SIZE_HW, 3), dtype=np.uint8))
    config = GenerateConfig(points_per_side=side)
    found: dict[str, Masks] = {}

    def run(name: str) -> None:
        work = plain_everything.generate if name == PLAIN else generate
        with torch.inference_mode():
            found[name] = work(models[name], image, config)

    calls = {name: functools.partial(run, name) for name in models}
    print(table(alternate(calls, repeats, warm=0 if repeats == 1 else 1), PLAIN))
    same = found[PLAIN] == found[OURS]
    print(f"\n{len(found[OURS])} masks stay, {'the same' if same else 'NOT THE SAME'} in both.")


def clean(quick: bool) -> None:
    """Compare the clean-up of compact masks with holes and islands of up to 100 pixels."""
    dense = spotted(20 if quick else 60)
    masks = Masks.from_dense(dense, scores=np.ones(len(dense)))
    results: dict[str, list[Any]] = {}

    def plainly() -> None:
        kept = []
        for mask in masks.dense():
            mask, _ = plain_everything.remove_small_regions(mask, 100, holes=True)
            kept.append(plain_everything.remove_small_regions(mask, 100, holes=False)[0])
        results[PLAIN] = list(Masks.from_dense(np.stack(kept)).counts)

    def ours() -> None:
        results[OURS] = list(clean_regions(masks, 100, 1.0).counts)

    print(f"\n## Cleaning {len(masks)} masks\n")
    print(table(alternate({PLAIN: plainly, OURS: ours}, 1 if quick else 3), PLAIN))
    pairs = zip(results[PLAIN], results[OURS], strict=True)
    print(f"\nThe same: {all(np.array_equal(a, b) for a, b in pairs)}.")


def spotted(n: int) -> np.ndarray:
    """Draw compact masks with holes in them and islands beside them: bool (n, h, w)."""
    random = np.random.default_rng(0)
    h, w = SIZE_HW
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    masks = np.zeros((n, h, w), dtype=np.bool_)
    for mask in masks:
        cx, cy, r = random.uniform(200, 1600), random.uniform(200, 1000), random.uniform(60, 140)
        mask |= np.hypot(x - cx, y - cy) < r
        for away, value in [(0.5, False)] * 4 + [(1.2, True)] * 4:
            turn = random.uniform(0, 2 * np.pi)
            px, py = int(cx + away * r * np.cos(turn)), int(cy + away * r * np.sin(turn))
            mask[max(0, py - 3) : py + 3, max(0, px - 3) : px + 3] = value
    return masks


class PlainSegmenter:
    """A SAM whose encoder and decoder compute in the published order."""

    def __init__(self, model: Segmenter) -> None:
        self.model = replace(model, network=copy.deepcopy(model.network))
        network: Any = self.model.network
        network.image_encoder = plain(network.image_encoder)
        self.decoder = PlainDecoder(network.mask_decoder)

    def embed(self, image: Image) -> Embedding:
        """Encode the image."""
        return self.model.embed(image)

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Answer prompts with three masks each."""
        network: Any = self.model.network
        batch = PromptBatch.of(prompts, embedding.transform, (LOW, LOW), torch.device("cpu"))
        tokens, added = network.prompt_encoder(batch)
        code = network.prompt_encoder.image_code()
        logits, iou = self.decoder(embedding.features["image"], code, tokens, added)
        return logits[:, 1:], iou[:, 1:]


def random_mobile_sam(dtype: torch.dtype = torch.float32) -> Segmenter:
    """Build a MobileSAM of random weights."""
    torch.manual_seed(0)
    network = build(find("mobile-sam")).eval().to(dtype)
    return Segmenter(find("mobile-sam"), cast(Network, network), "random")


def mobile_way(way: str, side: int) -> MadeUp:
    """Make a MobileSAM that computes in one of the ways, for so many points per side."""
    model = random_mobile_sam(torch.bfloat16 if way == HALF else torch.float32)
    maps = KINDS["small objects"](side * side)
    return MadeUp(maps, PlainSegmenter(model) if way == PLAIN else model)


def mobile(quick: bool) -> None:
    """Compare everything from picture to masks."""
    side = 4 if quick else 16
    print(f"\n## MobileSAM, {side} x {side} points, from picture to masks\n")
    both({way: mobile_way(way, side) for way in (PLAIN, OURS, HALF)}, side, repeats=1)


def one_run(way: str, side: int) -> Callable[[], Masks]:
    """Make ready what is measured in a process of its own."""
    model = mobile_way(way, side)
    image = Image(np.zeros((*SIZE_HW, 3), dtype=np.uint8))
    work = plain_everything.generate if way == PLAIN else generate
    return functools.partial(torch.inference_mode()(work), model, image, GenerateConfig(side))


def added(quick: bool) -> None:
    """Compare the memory that a run adds to a process."""
    side = 8 if quick else 16
    mib = {
        way: memory(functools.partial(one_run, way, side)).added / 2**20 for way in (PLAIN, OURS)
    }
    print(f"\n## Memory of MobileSAM, {side} x {side} points\n")
    print(
        f"{mib[OURS]:.0f} MiB added against {mib[PLAIN]:.0f}, {mib[OURS] / mib[PLAIN]:.3f} of it."
    )


def bundled(quick: bool) -> None:
    """Time the bundled model on two threads; what passes is what counts."""
    torch.set_num_threads(2)
    model = anymask.load()
    image = Image(photo())
    print("\n## Bundled model, photo of 1024 x 683, two threads\n")
    print("| | points | masks | seconds |\n| --- | ---: | ---: | ---: |")
    settings = [("grid", 32), ("hierarchical", 32), ("boxes", 32), ("grid", model_side(model))]
    model.generate(image, points_per_side=4)
    for sampler, side in settings:
        taken = []
        for _ in range(1 if quick else 3):
            start = time.perf_counter()
            found = model.generate(image, points_per_side=side, sampler=sampler)
            taken.append(time.perf_counter() - start)
        print(f"| {sampler} | {side} | {len(found)} | {sorted(taken)[len(taken) // 2]:.2f} |")
    torch.set_num_threads(1)


VERSION = """
import os, sys, time, anymask, numpy, PIL.Image, torch
torch.set_num_threads(int(sys.argv[3]))
model = anymask.load("bundled", "cpu")
image = numpy.asarray(PIL.Image.open(sys.argv[1]).convert("RGB").resize((1024, 683)))
model.generate(image, points_per_side=4)
begun, cpu = time.perf_counter(), os.times()
model.generate(image, points_per_side=int(sys.argv[2]))
after = os.times()
print(after.user - cpu.user, after.system - cpu.system, time.perf_counter() - begun)
"""


def versions(other: Path, quick: bool) -> None:
    """Compare this version with another one in turns, each time in a fresh process."""
    side = 16 if quick else 32
    print(f"\n## Bundled model beside another version, 1024 x 683, {side} x {side} points\n")
    print("| version, threads | user s | system s | wall s |\n| --- | ---: | ---: | ---: |")
    sources = {"other": other.resolve(), "this": Path(anymask.__file__).parents[1]}
    taken: dict[tuple[str, int], list[list[float]]] = {}
    for _ in range(3):
        for threads in (1, 2):
            for name, source in sources.items():
                words = [sys.executable, "-c", VERSION, str(PHOTO), str(side), str(threads)]
                environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "2"}
                run = subprocess.run(words, env=environment, capture_output=True, check=True)
                numbers = [float(word) for word in run.stdout.split()]
                taken.setdefault((name, threads), []).append(numbers)
    for (name, threads), runs in taken.items():
        cells = (f"{statistics.median(one):.2f}" for one in zip(*runs, strict=True))
        print(f"| {name}, {threads} | {' | '.join(cells)} |")


TIMED = """
import sys, time, anymask, torch
photo, side, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
model = anymask.load("bundled", "cpu")
model.generate(photo, points_per_side=4)
start = time.perf_counter()
model.generate(photo, points_per_side=side)
print(time.perf_counter() - start)
"""
ENDLESS = "while True: pass"


def quiet(quick: bool) -> None:
    """Time how threads wait, with nothing of ours beside them."""
    print("\n## How threads wait, on a machine as quiet as it is\n")
    waits(quick)


def busy(quick: bool) -> None:
    """Time how threads wait while one core has something else to do."""
    print("\n## How threads wait, beside a busy process\n")
    other = subprocess.Popen([sys.executable, "-c", ENDLESS])
    try:
        waits(quick)
    finally:
        other.kill()
        other.wait()


def waits(quick: bool) -> None:
    """Compare threads that spin while they wait with such that sleep, in turns."""
    threads = os.cpu_count() or 1
    inherited = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    policies = {"spinning": inherited, "sleeping": {**inherited, "OMP_WAIT_POLICY": "PASSIVE"}}
    words = [sys.executable, "-c", TIMED, str(PHOTO), "16" if quick else "24", str(threads)]
    taken: dict[str, list[float]] = {name: [] for name in policies}
    for _ in range(3 if quick else 7):
        for name, environment in policies.items():
            run = subprocess.run(words, env=environment, capture_output=True, check=True)
            taken[name].append(float(run.stdout))
    usual = statistics.median(taken["spinning"])
    print(f"| {threads} threads that wait | seconds, best | median | times faster |")
    print("| --- | ---: | ---: | ---: |")
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        print(f"| {name} | {min(seconds):.2f} | {median:.2f} | {usual / median:.2f} |")


def model_side(model: Segmenter) -> int:
    config = model.variant.generate
    assert isinstance(config, GenerateConfig) and config.points_per_side is not None
    return config.points_per_side


def photo() -> np.ndarray:
    """Take the photo of the documentation."""
    return np.asarray(PIL.Image.open(PHOTO).convert("RGB").resize((1024, 683)))


if __name__ == "__main__":
    main(tyro.cli(Options))
