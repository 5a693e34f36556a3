"""``anymask segment``: one thing out of each picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, UseAppendAction, arg

from anymask.cli.options import Flag, PictureOptions
from anymask.errors import InputError

if TYPE_CHECKING:
    from anymask.predict.segmenter import Segmenter
    from anymask.prompt import Prompt

__all__ = ["Segment"]

_Points = Annotated[
    UseAppendAction[tuple[str, ...]], arg(metavar="X,Y", help_behavior_hint="(repeatable)")
]

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
    """A pixel beside the thing."""
    box: Annotated[str | None, arg(metavar="X0,Y0,X1,Y1", help_behavior_hint="")] = None
    """The thing's left, top, right and bottom edge."""
    mask: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """A picture as large as the one to cut: light where the thing roughly is, dark elsewhere."""
    text: Annotated[str | None, arg(metavar="WORDS", help_behavior_hint="")] = None
    """What the thing is called, for models that know text (FastSAM)."""

    def read(self) -> Prompt:
        """Turn the words into a prompt; no words into one that says nothing.

        Raises:
            InputError: They are too few, or not in the form that they should have.
        """
        points = [_numbers(text, "X,Y", "500,375") for text in (*self.point, *self.not_)]
        box = self.box and _numbers(self.box, "X0,Y0,X1,Y1", "425,600,700,875")
        from anymask.prompt import Prompt

        if not (self.point or self.box or self.mask or self.text):
            if self.not_:
                raise InputError(_TOO_FEW)
            return Prompt.nothing()
        return Prompt(
            points_xy=points or None,
            labels=[1] * len(self.point) + [0] * len(self.not_) if points else None,
            box=box or None,
            mask=None if self.mask is None else _read_mask(self.mask),
            text=self.text,
        )


@dataclass(frozen=True, kw_only=True)
class Segment(PictureOptions):
    """Cut one thing out of each picture, by clicks, a box, a rough mask or its name."""

    all: Flag = False
    """Keep all three answers, best first, instead of the best."""
    no_cutout: Flag = False
    """Do not write the thing by itself, with everything else transparent."""
    prompt: OmitArgPrefixes[PromptOptions] = PromptOptions()
    """What to cut out: at least one of --point, --box, --mask and --text."""

    def run(self) -> int:
        """Do it and return the exit code."""
        from anymask.batch.job import Segment as Job
        from anymask.cli.process import process

        prompt = self.prompt.read()
        job = Job(
            prompts=(prompt,),
            all=self.all,
            format=self.format,
            overlay=not self.no_overlay,
            cutout=not self.no_cutout,
        )

        def check(model: Segmenter) -> None:
            if prompt.needs() == ["nothing"] and "nothing" not in model.variant.capabilities:
                raise InputError(_TOO_FEW)

        return process(self, job, check)


def _numbers(text: str, form: str, example: str) -> list[float]:
    """Read numbers with commas between them, as many as the form has."""
    parts = text.split(",")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) != len(form.split(",")):
        raise InputError(f"expected {form} like {example}, got {text!r}; write it like that")
    return numbers


def _read_mask(path: Path) -> Any:
    """Read a rough mask: bool (h, w), true where the picture is light and not transparent."""
    from anymask.image.image import Image

    mask = Image.open(path, background=(0, 0, 0)).pixels.max(axis=2) >= 128
    if not mask.any():
        raise InputError(
            f"expected a rough mask that is light where the thing is, but {str(path)!r} is dark "
            "everywhere; paint the thing white"
        )
    return mask
