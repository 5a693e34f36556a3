"""Measuring time and memory: calls in turns within one process, memory in fresh ones.

Machines are noisy and slow down for reasons of their own, so nothing here means much alone: things
to be compared are run alternately, and processor time is given beside the time that passed.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

__all__ = ["Memory", "Timing", "machine", "memory", "memory_here", "samples"]

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Timing:
    """Seconds of one call."""

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


def samples(
    calls: Mapping[str, Callable[[], Any]],
    repeats: int,
    threads: int | Mapping[str, int] = 1,
    warm: int = 1,
) -> dict[str, list[Timing]]:
    """Run every call in turn, ``repeats`` times after ``warm`` rounds that do not count.

    Args:
        calls: What to measure, by name.
        repeats: Rounds that count.
        threads: Of PyTorch, for all calls or for each by its name.
        warm: Rounds that do not count.
    """
    before = torch.get_num_threads()
    taken: dict[str, list[Timing]] = {name: [] for name in calls}
    try:
        for turn in range(warm + repeats):
            for name, call in calls.items():
                torch.set_num_threads(threads if isinstance(threads, int) else threads[name])
                timing = _time(call)
                if turn >= warm:
                    taken[name].append(timing)
    finally:
        torch.set_num_threads(before)
    return taken


def memory(prepare: Callable[[], Callable[[], Any]], threads: int = 1) -> Memory:
    """Measure the memory of one call in a fresh process; this needs Linux.

    Args:
        prepare: A function of a module (it travels to another process). It gets everything
            ready and returns what to measure.
        threads: For PyTorch.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak, (prepare, threads))


def memory_here(call: Callable[[], Any]) -> Memory:
    """Measure the memory of one call in this process, the first that needs much; needs Linux."""
    _CLEAR.write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    call()
    return Memory(before, _status("VmHWM"))


def machine() -> str:
    """Describe the machine in a line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    level = torch.backends.cpu.get_cpu_capability()
    return f"{os.cpu_count()} cores of {name} ({level}), PyTorch {torch.__version__}"


def _time(call: Callable[[], Any]) -> Timing:
    before, start = _spent(), time.perf_counter()
    call()
    wall = time.perf_counter() - start
    after = _spent()
    return Timing(after[0] - before[0], after[1] - before[1], wall)


def _spent() -> tuple[float, float]:
    """Return the processor time of this process so far: user and system."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows, which counts more coarsely
        times = os.times()
        return times.user, times.system
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime, usage.ru_stime


def _peak(prepare: Callable[[], Callable[[], Any]], threads: int) -> Memory:
    torch.set_num_threads(threads)
    return memory_here(prepare())


def _status(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"expected {field} in {_STATUS}, got none")
