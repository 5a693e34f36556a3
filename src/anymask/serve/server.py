"""What the routes share: one server, with its state in the open."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anymask.errors import AnymaskError, InputError
from anymask.serve.batching import Batcher
from anymask.serve.compute import Compute
from anymask.serve.config import ServeConfig
from anymask.serve.errors import ApiError
from anymask.serve.jobs import Jobs
from anymask.serve.metrics import Metrics
from anymask.serve.routes.replies import ErrorAnswer
from anymask.serve.sessions import Sessions

if TYPE_CHECKING:
    from anymask.extras.depth.sources import DepthFrom
    from anymask.extras.inpaint.engine import Engine
    from anymask.predict.segmenter import Segmenter

__all__ = ["Server", "failures", "names_of"]


@dataclass(eq=False)
class Server:
    """A server: what it allows, who answers, and what it keeps.

    Attributes:
        config: What is allowed.
        roots: Folders of images by their names.
        sessions: Embedded images.
        compute: Threads.
        jobs: Work on folders.
        metrics: What is counted.
        stopping: Whether it has been told to stop.
    """

    config: ServeConfig

    def __post_init__(self) -> None:
        """Make what it keeps."""
        config = self.config
        self.roots: dict[str, Path] = {p.resolve().name: p.resolve() for p in config.images}
        self.sessions = Sessions(config.session_bytes)
        self.compute = Compute(config.workers, config.timeout)
        self.jobs = Jobs(config.max_jobs, config.grace)
        self.metrics = Metrics(
            {
                "sessions": ("Embedded images that are kept.", lambda: len(self.sessions)),
                "session_bytes": ("Memory that they take.", lambda: self.sessions.nbytes),
                "sessions_evicted": ("Sessions that had to go.", lambda: self.sessions.evicted),
                "jobs_queued": ("Jobs that wait.", lambda: self.jobs.count("queued")),
                "jobs_running": ("Jobs at work.", lambda: self.jobs.count("running")),
            }
        )
        self.stopping = False
        self._model: Segmenter | None = None
        self._batcher: Batcher | None = None
        self._loading = threading.Lock()
        self._engines: dict[str, Engine] = {}
        self._depth: DepthFrom | None = None
        self._page_model: dict[str, bytes] | AnymaskError | None = None

    @property
    def ready(self) -> bool:
        """Whether the model is there and the server goes on."""
        return self._model is not None and not self.stopping

    @property
    def model(self) -> Segmenter:
        """Who answers.

        Raises:
            ApiError: It is not loaded yet.
        """
        if self._model is None:
            raise ApiError(
                503,
                "cannot answer yet: the model is being loaded; come back in a second",
                headers={"Retry-After": "1"},
            )
        return self._model

    @model.setter
    def model(self, model: Segmenter) -> None:
        self._model = model
        self._batcher = Batcher(model, self.compute, self.metrics.batched)

    @property
    def batcher(self) -> Batcher:
        """Who answers prompts that wait together."""
        assert self.model is not None and self._batcher is not None
        return self._batcher

    def stop(self) -> None:
        """Hear that the server ends soon: no new jobs, and what runs may finish."""
        self.stopping = True
        self.jobs.stop()

    # ------------------------------------------------- what is loaded when first needed

    def engine(self, name: str | None) -> Engine:
        """Find what paints; blocks. Nothing is downloaded."""
        from anymask.extras.inpaint import find_engine

        name = name or self.config.inpaint_engine
        with self._loading:
            if name not in self._engines:
                self._engines[name] = find_engine(name, device=self.model.device, offline=True)
            return self._engines[name]

    def page_model(self) -> dict[str, bytes]:
        """Make the files from which the studio's page decodes, once; blocks.

        Raises:
            CapabilityError: The page cannot run this model.
            MissingExtraError: It has to be exported, and the package for that is missing.
        """
        from anymask.export.browser import browser_model

        with self._loading:
            if self._page_model is None:
                try:
                    self._page_model = browser_model(self.model, ["decoder"])
                except AnymaskError as error:
                    self._page_model = error
            if isinstance(self._page_model, AnymaskError):
                raise self._page_model
            return self._page_model

    def depth(self) -> DepthFrom:
        """Find what estimates depth; blocks. Nothing is downloaded."""
        from anymask.extras.depth.sources import find_depth

        with self._loading:
            if self._depth is None:
                self._depth = find_depth(
                    self.config.depth_model, device=self.model.device, offline=True
                )
            return self._depth

    def results(self) -> Path:
        """Give the folder that jobs write below.

        Raises:
            ApiError: There is none.
        """
        if self.config.results is None:
            raise ApiError(
                501,
                "expected a server with jobs, got one without a folder for their results; start it "
                "with --images and --results",
                "no_jobs",
            )
        return self.config.results.resolve()


def failures(*statuses: int, described: int | None = None) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route for OpenAPI: those that every route has, and further ones.

    Args:
        *statuses: Further ones.
        described: One whose class is given, which one route of the application has to do.
    """
    said = {
        400: "The request is not HTTP as it should be, or the token stands in the address.",
        401: "The token is missing or wrong.",
        403: "A web page of another origin asks.",
        404: "There is no such session, job or file.",
        408: "The request came too slowly.",
        413: "Too many bytes or pixels.",
        415: "The body is of another kind.",
        421: "The server is called by a name that is not its own.",
        422: "A value is not what it should be, or the model does not know this kind of prompt.",
        429: "Too many jobs wait.",
        500: "An unexpected error.",
        501: "An optional package is not installed; the message holds the install line.",
        503: "Too much at a time, weights are not here, or the server stops.",
        504: "The work took too long.",
        507: "A result cannot be written.",
    }
    usual = (400, 401, 403, 408, 413, 421, 422, 500, 503, 504)
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}}
    # The class itself but once: to read it for every status of every route takes a second.
    return {
        status: {"description": said[status]}
        | ({"model": ErrorAnswer} if status == described else {"content": content})
        for status in sorted({*usual, *statuses})
    }


def names_of(session: str | list[str]) -> list[str]:
    """List the sessions that a request names.

    Raises:
        InputError: There are none, or too many.
    """
    names = [session] if isinstance(session, str) else session
    if not 1 <= len(names) <= 64:
        raise InputError(f"expected 1 to 64 sessions, got {len(names)}; ask several times")
    return names
