"""How long models take and how much memory they need, several of them in one interleaved run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from anymask.errors import InputError
from anymask.evaluate.protocol import Cell, Summary, Table
from anymask.evaluate.published.segmenter import PublishedSegmenter, published
from anymask.evaluate.timing import Memory, Timing, machine, memory, samples
from anymask.image.image import Image
from anymask.models.exported import is_exported
from anymask.models.runtime import Runtime
from anymask.predict import loading

if TYPE_CHECKING:
    from anymask.predict.segmenter import Segmenter

__all__ = ["TASKS", "Setup", "Speed", "Task", "measure", "setups"]

Task = Literal["embed", "predict", "segment", "everything"]
TASKS: tuple[Task, ...] = ("embed", "predict", "everything")
"""What is timed unless told; "segment" is embed and predict."""

Way = Runtime | Literal["published"]
"""What computes: a runtime, or PyTorch in the order of work in which SAM was published."""

_COMPUTES = {"onnx": ("float32",), "openvino": ("float32", "bfloat16")}
"""In which dtypes a runtime of graphs can compute."""

_PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Setup:
    """One way to run one model."""

    model: str
    """What `load` is given."""
    dtype: str = "float32"
    """What is computed with."""
    threads: int = 1
    """Of PyTorch, or of what runs a graph."""
    device: str = "auto"
    """What `load` is given."""
    offline: bool = False
    """Whether `load` may download."""
    runtime: Way = "auto"
    """What `load` is given, or the published order of work."""

    def load(self) -> Segmenter:
        """Load the model."""
        # The threads of a graph are those that PyTorch has when it is opened.
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        runtime: Runtime = "torch" if self.runtime == "published" else self.runtime
        try:
            model = loading.load(
                self.model, self.device, self.dtype, offline=self.offline, runtime=runtime
            )
            return published(model) if self.runtime == "published" else model
        finally:
            torch.set_num_threads(before)


@dataclass(frozen=True)
class Size:
    """How large a model is."""

    name: str
    """Of its variant."""
    runtime: str
    """What computes."""
    dtype: str
    """What is computed with; of graphs that are not of float32, how they were quantized."""
    parameters: int
    """Learned values."""
    bytes: int
    """What they take in memory."""


@dataclass(frozen=True)
class Speed:
    """What was measured."""

    image_hw: tuple[int, int]
    """Height and width of the image."""
    sizes: Mapping[Setup, Size]
    """How large the models are."""
    times: Mapping[tuple[Setup, Task], Sequence[Timing]]
    """Every single run."""
    memories: Mapping[tuple[Setup, Task], Memory]
    """Memory of fresh processes; empty where it was not measured."""

    def describe(self) -> dict[str, Any]:
        """Return how it was measured, as plain JSON values."""
        h, w = self.image_hw
        return {
            "protocol": "speed",
            "machine": machine(),
            "image": f"{w} x {h}",
            "setups": [asdict(setup) for setup in self.sizes],
        }

    def summary(self) -> Summary:
        """Lay out what was measured as tables."""
        header = (
            *("model", "runtime", "dtype", "threads", "task", "runs"),
            *(f"p{p} ms" for p in _PERCENTILES),
            *("CPU p50 ms", "times faster, CPU", "times faster, wall", "peak MB", "added MB"),
        )
        rows = tuple(self._row(setup, task) for setup, task in self.times)
        note = (
            "pN: N % of the runs took no longer. CPU: processor time over all threads. Peak: of a "
            "fresh process that does this once; added: what this took beyond the loaded model and "
            "what it starts from. Times faster: of medians, than the first of the same model, task "
            "and number of threads."
        )
        sizes = {
            (size.name, size.dtype): (size.parameters / 1e6, size.bytes / 1e6)
            for size in self.sizes.values()
        }
        columns = ("model", "dtype", "parameters, M", "weights, MB")
        return Summary(
            (
                Table("speed", f"Time and memory on {machine()}", header, rows, note),
                Table("size", "Size", columns, tuple((*k, *v) for k, v in sizes.items())),
            )
        )

    def _row(self, setup: Setup, task: Task) -> tuple[Cell, ...]:
        taken = self.times[setup, task]
        wall = np.percentile([1e3 * t.wall for t in taken], _PERCENTILES)
        cpu = float(np.median([1e3 * t.cpu for t in taken]))
        ratios = self._ratios(setup, task)
        used = self.memories.get((setup, task))
        return (
            *(self.sizes[setup].name, self.sizes[setup].runtime, self.sizes[setup].dtype),
            *(setup.threads, task, len(taken)),
            *(round(float(ms), 1) for ms in wall),
            round(cpu, 1),
            *(ratios or (None, None)),
            *((round(used.peak / 1e6), round(used.added / 1e6)) if used else (None, None)),
        )

    def _ratios(self, setup: Setup, task: Task) -> tuple[float, float] | None:
        """Compare with the first setup of the same model, task and threads; None: it is that."""

        def like(other: Setup) -> tuple[str, int]:
            return self.sizes[other].name, other.threads

        first = next(way for way, done in self.times if done == task and like(way) == like(setup))
        if first == setup:
            return None
        medians = (
            (np.median([t.cpu for t in taken]), np.median([t.wall for t in taken]))
            for taken in (self.times[first, task], self.times[setup, task])
        )
        (cpu, wall), (own_cpu, own_wall) = medians
        return round(float(cpu / own_cpu), 2), round(float(wall / own_wall), 2)


def setups(
    models: Sequence[str],
    dtypes: Sequence[str],
    threads: Sequence[int],
    device: str = "auto",
    offline: bool = False,
    runtimes: Sequence[Way] = ("auto",),
) -> list[Setup]:
    """Combine models with dtypes, runtimes that can run them so, and numbers of threads."""
    if not (models and dtypes and threads) or min(threads) < 1:
        raise InputError(
            f"expected models, dtypes and numbers of threads of at least 1, got {list(models)}, "
            f"{list(dtypes)} and {list(threads)}; name them"
        )
    each = product(models, dtypes, threads, runtimes)
    ways = [
        Setup(model, dtype, count, device, offline, runtime)
        for model, dtype, count, runtime in each
        if _can_run(model, runtime, dtype)
    ]
    if not ways:
        raise InputError(
            f"expected a runtime that can run {', '.join(models)} in {', '.join(dtypes)}, got "
            f"{', '.join(runtimes)}; run anymask export first, or leave --runtime and --dtypes out"
        )
    return ways


def _can_run(model: str, runtime: Way, dtype: str) -> bool:
    if dtype not in _COMPUTES.get(runtime, (dtype,)):
        return False
    if runtime != "published":
        return loading.can_run(model, runtime)
    return loading.can_run(model, "torch") and not loading.can_run(model, "onnx")


def measure(
    ways: Sequence[Setup],
    image: Image,
    tasks: Sequence[Task] = TASKS,
    repeats: int = 20,
    repeats_everything: int = 3,
    memories: bool = True,
    points_per_side: int | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> Speed:
    """Time every task of every setup, in turns.

    Args:
        ways: What to compare; weights that several of them share are loaded once.
        image: Read before; the prompt is a click in its middle.
        tasks: What to time.
        repeats: Runs that count of embed and predict, after three that do not.
        repeats_everything: The same of everything mode, after one.
        memories: Measure the memory, too, in a fresh process for each setup and task.
        points_per_side: Of the grid of everything mode; None: what suits each model.
        on_step: Called with what is done next.
    """
    if min(repeats, repeats_everything) < 1:
        raise InputError("expected at least 1 run of each task, got fewer; 20 and 3 are usual")
    loaded: dict[Setup, Segmenter] = {}
    models: dict[Setup, Segmenter] = {}
    for way in ways:
        weights = not is_exported(way.model) and way.runtime in ("auto", "torch", "published")
        key = replace(way, threads=1) if weights else way  # a graph keeps its threads
        if key not in loaded:
            on_step(f"loading {way.model}")
            loaded[key] = way.load()
        models[way] = loaded[key]
    times: dict[tuple[Setup, Task], list[Timing]] = {}
    used: dict[tuple[Setup, Task], Memory] = {}
    for task in tasks:
        on_step(f"timing {task}")
        calls = {
            str(way): _work(model, image, task, points_per_side) for way, model in models.items()
        }
        threads = {str(way): way.threads for way in ways}
        runs, warm = (repeats_everything, 1) if task == "everything" else (repeats, 3)
        taken = samples(calls, runs, threads, warm)
        times |= {(way, task): taken[str(way)] for way in ways}
    for way, task in times if memories else ():
        on_step(f"memory of {way.model}, {task}")
        used[way, task] = memory(partial(_ready, way, image, task, points_per_side), way.threads)
    order = sorted(times, key=lambda key: (ways.index(key[0]), tasks.index(key[1])))
    sizes = {way: _size(way, model) for way, model in models.items()}
    return Speed(image.size_hw, sizes, {key: times[key] for key in order}, used)


def _work(
    model: Segmenter, image: Image, task: Task, points_per_side: int | None
) -> Callable[[], object]:
    """Get a task ready."""
    h, w = image.size_hw
    if task == "embed":
        return lambda: _embed(model, image)
    if task == "everything":
        side = points_per_side
        options: dict[str, Any] = {} if side is None else {"points_per_side": side}
        return lambda: model.generate(image, **options)
    if task == "segment":
        return lambda: model.predict(image, points=[(w / 2, h / 2)])
    embedding = model.embed(image)
    return lambda: model.predict(embedding, points=[(w / 2, h / 2)])


def _ready(
    way: Setup, image: Image, task: Task, points_per_side: int | None
) -> Callable[[], object]:
    """Load a model and get a task ready, in a process of its own."""
    return _work(way.load(), image, task, points_per_side)


def _embed(model: Segmenter, image: Image) -> None:
    model.embed(image)
    if getattr(model.device, "type", "") == "cuda":
        torch.cuda.synchronize(model.device)  # it works on while the program goes on


def _size(way: Setup, model: Segmenter) -> Size:
    count, dtype = model.variant.parameters, model.dtype
    each = np.dtype(dtype).itemsize if isinstance(dtype, str) else dtype.itemsize
    usual = "published" if isinstance(model, PublishedSegmenter) else "torch"
    runtime = getattr(model.network, "runtime", usual)
    precision = getattr(getattr(model.network, "exported", None), "precision", "float32")
    shown = way.dtype if precision == "float32" else precision
    if precision in ("fp16", "bf16"):
        each = 2
    return Size(model.variant.name, runtime, shown, count, count * each)
