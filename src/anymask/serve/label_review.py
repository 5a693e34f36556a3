"""What reviewers look at: the history of a mask, and how the work goes."""

# Annotations are evaluated where they stand, for FastAPI's types are imported inside functions.
from typing import TYPE_CHECKING, Any

from anymask.serve import label_wire as wire
from anymask.serve.answers import json_content, respond
from anymask.serve.label_images import LabelStudio
from anymask.serve.server import failures

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["add_review"]

_ROOT = "/v1/label"


def add_review(app: "FastAPI", studio: LabelStudio) -> None:
    """Add the routes."""
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
