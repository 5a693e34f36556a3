"""Standard input and output instead of files: ``anymask segment - -o - < photo.jpg > cut.png``.

``-`` as an image is the image that comes in. ``-o -`` lets one result out: the cut-out, or masks in
the form of ``--format``, and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anymask.cli.terminal import say
from anymask.errors import InputError

if TYPE_CHECKING:
    from anymask.cli.parser import Command
    from anymask.image.image import Image
    from anymask.masks.masks import Masks

__all__ = ["piped"]

_PIPE = "-"
_INCOMING = ".anymask/stdin"  # in the folder of the results: a run that resumes compares it


def piped(command: Any, words: Sequence[str]) -> Command:
    """Lead a command's image in and its result out as its options say.

    Args:
        command: `ImageOptions` that also ``run`` over files into a folder, and ``find`` the masks
            of one image. What it ``cut``s is let out.
        words: What it was made of.
    """
    if str(command.output) == _PIPE:
        asked = any(word.partition("=")[0] in ("-f", "--format") for word in words)
        return _Outlet(command, masks=asked or getattr(command, "no_cutout", True))
    return _Inlet(command) if _PIPE in command.images else command


@dataclass(frozen=True)
class _Inlet:
    """A command one of whose images comes in; its results go to a folder, named ``stdin``."""

    command: Any

    def run(self) -> int:
        """Keep the image beside the results, and go on as with any other."""
        from anymask.atomic import atomic_write, make_folder

        path = self.command.output / _INCOMING
        content = _read_input()
        make_folder(path.parent)
        if not path.is_file() or path.read_bytes() != content:  # else it counts as finished
            with atomic_write(path) as draft:
                draft.write_bytes(content)
        images = tuple(str(path) if one == _PIPE else one for one in self.command.images)
        return int(replace(self.command, images=images).run())


@dataclass(frozen=True)
class _Outlet:
    """A command whose result goes out."""

    command: Any
    masks: bool  # and not the cut-out

    def run(self) -> int:
        """Answer for one image; the exit code is 1 if there is nothing to work on."""
        self._check()
        from anymask.cli.report import explain_nothing
        from anymask.image.image import Image
        from anymask.models.cache import kept_offline

        options = self.command
        (source,) = options.images
        image = Image.open(_read_input() if source == _PIPE else source)
        with kept_offline(options.compute.offline):
            masks = options.find(options.load(), image)
        if not len(masks) or not (self.masks or masks.areas.any()):
            if not self.masks and not getattr(options, "may_be_empty", False):
                say("error: found nothing to work on")
                return 1
            # What goes out is empty, too: no masks, or an image that is transparent everywhere.
            say(explain_nothing(getattr(masks, "dropped", {})))
        sys.stdout.flush()
        sys.stdout.buffer.write(self._result(masks, image))
        sys.stdout.buffer.flush()
        return 0

    def _check(self) -> None:
        options = self.command
        images = options.images
        if len(images) != 1 or Path(images[0]).is_dir():
            got = f"{len(images)} of them" if len(images) != 1 else f"the folder {images[0]!r}"
            raise InputError(f"expected one image for -o -, got {got}; name a folder with -o")
        for flag in ("json", "all"):
            if getattr(options, flag, False) and not (flag == "all" and self.masks):
                raise InputError(f"expected one result for -o -, got --{flag} too; leave it out")
        binary = not self.masks or options.format in ("png", "voc", "semantic")
        if binary and sys.stdout.isatty():
            raise InputError(
                "expected a file or a program to take the image, got a terminal; "
                "add > FILE, or name a folder with -o"
            )

    def _result(self, masks: Masks, image: Image) -> bytes:
        from anymask.image.png import encode_png

        if not self.masks:
            return encode_png(self.command.cut(masks, image))
        content: bytes = self.command.encode(masks)
        return content


def _read_input() -> bytes:
    """Read the image that comes in."""
    stream = sys.stdin
    if stream is None or stream.closed or stream.isatty():
        raise InputError("expected an image on standard input, got none; pipe one in, or name it")
    content: bytes = stream.buffer.read()
    if not content:
        raise InputError("expected an image on standard input, got no byte; look at who sends it")
    return content
