"""The studio's panels: depth of masks, painting over them, and finding them elsewhere.

All of it takes a while, so the answers tell how far they are (`telling`), and end when the page
goes on without them. None of it changes a file; only a painted image that is kept becomes one.
"""

# Annotations are evaluated where they stand, for FastAPI's types are imported inside functions.
import io
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from anymask.config import PersonalConfig
from anymask.errors import AnymaskError, InputError
from anymask.image.image import Image
from anymask.serve.answers import Content, json_content, respond
from anymask.serve.compute import Task
from anymask.serve.errors import ApiError
from anymask.serve.routes.prompts import config_of, dense_of, masks_of_lengths
from anymask.serve.routes.schemas import RULES, RunLengths, schema
from anymask.serve.server import Server, failures
from anymask.serve.sessions import name_of
from anymask.serve.studio.drafts import Draft, Drafts
from anymask.serve.studio.gallery import Gallery, Picture
from anymask.serve.studio.project import Project
from anymask.serve.studio.telling import LINES, Tell, tell_lines
from anymask.serve.studio.wire import picture_document
from anymask.serve.wire import masks_document

if TYPE_CHECKING:
    from fastapi import FastAPI

    from anymask.extras.depth import DepthMap

__all__ = ["add_panels"]

_ROOT = "/v1/studio"
_COUNTS = {"size": [4, 6], "counts": [0, 12, 12]}
_MAPS = 2  # depth maps that are kept: of the image at hand and the one before
_LONGEST = 1600  # pixels of the longer side of a map that is shown; depth has no more detail
_STREAM: Any = {200: {"description": "Lines.", "content": {LINES: {"schema": {"type": "string"}}}}}
_MASKS: Any = {"max_length": 5000, "examples": [[_COUNTS]]}


class Desk(Protocol):
    """What the panels need of a studio."""

    gallery: Gallery
    project: Project
    server: Server

    async def find(self, name: str) -> Picture:
        """Find an image by its id."""
        ...

    def opened(self, picture: Picture) -> Image:
        """Decode an image of the folder; blocks."""
        ...


# ------------------------------------------------------------------------ what goes in


@schema
class Measure:
    """Which masks of an image of the folder to measure."""

    __pydantic_config__: ClassVar[Any] = RULES
    masks: list[RunLengths] = field(default_factory=list, metadata=_MASKS)
    """The masks; none: what the depth is at all."""


@schema
class Paint:
    """What to paint over in an image of the folder."""

    __pydantic_config__: ClassVar[Any] = RULES
    masks: list[RunLengths] = field(metadata={**_MASKS, "min_length": 1})
    """What to change; they count together."""
    task: Literal["remove", "fill", "replace"] = "remove"
    """remove: as if it had not been there; fill: something else; replace: another background."""
    text: str | None = field(default=None, metadata={"max_length": 1000})
    """What to paint, to fill and to replace."""
    grow: int = field(default=0, metadata={"ge": -10_000, "le": 10_000})
    """Pixels by which what is painted grows."""
    feather: int = field(default=0, metadata={"ge": 0, "le": 1000})
    """Pixels over which it fades into the image."""
    seed: int = field(default=0, metadata={"ge": 0, "le": 2**32 - 2})
    """Start of the random numbers; another gives another result."""


@schema
class Shown:
    """A mask that is shown as an example."""

    __pydantic_config__: ClassVar[Any] = RULES
    picture: str = field(metadata={"max_length": 64, "examples": ["f3a1"]})
    """Id of the image in which it is."""
    rle: RunLengths = field(metadata={"examples": [_COUNTS]})
    """Where it is there."""
    name: str = field(default="thing", metadata={"min_length": 1, "max_length": 200})
    """What it is called; examples of one name are views of one thing."""


@schema
class Elsewhere:
    """What to find in which other images."""

    __pydantic_config__: ClassVar[Any] = RULES
    examples: list[Shown] = field(metadata={"min_length": 1, "max_length": 32})
    """The things."""
    pictures: list[str] | None = field(default=None, metadata={"max_length": 100_000})
    """Ids of the images to search; None: all but those of the examples."""
    options: dict[str, Any] = field(
        default_factory=dict, metadata={"max_length": 10, "examples": [{"threshold": 0.5}]}
    )
    """Settings of PersonalConfig that should differ."""


# ------------------------------------------------------------------------------- depth


@dataclass(eq=False)
class _Depths:
    """Depth maps of the images that were measured last, each made once."""

    studio: "Desk"
    _maps: "OrderedDict[str, DepthMap]" = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, picture: Picture, tell: Tell) -> "DepthMap":
        with self._lock:  # who asks for the same at once waits for it
            known = self._maps.get(picture.id)
            if known is None:
                tell({"step": "loading"})
                source = self.studio.server.depth()
                tell({"step": "estimating"})
                known = source.of(self.studio.opened(picture))
                self._maps[picture.id] = known
                while len(self._maps) > _MAPS:
                    self._maps.popitem(last=False)
            self._maps.move_to_end(picture.id)
            return known


def _measured(depths: _Depths, picture: Picture, masks: Sequence[RunLengths], tell: Tell) -> Any:
    from anymask.extras.depth.colour_map import limits
    from anymask.extras.depth.measure import measure

    depth = depths.of(picture, tell)
    tell({"step": "measuring"})
    found = measure(depth, masks_of_lengths(masks, picture.size_hw))
    far, near = limits(depth.inverse)
    noted = found.masks.image_meta["depth"]
    return {
        **{name: noted[name] for name in ("kind", "order", "occlusions")},
        "source": PurePath(str(noted["source"])).name,  # where a model lies is nobody's business
        # What the first and the last colour of the map stand for, in metres.
        "far": 1 / far if depth.kind == "metric" else None,
        "near": 1 / near if depth.kind == "metric" else None,
        "masks": [meta["depth"] for meta in found.masks.meta],
    }


def _depth_map(depths: _Depths, picture: Picture) -> bytes:
    drawn = depths.of(picture, lambda step: None).draw()
    drawn.thumbnail((_LONGEST, _LONGEST))
    file = io.BytesIO()
    drawn.save(file, "PNG")
    return file.getvalue()


# ---------------------------------------------------------------------------- painting


def _painted(
    studio: "Desk", drafts: Drafts, picture: Picture, asked: Paint, task: Task, tell: Tell
) -> Draft:
    from anymask.extras.inpaint import InpaintConfig
    from anymask.extras.inpaint.paint import check_wanted, choose_task, paint

    engine_name = studio.server.config.inpaint_engine
    text = asked.text
    wanted = choose_task(
        remove=asked.task == "remove",
        fill=(text or "") if asked.task == "fill" else None,
        replace=(text or "") if asked.task == "replace" else None,
    )
    check_wanted(engine_name, wanted, text)
    tell({"step": "loading"})
    engine = studio.server.engine(None)
    config = InpaintConfig(grow=asked.grow, feather=asked.feather, seed=asked.seed)
    image = studio.opened(picture)
    masks = masks_of_lengths(asked.masks, image.size_hw)

    def progress(done: int, total: int) -> None:
        tell({"step": "painting", "done": done, "total": total})

    tell({"step": "painting"})
    painted = paint(image, masks, engine, wanted, text or "", config, progress)
    task.check()
    ends = {"remove": "removed", "fill": "filled", "replace": "background"}
    return drafts.add(painted, f"{PurePosixPath(picture.name).stem}-{ends[wanted]}.png")


# --------------------------------------------------------------------------- elsewhere


async def _search(studio: "Desk", asked: Elsewhere, task: Task, tell: Tell) -> Any:
    """Show the model the examples, then look at one image after the other."""
    server = studio.server
    config = config_of(PersonalConfig(), asked.options)
    shown = [await studio.find(one.picture) for one in asked.examples]
    if asked.pictures is None:
        own = {one.id for one in shown}
        everywhere = await server.compute.answer(studio.gallery.look)
        pictures = [one for one in everywhere if one.id not in own and one.error is None]
    else:
        pictures = [await studio.find(name) for name in dict.fromkeys(asked.pictures)]
    if not pictures:
        raise InputError("expected other images to search, got none; add some to the folder")
    tell({"done": 0, "total": len(pictures)})

    def learn() -> Any:
        images = {one.id: studio.opened(one) for one in shown}
        return server.model.personalize(
            [images[one.id] for one in shown],
            [
                dense_of(example.rle, images[one.id].size_hw)
                for example, one in zip(asked.examples, shown, strict=True)
            ],
            names=[one.name for one in asked.examples],
            config=config,
        )

    personal = await server.compute.long(learn)
    count = 0
    for done, picture in enumerate(pictures, start=1):
        task.check()
        said: dict[str, Any] = {"done": done, "total": len(pictures), "picture": picture.id}
        try:
            found = await _found(studio, personal, picture)
            count += len(found["masks"])
            tell({**said, "masks": found["masks"]})
        except (AnymaskError, ApiError) as error:  # of one image: the others are searched
            tell({**said, "masks": [], "problem": " ".join(str(error).split())})
    return {"pictures": len(pictures), "masks": count}


async def _found(studio: "Desk", personal: Any, picture: Picture) -> Any:
    server = studio.server

    def read() -> tuple[Image, str]:
        image = studio.opened(picture)
        return image, name_of(server.model, image)

    image, name = await server.compute.long(read)
    # What was embedded already need not be again.
    kept = server.sessions.get(name).embedding if name in server.sessions else image
    return masks_document(await server.compute.long(lambda: personal.find(kept)))


# ------------------------------------------------------------------------------ routes


def add_panels(app: "FastAPI", studio: "Desk") -> None:
    """Add the routes of the panels to a studio's application."""
    _add_depth(app, studio)
    _add_painting(app, studio)
    _add_elsewhere(app, studio)


def _add_depth(app: "FastAPI", studio: "Desk") -> None:
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse

    compute = studio.server.compute
    depths = _Depths(studio)

    @app.post(
        f"{_ROOT}/pictures/{{picture}}/depth",
        tags=["studio"],
        summary="Measure the depth of masks",
        response_class=StreamingResponse,
        responses={**failures(404), **_STREAM},
    )
    async def measure(picture: str, asked: Measure, request: Request) -> StreamingResponse:
        """Tell how far it is, then the numbers, as lines of JSON; the map is made once."""
        found = await studio.find(picture)

        async def work(task: Task, tell: Tell) -> Any:
            return await compute.long(partial(_measured, depths, found, asked.masks, tell))

        return tell_lines(request, work)

    @app.get(
        f"{_ROOT}/pictures/{{picture}}/depth",
        tags=["studio"],
        summary="See the depth",
        response_class=Response,
        responses=failures(404, 501),
    )
    async def depth_map(picture: str) -> Response:
        """Give the map in colours, light where it is near, at most 1600 pixels wide or high."""
        found = await studio.find(picture)
        data = await compute.long(lambda: _depth_map(depths, found))
        return respond(Content(data, "image/png"))


def _add_painting(app: "FastAPI", studio: "Desk") -> None:
    from starlette.requests import Request
    from starlette.responses import FileResponse, Response, StreamingResponse

    compute = studio.server.compute
    drafts = Drafts(studio.gallery, studio.project)

    @app.get(
        f"{_ROOT}/painter",
        tags=["studio"],
        summary="What can be painted",
        responses=failures(501),
    )
    async def painter() -> Response:
        """Name the engine and what it can do; 501 or 503 if it is not here."""
        engine = await compute.long(lambda: studio.server.engine(None))
        return respond(
            json_content({"engine": engine.identity.get("engine"), "tasks": sorted(engine.tasks)})
        )

    @app.post(
        f"{_ROOT}/pictures/{{picture}}/paint",
        tags=["studio"],
        summary="Paint over masks",
        response_class=StreamingResponse,
        responses={**failures(404), **_STREAM},
    )
    async def paint(picture: str, asked: Paint, request: Request) -> StreamingResponse:
        """Tell how far it is, then the id of a draft, as lines of JSON; no file is changed."""
        found = await studio.find(picture)

        async def work(task: Task, tell: Tell) -> Any:
            draft = await compute.long(partial(_painted, studio, drafts, found, asked, task, tell))
            h, w = draft.size_hw
            return {"draft": draft.id, "name": draft.name, "w": w, "h": h}

        return tell_lines(request, work)

    @app.get(
        f"{_ROOT}/drafts/{{draft}}",
        tags=["studio"],
        summary="See what was painted",
        response_class=FileResponse,
        responses=failures(404),
    )
    async def see(draft: str) -> FileResponse:
        """Give a painted image."""
        return FileResponse(drafts.get(draft).path, media_type="image/png")

    @app.delete(
        f"{_ROOT}/drafts/{{draft}}",
        tags=["studio"],
        summary="Forget what was painted",
        status_code=204,
        response_class=Response,
        responses=failures(404),
    )
    async def drop(draft: str) -> Response:
        """Forget a painted image that nobody wants."""
        drafts.drop(draft)
        return Response(status_code=204)

    @app.post(
        f"{_ROOT}/drafts/{{draft}}/picture",
        tags=["studio"],
        summary="Keep what was painted",
        responses=failures(404, 507),
    )
    async def save(draft: str) -> Response:
        """Put a painted image into the folder, beside the one that it was made of."""

        def work() -> Content:
            saved = drafts.save(draft)
            return json_content(picture_document(saved, *studio.project.counted(saved.name)))

        return respond(await compute.answer(work))

    @app.delete(
        f"{_ROOT}/drafts/{{draft}}/picture",
        tags=["studio"],
        summary="Take back what was kept",
        responses=failures(404),
    )
    async def take_back(draft: str) -> Response:
        """Take the image of a draft out of the folder again, as undo does."""
        return respond(json_content({"id": await compute.answer(lambda: drafts.take_back(draft))}))


def _add_elsewhere(app: "FastAPI", studio: "Desk") -> None:
    from starlette.requests import Request
    from starlette.responses import StreamingResponse

    @app.post(
        f"{_ROOT}/elsewhere",
        tags=["studio"],
        summary="Find things in other images",
        response_class=StreamingResponse,
        responses={**failures(404), **_STREAM},
    )
    async def elsewhere(asked: Elsewhere, request: Request) -> StreamingResponse:
        """Tell what is found in each image, as lines of JSON; nothing is saved."""
        return tell_lines(request, partial(_search, studio, asked))
