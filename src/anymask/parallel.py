"""Working on several things at once.

In threads where PyTorch and NumPy do the work, which let others run meanwhile; in processes where
Python itself does.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import starmap
from threading import RLock, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from anymask.errors import InputError

if TYPE_CHECKING:
    from concurrent.futures import Future, ProcessPoolExecutor

__all__ = [
    "LostThreadsError",
    "in_order",
    "in_processes",
    "live_as_long_as_the_caller",
    "one_thread",
    "thread_count",
    "threads_work",
]

_ALONE = RLock()

Item = TypeVar("Item")
Result = TypeVar("Result")


def thread_count() -> int:
    """Count the threads to work in: PyTorch's, or without it the processors of this process."""
    if torch := _torch():
        number: int = torch.get_num_threads()
        return number
    if (wanted := os.environ.get("OMP_NUM_THREADS", "")).isdigit():
        return max(1, int(wanted))
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _torch() -> Any | None:
    """Give PyTorch if it is loaded: where it is not, it starts no threads."""
    if "torch" not in sys.modules:
        return None
    import torch  # waits, should another thread be about to import it

    return torch


class LostThreadsError(InputError):
    """A model is used in a forked process, where it would wait for ever."""


def in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    give_up: Callable[[], None] = lambda: None,
) -> Generator[Result]:
    """Do the same work on many items, and give the results in the order of the items.

    The workers share PyTorch's threads among them, so that the processor is not asked for more than
    it has. Items are taken only as they are needed, twice as many at a time as there are workers.
    When the work on one fails, its error is raised in its turn; what has begun by then is finished,
    the rest is not begun.

    Args:
        work: Safe to call in several threads.
        items: Taken one after the other in the caller's thread.
        workers: Number of threads; 1: the caller's own.
        give_up: Called when the work ends early, before what has begun is waited for: a chance to
            end that early, too.

    Examples:
        >>> list(in_order(lambda number: number * number, range(4), workers=2))
        [0, 1, 4, 9]
    """
    if workers == 1:
        yield from map(work, items)
        return
    from concurrent.futures import ThreadPoolExecutor  # the first click should not wait for it

    torch = _torch()
    waiting: deque[Future[Result]] = deque()
    if torch:
        threads = torch.get_num_threads()
        share = (max(1, threads // workers),)
        pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=share)
    else:
        pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BaseException:
        give_up()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        if torch:
            torch.set_num_threads(threads)


@contextmanager
def threads_work() -> Iterator[None]:
    """Enclose work on a model, which PyTorch does in several threads.

    A process that is forked from one where they have worked waits for threads that were not copied,
    and for ever (PyTorch's limit, pytorch/pytorch#17199). So it is told instead.

    Raises:
        LostThreadsError: This is such a process, and it would use several threads.
    """
    torch = _torch()
    if torch and torch.get_num_threads() > 1:
        if _Threads.lost:
            raise LostThreadsError(
                "expected a process of its own or one thread for a model, got a fork of a process "
                "that has used a model in several threads; start it by multiprocessing's 'spawn' "
                "or 'forkserver', or call torch.set_num_threads(1) before forking"
            )
        _Threads.used = True
    yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Enclose work for which PyTorch should start no threads, so that the process can be forked."""
    torch = _torch()
    if torch is None:
        yield
        return
    with _ALONE:  # two at a time would restore each other's number
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


class _Threads:
    """What happened to the threads in which PyTorch works."""

    used = False  # in this process
    lost = False  # it was forked from one where they were used


def _forked() -> None:
    _Threads.lost, _Threads.used = _Threads.lost or _Threads.used, False


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing is forked
    os.register_at_fork(after_in_child=_forked)


def in_processes(
    work: Callable[..., Result], jobs: Iterable[tuple[Any, ...]], processes: int
) -> list[Result]:
    """Do the same work on many jobs, and give the results in the order of the jobs.

    The processes are started when they are first needed, and stay for the next jobs; where one was
    lost meanwhile, such as for want of memory, all are started anew.

    Args:
        work: A function of a module, which the processes import.
        jobs: Arguments for each call; they and the results travel between the processes.
        processes: Number of them; 1: the caller's own.

    Examples:
        >>> in_processes(pow, [(2, 3), (3, 2)], processes=1)
        [8, 9]
    """
    if processes == 1:
        return list(starmap(work, jobs))
    from concurrent.futures import BrokenExecutor

    jobs = list(jobs)
    try:
        waiting = [_processes(processes).submit(work, *job) for job in jobs]
    except BrokenExecutor:
        _processes.cache_clear()
        waiting = [_processes(processes).submit(work, *job) for job in jobs]
    return [one.result() for one in waiting]


@cache
def _processes(number: int) -> ProcessPoolExecutor:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # Let go of them while the modules that they need are all there.
    atexit.register(_processes.cache_clear)
    # Not forked: a fork of a process with threads, such as PyTorch's, may hang.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(number, mp_context=context, initializer=live_as_long_as_the_caller)


def live_as_long_as_the_caller() -> None:
    """Leave Ctrl-C to the caller, and end when it ends, be it killed."""
    import multiprocessing
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    caller = multiprocessing.parent_process()
    assert caller is not None

    def follow() -> None:
        caller.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()
