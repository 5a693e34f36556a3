"""``anymask edit``: another background for a thing, another colour, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.options import Flag
from anymask.cli.parser import parse as parse_words
from anymask.cli.pipe import piped
from anymask.cli.places import check_commas
from anymask.cli.where import ChangeOptions, WhereOptions
from anymask.cli.words import WordOptions
from anymask.extras.edit.change import EditConfig

if TYPE_CHECKING:
    from anymask.cli.parser import Command
    from anymask.extras.edit.job import Edit as Job

__all__ = ["Edit", "parse"]

_ABOUT = """Change what is behind a thing, its colour, or both.

Each image gets the edited image, an overlay of the mask, and the mask as JSON.
The thing is the main subject, unless --point, --box, --text, --mask or --masks say another.

Examples:
  anymask edit photo.jpg --background blur
  anymask edit photos/ --background white -o shop/
  anymask edit photo.jpg --point 500,375 --background grey
  anymask edit photo.jpg --text car --colour "#c02040"
  anymask edit photo.jpg --mask mask.png --background beach.jpg
  anymask edit - --background transparent -o - < photo.jpg > cut.png"""


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask edit`` into a command."""
    check_commas(words)
    return piped(parse_words(Edit, words, "anymask edit", _ABOUT), words)


@dataclass(frozen=True, kw_only=True)
class Edit(ChangeOptions):
    """Change what is behind a thing, its colour, or both."""

    background: Annotated[str | None, arg(metavar="WHAT", help_behavior_hint="")] = None
    """blur, grey (the image without its colours) or transparent; a colour such as white or #808080;
    or the path of an image, which is cropped to the same proportions and scaled to cover all."""
    colour: Annotated[str | None, arg(metavar="COLOUR", help_behavior_hint="")] = None
    """Another colour for the thing, such as red or #c02040. Its light and shade stay."""
    blur: Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="")] = None
    """How strong the blur is: its standard deviation in pixels. Without it, 1.5 % of the image's
    longer side."""
    hard_edges: Flag = False
    """Take the mask as it is, instead of an edge as soft as the image shows it."""
    where: OmitArgPrefixes[WhereOptions] = field(default_factory=WhereOptions)
    """What the thing is: --point and --box find it; or --mask or --masks say it; nothing: the main
    subject."""
    words: OmitArgPrefixes[WordOptions] = field(default_factory=WordOptions)
    """What the thing is by name: all that --text says, which stands alone."""

    @cached_property
    def _job(self) -> Job:
        from anymask.extras.edit.job import Edit as Job

        names = ("background", "colour", "blur", "hard_edges")
        return Job(
            **self.where.given(self.words, usual_subject=True),
            config=EditConfig(**{name: getattr(self, name) for name in names}),
            format=self.format,
            overlay=not self.no_overlay,
        )
