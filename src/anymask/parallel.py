"""Working on several things at once, in threads: PyTorch and NumPy let others run meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_order"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int
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

    Example:
        >>> list(in_order(lambda number: number * number, range(4), workers=2))
        [0, 1, 4, 9]
    """
    if workers == 1:
        yield from map(work, items)
        return
    import torch  # here, so that the command line can import this module quickly

    threads = torch.get_num_threads()
    share = (max(1, threads // workers),)
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=share)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
