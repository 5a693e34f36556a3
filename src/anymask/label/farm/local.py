"""The engine of one machine: a pool of processes, or of threads that share a model.

Each worker computes in one thread. So the masks are the same to the last bit however many workers
there are, and on a CPU more images are done than by threads that wait for each other.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from anymask.errors import InputError
from anymask.label.farm.task import Job, Outcome, Task, killed
from anymask.parallel import live_as_long_as_the_caller

__all__ = ["Local", "cores", "gpus"]

_AHEAD = 2  # tasks for each worker that are handed over before the first of them is done
_READERS = 8  # threads that read images to tell their contents apart


def cores() -> int:
    """Count the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpus(device: str) -> int:
    """Count the GPUs that a device means: none but for auto and cuda."""
    if device not in ("auto", "cuda"):
        return 0
    try:
        import torch
    except ImportError:
        return 0
    return torch.cuda.device_count()


@dataclass(frozen=True)
class Local:
    """A pool of workers on this machine.

    Attributes:
        workers: Number of them.
        shared: Threads of this process, which share one model, instead of processes.
        gpus: GPUs to share among the processes.
    """

    workers: int = 1
    shared: bool = False
    gpus: int = 0

    def __post_init__(self) -> None:
        """Check the number."""
        if self.workers < 1:
            raise InputError(f"expected at least 1 worker, got {self.workers}; leave it out")

    def map(self, job: Job, tasks: Iterator[Task]) -> Iterator[Outcome]:
        """Do a job with each task, and give what came of it as soon as it is known.

        Tasks are taken only as they are needed. A process that is killed takes nothing with it:
        what it and the others were at is done again, one by one, and only what kills a process
        that does nothing else fails.
        """
        if job.light or self.shared:
            yield from self._in_threads(job, tasks)
            return
        while True:
            suspects = yield from self._until_killed(job, tasks)
            if not suspects:
                return
            for task in suspects:
                yield self._alone(job, task)

    def _in_threads(self, job: Job, tasks: Iterator[Task]) -> Iterator[Outcome]:
        workers = _READERS if job.light else self.workers
        attempt = job.open()
        torch = None if job.light else sys.modules.get("torch")
        threads = torch.get_num_threads() if torch else 0
        pool = ThreadPoolExecutor(workers, initializer=_use_one_thread)
        try:
            if torch:
                torch.set_num_threads(1)
            for future, _ in _windowed(pool, attempt, tasks, _AHEAD * workers):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)
            if torch:
                torch.set_num_threads(threads)

    def close(self) -> None:
        """Leave nothing behind, as nothing is."""

    def _until_killed(
        self, job: Job, tasks: Iterator[Task]
    ) -> Generator[Outcome, None, list[Task]]:
        """Do tasks until none is left, or a process dies; give those that are not done then."""
        suspects = []
        with _processes(job, self.workers, self.gpus) as pool:
            for future, task in _windowed(pool, _attempt, tasks, _AHEAD * self.workers):
                try:
                    yield future.result()
                except BrokenExecutor:
                    suspects.append(task)
        return suspects

    def _alone(self, job: Job, task: Task) -> Outcome:
        with _processes(job, 1, self.gpus) as pool:
            try:
                return pool.submit(_attempt, task).result()
            except BrokenExecutor:
                return killed(task, 2)


def _windowed(
    pool: ThreadPoolExecutor | ProcessPoolExecutor,
    attempt: Callable[[Task], Outcome],
    tasks: Iterator[Task],
    window: int,
) -> Iterator[tuple[Future[Outcome], Task]]:
    """Keep a pool busy with so many tasks at a time; a broken one gets no more."""
    waiting: dict[Future[Outcome], Task] = {}
    broken = False
    while True:
        while not broken and len(waiting) < window and (task := next(tasks, None)) is not None:
            try:
                future = pool.submit(attempt, task)
            except BrokenExecutor as error:
                broken, future = True, Future()
                future.set_exception(error)
            waiting[future] = task
        if not waiting:
            return
        for future in wait(waiting, return_when=FIRST_COMPLETED).done:
            broken = broken or isinstance(future.exception(), BrokenExecutor)
            yield future, waiting.pop(future)


@contextmanager
def _processes(job: Job, workers: int, gpus: int) -> Iterator[ProcessPoolExecutor]:
    """Start processes; when the block ends early, they are ended, too."""
    # Not forked: a fork of a process with threads, such as PyTorch's, may hang.
    context = multiprocessing.get_context("spawn")
    begin = (job, context.Value("i", 0), gpus)
    pool = ProcessPoolExecutor(workers, context, _begin, begin)
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


class _Worker:
    """What this process does, if it is a worker."""

    job: Job
    attempt: Callable[[Task], Outcome] | None = None


def _begin(job: Job, number: Any, gpus: int) -> None:
    live_as_long_as_the_caller()
    os.environ["OMP_NUM_THREADS"] = "1"  # before PyTorch is loaded
    if gpus > 1:
        with number.get_lock():
            place, number.value = number.value % gpus, number.value + 1
        known = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        devices = known.split(",") if known else [str(one) for one in range(gpus)]
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[place]
    _Worker.job = job


def _attempt(task: Task) -> Outcome:
    if _Worker.attempt is None:
        _Worker.attempt = _Worker.job.open()
        _use_one_thread()
    return _Worker.attempt(task)


def _use_one_thread() -> None:
    """Let PyTorch compute in this thread alone, if it is here."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
