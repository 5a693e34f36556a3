"""Jobs over folders as routes: begin, look, listen, cancel, and fetch what was written."""

# Annotations are evaluated where they stand, for FastAPI's types are imported inside functions.
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from anymask.errors import InputError
from anymask.serve.answers import MEDIA
from anymask.serve.errors import ApiError, dumps
from anymask.serve.jobs import Job
from anymask.serve.paths import below, check_links, folder_of
from anymask.serve.routes import replies, schemas
from anymask.serve.routes.prompts import prompt_of, search_of
from anymask.serve.server import Server, failures

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["add_folders"]

_STREAM = {"text/event-stream": {"schema": {"type": "string"}}}


def add_folders(app: "FastAPI", server: Server) -> None:
    """Add the routes of jobs."""
    from fastapi import Query
    from starlette.requests import Request
    from starlette.responses import FileResponse, Response, StreamingResponse

    def said(document: Any, status: int = 200) -> Response:
        return Response(dumps(document), status, media_type="application/json")

    @app.post(
        "/v1/jobs",
        tags=["jobs"],
        summary="Begin a job",
        status_code=202,
        response_class=Response,
        responses={**failures(404, 429, 501, 507), 202: {"model": replies.JobAnswer}},
    )
    async def begin(asked: schemas.Folder, request: Request) -> Response:
        """Do the same to every image of a folder. The same request again goes on where it stopped.

        Jobs run one after the other. The folder is one that the server was started with
        (--images), or below one; results go below its --results.
        """
        job = await server.compute.run(request, lambda task: _job(server, asked))
        server.jobs.add(job)
        return said(job.document(), 202)

    @app.get(
        "/v1/jobs",
        tags=["jobs"],
        summary="List the jobs",
        responses={**failures(), 200: {"model": replies.JobList}},
    )
    async def jobs() -> Response:
        """List the jobs that wait, run, or ended lately, the newest first."""
        return said({"jobs": [job.document() for job in server.jobs.all()]})

    @app.get(
        "/v1/jobs/{job}",
        tags=["jobs"],
        summary="Look at a job",
        responses={**failures(404), 200: {"model": replies.JobAnswer}},
    )
    async def look(job: str) -> Response:
        """Say how far a job is."""
        return said(server.jobs.get(job).document())

    @app.delete(
        "/v1/jobs/{job}",
        tags=["jobs"],
        summary="Cancel a job",
        status_code=202,
        response_class=Response,
        responses={**failures(404), 202: {"model": replies.JobAnswer}},
    )
    async def cancel(job: str) -> Response:
        """Give a job up. It ends at its next step; finished images stay."""
        found = server.jobs.get(job)
        server.jobs.cancel(found)
        return said(found.document(), 202)

    @app.get(
        "/v1/jobs/{job}/results",
        tags=["jobs"],
        summary="List results",
        responses={**failures(404), 200: {"model": replies.JobResults}},
    )
    async def results(
        job: str,
        offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """List what became of each image so far, in order."""
        found = server.jobs.get(job).results
        return said({"results": found[offset : offset + limit], "total": len(found)})

    @app.get(
        "/v1/jobs/{job}/events",
        tags=["jobs"],
        summary="Listen to a job",
        response_class=StreamingResponse,
        responses={**failures(404), 200: {"description": "Events.", "content": _STREAM}},
    )
    async def events(job: str) -> StreamingResponse:
        """Give server-sent events until the job ends: progress, then end, each a job as JSON."""
        found = server.jobs.get(job)
        if len(found.watchers) >= max(1, server.config.max_requests // 4):
            raise ApiError(
                503,
                "cannot listen: too many do already; look at the job",
                "busy",
                {"Retry-After": "5"},
            )
        return StreamingResponse(server.jobs.events(found), media_type="text/event-stream")

    @app.get(
        "/v1/jobs/{job}/files/{path:path}",
        tags=["jobs"],
        summary="Fetch a file that a job wrote",
        response_class=FileResponse,
        responses={
            **failures(404),
            200: {"description": "The file.", "content": {kind: {} for kind in MEDIA.values()}},
        },
    )
    async def fetch(job: str, path: str) -> FileResponse:
        """Give a file by its name below the output of the job."""
        folder = server.jobs.get(job).results_folder
        file = below(folder, path)
        if not file.is_file():
            raise ApiError(
                404, f"expected a file of this job, got {path[:80]!r}; list its results", "no_file"
            )
        media = MEDIA.get(file.suffix.lower(), "application/octet-stream")
        return FileResponse(file, media_type=media, filename=file.name)


def _job(server: Server, asked: schemas.Folder) -> Job:
    """Make a job of a request, and check what can be checked beforehand."""
    server.jobs.check_room()
    results = server.results()
    folder, root = folder_of(server.roots, asked.images)
    check_links(folder if folder.is_dir() else folder.parent, root)
    job = Job(
        kind=asked.kind,
        images=asked.images,
        output="",
        folder=folder,
        root=root,
        results_folder=results,
        work=None,  # type: ignore[arg-type]  # in a moment
        model=server.model,
        overwrite=asked.overwrite,
    )
    job.output = job.id if asked.output is None else asked.output
    job.results_folder = below(results, job.output)
    if job.results_folder == results:
        raise InputError("expected a name for the output, got nothing; name a folder")
    if job.results_folder.is_dir():
        check_links(job.results_folder, results)
    job.work = _WORK[asked.kind](server, asked)
    if asked.kind == "detect":
        job.model = _grounder(job.work, server.model.device)
    job.work.settings(job.model)  # checks that the model can do it
    return job


def _grounder(work: Any, device: Any) -> Any:
    """Find who looks for the words of a job, or all of its own."""
    from anymask.text.ground import choose, find_grounder

    if work.text is None:
        return find_grounder("bundled", device)
    return choose(work.phrases(), None, device)


def _only(asked: schemas.Folder, *names: str) -> None:
    """Check that nothing is said that this kind of job does not know."""
    others = {"prompts", "text", "negative", "threshold", "options", "labels"} - set(names)
    given = sorted(name for name in others if getattr(asked, name) not in (None, {}))
    if given:
        raise InputError(
            f"expected what a job of {asked.kind} knows, got {', '.join(given)}; leave it out"
        )


def _segment(server: Server, asked: schemas.Folder) -> Any:
    from anymask.batch.job import Segment
    from anymask.batch.words import Words

    _only(asked, "prompts", "text", "negative", "threshold")
    drawn: Any = {"format": asked.format, "overlay": asked.overlay, "cutout": asked.cutout}
    if (asked.prompts is None) == (asked.text is None):
        raise InputError("expected prompts or text, got both or neither; say what to cut out")
    if asked.text is not None:
        words: Any = {"negative": asked.negative, "threshold": asked.threshold}
        return Words(text=asked.text, **words, **drawn)
    if not asked.prompts or any(one.mask or one.mask_logits for one in asked.prompts):
        raise InputError(
            "expected prompts of points and boxes for all images of a folder, got none or masks; "
            "ask for masks image by image"
        )
    return Segment(prompts=[prompt_of(one, (1 << 30, 1 << 30)) for one in asked.prompts], **drawn)


def _everything(server: Server, asked: schemas.Folder) -> Any:
    from anymask.batch.job import Everything
    from anymask.text.label import load_labeller

    _only(asked, "options", "labels")
    labeller = None
    if asked.labels is not None:
        words: Any = "bundled" if asked.labels == ["bundled"] else asked.labels
        labeller = load_labeller(words, device=server.model.device)
    options = search_of(server.model.variant.generate, asked.options)
    drawn: Any = {"format": asked.format, "overlay": asked.overlay}
    return Everything(options=options, labeller=labeller, **drawn)


def _subject(server: Server, asked: schemas.Folder) -> Any:
    from anymask.batch.subject import Subject

    _only(asked)
    return Subject(format=asked.format, overlay=asked.overlay, cutout=asked.cutout)


def _detect(server: Server, asked: schemas.Folder) -> Any:
    from anymask.batch.words import Detect

    _only(asked, "text", "negative", "threshold")
    words: Any = {"text": asked.text, "negative": asked.negative, "threshold": asked.threshold}
    return Detect(
        format="json" if asked.format == "sa1b" else asked.format, overlay=asked.overlay, **words
    )


_WORK: dict[str, Callable[[Server, schemas.Folder], Any]] = {
    "segment": _segment,
    "everything": _everything,
    "subject": _subject,
    "detect": _detect,
}
