"""How the benchmarks measure: alternately in one process, as processor time and as wall time.

The machines are noisy, so nothing here means much alone: `alternate` runs the things to compare in
turns, and `table` prints their ratio. Memory is the peak of a fresh process, from the operating
system.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

from anymask.evaluate.timing import Memory, Timing, machine, memory, memory_here, samples

__all__ = ["Memory", "Timing", "alternate", "machine", "memory", "memory_here", "table"]


def alternate(
    calls: Mapping[str, Callable[[], Any]], repeats: int, threads: int = 1, warm: int = 1
) -> dict[str, Timing]:
    """Run every call in turn, ``repeats`` times after ``warm`` rounds; gives the medians."""
    taken = samples(calls, repeats, threads, warm)
    return {name: _median(timings) for name, timings in taken.items()}


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


def _median(timings: list[Timing]) -> Timing:
    return Timing(
        *(
            statistics.median(getattr(t, part) for t in timings)
            for part in ("user", "system", "wall")
        )
    )
