"""SA-1B's shards: tar files with the JSON of each image beside the image itself.

They have the names of the data set: ``sa_000000.tar`` holds ``sa_1.jpg`` and ``sa_1.json``, and so
on. Nothing in them depends on the time or the user, so that the same masks give the same bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import PIL.Image

from anymask.errors import AnymaskError
from anymask.folder import ResumableFolder
from anymask.image.image import Image
from anymask.label.farm.sink import Labelled, Left

__all__ = ["Shards", "as_jpeg"]

_QUALITY = 95
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Shards:
    """Tar files in a folder.

    Attributes:
        folder: The results; the files lie in ``shards/`` there.
    """

    folder: ResumableFolder

    def files(self, shard: int) -> list[str]:
        """Name the file."""
        return [f"shards/sa_{shard:06d}.tar"]

    def write(self, shard: int, images: Iterator[Labelled]) -> Mapping[int, Left]:
        """Write a file; see `Sink`.

        An image that cannot be read any more is taken from the file that is there, or is missing.
        """
        missing: dict[int, Left] = {}
        (name,) = self.files(shard)
        with (
            self.folder.writing(name) as draft,
            tarfile.open(draft, "w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for image in images:
                document = image.document()
                try:
                    picture = as_jpeg(image.content())
                except AnymaskError as error:
                    kept = _kept(self.folder.path / name, document["image"])
                    if kept is None:
                        missing[image.number] = Left("missing", str(error))
                        continue
                    picture = kept
                beside = PurePosixPath(document["image"]["file_name"])
                _add(tar, str(beside), picture)
                text = json.dumps(document, allow_nan=False)
                _add(tar, str(beside.with_suffix(".json")), text.encode())
        return missing


def _kept(path: Path, about: Mapping[str, Any]) -> bytes | None:
    """Find an image in a file from before; None: it is not there, or another one has its name."""
    name = PurePosixPath(about["file_name"])
    try:
        with tarfile.open(path) as tar:
            content, picture = (
                tar.extractfile(str(one)) for one in (name.with_suffix(".json"), name)
            )
            if content is None or picture is None:
                return None
            same = json.load(content)["image"]["sha256"] == about["sha256"]
            return picture.read() if same else None
    except (OSError, KeyError, ValueError, tarfile.TarError):
        return None


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def as_jpeg(content: bytes) -> bytes:
    """Give an image as a JPEG file that all programs show the way its masks lie.

    What is one already stays as it is, to the byte, metadata included. All else, and what is to be
    turned when it is shown, is decoded and compressed anew, at a quality of 95.

    Args:
        content: That of a file which `Image.open` reads.

    Raises:
        InputError: It cannot be read, or is too large for JPEG.

    Examples:
        >>> file = io.BytesIO()
        >>> PIL.Image.new("RGB", (4, 4)).save(file, "PNG")
        >>> jpeg = as_jpeg(file.getvalue())
        >>> PIL.Image.open(io.BytesIO(jpeg)).format, as_jpeg(jpeg) == jpeg
        ('JPEG', True)
    """
    if _stays(content):
        return content
    file = io.BytesIO()
    Image.open(content).save(file, format="jpg", quality=_QUALITY)
    return file.getvalue()


def _stays(content: bytes) -> bool:
    """Return whether a file is an upright JPEG of usual colours."""
    if not content.startswith(b"\xff\xd8"):
        return False
    try:
        with PIL.Image.open(io.BytesIO(content), formats=["JPEG", "MPO"]) as image:
            return image.mode in ("L", "RGB") and image.getexif().get(_ORIENTATION, 1) == 1
    except Exception:  # what Pillow cannot open, our own reader refuses in one sentence
        return False
