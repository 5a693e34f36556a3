"""Embedded images as routes: make one, look at it, fetch its embedding, let it go."""

# Annotations are evaluated where they stand, for FastAPI's types are imported inside functions.
import asyncio
import io
from typing import TYPE_CHECKING, Any, Literal

from anymask.errors import InputError
from anymask.serve.answers import BINARY, Content, described, json_content, respond
from anymask.serve.errors import ApiError
from anymask.serve.routes import replies
from anymask.serve.server import Server, failures
from anymask.serve.sessions import Session, image_bytes, name_of

if TYPE_CHECKING:
    from fastapi import FastAPI

    from anymask.image.image import Image

__all__ = ["add_embeddings", "embedded"]


def add_embeddings(app: "FastAPI", server: Server) -> None:
    """Add the routes that make, show and drop sessions."""
    from starlette.requests import Request
    from starlette.responses import Response

    body = {
        "required": True,
        "content": {
            "application/octet-stream": BINARY,
            "image/*": BINARY,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {"image": {"type": "string", "format": "binary"}},
                }
            },
        },
    }

    @app.post(
        "/v1/embed",
        tags=["sessions"],
        summary="Embed an image",
        openapi_extra={"requestBody": body},
        responses={**failures(), 200: {"model": replies.EmbedAnswer}},
    )
    async def embed(request: Request) -> Response:
        """Encode an image, the slow part, once: the body is the image file, whatever it is called.

        The answer's session is what all other routes work on. The same pixels have the same id.
        """
        data = await _upload(request)
        session, cached = await embedded(server, request, data)
        return respond(json_content(_about(session, cached=cached)))

    @app.get(
        "/v1/sessions/{session}",
        tags=["sessions"],
        summary="Look at a session",
        responses={**failures(404), 200: {"model": replies.EmbedAnswer}},
    )
    async def look(session: str) -> Response:
        """Say what a session holds, which also keeps it from being the next to go."""
        return respond(json_content(_about(server.sessions.get(session), cached=True)))

    @app.delete(
        "/v1/sessions/{session}",
        tags=["sessions"],
        summary="Let a session go",
        status_code=204,
        response_class=Response,
        responses=failures(404),
    )
    async def drop(session: str) -> Response:
        """Free the memory of a session."""
        server.sessions.get(session)
        server.sessions.drop(session)
        return Response(status_code=204)

    @app.get(
        "/v1/sessions/{session}/embedding",
        tags=["sessions"],
        summary="Download an embedding",
        response_class=Response,
        responses={**failures(404), **described("application/octet-stream")},
    )
    async def embedding(
        session: str, dtype: Literal["float16", "int8", "float32"] = "float16"
    ) -> Response:
        """Give the embedding as safetensors, for a decoder that runs elsewhere, as in a browser.

        float16 halves its size at hardly any loss; int8 quarters it, one scale for each channel.
        """
        kept = server.sessions.get(session)

        def write() -> bytes:
            file = io.BytesIO()
            kept.embedding.save(file, dtype=dtype)
            return file.getvalue()

        headers = {
            "ETag": f'"{session}-{dtype}"',
            "Cache-Control": "private, max-age=86400, immutable",
        }
        data = await server.compute.answer(write)
        name = f"embedding-{dtype}.safetensors"
        return respond(Content(data, "application/octet-stream", name, headers))


async def _upload(request: Any) -> bytes:
    """Take the image out of the body."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        if kind in ("application/json", "application/x-www-form-urlencoded"):
            raise ApiError(
                415,
                f"expected an image file as the body, got {kind}; send its bytes as "
                "application/octet-stream",
            )
        data: bytes = await request.body()
    else:
        async with request.form(max_files=1, max_fields=1) as form:
            file = form.get("image")
            if file is None or isinstance(file, str):
                raise ApiError(422, "expected a file called 'image' in the form, got none; add it")
            data = await file.read()
    if not data:
        raise ApiError(422, "expected an image file as the body, got nothing; send its bytes")
    return data


async def embedded(server: Server, request: Any, data: bytes) -> tuple[Session, bool]:
    """Find the session of an image, or make it; those who ask at once wait for one another.

    Args:
        server: Who embeds.
        request: Whose body has been read.
        data: Content of the image's file.

    Returns:
        The session, and whether it was there already.
    """
    image, name = await server.compute.run(request, lambda task: _decoded(server, data))
    if name in server.sessions:
        return server.sessions.get(name), True
    making = server.sessions.making.get(name)
    if making is None:
        making = asyncio.create_task(_make(server, name, image))
        server.sessions.making[name] = making
        making.add_done_callback(lambda done: server.sessions.making.pop(name))
    session = await server.compute.wait(request, asyncio.shield(making))
    return session, False


def _decoded(server: Server, data: bytes) -> "tuple[Image, str]":
    from anymask.image.image import Image

    image = Image.open(data, max_pixels=server.config.max_pixels)
    if image_bytes(image) > server.sessions.limit:
        raise InputError(
            f"expected an image that fits into {server.sessions.limit / 1e6:g} MB, got one of "
            f"{image_bytes(image) / 1e6:.1f} MB; shrink it, or raise session_mb of anymask serve"
        )
    return image, name_of(server.model, image)


async def _make(server: Server, name: str, image: "Image") -> Session:
    embedding = await server.compute.slow(lambda: server.model.embed(image))
    session = Session(name, image, embedding, server.model.variant.name)
    server.sessions.add(session)
    return session


def _about(session: Session, *, cached: bool) -> dict[str, Any]:
    features = session.embedding.features
    return {
        "session": session.id,
        "size_hw": list(session.image.size_hw),
        "model": session.model,
        "cached": cached,
        "nbytes": session.nbytes,
        "signature": session.embedding.signature,
        "features": {name: list(maps.shape) for name, maps in features.items()},
    }
