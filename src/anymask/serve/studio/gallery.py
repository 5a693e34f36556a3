"""The images of the studio's folder, each known by an id: no path comes from a client."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import PIL.Image

from anymask.atomic import atomic_write, cannot_write, make_folder
from anymask.batch.inputs import Item, find_images, natural_order
from anymask.errors import AnymaskError, InputError
from anymask.image.files import identify, is_tiff, open_source
from anymask.image.image import Image
from anymask.image.pixels import read_pil, read_size
from anymask.serve.studio.project import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Gallery", "Picture", "Thumbnails", "as_shown"]

_THUMBNAIL = 272, 136  # width and height at most: twice what a strip shows, for fine screens
_KEPT = 64 << 20  # bytes of thumbnails
_SHOWN = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_PLAIN = {"1", "L", "LA", "P", "RGB", "RGBA"}  # modes that browsers show as we read them
_ORIENTATION = 274
_LARGE = 8_000_000  # pixels from which on what must be converted is sent as JPEG
_SUFFIXES = {  # of formats that stay as they are, so that folders are searched for them
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "GIF": ".gif",
    "AVIF": ".avif",
    "HEIF": ".heic",
    "JPEG2000": ".jp2",
}


@dataclass(frozen=True)
class Picture:
    """An image of the folder.

    Attributes:
        id: Tells it from others, and from an earlier file in its place.
        name: Its path below the folder.
        path: Where it is.
        size_hw: Height and width, turned as the camera says; (0, 0) if it cannot be read.
        error: Why it cannot be used; None if it can.
    """

    id: str
    name: str
    path: Path
    size_hw: tuple[int, int]
    error: str | None = None


class Gallery:
    """The images below a folder. May be used from several threads.

    Args:
        folder: The folder; it is made when the first image is added.
        max_pixels: Larger images are refused before they are decoded.
    """

    def __init__(self, folder: Path, max_pixels: int) -> None:
        self.folder = folder.resolve()
        self._max_pixels = max_pixels
        self._known: dict[str, Picture] = {}
        self._thumbnails = Thumbnails()
        self._lock = threading.Lock()

    # ------------------------------------------------------------------------ looking

    def look(self) -> list[Picture]:
        """List the images as they are now, in natural order."""
        if not self.folder.is_dir():
            return []
        try:
            items = find_images(self.folder, self.folder / FOLDER)
        except InputError:  # none
            return []
        inside = [item for item in items if self._is_inside(item)]
        with ThreadPoolExecutor(4) as pool:  # to wait for slow disks, not to compute
            pictures = list(pool.map(self._picture, inside))
        pictures.sort(key=lambda one: natural_order(one.name))
        with self._lock:
            self._known = {one.id: one for one in pictures}
        return pictures

    def get(self, name: str) -> Picture | None:
        """Find an image by its id."""
        return self._known.get(name)

    def _is_inside(self, item: Item) -> bool:
        """Return whether an image is below the folder, wherever links lead."""
        real = os.path.realpath(item.path)
        return item.error is None and real.startswith(os.path.join(self.folder, ""))

    def _picture(self, item: Item) -> Picture:
        name = item.path.relative_to(self.folder).as_posix()
        stamp = item.stamp()
        identity = hashlib.sha256(f"{name}\0{stamp}".encode(errors="surrogateescape"))
        key = identity.hexdigest()[:32]
        known = self._known.get(key)
        if known is not None:
            return known
        try:
            h, w = read_size(item.path, upright=True)
            if h * w > self._max_pixels:
                raise InputError(
                    f"expected an image of at most {self._max_pixels} pixels, got {w} x {h}; "
                    "shrink it, or raise --max-pixels"
                )
            return Picture(key, name, item.path, (h, w))
        except AnymaskError as error:
            return Picture(key, name, item.path, (0, 0), str(error))

    # ------------------------------------------------------------------------- adding

    def add(self, data: bytes, name: str) -> Picture:
        """Put an image file into the folder, under a name that is free there.

        Args:
            data: Content of the file.
            name: What it was called; only the last part counts, and the suffix is that of what
                it is.

        Raises:
            InputError: It is no image, or is too large.
            OutputError: It cannot be written.
        """
        whole = Image.open(data, max_pixels=self._max_pixels)  # so that no damaged file comes in
        suffix = _suffix(data)
        if suffix is None:
            out = io.BytesIO()
            whole.save(out, "png")
            data, suffix = out.getvalue(), ".png"
        make_folder(self.folder)
        with self._lock:
            path = self._free(_clean(name), suffix)
            with atomic_write(path) as draft:
                draft.write_bytes(data)
        picture = self._picture(Item(path, path.stem))
        with self._lock:
            self._known = {**self._known, picture.id: picture}
        return picture

    def is_unchanged(self, picture: Picture) -> bool:
        """Return whether the file of an image is the one that was seen."""
        try:
            return self._picture(Item(picture.path, picture.path.stem)).id == picture.id
        except OSError:
            return False

    def remove(self, picture: Picture) -> int:
        """Take an image out of the folder; give the time of its last change, in nanoseconds.

        Raises:
            OutputError: It cannot be removed.
        """
        try:
            changed = picture.path.stat().st_mtime_ns
            picture.path.unlink()
        except OSError as error:
            raise cannot_write(picture.path, error) from error
        with self._lock:
            self._known = {key: one for key, one in self._known.items() if key != picture.id}
        return changed

    def put_back(self, picture: Picture, data: bytes, changed: int) -> Picture:
        """Put an image that was removed where it was, with its id, unless another is there by now.

        Raises:
            OutputError: It cannot be written.
        """
        with self._lock:
            is_free = not picture.path.exists()
            if is_free:
                with atomic_write(picture.path) as draft:
                    draft.write_bytes(data)
                    os.utime(draft, ns=(changed, changed))
        if not is_free:
            return self.add(data, picture.path.name)
        found = self._picture(Item(picture.path, picture.path.stem))
        with self._lock:
            self._known = {**self._known, found.id: found}
        return found

    def _free(self, stem: str, suffix: str) -> Path:
        taken = {name.casefold() for name in os.listdir(self.folder)}
        names = self._numbered(stem, suffix)
        return self.folder / next(name for name in names if name.casefold() not in taken)

    @staticmethod
    def _numbered(stem: str, suffix: str) -> Iterable[str]:
        yield f"{stem}{suffix}"
        number = 2
        while True:
            yield f"{stem}-{number}{suffix}"
            number += 1

    # ------------------------------------------------------------------------ showing

    def thumbnail(self, picture: Picture) -> bytes:
        """Give a small JPEG of an image."""
        return self._thumbnails.get(picture.id, picture.path, self._max_pixels)

    def shown(self, picture: Picture) -> tuple[bytes, str]:
        """Give an image as browsers show it, and its media type, see `as_shown`."""
        return as_shown(self.data(picture), self._max_pixels)

    def data(self, picture: Picture) -> bytes:
        """Read the file of an image."""
        return picture.path.read_bytes()


class Thumbnails:
    """Small JPEGs of images, of which those that were asked for last are kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str, source: Path | bytes, max_pixels: int) -> bytes:
        """Give the one of an image.

        Args:
            key: Tells the image from others.
            source: Its file.
            max_pixels: See `Gallery`.
        """
        known = self.kept(key)
        if known is not None:
            return known
        made = _shrunk(source, max_pixels)
        with self._lock:
            self._kept[key] = made
            self._bytes = sum(map(len, self._kept.values()))
            while self._bytes > _KEPT and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return made

    def kept(self, key: str) -> bytes | None:
        """Give the one of an image, if it is here."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)


def _shrunk(source: Path | bytes, max_pixels: int) -> bytes:
    small = _small(source, max_pixels)
    w, h = small.size
    # A strip shows wide and tall images by their middle.
    scale = min(1.0, max(_THUMBNAIL[1] / h, 0.0))
    small = small.resize((max(1, round(w * scale)), max(1, round(h * scale))))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=82)
    return out.getvalue()


def _small(source: Path | bytes, max_pixels: int) -> PIL.Image.Image:
    with open_source(source) as (file, name):
        try:
            with identify(file, name) as image:
                image.draft("RGB", (_THUMBNAIL[0] * 2, _THUMBNAIL[1] * 2))  # of JPEG alone
                pixels = read_pil(image, (255, 255, 255), max_pixels, name).pixels
                return PIL.Image.fromarray(pixels)
        except InputError:
            return Image.open(source, max_pixels=max_pixels).to_pil()


def as_shown(data: bytes, max_pixels: int) -> tuple[bytes, str]:
    """Give an image as browsers show it, and its media type.

    The file itself if a browser sees it as `Image.open` does; else what that makes of it.
    """
    with open_source(data) as (file, name):
        media = _media(file, name)
    if media is not None:
        return data, media
    image = Image.open(data, max_pixels=max_pixels)
    out = io.BytesIO()
    if image.size_hw[0] * image.size_hw[1] > _LARGE:
        image.to_pil().save(out, "JPEG", quality=95, subsampling=0)
        return out.getvalue(), "image/jpeg"
    image.to_pil().save(out, "PNG", compress_level=1)
    return out.getvalue(), "image/png"


def _media(file: IO[bytes], name: str) -> str | None:
    """Return the media type of a file that need not be converted."""
    try:
        with identify(file, name) as image:
            turned = image.getexif().get(_ORIENTATION, 1) != 1
            upright = not turned or image.format == "JPEG"  # in others, not all browsers turn
            plain = image.mode in _PLAIN and not getattr(image, "is_animated", False)
            return _SHOWN.get(image.format or "") if upright and plain else None
    except InputError:
        return None


def _suffix(data: bytes) -> str | None:
    """Return the suffix of an image file's format; None for one that is better kept as PNG."""
    with open_source(data) as (file, name):
        try:
            with identify(file, name) as image:
                return _SUFFIXES.get(image.format or "")
        except InputError:  # a TIFF that Pillow does not read
            return ".tif" if is_tiff(file) else None


def _clean(name: str) -> str:
    """Make a name for a file of what a client calls it."""
    stem = name.replace("\\", "/").rpartition("/")[2].rpartition(".")[0] or name
    kept = "".join(c if c.isalnum() or c in " -_.()" else "-" for c in stem if c.isprintable())
    kept = kept.strip(" .-")[:80]
    return kept or "image"
