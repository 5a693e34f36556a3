"""Working in threads: order, bounds, errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from anymask.parallel import in_order


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 30])
def test_results_come_in_order(workers: int, count: int) -> None:
    def work(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        return -number

    assert list(in_order(work, range(count), workers)) == [-n for n in range(count)]


def test_work_is_done_at_the_same_time() -> None:
    together = threading.Barrier(2, timeout=30)
    assert len(list(in_order(lambda _: together.wait(), range(4), 2))) == 4


def test_few_items_are_taken_at_a_time() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    for done, _ in enumerate(in_order(str, items(), 2)):
        assert len(taken) <= done + 4


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_ends_it_in_its_turn(error: type[BaseException]) -> None:
    done = []

    def work(number: int) -> int:
        if number == 3:
            raise error("three")
        done.append(number)
        return number

    before = threading.active_count()
    results = in_order(work, range(100), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(error, match="three"):
        next(results)
    assert len(done) < 10
    assert threading.active_count() == before


def test_the_threads_of_pytorch_are_shared_out_and_given_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        assert list(in_order(lambda _: torch.get_num_threads(), range(4), 2)) == [2] * 4
        assert torch.get_num_threads() == 4
        assert list(in_order(lambda _: torch.get_num_threads(), range(4), 8)) == [1] * 4
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
