"""Answers that tell how far they are: a line of JSON for each step, and one for the end.

The lines are ``{"step": ...}`` or whatever the work tells, at last ``{"result": ...}`` or
``{"error": {"code", "message", "status"}}``. Work ends at its next step when nobody reads any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from anymask.errors import AnymaskError
from anymask.serve.compute import Cancelled, Task, gone
from anymask.serve.errors import CODES, ApiError, as_api_error, dumps

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import StreamingResponse

__all__ = ["LINES", "Tell", "tell_lines"]

LINES = "application/x-ndjson"
"""Kind of content."""

Tell = Callable[[dict[str, Any]], None]
"""Tells a step, from any thread; ends the work if nobody reads."""

_BEAT = 10.0  # seconds after which a line is sent though there is no news, for proxies
_LOG = logging.getLogger("anymask.serve")


def tell_lines(request: Request, work: Callable[[Task, Tell], Awaitable[Any]]) -> StreamingResponse:
    """Answer with lines.

    Args:
        request: Whose body has been read.
        work: Done on the event loop, its slow parts in threads; gives the result, plain JSON.
    """
    from starlette.responses import StreamingResponse

    return StreamingResponse(_lines(request, work), media_type=LINES)


async def _lines(
    request: Request, work: Callable[[Task, Tell], Awaitable[Any]]
) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    news: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    task = Task()

    def tell(step: dict[str, Any]) -> None:
        task.check()
        with suppress(RuntimeError):  # of a loop that has ended
            loop.call_soon_threadsafe(news.put_nowait, step)

    async def end() -> None:
        last = await _last(work, task, tell)
        # Behind what threads have told.
        loop.call_soon(news.put_nowait, last)

    working = asyncio.create_task(end())
    left = asyncio.create_task(gone(request))
    left.add_done_callback(lambda done: task.cancel())
    try:
        while True:
            try:
                async with asyncio.timeout(_BEAT):
                    line = await news.get()
            except TimeoutError:
                yield b"{}\n"
                continue
            yield dumps(line) + b"\n"
            if "result" in line or "error" in line:
                return
    finally:
        task.cancel()
        left.cancel()
        if not working.done():
            working.add_done_callback(_take)


async def _last(
    work: Callable[[Task, Tell], Awaitable[Any]], task: Task, tell: Tell
) -> dict[str, Any]:
    """Do the work, and say how it ended."""
    try:
        return {"result": await work(task, tell)}
    except Cancelled:
        return _error(ApiError(499, "the client has gone"))
    except ApiError as error:
        return _error(error)
    except AnymaskError as error:
        return _error(as_api_error(error))
    except Exception:
        _LOG.exception("work that tells how far it is failed")
        return _error(ApiError(500, "cannot go on: an unexpected error; see the server's log"))


def _error(error: ApiError) -> dict[str, Any]:
    code = error.code or CODES.get(error.status, "error")
    return {"error": {"code": code, "message": error.message, "status": error.status}}


def _take(done: asyncio.Task[None]) -> None:
    """Take the error of work that nobody waits for."""
    if not done.cancelled():
        done.exception()
