"""How the benchmarks measure: alternately in one process, as processor time and as wall time.

The machines are noisy, so nothing here means much alone: `alternate` runs the things to compare in
turns, and `table` prints their ratio. Memory is the peak of a fresh process, from the operating
system.
"""

from __future__ import annotations

import multiprocessing
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

__all__ = ["Memory", "Timing", "alternate", "machine", "memory", "table"]


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: the median over all of its runs."""

    user: float
    """Processor time spent computing, over all threads."""
    system: float
    """Processor time spent in the kernel: page faults above all."""
    wall: float
    """Time that passed."""

    @property
    def cpu(self) -> float:
        """User and system time together."""
        return self.user + self.system


def alternate(
    calls: Mapping[str, Callable[[], Any]], repeats: int, threads: int = 1, warm: int = 1
) -> dict[str, Timing]:
    """Run every call in turn, ``repeats`` times after ``warm`` rounds that do not count."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        taken: dict[str, list[Timing]] = {name: [] for name in calls}
        for turn in range(warm + repeats):
            for name, call in calls.items():
                timing = _time(call)
                if turn >= warm:
                    taken[name].append(timing)
    finally:
        torch.set_num_threads(before)
    return {name: _median(timings) for name, timings in taken.items()}


@dataclass(frozen=True)
class Memory:
    """Bytes of a fresh process around one call."""

    before: int
    """When everything was ready."""
    peak: int
    """The most during the call."""

    @property
    def added(self) -> int:
        """What the call needed beyond what was there."""
        return self.peak - self.before


def memory(prepare: Callable[[], Callable[[], Any]], threads: int = 1) -> Memory:
    """Measure the memory of one call in a fresh process.

    Args:
        prepare: A function of a module (it travels to another process). It gets everything
            ready and returns what to measure.
        threads: For PyTorch.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak, (prepare, threads))


def machine() -> str:
    """Say in a line what this was measured on."""
    names = [
        x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")
    ]
    name = names[0].partition(":")[2].strip() if names else platform.processor()
    level = torch.backends.cpu.get_cpu_capability()
    return f"{len(names)} cores of {name} ({level}), PyTorch {torch.__version__}"


def table(timings: Mapping[str, Timing], peer: str) -> str:
    """Lay out timings as a Markdown table, with how many times faster than ``peer`` each is."""
    base = timings[peer]
    lines = [
        "| | CPU ms (user + system) | wall ms | times faster, CPU | user only | wall |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, t in timings.items():
        lines.append(
            f"| {name} | {1e3 * t.cpu:.1f} ({1e3 * t.user:.1f} + {1e3 * t.system:.1f}) "
            f"| {1e3 * t.wall:.1f} | {_ratio(base.cpu, t.cpu)} | {_ratio(base.user, t.user)} "
            f"| {_ratio(base.wall, t.wall)} |"
        )
    return "\n".join(lines)


def _ratio(base: float, other: float) -> str:
    return f"{base / other:.2f}" if other else "-"


def _time(call: Callable[[], Any]) -> Timing:
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    call()
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    return Timing(after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime, wall)


def _median(timings: list[Timing]) -> Timing:
    return Timing(
        *(
            statistics.median(getattr(t, part) for t in timings)
            for part in ("user", "system", "wall")
        )
    )


def _peak(prepare: Callable[[], Callable[[], Any]], threads: int) -> Memory:
    torch.set_num_threads(threads)
    call = prepare()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    call()
    return Memory(before, _status("VmHWM"))


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"expected {field} in /proc/self/status, got none; this needs Linux")
