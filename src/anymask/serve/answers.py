"""Masks as a client wants them: JSON, the file of a format, a cut-out, or all of it in a zip."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from anymask import formats
from anymask.errors import AnymaskError, InputError
from anymask.serve.errors import dumps
from anymask.serve.wire import masks_document

if TYPE_CHECKING:
    from starlette.responses import Response

    from anymask.image.image import Image
    from anymask.masks.masks import Masks

__all__ = [
    "BINARY",
    "FILES",
    "FORMATS",
    "MEDIA",
    "Content",
    "as_content",
    "described",
    "json_content",
    "respond",
]

FORMATS = (
    *("json", "sa1b", "coco", "yolo", "labelme", "voc", "semantic", "grounded-sam", "png"),
    *("cvat", "labelstudio", "cutout", "overlay", "zip"),
)
"""How masks come back."""

MEDIA = {
    ".json": "application/json",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".txt": "text/plain; charset=utf-8",
    ".yaml": "text/plain; charset=utf-8",
    ".zip": "application/zip",
}
"""Kinds of content by suffix; everything else, XML too, goes out as bytes to keep, not to show."""


BINARY = {"schema": {"type": "string", "format": "binary"}}
"""How OpenAPI describes bytes."""

FILES = ("image/png", "application/zip", "text/plain", "application/octet-stream")
"""What masks may come back as, beside JSON."""


@dataclass(frozen=True)
class Content:
    """What goes out: bytes, what they are, and the name of a file to keep them in."""

    data: bytes
    media: str = "application/json"
    name: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


def json_content(document: Any) -> Content:
    """Write a document as JSON."""
    return Content(dumps(document))


def respond(content: Content) -> Response:
    """Send content; what has a name is to be kept, not shown."""
    from starlette.responses import Response

    headers = dict(content.headers)
    if content.name is not None:
        headers["Content-Disposition"] = f'attachment; filename="{content.name}"'
    return Response(content.data, media_type=content.media, headers=headers)


def described(*media: str, model: Any = None) -> dict[int | str, dict[str, Any]]:
    """Describe for OpenAPI an answer that may be a file instead of JSON."""
    about: dict[str, Any] = {
        "description": "What was asked for, in the format that was asked for.",
        "content": dict.fromkeys(media, BINARY),
    }
    return {200: about if model is None else {**about, "model": model}}


def as_content(
    masks: Masks, image: Image, format: str, *, soft: bool = False, logits: bool = False
) -> Content:
    """Write the masks of an image.

    Args:
        masks: Any number of masks.
        image: What they belong to.
        format: One of `FORMATS`.
        soft: Give cut-outs a soft edge.
        logits: Keep the model's own answers, of json.

    Raises:
        InputError: The format cannot hold these masks.
    """
    if format == "json":
        return json_content(masks_document(masks, logits=logits))
    if logits:
        raise InputError(f"expected logits of format json, got {format}; leave logits out")
    masks = replace(masks, logits=None)
    if format == "zip":
        return Content(_all(masks, image, soft=soft), MEDIA[".zip"], "masks.zip")
    name, data = next(_files(masks, image, format, soft=soft))
    suffix = "." + name.rpartition(".")[2]
    return Content(data, MEDIA.get(suffix, "application/octet-stream"), name)


def _files(masks: Masks, image: Image, format: str, *, soft: bool) -> Iterator[tuple[str, bytes]]:
    """Give the files of a format with their names, the one that holds the masks first."""
    from anymask.image.png import encode_png

    if format == "cutout":
        yield "cutout.png", encode_png(masks.cutout(image, soft=soft))
        return
    if format == "overlay":
        yield "overlay.png", encode_png(masks.draw(image))
        return
    known = formats.find(format)
    options = {"image_path": "image.png"} if known.names_image else {}
    content = io.BytesIO()
    known.write(content, masks, **options)
    yield f"{format}{known.suffix}", content.getvalue()
    for suffix, write in known.beside:
        content = io.BytesIO()
        write(content, masks)
        yield f"{format}{suffix}", content.getvalue()


def _all(masks: Masks, image: Image, *, soft: bool) -> bytes:
    """Put the files of all formats into a zip; what a format cannot hold is said in it."""
    out, left_out = io.BytesIO(), {}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:

        def put(name: str, data: bytes) -> None:
            # Without the time of day the same masks give the same bytes.
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)

        put("json.json", as_content(masks, image, "json").data)
        for format in FORMATS[1:-1]:
            try:
                for name, data in _files(masks, image, format, soft=soft):
                    put(name, data)
            except AnymaskError as error:
                left_out[format] = str(error)
        put("left-out.json", dumps(left_out))
    return out.getvalue()
