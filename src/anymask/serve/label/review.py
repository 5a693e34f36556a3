"""What reviewers look at: the history of a mask, and how the work goes."""

# Annotations are evaluated where they stand, for FastAPI's types are imported inside functions.
from functools import partial
from typing import TYPE_CHECKING, Any

from anymask.label.review.audit import begin_audit, list_audits, read_audit
from anymask.label.review.people import compare_people
from anymask.serve.answers import json_content, respond
from anymask.serve.exports import answer_zip
from anymask.serve.label import wire
from anymask.serve.label.images import LabelStudio
from anymask.serve.server import failures

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["add_review"]

_ROOT = "/v1/label"
_AUDITS = 20  # of which is told; older ones are read by `anymask label audit`


def add_review(app: "FastAPI", studio: LabelStudio) -> None:
    """Add the routes."""
    from starlette.requests import Request
    from starlette.responses import Response

    store, compute = studio.store, studio.server.compute

    @app.get(
        f"{_ROOT}/masks/{{mask}}/history",
        tags=["label"],
        summary="See what happened to a mask",
        responses=failures(404),
    )
    async def history(mask: int) -> Response:
        """Give all revisions of a mask, the first one first."""

        def read() -> Any:
            return json_content({"history": wire.history_document(store.history(mask))})

        return respond(await compute.answer(read))

    @app.get(
        f"{_ROOT}/agreement", tags=["label"], summary="Compare people", responses=failures(501)
    )
    async def agreement() -> Response:
        """Compare people on images on which several have made masks."""

        def compare() -> Any:
            return json_content({"people": [one.document() for one in compare_people(store)]})

        return respond(await compute.long(compare))

    @app.post(
        f"{_ROOT}/export",
        tags=["label"],
        summary="Export masks",
        response_class=Response,
        responses=failures(404, 507),
    )
    async def export(asked: wire.ExportMasks, request: Request) -> Response:
        """Give a zip with a folder for each format; rejected masks are left out."""
        write = partial(studio.export, asked.pictures, asked.formats)
        return await answer_zip(studio.server, request, write)

    @app.get(f"{_ROOT}/audit", tags=["label"], summary="Read the audits", responses=failures())
    async def audits() -> Response:
        """Tell what each audit has found so far, the latest first."""

        def read() -> Any:
            found = [read_audit(store, name) for name in reversed(list_audits(store)[-_AUDITS:])]
            return json_content({"audits": [wire.audit_document(one) for one in found]})

        return respond(await compute.long(read))

    @app.post(f"{_ROOT}/audit", tags=["label"], summary="Begin an audit", responses=failures(507))
    async def audit(asked: wire.BeginAudit) -> Response:
        """Draw masks at random that people should look at."""

        def begin() -> Any:
            begin_audit(
                store,
                asked.name,
                asked.sample,
                stage=asked.stage,
                model_version=asked.model_version,
            )
            return json_content({"audit": wire.audit_document(read_audit(store, asked.name))})

        return respond(await compute.long(begin))
