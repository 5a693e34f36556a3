"""The application: routes, errors, and the door around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from anymask import __version__
from anymask.errors import AnymaskError
from anymask.optional import optional
from anymask.serve.access import Access
from anymask.serve.config import ServeConfig
from anymask.serve.errors import ApiError, as_api_error, of_validation
from anymask.serve.notes import collect_warnings
from anymask.serve.server import Server

if TYPE_CHECKING:
    from fastapi import FastAPI

    from anymask.predict.segmenter import Segmenter

__all__ = ["create_app"]

_ABOUT = """Cut anything out of any image.

Embed an image once; its session is what all other routes work on. Coordinates are pixels of the
image, x before y: points name pixels, boxes run round them. Errors are one sentence. A session that
is unused for long may have to go; embed the image again then, which gives the same id."""


def create_app(config: ServeConfig | None = None, model: Segmenter | None = None) -> FastAPI:
    """Make the application, for any ASGI server; ``anymask serve`` runs it by uvicorn.

    It keeps sessions and jobs in this one process, so run it with one worker.

    Args:
        config: What is allowed; None: the usual.
        model: What `load` returned; None: the bundled model, loaded when the application starts.

    Returns:
        The application; ``app.state.server`` is its `Server`.

    Raises:
        MissingExtraError: FastAPI is not installed.

    Examples:
        >>> app = create_app(ServeConfig(max_pixels=12_000_000))
        >>> app.title
        'anymask'
    """
    fastapi = optional("fastapi", extra="serve")
    from anymask.serve.routes.changes import add_changes
    from anymask.serve.routes.embeddings import add_embeddings
    from anymask.serve.routes.folders import add_folders
    from anymask.serve.routes.operations import add_operations
    from anymask.serve.routes.verbs import add_verbs

    server = Server(config or ServeConfig())
    if model is not None:
        server.model = model

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if not server.ready:
            from anymask.predict.loading import load

            server.model = await asyncio.to_thread(load)
        with collect_warnings():
            yield
        server.stop()
        await asyncio.to_thread(server.jobs.close)
        await asyncio.to_thread(server.compute.close)

    app: FastAPI = fastapi.FastAPI(
        title="anymask",
        version=__version__,
        description=_ABOUT,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # pages that load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    app.state.server = server
    add_embeddings(app, server)
    add_verbs(app, server)
    add_changes(app, server)
    add_folders(app, server)
    add_operations(app, server)
    _add_errors(app)
    app.add_middleware(Access, config=server.config, answered=server.metrics.answered)
    if server.config.token is not None:
        _describe_token(app)
    return app


def _add_errors(app: FastAPI) -> None:
    """Let every error be JSON, and none show a trace."""
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response

    def answer(error: ApiError) -> Response:
        headers = dict(error.headers)
        return Response(error.body, error.status, headers, media_type="application/json")

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, AnymaskError)
        return answer(as_api_error(error))

    async def unwritable(request: Request, error: Exception) -> Response:
        return answer(
            ApiError(422, "expected text that files can hold, got half of a character; correct it")
        )

    async def said(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        return answer(error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(of_validation(error.errors()))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        texts = {
            404: "expected a route of this server, got another; see /v1/openapi.json",
            405: "expected a method of this route, got another; see /v1/openapi.json",
        }
        detail = f"expected a request that can be read, got {error.detail}; correct it"
        text = texts.get(error.status_code, detail)
        return answer(ApiError(error.status_code, text, headers=dict(error.headers or {})))

    for kind, handler in (
        (AnymaskError, ours),
        (ApiError, said),
        (UnicodeEncodeError, unwritable),
        (RequestValidationError, invalid),
        (HTTPException, http),
    ):
        app.add_exception_handler(kind, handler)


def _describe_token(app: FastAPI) -> None:
    """Say in OpenAPI that requests need the token."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        document = plain()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["token"] = {"type": "http", "scheme": "bearer"}
        document["security"] = [{"token": []}]
        return document

    app.openapi = described  # type: ignore[method-assign]
