"""Images that change, depth, and masks as files, as routes."""

# Annotations are evaluated where they stand, for FastAPI's types are imported inside functions.
import io
from typing import TYPE_CHECKING

from anymask.serve.answers import (
    FILES,
    MEDIA,
    Content,
    as_content,
    described,
    json_content,
    respond,
)
from anymask.serve.compute import Task
from anymask.serve.routes import replies, schemas
from anymask.serve.routes.prompts import config_of, masks_of_lengths, records_of
from anymask.serve.server import Server, failures
from anymask.serve.wire import masks_document, masks_of

if TYPE_CHECKING:
    from fastapi import FastAPI

    from anymask.image.image import Image

__all__ = ["add_changes"]


def add_changes(app: "FastAPI", server: Server) -> None:
    """Add the routes that change images, measure them, or write masks."""
    from starlette.requests import Request
    from starlette.responses import Response

    @app.post(
        "/v1/inpaint",
        tags=["images"],
        summary="Remove things, put others there, or replace the background",
        response_class=Response,
        responses={
            **failures(404, 501),
            **described("image/png", "image/jpeg", "image/webp"),
        },
    )
    async def inpaint(asked: schemas.Inpaint, request: Request) -> Response:
        """Change what masks cover, and no other pixel."""
        image = server.sessions.get(asked.session).image
        return respond(
            await server.compute.run(request, lambda task: _painted(server, asked, image, task))
        )

    @app.post(
        "/v1/depth",
        tags=["images"],
        summary="Measure depth",
        response_class=Response,
        responses={
            **failures(404, 501),
            **described("application/octet-stream", model=replies.DepthAnswer),
        },
    )
    async def depth(asked: schemas.Measure, request: Request) -> Response:
        """Say how far away masks are, their order, and which lies in front of which."""
        image = server.sessions.get(asked.session).image
        return respond(
            await server.compute.run(request, lambda task: _measured(server, asked, image))
        )

    @app.post(
        "/v1/export",
        tags=["masks"],
        summary="Turn masks into a file",
        response_class=Response,
        responses={**failures(404, 501), **described(*FILES, model=replies.MasksAnswer)},
    )
    async def export(asked: schemas.Export, request: Request) -> Response:
        """Write masks in any format, those that a server gave or changed ones."""
        image = server.sessions.get(asked.session).image

        def work(task: Task) -> Content:
            document = {"masks": records_of(asked.masks), "model": server.model.variant.name}
            masks = masks_of(document, image.size_hw)
            return as_content(masks, image, asked.format, soft=asked.soft, logits=asked.logits)

        return respond(await server.compute.run(request, work))


def _painted(server: Server, asked: schemas.Inpaint, image: "Image", task: Task) -> Content:
    from anymask.extras.inpaint import InpaintConfig
    from anymask.extras.inpaint import inpaint as paint

    config = config_of(InpaintConfig(), asked.options)
    masks = masks_of_lengths(asked.masks, image.size_hw)
    painted = paint(
        image,
        masks,
        remove=asked.remove,
        fill=asked.fill,
        replace=asked.replace,
        engine=server.engine(asked.engine),
        config=config,
        progress=task.check,
    )
    file = io.BytesIO()
    painted.save(file, asked.format)
    suffix = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}[asked.format]
    return Content(file.getvalue(), MEDIA[suffix], f"painted{suffix}")


def _measured(server: Server, asked: schemas.Measure, image: "Image") -> Content:
    import numpy as np

    from anymask.extras.depth.measure import measure

    masks = masks_of_lengths(asked.masks, image.size_hw)
    depth = server.depth().of(image)
    if asked.format == "npy":
        file = io.BytesIO()
        np.save(file, depth.values, allow_pickle=False)
        return Content(file.getvalue(), "application/octet-stream", "depth.npy")
    found = masks_document(measure(depth, masks).masks)
    noted = found["image_meta"]["depth"]
    return json_content(
        {
            **{name: noted[name] for name in ("kind", "source", "order", "occlusions")},
            "masks": [record["meta"]["depth"] for record in found["masks"]],
        }
    )
