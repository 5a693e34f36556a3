"""``anymask everything``: all things in each image, without a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.options import ImageOptions
from anymask.cli.parser import parse as parse_words
from anymask.cli.pipe import piped
from anymask.cli.search import Search

if TYPE_CHECKING:
    from anymask.cli.parser import Command
    from anymask.extras.depth.sources import DepthFrom
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
  anymask everything photo.jpg --depth  # with the depth of each mask
  anymask everything - -o - < photo.jpg > masks.json"""

_DEPTH = "depth-anything-v2-small"
_Count = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask everything`` into a command."""
    words = _with_default_depth(words)
    return piped(parse_words(Everything, words, "anymask everything", _ABOUT), words)


def _with_default_depth(words: Sequence[str]) -> list[str]:
    """Name the usual depth model where ``--depth`` stands alone."""
    following = [*words[1:], "-"]
    alone = [
        word == "--depth" and after.startswith("-")
        for word, after in zip(words, following, strict=True)
    ]
    return [f"--depth={_DEPTH}" if one else word for one, word in zip(alone, words, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Everything(ImageOptions):
    """Find everything in each image, without a prompt."""

    tile: _Count = None
    """Look at squares of this many pixels, one by one, and join what crosses them; by itself only
    for images of more than 200 million pixels, in squares of 1024."""
    halo: _Count = None
    """How far each square reaches into its neighbours; by itself an eighth of its side."""
    depth: Annotated[str | None, arg(metavar="[FILE|MODEL]", help_behavior_hint="")] = None
    """Write its depth into the record of each mask: from a file of depth, a folder of them or a
    model, as `anymask depth` takes it; alone, at the end or before another option, from
    depth-anything-v2-small."""
    search: OmitArgPrefixes[Search] = field(default_factory=Search)
    """What to look for and what to drop; what is not given is what suits the model."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.batch.job import Everything as Job
        from anymask.cli.process import process

        options: dict[str, Any] = {
            "options": self.search.given(),
            "tile": self.tile,
            "halo": self.halo,
            "format": self.format,
            "overlay": not self.no_overlay,
        }
        if self.depth is None:
            return process(self, Job(**options))
        from anymask.extras.depth.job import EverythingDepth

        return process(self, EverythingDepth(**options, depth=self._depth(self.depth)))

    def _depth(self, source: str) -> DepthFrom:
        """Load what gives the depth."""
        from anymask.extras.depth.sources import find_depth

        how: dict[str, Any] = {"device": self.device, "dtype": self.dtype}
        return find_depth(source, **how, offline=self.offline)

    def find(self, model: Segmenter, image: Image) -> Masks:
        """Find everything in one image."""
        given = self.search.given()
        masks = model.generate(image, tile=self.tile, halo=self.halo, **given)
        if self.depth is None:
            return masks
        from anymask.extras.depth.measure import measure

        return measure(self._depth(self.depth).of(image), masks).masks
