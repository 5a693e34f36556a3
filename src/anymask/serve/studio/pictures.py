"""The routes of the studio's images: to see them, to embed them, to read files of their masks."""

# Annotations are evaluated where they stand, for FastAPI's types are imported inside functions.
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from anymask import formats
from anymask.errors import AnymaskError, InputError
from anymask.masks.masks import Masks
from anymask.serve.answers import json_content, respond
from anymask.serve.compute import Task
from anymask.serve.errors import ApiError
from anymask.serve.routes.embeddings import embedded
from anymask.serve.server import Server, failures
from anymask.serve.studio import wire
from anymask.serve.studio.gallery import Picture
from anymask.serve.studio.project import Stored, named
from anymask.serve.wire import too_deep

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["Album", "add_pictures"]

Result = TypeVar("Result")

_KEEP = "private, max-age=86400"  # ids change when files do
_ROOT = "/v1/studio"


class Images(Protocol):
    """Gives what browsers are shown of images; blocks."""

    def thumbnail(self, picture: Picture) -> bytes:
        """Give a small JPEG."""
        ...

    def shown(self, picture: Picture) -> tuple[bytes, str]:
        """Give an image as browsers show it, and its media type."""
        ...

    def data(self, picture: Picture) -> bytes:
        """Read the file."""
        ...


class Album(Protocol):
    """Images that have ids: those of a folder, or of a label project."""

    server: Server

    @property
    def gallery(self) -> Images:
        """Where they are."""
        ...

    async def find(self, name: str) -> Picture:
        """Find an image by its id.

        Raises:
            ApiError: There is none, or it cannot be read.
        """
        ...

    async def read(self, picture: Picture, work: Callable[[], Result]) -> Result:
        """Read the file of an image in a thread.

        Raises:
            ApiError: It is gone.
        """
        ...


def add_pictures(app: "FastAPI", album: Album) -> None:
    """Add the routes of images, which know them by their ids alone, and of the decoder."""
    _add_files(app, album)
    _add_masks(app, album)
    _add_model(app, album.server)


def _add_files(app: "FastAPI", album: Album) -> None:
    from starlette.requests import Request
    from starlette.responses import Response

    server = album.server

    @app.get(
        f"{_ROOT}/pictures/{{picture}}/thumbnail",
        tags=["studio"],
        summary="See an image small",
        response_class=Response,
        responses=failures(404),
    )
    async def thumbnail(picture: str) -> Response:
        """Give a small JPEG."""
        found = await album.find(picture)
        data = await album.read(found, lambda: album.gallery.thumbnail(found))
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": _KEEP})

    @app.get(
        f"{_ROOT}/pictures/{{picture}}/image",
        tags=["studio"],
        summary="See an image",
        response_class=Response,
        responses=failures(404),
    )
    async def image(picture: str) -> Response:
        """Give an image in a format that browsers show."""
        found = await album.find(picture)
        data, media = await album.read(found, lambda: album.gallery.shown(found))
        return Response(data, media_type=media, headers={"Cache-Control": _KEEP})

    @app.post(
        f"{_ROOT}/pictures/{{picture}}/embed",
        tags=["studio"],
        summary="Embed an image of the folder",
        responses=failures(404),
    )
    async def embed(picture: str, request: Request) -> Response:
        """Encode an image of the folder; the answer's session is what the other routes work on."""
        found = await album.find(picture)
        data = await album.read(found, lambda: album.gallery.data(found))
        session, cached = await embedded(server, request, data)
        return respond(json_content({"session": session.id, "cached": cached}))


def _add_masks(app: "FastAPI", album: Album) -> None:
    from starlette.requests import Request
    from starlette.responses import Response

    server = album.server

    @app.post(
        f"{_ROOT}/pictures/{{picture}}/import",
        tags=["studio"],
        summary="Read a file of masks",
        responses=failures(404),
    )
    async def read(picture: str, request: Request) -> Response:
        """Give the masks of a file of any format, as things; nothing is saved."""
        found = await album.find(picture)
        data = await request.body()

        def work(task: Task) -> Any:
            return json_content(wire.things_document(Stored(_imported(data, found), 0)))

        return respond(await server.compute.run(request, work))


def _add_model(app: "FastAPI", server: Server) -> None:
    from starlette.requests import Request
    from starlette.responses import Response

    @app.get(
        f"{_ROOT}/model/{{file}}",
        tags=["studio"],
        summary="Fetch the decoder",
        response_class=Response,
        responses=failures(404, 501),
    )
    async def model(file: str, request: Request) -> Response:
        """Give a file of the decoder, for the page to run; `model.json` names the others."""
        files = await server.compute.run(request, lambda task: server.page_model())
        if file not in files:
            raise ApiError(404, f"expected one of {', '.join(files)}, got {file!r}; correct it")
        media = "application/json" if file.endswith(".json") else "application/gzip"
        return Response(files[file], media_type=media, headers={"Cache-Control": "no-cache"})


def _imported(data: bytes, picture: Picture) -> Masks:
    """Read a file of masks for an image.

    Raises:
        InputError: It is of no known format, of another image, or of another size.
    """
    options: dict[str, Any] = {}
    content = formats.files.load(data)
    name = formats.recognise(content)
    if name == "yolo":  # whose numbers are shares of the image
        options["size_hw"] = picture.size_hw
    if name == "coco":
        options["file_name"] = picture.name
    try:
        masks = formats.read(data, name, **options)
    except RecursionError as error:
        raise too_deep() from error
    except AnymaskError:
        if name != "coco":
            raise
        masks = formats.read(data, name)  # of one image, whatever that is called there
    if masks.size_hw != picture.size_hw:
        (h, w), (found_h, found_w) = picture.size_hw, masks.size_hw
        raise InputError(
            f"expected masks of {w} x {h} like the image, got {found_w} x {found_h}; choose the "
            "file of this image"
        )
    return named(masks)
