"""``anymask everything``: all things in each image, without a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.options import ImageOptions
from anymask.cli.parser import parse as parse_words
from anymask.cli.pipe import piped
from anymask.cli.search import Search

if TYPE_CHECKING:
    from anymask.cli.parser import Command
    from anymask.image.image import Image
    from anymask.masks.masks import Masks
    from anymask.predict.segmenter import Segmenter

__all__ = ["Everything", "parse"]

_ABOUT = """Find everything in each image, without a prompt.

Each image gets an overlay and its masks. A folder that was interrupted goes on where it stopped.

Examples:
  anymask everything photo.jpg
  anymask everything photos/ --format coco -o out/
  anymask everything 'photos/**/*.jpg' --points-per-side 16 --json
  anymask everything - -o - < photo.jpg > masks.json"""

_Count = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask everything`` into a command."""
    return piped(parse_words(Everything, words, "anymask everything", _ABOUT), words)


@dataclass(frozen=True, kw_only=True)
class Everything(ImageOptions):
    """Find everything in each image, without a prompt."""

    tile: _Count = None
    """Look at squares of this many pixels, one by one, and join what crosses them; by itself only
    for images of more than 200 million pixels, in squares of 1024."""
    halo: _Count = None
    """How far each square reaches into its neighbours; by itself an eighth of its side."""
    search: OmitArgPrefixes[Search] = field(default_factory=Search)
    """What to look for and what to drop; what is not given is what suits the model."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.batch.job import Everything as Job
        from anymask.cli.process import process

        job = Job(
            options=self.search.given(),
            tile=self.tile,
            halo=self.halo,
            format=self.format,
            overlay=not self.no_overlay,
        )
        return process(self, job)

    def find(self, model: Segmenter, image: Image) -> Masks:
        """Find everything in one image."""
        given = self.search.given()
        return model.generate(image, tile=self.tile, halo=self.halo, **given)
