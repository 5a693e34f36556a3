"""Image files: opening them, finding out what they are, and saying what is wrong with them."""

from __future__ import annotations

import importlib
import io
import logging
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import PIL.Image
import PIL.ImageFile

from anymask.errors import InputError, MissingExtraError
from anymask.optional import optional

__all__ = [
    "SHRINK",
    "TIFF",
    "MissingReaderError",
    "check_content",
    "closed",
    "damaged",
    "identify",
    "is_tiff",
    "open_file",
    "open_source",
    "shown",
    "unlogged",
]

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How TIFF and BigTIFF files begin, in both orders of bytes."""

SHRINK = "shrink it first, or raise max_pixels if you trust it"
"""What to do about an image of too many pixels."""

_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF = (b"avif", b"avis")
_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_LONGEST_NAME = 500


class MissingReaderError(InputError, MissingExtraError):
    """A package that reads images of a kind is missing: of one image, so others may be read."""


@contextmanager
def open_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open an image file for bytes, and put into words what can be wrong with it.

    Raises:
        InputError: It is missing, cannot be read, or is a folder.
    """
    name = shown(path)
    if name[1:].startswith("data:"):
        raise InputError(f"expected an image file, got {name}; decode it and pass the bytes")
    if "://" in name:
        raise InputError(f"expected an image file, got the address {name}; download it first")
    if os.path.isdir(path):
        raise InputError(f"expected an image file, but {name} is a folder; name a file inside it")
    try:
        with open(path, "rb") as file:
            if not file.seekable():  # a pipe
                yield io.BytesIO(file.read())
            else:
                yield file
    except FileNotFoundError:
        raise InputError(
            f"expected an image file, but {name} does not exist; check the path"
        ) from None
    except InputError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot open the image file {name}: {reason}; check the path") from error


def shown(path: str | os.PathLike[str]) -> str:
    """Quote a path for an error, shortened where it is no path at all but a whole image in text."""
    name = os.fsdecode(path)
    return repr(name if len(name) <= _LONGEST_NAME else f"{name[:60]}...{name[-20:]}")


@contextmanager
def open_source(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes],
) -> Iterator[tuple[IO[bytes], str]]:
    """Open an image file by its path, its bytes, or as a file that is open for reading bytes.

    Yields:
        The file, from its first byte, and what to call it in errors.

    Raises:
        InputError: It is missing, cannot be read, is closed, or is opened for text.
    """
    if isinstance(source, str | os.PathLike):
        with open_file(source) as file:
            yield file, shown(source)
    elif isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(bytes(source)), "the data given"
    else:
        yield io.BytesIO(_content(source)), "the file given"


def _content(file: IO[bytes]) -> bytes:
    if getattr(file, "closed", False):
        raise closed("the file given")
    try:
        data = file.read()
    except io.UnsupportedOperation as error:
        raise InputError(
            "expected a file opened for reading, got one for writing; use mode 'rb'"
        ) from error
    except UnicodeError as error:
        raise _for_text() from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the file given: {error}; open it again") from error
    if not isinstance(data, bytes):
        raise _for_text()
    return data


def _for_text() -> InputError:
    return InputError("expected a file opened for bytes, got one for text; use mode 'rb'")


@contextmanager
def unlogged() -> Iterator[None]:
    """Keep Pillow and tifffile from printing what our own errors say.

    Where a program has set up logging, it still gets what they log.
    """
    handler, loggers = logging.NullHandler(), [logging.getLogger(n) for n in ("PIL", "tifffile")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def is_tiff(file: IO[bytes]) -> bool:
    """Return whether a file begins as TIFF files do; it is left at its first byte."""
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    return head in TIFF


def identify(file: IO[bytes], name: str) -> PIL.ImageFile.ImageFile:
    """Find the reader for a file; its pixels are not decoded yet.

    Raises:
        InputError: It is empty, damaged or not an image.
        MissingExtraError: The package that reads its format is not installed.
    """
    # Pillow's own open() warns from 89 million pixels on, which good cameras reach today, and
    # refuses at 179 million; both can only be changed for the whole process. Hence our own loop.
    file.seek(0)
    head = file.read(16)
    if not head:
        raise InputError(f"expected an image, but {name} is empty (0 bytes); get the file again")
    for load_readers in (PIL.Image.preinit, PIL.Image.init):
        load_readers()
        for kind in tuple(PIL.Image.ID):
            if kind == "EPS":  # a program that Pillow would hand to Ghostscript
                continue
            reader, accepts = PIL.Image.OPEN[kind]
            found = _try_reader(reader, accepts, head, file, name)
            if found is not None:
                return found
    found = _open_by_package(head, file, name)
    if found is not None:
        return found
    raise InputError(
        f"expected an image such as JPEG, PNG, TIFF or WebP, but {name} is {_guess(head)}"
    )


def _try_reader(
    reader: Any, accepts: Any, head: bytes, file: IO[bytes], name: str
) -> PIL.ImageFile.ImageFile | None:
    file.seek(0)
    try:
        likely = accepts(head) if accepts else True
        if not likely or isinstance(likely, str):  # a sentence: its library is missing
            return None
        with unlogged():
            found: PIL.ImageFile.ImageFile = reader(file, "")
    except (SyntaxError, IndexError, TypeError, struct.error):
        return None  # not this kind after all
    except Exception as error:
        raise damaged(name, error) from error
    return found


def _open_by_package(head: bytes, file: IO[bytes], name: str) -> PIL.ImageFile.ImageFile | None:
    """Open a format that Pillow needs another package for; None if it is none of these."""
    heic = head[4:8] == b"ftyp" and head[8:12] in _HEIC
    if not heic and not head.startswith(_JPEG_XL):
        return None
    try:
        if heic:
            # The class is used as it is: registering it with Pillow would change the whole process.
            reader = optional("pillow_heif", extra="heic").HeifImageFile
        else:  # under the GPL, so it is no extra of ours
            reader = importlib.import_module("pillow_jxl").JpegXLImagePlugin.JXLImageFile
    except MissingExtraError as error:
        raise MissingReaderError(f"cannot read {name}, a HEIC image: {error}") from error
    except ModuleNotFoundError as error:
        raise MissingReaderError(
            f"cannot read {name}, a JPEG XL image: this needs the package 'pillow_jxl', which is "
            f"not installed; convert it to PNG, or run: pip install pillow-jxl-plugin"
        ) from error
    file.seek(0)
    try:
        found: PIL.ImageFile.ImageFile = reader(file, "")
    except Exception as error:
        raise damaged(name, error) from error
    return found


def _guess(head: bytes) -> str:
    """Say what a file that no reader knows may be, and what to do."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<head")):
        return "a web page; save the image itself"
    if start.startswith((b"<svg", b"<?xml", b"%pdf", b"%!ps")):
        return "a drawing or document without pixels; export it as PNG first"
    if start.startswith(b"version https:"):
        return "a pointer to a file in Git's large file storage; run: git lfs pull"
    if head[4:8] == b"ftyp" and head[8:12] in _AVIF:
        return "an AVIF image, which Pillow reads from version 11.3 on; run: pip install -U pillow"
    if head[4:8] == b"ftyp":
        return "a video or of a kind that Pillow does not read; save one frame of it as PNG"
    return "none that Pillow can read, or its beginning is damaged; convert it or get it again"


def closed(name: str) -> InputError:
    """Say that an image can no longer be read."""
    return InputError(f"expected an open image, but {name} is closed; pass its path instead")


def damaged(name: str, error: Exception) -> InputError:
    """Say that an image cannot be decoded, and why."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, PIL.Image.DecompressionBombError | PIL.Image.DecompressionBombWarning):
        return InputError(
            f"{name} has more pixels than Pillow allows in this format ({reason}); "
            f"shrink it first, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        )
    if isinstance(error, MemoryError):
        return InputError(f"cannot decode {name}, not enough memory for it; shrink it first")
    return InputError(f"cannot decode {name}, damaged or cut off ({reason}); get it again")


def check_content(
    size_hw: tuple[int, int],
    subfile: int,
    max_pixels: int,
    name: str,
    remedy: str,
) -> None:
    """Check what an image says of itself before its pixels are decoded.

    Args:
        size_hw: Its height and width.
        subfile: Tag 254 of a TIFF file, 0 for others.
        max_pixels: Larger ones are refused.
        name: What to call it.
        remedy: What to do about too large ones.

    Raises:
        InputError: It has too many pixels, or none, or they are only a preview.
    """
    height, width = size_hw
    if width * height > max_pixels:
        raise InputError(
            f"expected at most {max_pixels / 1e6:.0f} million pixels, but {name} has "
            f"{width} x {height}; {remedy}"
        )
    if width == 0 or height == 0:
        raise InputError(
            f"expected at least one pixel, but {name} is {width} x {height}; use another"
        )
    if subfile & 1:
        raise InputError(
            f"expected an image, but {name} is a camera's raw file with a small preview; "
            f"develop it to JPEG or TIFF first"
        )
