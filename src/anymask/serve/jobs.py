"""Jobs over folders: one after the other, in a thread, each a batch that resumes when repeated."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anymask.batch.process import process
from anymask.errors import AnymaskError
from anymask.serve.errors import ApiError, dumps

if TYPE_CHECKING:
    from anymask.batch.job import Job as Work
    from anymask.batch.run import ImageResult, Progress

__all__ = ["Job", "Jobs"]

_REMEMBERED = 100  # jobs that have ended
_NOTES = 100
_BEAT = 15.0  # seconds after which a silent stream of events says that it is there
_PAUSE = 0.1  # seconds between two events, which say the latest alone
_LOG = logging.getLogger("anymask.serve")


@dataclass(eq=False)
class Job:
    """A job, and how far it is. The thread writes, the event loop reads whole values."""

    kind: str
    images: str
    output: str
    folder: Path
    """Of the images."""
    root: Path
    """What the names of images are relative to."""
    results_folder: Path
    work: Work[Any, Any]
    model: Any
    overwrite: bool
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    status: str = "queued"
    total: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    image: str | None = None
    step: str = ""
    error: str | None = None
    notes: list[str] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0
    version: int = 0
    wanted: bool = True
    watchers: set[asyncio.Event] = field(default_factory=set)

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ("done", "cancelled", "failed")

    def document(self) -> dict[str, Any]:
        """Say how far it is."""
        names = ("id", "kind", "status", "images", "output", "total", "done", "skipped", "failed")
        end = self.ended or time.monotonic()
        return {
            **{name: getattr(self, name) for name in (*names, "image", "step", "error")},
            "notes": self.notes[:_NOTES],
            "seconds": round(end - self.began, 3) if self.began else 0.0,
        }


class Jobs:
    """The jobs of a server; used on the event loop, but for what its thread does.

    Args:
        limit: Jobs that may wait.
        grace: Seconds that the one that runs may go on when the server stops.
    """

    def __init__(self, limit: int, grace: float) -> None:
        self._limit, self._grace = limit, grace
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._pool = ThreadPoolExecutor(1, "anymask-jobs")
        self._free = threading.Event()
        self._free.set()
        self._stopping = False

    def count(self, status: str) -> int:
        """Count the jobs that are queued, running, done, cancelled or failed."""
        return sum(job.status == status for job in self._jobs.values())

    def all(self) -> list[Job]:
        """List the jobs, the newest first."""
        return list(reversed(self._jobs.values()))

    def get(self, name: str) -> Job:
        """Find a job.

        Raises:
            ApiError: There is none of that id.
        """
        if name not in self._jobs:
            raise ApiError(
                404, f"expected the id of a job, got {name[:80]!r}; list the jobs", "no_job"
            )
        return self._jobs[name]

    def check_room(self) -> None:
        """Check that one more may wait.

        Raises:
            ApiError: The line is full, or the server stops.
        """
        if self._stopping:
            raise ApiError(503, "cannot begin a job: the server stops; send it to the next one")
        if len(self._waiting) >= self._limit:
            raise ApiError(
                429,
                f"expected at most {self._limit} waiting jobs, got one more; come back when one "
                "has ended",
                headers={"Retry-After": "10"},
            )

    def add(self, job: Job) -> None:
        """Put a job at the end of the line.

        Raises:
            ApiError: See `check_room`.
        """
        self.check_room()
        ended = [name for name, one in self._jobs.items() if one.finished]
        for name in ended[: max(0, len(ended) - _REMEMBERED + 1)]:
            del self._jobs[name]
        self._jobs[job.id] = job
        self._waiting.append(job)
        self._begin()

    def cancel(self, job: Job) -> None:
        """Give a job up; what has begun ends at its next step, and nothing is half written."""
        job.wanted = False
        if job in self._waiting:
            self._waiting.remove(job)
            self._end(job, "cancelled")

    def stop(self) -> None:
        """Let the one that runs finish, for a while; give those up that wait."""
        if self._stopping:
            return
        self._stopping = True
        for job in list(self._waiting):
            self.cancel(job)
        asyncio.get_running_loop().call_later(self._grace, self._give_up)

    def close(self) -> None:
        """Wait for the one that runs, but no longer than it is given; blocks."""
        self._stopping = True
        if not self._free.wait(self._grace):
            self._give_up()
        self._pool.shutdown()

    def _give_up(self) -> None:
        if self._running is not None:
            self._running.wanted = False

    # ----------------------------------------------------------------------- looking on

    async def events(self, job: Job) -> AsyncIterator[bytes]:
        """Give server-sent events: how far a job is, whenever that changes, until it has ended."""
        news = asyncio.Event()
        job.watchers.add(news)
        seen = -1
        try:
            while True:
                news.clear()
                if job.version != seen:
                    seen, finished = job.version, job.finished
                    name = "end" if finished else "progress"
                    data = dumps(job.document()).decode()
                    yield f"id: {seen}\nevent: {name}\ndata: {data}\n\n".encode()
                    if finished:
                        return
                    await asyncio.sleep(_PAUSE)
                try:
                    async with asyncio.timeout(_BEAT):
                        await news.wait()
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            job.watchers.discard(news)

    def _tell(self, job: Job) -> None:
        job.version += 1
        for news in job.watchers:
            news.set()

    # -------------------------------------------------------------------------- working

    def _begin(self) -> None:
        if self._running is not None or not self._waiting:
            return
        job = self._running = self._waiting.popleft()
        self._free.clear()
        job.status, job.began = "running", time.monotonic()
        self._tell(job)
        loop = asyncio.get_running_loop()
        loop.run_in_executor(self._pool, self._do, job, loop).add_done_callback(
            partial(self._ended, job)
        )

    def _do(self, job: Job, loop: asyncio.AbstractEventLoop) -> str:
        """Work through the folder, in the thread; give the status that the job ends with."""

        def tell() -> None:
            with suppress(RuntimeError):  # of a loop that has ended
                loop.call_soon_threadsafe(self._tell, job)

        def progress(now: Progress) -> None:
            job.total, job.image, job.step = now.total, _shown(now.image, job.root), now.step
            tell()

        def result(one: ImageResult) -> None:
            counted = {"done": "done", "skipped": "skipped", "failed": "failed"}[one.status]
            setattr(job, counted, getattr(job, counted) + 1)
            folder = job.results_folder
            error = None if one.error is None else one.error.replace(str(job.root), "...")
            job.results.append(
                {
                    "image": _shown(one.image, job.root),
                    "status": one.status,
                    "files": [_shown(file, folder) for file in one.files],
                    "error": error,
                }
            )
            tell()

        try:
            report = process(
                str(job.folder),
                job.results_folder,
                model=job.model,
                job=job.work,
                workers=1,
                overwrite=job.overwrite,
                progress=progress,
                on_result=result,
                cancel=lambda: not job.wanted,
            )
            job.notes = [note.replace(str(job.root), "...") for note in report.notes]
            return "cancelled" if report.cancelled else "done"
        except AnymaskError as error:
            job.error = " ".join(str(error).split())
            for path in (job.root, job.results_folder.parent):
                job.error = job.error.replace(str(path), "...")
            return "failed"
        except Exception:
            _LOG.exception("job %s failed", job.id)
            job.error = "cannot go on: an unexpected error; see the log of the server"
            return "failed"
        finally:
            self._free.set()

    def _ended(self, job: Job, work: asyncio.Future[str]) -> None:
        self._running = None
        self._end(job, "cancelled" if work.cancelled() else work.result())
        self._begin()

    def _end(self, job: Job, status: str) -> None:
        job.status, job.ended = status, time.monotonic()
        job.image, job.step = None, ""
        self._tell(job)


def _shown(path: Path, root: Path) -> str:
    """Name a path as clients know it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
