"""``anymask paste``: what was cut out of one image, into another."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from anymask.cli.options import Flag
from anymask.cli.parser import parse as parse_words
from anymask.cli.places import check_commas, read_mask, read_numbers
from anymask.errors import InputError
from anymask.extras.edit.paste import PasteConfig, Pasted, paste

if TYPE_CHECKING:
    from anymask.cli.parser import Command

__all__ = ["Paste", "parse"]

_ABOUT = """Paste what was cut out of one image into another.

Writes the image, and beside it a mask of what was pasted (NAME-mask.png). No pixel changes outside
of the pasted thing and its shadow, but JPEG and WebP change all of them a little: take PNG.

Examples:
  anymask paste cup-cutout.png table.jpg --at 420,300 -o out.png
  anymask paste cup-cutout.png table.jpg --at 420,300 --scale 0.5 --rotate 15 --shadow -o out.png
  anymask paste sky.jpg photo.jpg --mask rough.png --at 300,80 --blend poisson -o out.png"""


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask paste`` into a command."""
    check_commas(words)
    return parse_words(Paste, _joined(words), "anymask paste", _ABOUT)


def _joined(words: Sequence[str]) -> list[str]:
    """Join a place left of the image to its flag, or its minus would be taken for a flag's."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in ("--at", "--rotate") and word.startswith("-"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


@dataclass(frozen=True, kw_only=True)
class Paste:
    """Paste what was cut out of one image into another."""

    cut: Annotated[str, Positional, arg(metavar="CUT", help_behavior_hint="")]
    """What to paste: an image that is transparent around the thing, as `anymask segment` writes it;
    or any image, with --mask."""
    onto: Annotated[str, Positional, arg(metavar="ONTO", help_behavior_hint="")]
    """The image to paste into."""
    at: Annotated[str, arg(metavar="X,Y", help_behavior_hint="")]
    """Where the middle of the thing goes, in pixels of ONTO: x from the left, y from the top."""
    output: Annotated[str, arg(aliases=["-o"], metavar="FILE")] = "pasted.png"
    """The result: .png, .jpg, .webp or .tif. -: a PNG to standard output, without its mask."""
    mask: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """An image as large as CUT: light where the thing is, dark elsewhere."""
    how: OmitArgPrefixes[PasteConfig] = field(default_factory=PasteConfig)
    """How it is placed and blended in."""
    quiet: Annotated[bool, arg(aliases=["-q"], help_behavior_hint="")] = False
    """Print nothing but errors."""
    debug: Flag = False
    """Show the traceback of an error."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.image.encode import format_of

        if self.output != "-":
            format_of(self.output, None)  # refuses an unknown suffix before the work
        elif sys.stdout.isatty():
            raise InputError(
                "expected a file or a program to take the image, got a terminal; add > FILE, or "
                "name a file with -o"
            )
        options = {f.name: getattr(self.how, f.name) for f in fields(PasteConfig)}
        mask = None if self.mask is None else read_mask(self.mask)
        place = read_numbers("--at", self.at)
        pasted = paste(self.cut, self.onto, at=place, mask=mask, config=PasteConfig(**options))
        self._write(pasted)
        return 0

    def _write(self, pasted: Pasted) -> None:
        if self.output == "-":
            content = io.BytesIO()
            pasted.image.save(content, "png")
            sys.stdout.buffer.write(content.getvalue())
            sys.stdout.buffer.flush()
            return
        from anymask.image.image import Image

        path = Path(self.output)
        beside = path.with_name(f"{path.stem}-mask.png")
        pasted.image.save(path)
        Image.open(pasted.alpha).save(beside)
        if not self.quiet:
            area = int(pasted.masks.areas[0])
            share = 100 * area / pasted.alpha.size
            print(f"{self.onto}: pasted {area:,} pixels ({share:.1f} % of the image)")
            print(f"  {path}\n  {beside}")
