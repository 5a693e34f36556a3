"""Measuring time and memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest
import torch

from anymask.evaluate.timing import Timing, machine, memory, samples


def test_calls_run_in_turns_and_warm_rounds_do_not_count() -> None:
    order: list[str] = []
    taken = samples({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2, warm=1)
    assert order == ["a", "b"] * 3
    assert [len(some) for some in taken.values()] == [2, 2]


def test_each_call_has_its_number_of_threads() -> None:
    before, seen = torch.get_num_threads(), []
    call = lambda: seen.append(torch.get_num_threads())  # noqa: E731
    samples({"one": call, "two": call}, 1, {"one": 1, "two": 2}, warm=0)
    assert seen == [1, 2]
    assert torch.get_num_threads() == before


def test_sleeping_passes_time_but_takes_no_processor() -> None:
    (timing,) = samples({"sleep": lambda: time.sleep(0.05)}, 1, warm=0)["sleep"]
    assert timing.wall >= 0.05
    assert timing.cpu < 0.04
    assert Timing(1, 2, 9).cpu == 3


def large() -> Callable[[], object]:
    return lambda: torch.zeros(25_000_000, dtype=torch.float32).add_(1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_that_of_the_call() -> None:
    used = memory(large)
    assert 95e6 < used.added < 150e6
    assert used.peak == used.before + used.added


def test_the_machine_is_named() -> None:
    assert torch.__version__ in machine()
