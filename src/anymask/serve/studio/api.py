"""The studio's half of the server: a folder of images, and what a person makes of them.

The page asks for images by ids, never by paths (`gallery`); what it saves are files in the folder
(`project`). Everything that needs the model goes over the routes that any client has.
"""

# Annotations are evaluated where they stand, for FastAPI's types are imported inside functions.
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from anymask.errors import InputError
from anymask.formats.conversion import Found
from anymask.formats.images import free_name
from anymask.image.image import Image
from anymask.masks.masks import Masks
from anymask.serve.answers import json_content, respond
from anymask.serve.compute import Task
from anymask.serve.errors import ApiError, dumps
from anymask.serve.exports import answer_zip, write_zip
from anymask.serve.server import Server, failures
from anymask.serve.studio import wire
from anymask.serve.studio.gallery import Gallery, Picture
from anymask.serve.studio.page_files import EXAMPLE, Page
from anymask.serve.studio.panels import add_panels
from anymask.serve.studio.pictures import add_pictures
from anymask.serve.studio.project import THING, Class, Project, RevisionConflict

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["Studio", "add_studio"]

Result = TypeVar("Result")

_ROOT = "/v1/studio"
_CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"description": "Somebody else has saved meanwhile.", "model": wire.ConflictAnswer}
}


class Studio:
    """A folder of images with its project.

    Args:
        folder: The folder; it need not exist yet.
        server: Who answers.
    """

    def __init__(self, folder: Path, server: Server) -> None:
        self.gallery = Gallery(folder, server.config.max_pixels)
        self.project = Project(self.gallery.folder)
        self.server = server

    async def find(self, name: str) -> Picture:
        """Find an image by its id; looks into the folder again before it says that it is not there.

        A page that was open when the server was started again goes on with the ids that it has.

        Raises:
            ApiError: There is none, or it cannot be read.
        """
        if self.gallery.get(name) is None:
            await self.server.compute.answer(self.gallery.look)
        return self.picture(name)

    def picture(self, name: str) -> Picture:
        """Find an image that has been seen, by its id.

        Raises:
            ApiError: There is none, or it cannot be read.
        """
        found = self.gallery.get(name)
        if found is None:
            raise _gone(name)
        if found.error is not None:
            raise ApiError(422, found.error)
        return found

    def opened(self, picture: Picture) -> Image:
        """Decode an image of the folder; blocks.

        Raises:
            ApiError: It has been deleted since it was seen.
            InputError: It is damaged.
        """
        try:
            data = picture.path.read_bytes()
        except OSError as error:
            raise _gone(picture.id) from error
        return Image.open(data, max_pixels=self.server.config.max_pixels)

    async def read(self, picture: Picture, work: Callable[[], Result]) -> Result:
        """Read the file of an image in a thread.

        Raises:
            ApiError: It has been deleted since it was seen.
        """
        try:
            return await self.server.compute.answer(work)
        except (OSError, InputError) as error:
            if isinstance(error, InputError) and picture.path.exists():
                raise
            raise _gone(picture.id) from error

    def document(self) -> dict[str, Any]:
        """Describe the folder as it is now."""
        classes = wire.classes_document(self.project.classes())
        pictures = self.gallery.look()
        return {
            "name": self.gallery.folder.name,
            "key": hashlib.sha256(str(self.gallery.folder.resolve()).encode()).hexdigest()[:16],
            "pictures": [
                wire.picture_document(one, *self.project.counted(one.name)) for one in pictures
            ],
            "classes": classes["classes"],
            "classes_revision": classes["revision"],
            "model": self.server.model.variant.name,
            "words": _words(),
            "example": True,
        }

    def export(self, asked: wire.Export, target: Path, task: Task) -> None:
        """Write the masks of images in some formats into a zip.

        Raises:
            InputError: There are no masks, or a format cannot hold them.
            OutputError: The disk is full.
        """
        pictures = (
            self.gallery.look()
            if asked.pictures is None
            else [self.picture(name) for name in dict.fromkeys(asked.pictures)]
        )
        names = [one.name for one in self.project.classes().part]
        write_zip(lambda: self._found(pictures, task), asked.formats, names, target)

    def _found(self, pictures: Iterable[Picture], task: Task) -> Iterator[Found]:
        """Go through the masks of images that have any."""
        empty, taken = True, set[str]()  # of a.jpg and a.png, files of their own
        for picture in pictures:
            task.check()
            if picture.error is not None or not self.project.counted(picture.name)[0]:
                continue
            masks = self.project.masks(picture.name, picture.size_hw).part
            empty = False
            yield Found(free_name(picture.name, taken), plain(masks), picture.path)
        if empty:
            raise InputError("expected masks to export, got none; make some, or choose others")


def _gone(name: str) -> ApiError:
    return ApiError(
        404,
        f"expected the id of an image of the folder, got {name[:80]!r}, which is not here (any "
        "more); load the page again",
        "no_picture",
    )


def plain(masks: Masks) -> Masks:
    """Take away what is known for the page alone."""
    metas = ({k: v for k, v in meta.items() if k != THING} for meta in masks.meta)
    return replace(masks, meta=tuple(metas))


def _words() -> list[str]:
    from anymask.models.vocabulary import LABELS

    return [word.lower() for word in LABELS]


# ------------------------------------------------------------------------------- routes


def add_studio(app: "FastAPI", folder: Path) -> Studio:
    """Add the page and its routes to an application that `create_app` made.

    Args:
        app: The application.
        folder: The images.
    """
    studio = Studio(folder, app.state.server)
    _add_folder(app, studio)
    add_pictures(app, studio)
    _add_project(app, studio)
    _add_files(app, studio)
    add_panels(app, studio)
    app.add_middleware(Page)
    return studio


def _add_folder(app: "FastAPI", studio: Studio) -> None:
    from starlette.requests import Request
    from starlette.responses import Response

    server = studio.server

    @app.get(_ROOT, tags=["studio"], summary="Look into the folder", responses=failures())
    async def look(request: Request) -> Response:
        """List the images with how many masks they have, and the classes."""
        found = await server.compute.run(request, lambda task: json_content(studio.document()))
        return respond(found)


def _add_project(app: "FastAPI", studio: Studio) -> None:
    from starlette.responses import Response

    compute = studio.server.compute

    @app.get(
        f"{_ROOT}/pictures/{{picture}}/things",
        tags=["studio"],
        summary="Read the masks of an image",
        responses=failures(404),
    )
    async def things(picture: str) -> Response:
        """Give what is stored, and its revision."""
        found = await studio.find(picture)

        def read() -> Any:
            return json_content(
                wire.things_document(studio.project.masks(found.name, found.size_hw))
            )

        return respond(await compute.answer(read))

    @app.put(
        f"{_ROOT}/pictures/{{picture}}/things",
        tags=["studio"],
        summary="Save the masks of an image",
        responses={**failures(404, 507), **_CONFLICT},
    )
    async def save_things(picture: str, asked: wire.SaveThings) -> Response:
        """Replace what is stored; 409 with what is there if that is of another revision."""
        found = await studio.find(picture)

        def save() -> int:
            masks = wire.masks_of_things(asked.things, found, studio.server.model.variant.name)
            return studio.project.save_masks(found.name, masks, asked.revision)

        try:
            return respond(json_content({"revision": await compute.answer(save)}))
        except RevisionConflict as conflict:
            return _conflict(wire.things_document(conflict.current))

    @app.put(
        f"{_ROOT}/classes",
        tags=["studio"],
        summary="Save the classes",
        responses={**failures(507), **_CONFLICT},
    )
    async def save_classes(asked: wire.SaveClasses) -> Response:
        """Replace the classes; 409 with what is there if that is of another revision."""

        def save() -> int:
            classes = [Class(one.name, one.color) for one in asked.classes]
            return studio.project.save_classes(classes, asked.revision)

        try:
            return respond(json_content({"revision": await compute.answer(save)}))
        except RevisionConflict as conflict:
            return _conflict(wire.classes_document(conflict.current))

    def _conflict(current: dict[str, Any]) -> Response:
        message = (
            "expected the revision that is stored, got an earlier one; look at what has changed"
        )
        document = {"error": {"code": "conflict", "message": message}, "current": current}
        return Response(dumps(document), 409, media_type="application/json")


def _add_files(app: "FastAPI", studio: Studio) -> None:
    from starlette.requests import Request
    from starlette.responses import Response

    server = studio.server

    def described(picture: Picture) -> Any:
        return json_content(wire.picture_document(picture, *studio.project.counted(picture.name)))

    @app.post(
        f"{_ROOT}/pictures", tags=["studio"], summary="Add an image", responses=failures(415, 507)
    )
    async def add(request: Request, name: str = "image") -> Response:
        """Put an image into the folder: the body is the file."""
        data = await request.body()

        def work(task: Task) -> Any:
            return described(studio.gallery.add(data, name[:300]))

        return respond(await server.compute.run(request, work))

    @app.post(
        f"{_ROOT}/example", tags=["studio"], summary="Add the example", responses=failures(507)
    )
    async def example(request: Request) -> Response:
        """Put the example image into the folder."""

        def work(task: Task) -> Any:
            return described(studio.gallery.add(EXAMPLE.read_bytes(), "example.jpg"))

        return respond(await server.compute.run(request, work))

    @app.post(
        f"{_ROOT}/export",
        tags=["studio"],
        summary="Export masks",
        response_class=Response,
        responses=failures(404, 507),
    )
    async def export(asked: wire.Export, request: Request) -> Response:
        """Give a zip with a folder for each format."""
        return await answer_zip(
            server, request, lambda path, task: studio.export(asked, path, task)
        )
