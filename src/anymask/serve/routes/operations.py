"""Routes for whoever runs the server: its health, numbers, and what it can do."""

# Annotations are evaluated where they stand, for FastAPI's types are imported inside functions.
from typing import TYPE_CHECKING, Any

from anymask import __version__
from anymask.serve.answers import FORMATS
from anymask.serve.errors import ApiError, dumps
from anymask.serve.routes import replies
from anymask.serve.server import Server, failures

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["add_operations"]


def add_operations(app: "FastAPI", server: Server) -> None:
    """Add the routes."""
    from starlette.responses import Response

    def said(document: Any) -> Response:
        return Response(dumps(document), media_type="application/json")

    status: Any = {**failures(), 200: {"model": replies.StatusAnswer}}

    alive: Any = {**failures(described=500), 200: {"model": replies.StatusAnswer}}

    @app.get("/healthz", tags=["operations"], summary="Is it alive?", responses=alive)
    async def health() -> Response:
        """Answer as long as the process does, without a token."""
        return said({"status": "ok"})

    @app.get("/readyz", tags=["operations"], summary="Does it take requests?", responses=status)
    async def ready() -> Response:
        """Answer 200 when the model is there, 503 before that and while the server stops."""
        if not server.ready:
            raise ApiError(503, "cannot take requests: the server begins or stops; ask another")
        return said({"status": "ready"})

    @app.get(
        "/metrics",
        tags=["operations"],
        summary="Numbers for Prometheus",
        response_class=Response,
        responses={
            **failures(),
            200: {
                "description": "Counters, gauges and histograms.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
        },
    )
    async def metrics() -> Response:
        """Give what is counted, in Prometheus's form."""
        data, kind = server.metrics.text()
        return Response(data, media_type=kind)

    @app.get(
        "/v1/model",
        tags=["operations"],
        summary="What it can do",
        responses={**failures(), 200: {"model": replies.ModelAnswer}},
    )
    async def model() -> Response:
        """Describe the model and what is beside it."""
        from anymask.models.vocabulary import LABELS

        one = server.model
        weights = one.variant.weights
        return said(
            {
                "name": one.variant.name,
                "summary": one.variant.summary,
                "licence": None if weights is None else weights.licence,
                "capabilities": sorted(one.variant.capabilities),
                "device": str(one.device),
                "dtype": str(one.dtype).removeprefix("torch."),
                "weights": one.weights_digest,
                "version": __version__,
                "words": [word.lower() for word in LABELS],
                "formats": list(FORMATS),
                "images": sorted(server.roots),
                "jobs": server.config.results is not None,
            }
        )
