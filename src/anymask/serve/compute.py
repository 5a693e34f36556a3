"""Work in threads, never on the event loop: with a deadline, and an end when nobody waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from anymask.serve.errors import ApiError
from anymask.serve.notes import with_notes

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["Cancelled", "Compute", "Task", "gone"]

Result = TypeVar("Result")


_DEADLINE = "anymask.deadline"  # in a request's scope: when its time is up, by the loop's clock


class Cancelled(Exception):
    """Nobody waits for the work any more."""


@dataclass(frozen=True)
class Task:
    """One piece of work, as it sees itself."""

    _cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """End it at its next step."""
        self._cancelled.set()

    def check(self, *_: Any) -> None:
        """Go on, or end; takes whatever callbacks of progress are given.

        Raises:
            Cancelled: It is not wanted any more.
        """
        if self._cancelled.is_set():
            raise Cancelled


class Compute:
    """Threads of a server: for clicks, for slow work, for long work, and for writing answers.

    Args:
        workers: Threads for slow work.
        timeout: Seconds that a request waits for its work.
    """

    def __init__(self, workers: int, timeout: float) -> None:
        self.timeout = timeout
        self.clicks = ThreadPoolExecutor(1, "anymask-clicks")
        self._slow = ThreadPoolExecutor(workers, "anymask-slow")
        self._answers = ThreadPoolExecutor(2, "anymask-answers")
        self._long = ThreadPoolExecutor(1, "anymask-long")

    async def run(self, request: Request, work: Callable[[Task], Result]) -> Result:
        """Do slow work in a thread.

        Raises:
            ApiError: It took too long, or the client has gone.
        """
        task = Task()

        def begin() -> Result:
            task.check()  # it may have waited until nobody did
            return work(task)

        future = asyncio.get_running_loop().run_in_executor(self._slow, with_notes(begin))
        return await self.wait(request, future, task)

    async def slow(self, work: Callable[[], Result]) -> Result:
        """Do slow work in a thread, whoever waits for it."""
        return await asyncio.get_running_loop().run_in_executor(self._slow, with_notes(work))

    async def long(self, work: Callable[[], Result]) -> Result:
        """Do work that may take minutes, in a thread beside that for slow requests."""
        return await asyncio.get_running_loop().run_in_executor(self._long, with_notes(work))

    async def answer(self, write: Callable[[], Result]) -> Result:
        """Write an answer in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._answers, with_notes(write))

    async def wait(
        self, request: Request, future: asyncio.Future[Result], task: Task | None = None
    ) -> Result:
        """Wait for work, as long as the client does; all work of a request has one limit of time.

        Args:
            request: Whose body has been read.
            future: The work.
            task: What to cancel when it is not waited for; None: others may wait for it, too.

        Raises:
            ApiError: It took too long, or the client has gone.
        """
        loop = asyncio.get_running_loop()
        end: float = request.scope.setdefault(_DEADLINE, loop.time() + self.timeout)
        left = asyncio.ensure_future(gone(request))
        try:
            both: set[asyncio.Future[Any]] = {future, left}
            await asyncio.wait(
                both, timeout=max(0.0, end - loop.time()), return_when=asyncio.FIRST_COMPLETED
            )
            if future.done():
                return future.result()
            if left.done():
                raise ApiError(499, "the client has gone")
            raise ApiError(
                504,
                f"expected an answer within {self.timeout:g} seconds, got none; ask for less, such "
                "as fewer points, or raise timeout of anymask serve",
            )
        finally:
            left.cancel()
            if task is not None and not future.done():
                task.cancel()
                future.add_done_callback(_ignore)
                future.cancel()

    def close(self) -> None:
        """Wait for what runs, and end the threads."""
        for pool in (self.clicks, self._slow, self._long, self._answers):
            pool.shutdown(cancel_futures=True)


async def gone(request: Request) -> None:
    """Wait until the client closes the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _ignore(future: asyncio.Future[Any]) -> None:
    """Take the error of work that nobody waits for."""
    if not future.cancelled():
        future.exception()
