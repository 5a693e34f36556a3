"""``anymask inpaint``: remove a thing from each image, replace it, or replace what is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, arg

from anymask.cli.options import Flag, ImageOptions
from anymask.cli.parser import parse as parse_words
from anymask.cli.pipe import piped
from anymask.cli.places import check_commas
from anymask.cli.where import WhereOptions
from anymask.cli.words import WordOptions
from anymask.extras.inpaint.paint import InpaintConfig, check_wanted, choose_task

if TYPE_CHECKING:
    import PIL.Image

    from anymask.cli.parser import Command
    from anymask.extras.inpaint.job import Inpaint as Job
    from anymask.image.image import Image
    from anymask.masks.masks import Masks
    from anymask.predict.segmenter import Segmenter

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
class Inpaint(ImageOptions):
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

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.cli.process import process

        return process(self, self._job)

    def find(self, model: Segmenter | None, image: Image) -> Masks:
        """Find the thing in one image."""
        return self._job.find(model, image)

    def cut(self, masks: Masks, image: Image) -> PIL.Image.Image:
        """Inpaint one image."""
        return self._job.edit(masks, image).to_pil(alpha=True)

    def load(self) -> Any:
        """Load the model that finds the thing; masks that are there need none."""
        return super().load() if self._job.needs_model else None

    @property
    def no_cutout(self) -> bool:
        """What goes out is an image, unless --format asks for masks."""
        return False

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
            self.painting.engine, device=self.device, dtype=self.dtype, offline=self.offline
        )
        return Job(
            **where,
            **said,
            engine=engine,
            config=InpaintConfig(**options),
            format=self.format,
            overlay=not self.no_overlay,
        )
