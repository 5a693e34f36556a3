"""``anymask segment``: one thing out of each image, or all that words name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, UseAppendAction, arg

from anymask.cli.options import Flag, ImageOptions
from anymask.cli.parser import parse as parse_words
from anymask.cli.pipe import piped
from anymask.cli.words import WordOptions
from anymask.errors import InputError

if TYPE_CHECKING:
    from anymask.batch.words import Words
    from anymask.cli.parser import Command
    from anymask.image.image import Image
    from anymask.masks.masks import Masks
    from anymask.predict.segmenter import Segmenter
    from anymask.prompt import Prompt

__all__ = ["PromptOptions", "Segment", "check_commas", "parse", "read_mask"]

_ABOUT = """Cut a thing out of each image, by clicks, a box or a rough mask; or all that words name.

Each image gets an overlay, a cut-out with a transparent background, and the masks as JSON.
Coordinates are pixels of the image, x from the left and y from the top.

Examples:
  anymask segment photo.jpg --point 500,375 --point 520,380 --not 40,60
  anymask segment photo.jpg --box 425,600,700,875 --model sam-vit-b -o out/
  anymask segment photos/ --text "dog. person." -o out/
  anymask segment - --point 500,375 -o - < photo.jpg > cutout.png
  anymask segment photo.jpg --model runs/roofs  # after anymask train --learn adapter"""


def parse(words: Sequence[str]) -> Command:
    """Turn the words after ``anymask segment`` into a command."""
    check_commas(words)
    return piped(parse_words(Segment, words, "anymask segment", _ABOUT), words)


_Points = Annotated[
    UseAppendAction[tuple[str, ...]], arg(metavar="X,Y", help_behavior_hint="(repeatable)")
]

_FORMS = {
    "--point": ("X,Y", "500,375"),
    "--not": ("X,Y", "500,375"),
    "--box": ("X0,Y0,X1,Y1", "425,600,700,875"),
}

_TOO_FEW = (
    "expected --point, --box, --mask or --text, got none of them; say what to cut out, or find "
    "everything with `anymask everything`"
)


@dataclass(frozen=True, kw_only=True)
class PromptOptions:
    """What to cut out: at least one of --point, --box, --mask and --text."""

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
        points = [_numbers("--point", text) for text in self.point]
        points += [_numbers("--not", text) for text in self.not_]
        box = self.box and _numbers("--box", self.box)
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
    """Cut one thing out of each image, or all that words name."""

    all: Flag = False
    """Keep all three answers, best first, instead of the best."""
    no_cutout: Flag = False
    """Do not write the thing by itself, with everything else transparent."""
    prompt: OmitArgPrefixes[PromptOptions] = PromptOptions()
    """What to cut out: at least one of --point, --box, --mask and --text."""
    words: OmitArgPrefixes[WordOptions] = field(default_factory=WordOptions)
    """What to cut out by name: all that --text says, which stands alone."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.batch.job import Segment as Job
        from anymask.cli.process import process

        if self._by_name:
            return process(self, self._words())
        prompt = self._read()
        job = Job(
            prompts=(prompt,),
            all=self.all,
            format=self.format,
            overlay=not self.no_overlay,
            cutout=not self.no_cutout,
        )
        return process(self, job, lambda model: _check_said(model, prompt))

    def _read(self) -> Prompt:
        """Read the prompt where it is no words alone."""
        self.words.check_unused()
        return self.prompt.read(self.words.given()["text"])

    def _words(self) -> Words:
        """Make a job of the words."""
        from anymask.batch.words import Words

        return Words(
            **self.words.given(),
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
        return bool(self.words.text) and not others

    def find(self, model: Segmenter, image: Image) -> Masks:
        """Find it in one image."""
        if self._by_name:
            job = self._words()
            job.settings(model)  # checks what was said
            return job.find(model, image)
        prompt = self._read()
        _check_said(model, prompt)
        masks = model.predict(image, prompts=prompt, multimask=True if self.all else None)
        return masks if self.all else masks.best()


def _check_said(model: Segmenter, prompt: Prompt) -> None:
    if prompt.required_capabilities == ["nothing"] and "nothing" not in model.variant.capabilities:
        raise InputError(_TOO_FEW)


def _numbers(flag: str, text: str) -> list[float]:
    """Read numbers with commas between them, as many as the flag has."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != len(_FORMS[flag][0].split(",")):
        raise _formless(flag, text)
    return numbers


def _formless(flag: str, text: str) -> InputError:
    """Say how the flag is written, if possible with the numbers at hand."""
    form, example = _FORMS[flag]
    seen = re.findall(r"-?\d+(?:\.\d+)?", text)
    right = len(seen) == len(form.split(","))
    hint = f"did you mean {flag} {','.join(seen)}?" if right else "write it like that"
    return InputError(f"expected {flag} {form} like {example}, got {text!r}; {hint}")


def check_commas(words: Sequence[str]) -> None:
    """Refuse coordinates with blanks between them, before the second is taken for an image."""
    for place, word in enumerate(words):
        flag, _, first = word.partition("=")
        if flag in _FORMS:
            following = [*([first] if first else []), *words[place + 1 :]]
            loose = list(takewhile(_is_loose, following))
            if len(loose) > 1:
                raise _formless(flag, " ".join(loose))


def _is_loose(word: str) -> bool:
    """Return whether a word is a bare number, with or without a comma at its ends."""
    return re.fullmatch(r"[,(\[]?-?\d+(\.\d+)?[,)\]]?", word) is not None


def read_mask(path: Path) -> Any:
    """Read a rough mask: bool (h, w), true where the image is light and not transparent."""
    from anymask.image.image import Image

    mask = Image.open(path, background=(0, 0, 0)).pixels.max(axis=2) >= 128
    if not mask.any():
        raise InputError(
            f"expected a rough mask that is light where the thing is, but {str(path)!r} is dark "
            "everywhere; paint the thing white"
        )
    return mask
