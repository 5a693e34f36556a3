"""Masks as files in a zip, a folder for each format, for pages to save."""

# Annotations are evaluated where they stand, for FastAPI's types are imported inside functions.
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anymask.atomic import cannot_write
from anymask.errors import AnymaskError
from anymask.formats.conversion import Found, write_place
from anymask.formats.images import free_name
from anymask.image.image import Image
from anymask.image.png import encode_png
from anymask.serve.compute import Task
from anymask.serve.server import Server

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["answer_zip", "write_zip"]

_SOFT_EDGE = "soft_edge"  # in the meta of a main subject, which the page sets
_LONGEST = 40  # characters of a class in the name of a file


async def answer_zip(
    server: Server, request: "Request", write: Callable[[Path, Task], None]
) -> "Response":
    """Answer with a zip that is written beside everything else, and deleted afterwards."""
    from starlette.background import BackgroundTask
    from starlette.responses import FileResponse

    file = tempfile.NamedTemporaryFile(suffix=".zip", delete=False)  # noqa: SIM115
    file.close()
    path = Path(file.name)
    try:
        await server.compute.run(request, lambda task: write(path, task))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    gone = BackgroundTask(path.unlink, missing_ok=True)
    return FileResponse(path, media_type="application/zip", filename="masks.zip", background=gone)


def write_zip(
    found: Callable[[], Iterator[Found]],
    formats: Iterable[str],
    names: Sequence[str],
    target: Path,
) -> None:
    """Write the masks of images in some formats into a zip.

    Args:
        found: Goes through the images with their masks, for each format anew.
        formats: Names of formats; "cutout": what the masks cut out.
        names: The classes, in their order.
        target: The file.

    Raises:
        InputError: A format cannot hold the masks.
        OutputError: The disk is full.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            for format in dict.fromkeys(formats):
                place = Path(folder) / format
                if format == "cutout":
                    _write_cutouts(found(), place)
                else:
                    write_place(found(), place, format, names=list(names), moves=True)
            _zip(Path(folder), target)
    except AnymaskError:
        raise
    except OSError as error:
        raise cannot_write(target, error) from error


def _write_cutouts(found: Iterable[Found], place: Path) -> None:
    taken: set[str] = set()
    for one in found:
        assert one.image is not None
        image = Image.open(one.image)
        for i, mask in enumerate(one.masks):
            label = mask.labels[0]
            safe = "".join(
                c if c.isalnum() or c in " -_" else "-" for c in (label or "")[:_LONGEST]
            )
            name = free_name(f"{one.name}-{i + 1}{f'-{safe}' if safe else ''}.png", taken)
            path = place / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            soft = mask.meta[0].get(_SOFT_EDGE) is True
            path.write_bytes(encode_png(mask.cutout(image, soft=soft)))


def _zip(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
