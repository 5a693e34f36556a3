"""Working in threads and processes: order, bounds, errors."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Timer

import pytest
import torch

from anymask import parallel
from anymask.parallel import in_order, in_processes, one_thread


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


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_give_results_in_order_and_errors_as_they_are(processes: int) -> None:
    assert in_processes(divmod, [(n, 3) for n in range(7)], processes) == [
        divmod(n, 3) for n in range(7)
    ]
    assert in_processes(divmod, [], processes) == []
    with pytest.raises(ZeroDivisionError):
        in_processes(divmod, [(1, 1), (1, 0)], processes)


@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
def test_processes_that_were_lost_are_started_anew() -> None:
    (lost,) = in_processes(os.getpid, [()], 2)
    os.kill(lost, 9)
    pool = parallel._processes(2)
    for _ in range(600):
        if pool._broken:
            break
        time.sleep(0.05)
    assert in_processes(divmod, [(7, 3)], 2) == [(2, 1)]
    assert parallel._processes(2) is not pool


@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
def test_processes_end_with_a_caller_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from anymask.parallel import in_processes\n"
        "if __name__ == '__main__':\n"
        "    print(in_processes(os.getpid, [()], 2)[0], flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    source = Path(__file__).resolve().parents[1] / "src"
    environment = {**os.environ, "PYTHONPATH": str(source)}
    run = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == -9
    for _ in range(100):
        try:
            os.kill(int(run.stdout), 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError("the process outlived its caller by ten seconds")


def test_loading_in_two_threads_leaves_the_number_of_threads_alone() -> None:
    before = torch.get_num_threads()
    started, go_on = Event(), Event()

    def first() -> None:
        with one_thread():
            started.set()
            go_on.wait(10)

    def second() -> None:
        started.wait(10)
        Timer(0.05, go_on.set).start()
        with one_thread():
            assert torch.get_num_threads() == 1

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(first), pool.submit(second)]:
            done.result()
        assert pool.submit(torch.get_num_threads).result() == before
    assert torch.get_num_threads() == before
