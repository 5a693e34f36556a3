"""``anymask inpaint``: remove a thing from each image, replace it, or replace what is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.options import Flag
from anymask.cli.parser import parse as parse_words
from anymask.cli.pipe import piped
from anymask.cli.places import check_commas
from anymask.cli.where import ChangeOptions, WhereOptions
from anymask.cli.words import WordOptions
from anymask.extras.inpaint.paint import InpaintConfig, check_wanted, choose_task

if TYPE_CHECKING:
    from anymask.cli.parser import Command
    from anymask.extras.inpaint.job import Inpaint as Job

__all__ = ["Inpaint", "parse"]

_ABOUT = """Remove a thing from each image, put another one there, or replace the background.

Each image gets the inpainted image, an overlay of the mask, and the mask as JSON.
Only the mask, grown and feathered, is painted: no other pixel changes.

Examples:
  anymask inpaint photo.jpg --point 500,375 --remove
  anymask inpaint photo.jpg --mask scratches.png --feather 2 -o out/
  anymask inpaint photos/ --text dog --remove -o without-dogs/
  anymask inpaint photos/ --masks masks.json --label person
  anymask inpaint photo.jpg --box 425,600,700,875 --engine big-lama.pt
  anymask inpaint photo.jpg --point 500,375 --fill "a bench" --engine org/name"""


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask inpaint`` into a command."""
    check_commas(words)
    return piped(parse_words(Inpaint, words, "anymask inpaint", _ABOUT), words)


@dataclass(frozen=True)
class EngineOptions(InpaintConfig):
    """What paints, and how."""

    engine: Annotated[str, arg(metavar="ENGINE")] = "classical"
    """classical, patchmatch or telea, which need no weights; the file or folder of big-LaMa's
    weights; or the folder or hub id (org/name) of a diffusers pipeline."""


@dataclass(frozen=True, kw_only=True)
class Inpaint(ChangeOptions):
    """Remove a thing from each image, put another one there, or replace the background."""

    remove: Flag = False
    """Paint as if the thing had never been there; the default."""
    fill: Annotated[str | None, arg(metavar="WORDS", help_behavior_hint="")] = None
    """Paint this instead of the thing; needs a diffusion model (--engine)."""
    replace: Annotated[str | None, arg(metavar="WORDS", help_behavior_hint="")] = None
    """Paint this instead of everything else; needs a diffusion model (--engine)."""
    where: OmitArgPrefixes[WhereOptions] = field(default_factory=WhereOptions)
    """What to inpaint: --point and --box find it; or --mask or --masks say it."""
    words: OmitArgPrefixes[WordOptions] = field(default_factory=WordOptions)
    """What to inpaint by name: all that --text says, which stands alone."""
    painting: OmitArgPrefixes[EngineOptions] = EngineOptions()
    """What paints, and how."""

    @cached_property
    def _job(self) -> Job:
        from anymask.extras.inpaint.find import find_engine
        from anymask.extras.inpaint.job import Inpaint as Job

        where = self.where.given(self.words)
        options = {f.name: getattr(self.painting, f.name) for f in fields(InpaintConfig)}
        said: dict[str, Any] = {"remove": self.remove, "fill": self.fill, "replace": self.replace}
        task = choose_task(remove=self.remove, fill=self.fill, replace=self.replace)
        check_wanted(self.painting.engine, task, self.fill or self.replace)
        engine = find_engine(
            self.painting.engine,
            device=self.compute.device,
            dtype=self.compute.dtype,
            offline=self.compute.offline,
        )
        return Job(
            **where,
            **said,
            engine=engine,
            config=InpaintConfig(**options),
            format=self.format,
            overlay=not self.no_overlay,
        )
