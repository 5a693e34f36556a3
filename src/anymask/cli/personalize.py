"""``anymask personalize``: things that are shown in one image, found in others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, UseAppendAction, arg

from anymask.cli.options import ImageOptions
from anymask.cli.parser import parse as parse_words
from anymask.cli.pipe import piped
from anymask.config import PersonalConfig
from anymask.errors import InputError

if TYPE_CHECKING:
    from anymask.cli.parser import Command
    from anymask.image.image import Image
    from anymask.masks.masks import Masks
    from anymask.predict.personal.examples import Example
    from anymask.predict.segmenter import Segmenter

__all__ = ["Personalize", "parse"]

_ABOUT = """Find things that you show in one image in all others, by an example.

Each image gets an overlay with the names, and its masks: one for each instance, none if the thing
is not there. The references are encoded once for all images.

Examples:
  anymask personalize photos/ --reference mug.jpg --mask mug-mask.png --name mug
  anymask personalize photos/ --reference desk.jpg --mask desk-labels.png --name mug --name lamp
  anymask personalize photos/ --reference a.jpg --mask a.png --reference b.jpg --mask b.png
  anymask segment mug.jpg --point 500,375 -o mug/  # makes a mask: mug/mug.json"""


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask personalize`` into a command."""
    return piped(parse_words(Personalize, words, "anymask personalize", _ABOUT), words)


_Files = Annotated[
    UseAppendAction[tuple[Path, ...]], arg(metavar="FILE", help_behavior_hint="(repeatable)")
]
_Names = Annotated[
    UseAppendAction[tuple[str, ...]], arg(metavar="NAME", help_behavior_hint="(repeatable)")
]


@dataclass(frozen=True, kw_only=True)
class Personalize(ImageOptions):
    """Find things that you show in one image in all others, by an example."""

    reference: _Files = ()
    """An image that shows the thing; several for several views of it, or for several things."""
    mask: _Files = ()
    """For each reference an image as large as it, light where the thing is; or a label map, each
    of whose values is a thing; or masks in JSON, as anymask writes them."""
    name: _Names = ()
    """What the thing is called; one for each reference, where the same name means another view of
    the same thing, or one for each value of a label map."""
    look: OmitArgPrefixes[PersonalConfig] = field(default_factory=PersonalConfig)
    """How to look."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.batch.personalize import Personalize as Job
        from anymask.cli.process import process

        job = Job(
            examples=self._read(),
            config=self.look,
            format=self.format,
            overlay=not self.no_overlay,
        )
        return process(self, job)

    def find(self, model: Segmenter, image: Image) -> Masks:
        """Find the things in one image."""
        from anymask.predict.personal import learn

        return learn(model, self._read(), self.look).find(image)

    def _read(self) -> list[Example]:
        """Read the examples."""
        from anymask.predict.personal.examples import read_examples

        if not self.reference:
            raise InputError(
                "expected --reference and --mask, got no reference; name an image that shows the "
                "thing, and its mask"
            )
        masks = [_read_mask(path) for path in self.mask]
        return read_examples(list(self.reference), masks, list(self.name) or None)


def _read_mask(path: Path) -> Any:
    """Read masks that are written as JSON; all else is an image."""
    if path.suffix.lower() != ".json":
        return path
    from anymask import formats

    return formats.read(path)
