"""``anymask segment``: one thing out of each image, or all that words name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from tyro.conf import OmitArgPrefixes, UseAppendAction, arg

from anymask.cli.examples import ExampleOptions
from anymask.cli.options import Flag, ImageOptions
from anymask.cli.parser import parse as parse_words
from anymask.cli.pipe import piped
from anymask.cli.places import check_commas, read_mask, read_numbers
from anymask.errors import InputError

if TYPE_CHECKING:
    import PIL.Image

    from anymask.batch.job import MaskJob
    from anymask.batch.words import Words
    from anymask.cli.parser import Command
    from anymask.image.image import Image
    from anymask.masks.masks import Masks
    from anymask.predict.segmenter import Segmenter
    from anymask.prompt import Prompt

__all__ = ["PromptOptions", "Segment", "parse"]

_ABOUT = """Cut a thing out of each image, by clicks, a box or a rough mask; or all that words name;
or, without any of these, its main subject.

Each image gets an overlay, a cut-out with a transparent background, and the masks as JSON.
Coordinates are pixels of the image, x from the left and y from the top.

Examples:
  anymask segment photos/ -o cut/  # the main subject of each, without its background
  anymask segment photo.jpg --point 500,375 --point 520,380 --not 40,60
  anymask segment photo.jpg --box 425,600,700,875 --model sam-vit-b -o out/
  anymask segment photos/ --text "dog. person." -o out/
  anymask segment photos/ --example mug.jpg --example-box 40,60,300,380 --grounder owlv2
  anymask segment - --point 500,375 -o - < photo.jpg > cutout.png
  anymask segment photo.jpg --model runs/roofs  # after anymask train --learn adapter"""


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask segment`` into a command."""
    check_commas(words)
    return piped(parse_words(Segment, words, "anymask segment", _ABOUT), words)


_Points = Annotated[
    UseAppendAction[tuple[str, ...]], arg(metavar="X,Y", help_behavior_hint="(repeatable)")
]

_TOO_FEW = (
    "expected --point, --box, --mask or --text beside --not, got none of them; say what to cut "
    "out, or leave out --not to get the main subject"
)


@dataclass(frozen=True, kw_only=True)
class PromptOptions:
    """What to cut out: --point, --box, --mask or --text; none of them: the main subject."""

    point: _Points = ()
    """A pixel on the thing: x from the left, y from the top."""
    not_: Annotated[_Points, arg(name="not")] = ()
    """A background point: a pixel that does not belong to the thing."""
    box: Annotated[str | None, arg(metavar="X0,Y0,X1,Y1", help_behavior_hint="")] = None
    """The thing's left, top, right and bottom edge."""
    mask: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """An image as large as the one to cut: light where the thing roughly is, dark elsewhere."""

    def read(self, text: str | Sequence[str] | None) -> Prompt:
        """Turn what was said into a prompt; nothing into one that says nothing.

        Args:
            text: What --text says.

        Raises:
            InputError: They are too few, or not in the form that they should have.
        """
        points = [read_numbers("--point", text) for text in self.point]
        points += [read_numbers("--not", text) for text in self.not_]
        box = self.box and read_numbers("--box", self.box)
        from anymask.prompt import Prompt

        if not (self.point or self.box or self.mask or text):
            if self.not_:
                raise InputError(_TOO_FEW)
            return Prompt.nothing()
        return Prompt(
            points_xy=points or None,
            labels=[1] * len(self.point) + [0] * len(self.not_) if points else None,
            box=box or None,
            mask=None if self.mask is None else read_mask(self.mask),
            text=text,  # type: ignore[arg-type]  # beside others it is one text, or refused
        )


@dataclass(frozen=True, kw_only=True)
class Segment(ImageOptions):
    """Cut one thing out of each image, all that words name, or its main subject."""

    may_be_empty: ClassVar[bool] = True  # what goes through a pipe is an answer in any case

    all: Flag = False
    """Keep all three answers, best first, instead of the best."""
    no_cutout: Flag = False
    """Do not write the thing by itself, with everything else transparent."""
    prompt: OmitArgPrefixes[PromptOptions] = PromptOptions()
    """What to cut out: --point, --box, --mask or --text; none of them: the main subject."""
    words: OmitArgPrefixes[ExampleOptions] = field(default_factory=ExampleOptions)
    """What to cut out by name or by example: all that --text or --example says, which stand
    alone."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.cli.process import process

        if self._by_name:
            return process(self, self._words())
        prompt = self._read()
        return process(self, lambda model: self._job(model, prompt))

    def _job(self, model: Segmenter, prompt: Prompt) -> MaskJob:
        from anymask.batch.job import Segment as ByPrompts
        from anymask.batch.subject import Subject

        drawn: dict[str, bool] = {"overlay": not self.no_overlay, "cutout": not self.no_cutout}
        if self._means_subject(model, prompt):
            return Subject(format=self.format, **drawn)
        return ByPrompts(prompts=(prompt,), all=self.all, format=self.format, **drawn)

    def _means_subject(self, model: Segmenter, prompt: Prompt) -> bool:
        """Return whether the main subject is meant, not what a model finds without a prompt."""
        if prompt.text is not None and "text" not in model.variant.capabilities:
            from anymask.predict.checks import check_words_alone

            check_words_alone(prompt)
        if prompt.required_capabilities != ["nothing"] or "nothing" in model.variant.capabilities:
            return False
        if self.all:
            raise InputError(
                "expected a prompt for --all, got none; there is one main subject: leave out --all"
            )
        return True

    def _read(self) -> Prompt:
        """Read the prompt where it is no words alone."""
        self.words.check_unused()
        return self.prompt.read(self.words.given()["text"])

    def _words(self) -> Words:
        """Make a job of the words."""
        from anymask.batch.words import Words

        given = self.words.given()
        given["grounder"] = self.words.load(self.compute.device, self.compute.offline)
        return Words(
            **given,
            all=self.all,
            format=self.format,
            overlay=not self.no_overlay,
            cutout=not self.no_cutout,
        )

    @property
    def _by_name(self) -> bool:
        """Return whether words say what to cut out, and nothing else."""
        prompt = self.prompt
        others = prompt.point or prompt.not_ or prompt.box or prompt.mask
        return bool(self.words.text or self.words.example) and not others

    def find(self, model: Segmenter, image: Image) -> Masks:
        """Find it in one image."""
        if self._by_name:
            job = self._words()
            job.settings(model)  # checks what was said
            return job.find(model, image)
        prompt = self._read()
        if self._means_subject(model, prompt):
            return model.subject(image)
        masks = model.predict(image, prompts=prompt, multimask=True if self.all else None)
        return masks if self.all else masks.best()

    def cut(self, masks: Masks, image: Image) -> PIL.Image.Image:
        """Cut out of an image what was found in it: a main subject with a soft edge."""
        from anymask.predict.subject import LABEL

        silent = not self._by_name and self._read().required_capabilities == ["nothing"]
        return masks.cutout(image, soft=silent and masks.labels == (LABEL,))
